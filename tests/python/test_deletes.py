"""Keys that leave the source: empty sources, the guards at their borders, keys that come back, clocks that step back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

DELETING = [("merge", "soft"), ("merge", "hard"), ("scd2", "soft")]


def pipeline(mode: str, deletes: str | None = None, source: str = "app.s", **options: object) -> Project:
    project = Project()
    project.table("t", {"id": "integer", "v": "text?"}, schema="dw")
    keys = {"keys": "id"} if mode in ("merge", "scd2") else {}
    chosen = {"handle_deletes": deletes} if deletes else {}
    project.pipeline("p", source, "t", mode, **keys, **chosen, **options)
    return project


def source(database: Database, keys: int, unique: bool = True) -> None:
    key = "PRIMARY KEY" if unique else ""
    database.execute(
        f"CREATE SCHEMA app; CREATE TABLE app.s (id integer {key}, v text);"
        f"INSERT INTO app.s SELECT i, 'a' FROM generate_series(1, {keys}) AS i"
    )


def current(database: Database, mode: str, deletes: str) -> int:
    condition = {("merge", "soft"): "NOT is_deleted", ("merge", "hard"): "TRUE", ("scd2", "soft"): "is_current"}
    return database.value(f"SELECT count(*) FROM dw.t WHERE {condition[mode, deletes]}")


@pytest.mark.parametrize("read", ("app.s", "SELECT * FROM app.s WHERE id > 0"), ids=("in_place", "staged"))
@pytest.mark.parametrize("mode", ("append", "truncate", "merge", "scd2"))
def test_no_rows_make_an_empty_table_and_change_nothing(mode: str, read: str, database: Database, flow: Flow) -> None:
    source(database, 0)
    project = pipeline(mode, source=read)
    assert counts(project.run(flow)["p"]) == {}
    assert database.value("SELECT count(*) FROM dw.t") == 0
    database.execute("INSERT INTO app.s VALUES (1, 'a'), (2, 'b')")
    assert counts(project.run(flow)["p"]) == {"in": 2, "inserted": 2}
    database.execute("TRUNCATE app.s")
    assert counts(project.run(flow)["p"]) == {}
    assert database.value("SELECT count(*) FROM dw.t") == (0 if mode == "truncate" else 2)


@pytest.mark.parametrize("read", ("app.s", "SELECT * FROM app.s WHERE id > 0"), ids=("in_place", "staged"))
@pytest.mark.parametrize(("mode", "deletes"), DELETING)
def test_no_rows_are_refused_where_keys_would_go(
    mode: str, deletes: str, read: str, database: Database, flow: Flow
) -> None:
    source(database, 3)
    project = pipeline(mode, deletes, read)
    project.run(flow)
    database.execute("TRUNCATE app.s")
    report = project.run(flow, expect=4)["p"]
    assert (report["status"], report["error"]["code"]) == ("refused", "empty_source")
    assert current(database, mode, deletes) == 3
    gone = project.run(flow, "p", "--on-empty-source", "ignore")["p"]
    assert counts(gone) == ({"deleted": 3, "closed_out": 3} if mode == "scd2" else {"deleted": 3})
    assert current(database, mode, deletes) == 0
    again = project.run(flow, "p", "--on-empty-source", "ignore")["p"]
    assert counts(again) == {}, "what is gone is not counted twice"


@pytest.mark.parametrize(
    ("mode", "deletes", "read"),
    [
        ("merge", "soft", "app.s"),
        ("merge", "hard", "SELECT * FROM app.s WHERE id > 0"),
        ("scd2", "soft", "app.s"),
    ],
    ids=("merge_soft", "merge_hard", "scd2"),
)
@pytest.mark.parametrize(
    ("keys", "gone", "fraction", "refused"),
    [
        (19, 18, None, False),
        (20, 10, None, False),
        (20, 11, None, True),
        (20, 1, 0, True),
        (20, 0, 0, False),
        (19, 1, 0, False),
        (20, 19, 1, False),
        (30, 3, 0.1, False),
        (30, 4, 0.1, True),
    ],
)
def test_the_share_of_keys_that_may_go(
    keys: int,
    gone: int,
    fraction: float | None,
    refused: bool,
    mode: str,
    deletes: str,
    read: str,
    database: Database,
    flow: Flow,
) -> None:
    source(database, keys)
    project = pipeline(mode, deletes, read, **({} if fraction is None else {"max_delete_fraction": fraction}))
    project.run(flow)
    # New keys are no excuse for those that go.
    database.execute(
        f"DELETE FROM app.s WHERE id <= {gone}; INSERT INTO app.s SELECT 100 + i, 'n' FROM generate_series(1, 50) AS i"
    )
    report = project.run(flow, expect=4 if refused else 0)["p"]
    if refused:
        assert report["error"]["code"] == "mass_delete"
        assert report["error"]["message"].startswith(f"{gone} of {keys} keys")
        assert current(database, mode, deletes) == keys
        report = project.run(flow, "p", "--max-delete-fraction", "1")["p"]
    assert report["rows_deleted"] == gone
    assert current(database, mode, deletes) == keys - gone + 50


@pytest.mark.parametrize("read", ("app.s", "SELECT * FROM app.s WHERE id > 0"), ids=("in_place", "staged"))
@pytest.mark.parametrize("value", ("a", "b"), ids=("same", "other"))
def test_a_key_that_comes_back_leaves_its_gap(value: str, read: str, database: Database, flow: Flow) -> None:
    """Even where the clock steps back a day between its going and its coming."""
    source(database, 2)
    project = pipeline("scd2", "soft", read)
    project.run(flow)
    database.execute("DELETE FROM app.s WHERE id = 1")
    assert counts(project.run(flow)["p"]) == {"in": 1, "unchanged": 1, "deleted": 1, "closed_out": 1}
    ahead = "'2100-01-01 00:00+00'::timestamptz"
    database.execute(
        f"UPDATE ematix_flow.targets SET last_instant = {ahead}; UPDATE dw.t SET valid_to = {ahead} WHERE id = 1;"
        f"INSERT INTO app.s VALUES (1, '{value}')"
    )
    assert counts(project.run(flow)["p"]) == {"in": 2, "inserted": 1, "unchanged": 1}
    database.execute("DELETE FROM app.s WHERE id = 1")
    project.run(flow)
    database.execute(f"INSERT INTO app.s VALUES (1, '{value}')")
    project.run(flow)
    periods = database.rows("SELECT valid_from, valid_to, v FROM dw.t WHERE id = 1 ORDER BY valid_from")
    assert [v for _, _, v in periods] == ["a", value, value]
    assert all(end < begin for (_, end, _), (begin, _, _) in pairwise(periods)), "gaps, and no overlap"
    assert periods[-1][1] is None
    assert database.rows("SELECT count(*) FROM dw.t WHERE id = 2") == [(1,)]
    flow("check", "p")


@pytest.mark.parametrize("value", ("a", "b"), ids=("same", "other"))
def test_a_soft_delete_that_comes_back_is_an_update(value: str, database: Database, flow: Flow) -> None:
    source(database, 2)
    project = pipeline("merge", "soft")
    project.run(flow)
    row = database.value("SELECT xmin::text FROM dw.t WHERE id = 2")
    database.execute("DELETE FROM app.s WHERE id = 1")
    assert counts(project.run(flow)["p"]) == {"in": 1, "unchanged": 1, "deleted": 1}
    assert counts(project.run(flow)["p"]) == {"in": 1, "unchanged": 1}
    database.execute(f"INSERT INTO app.s VALUES (1, '{value}')")
    assert counts(project.run(flow)["p"]) == {"in": 2, "updated": 1, "unchanged": 1}
    assert database.rows("SELECT id, v, is_deleted FROM dw.t ORDER BY id") == [(1, value, False), (2, "a", False)]
    assert database.value("SELECT xmin::text FROM dw.t WHERE id = 2") == row, "the other row was never written"


def test_a_flag_that_is_null_is_no_delete(database: Database, flow: Flow) -> None:
    """A table of others may have its flag without NOT NULL: such a row is there, and may still go."""
    source(database, 3)
    database.execute("CREATE SCHEMA dw; CREATE TABLE dw.t (id integer PRIMARY KEY, v text, is_deleted boolean)")
    project = pipeline("merge", "soft")
    assert counts(project.run(flow)["p"]) == {"in": 3, "inserted": 3}
    database.execute("DELETE FROM app.s WHERE id = 1")
    assert counts(project.run(flow)["p"]) == {"in": 2, "unchanged": 2, "deleted": 1}
    assert database.rows("SELECT id FROM dw.t WHERE is_deleted") == [(1,)]


def test_the_latest_of_keys_that_become_one_is_kept(database: Database, flow: Flow) -> None:
    """Keys are ranked as the target holds them: 1.2 and 1.4 are one integer."""
    source(database, 0)
    database.execute(
        "CREATE TABLE app.n AS SELECT * FROM (VALUES (1.2, 'old', 1), (1.4, 'new', 2), (2.0, 'two', 1)) AS n(id, v, at)"
    )
    for mode in ("merge", "scd2"):
        project = pipeline(mode, source="app.n", on_duplicate="latest", order_by="at")
        for run in ({"in": 3, "inserted": 2, "deduplicated": 1}, {"in": 3, "unchanged": 2, "deduplicated": 1}):
            assert counts(project.run(flow)["p"]) == run
        assert database.rows("SELECT id, v FROM dw.t ORDER BY id") == [(1, "new"), (2, "two")]
        database.execute("DROP TABLE dw.t; DELETE FROM ematix_flow.targets; DELETE FROM ematix_flow.schema_history")
