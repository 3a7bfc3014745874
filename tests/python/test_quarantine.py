"""Rows that are put aside: the rest loads, counts add up, what stood of their keys stays, and a good row leaves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from across import Across, connect
from customers import sessions, wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow
from project import Project, counts

ROWS = """
CREATE SCHEMA app;
CREATE TABLE app.s (id bigint, email text, amount numeric, at timestamptz);
INSERT INTO app.s SELECT i, i || '@x.org', i, '2026-01-01'::timestamptz + i * interval '1 hour'
  FROM generate_series(1, 6) AS i;
"""
COLUMNS = {"id": "bigint", "email": "string(20)?", "amount": "numeric(10,2)?", "at": "timestamptz"}
EXPECT: list[dict[str, Any]] = [
    {"not_null": "email", "policy": "quarantine"},
    {"in_range": {"column": "amount", "min": 0}, "policy": "quarantine"},
    {"unique": "email", "policy": "quarantine"},
]
LISTED = "SELECT id, reason FROM dw.t__rejected ORDER BY id, reason"
NOT_NULL, IN_RANGE = 'not_null = "email"', 'in_range = { column = "amount", min = 0 }'
UNIQUE = 'unique = "email"'


def project(
    mode: str, expect: list[dict[str, Any]] | None = None, kind: type[Project] = Project, **options: Any
) -> Project:
    made = kind()
    made.table("t", COLUMNS, schema="dw", primary_key="id")
    made.pipeline("p", "app.s", "t", mode, expect=EXPECT if expect is None else expect, **options)
    return made


def written(database: Database) -> tuple[int, ...]:
    """What was ever written to the table of rejected rows, as all sessions have told it that are over."""
    wait_until(lambda: not sessions(database), "no session of a run")
    database.execute("SELECT pg_stat_force_next_flush()")
    return tuple(
        database.rows("SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 't__rejected'")[
            0
        ]
    )


MODES: list[tuple[str, dict[str, Any]]] = [
    ("truncate", {}),
    ("truncate", {"replace_method": "delete"}),
    ("truncate", {"replace_method": "diff"}),
    ("merge", {"handle_deletes": "soft"}),
    ("merge", {"handle_deletes": "hard"}),
    ("scd2", {"handle_deletes": "soft"}),
    ("merge", {"incremental_column": "at"}),
    ("scd2", {"incremental_column": "at"}),
    ("append", {"incremental_column": "at"}),
    ("append", {"incremental_column": "at", "keys": "id"}),
    ("append", {}),
]


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_the_rest_loads_and_every_row_is_counted_once(
    mode: str, options: dict[str, Any], across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(ROWS)
    crm.execute("UPDATE app.s SET email = NULL, amount = -1 WHERE id = 2; UPDATE app.s SET amount = -7 WHERE id = 5")
    crm.execute("UPDATE app.s SET email = 'same' WHERE id IN (3, 4)")
    connect(flow, crm, warehouse)
    made = project(mode, kind=Across, **options)
    if mode == "append":
        del made.tables["t"]["primary_key"]
    dry = made.run(flow, command="dry-run")["p"]
    assert warehouse.value("SELECT to_regclass('dw.t__rejected')") is None
    report = made.run(flow)["p"]
    assert counts(report) == counts(dry) == {"in": 6, "inserted": 2, "rejected": 4}
    assert [each for each in report["warnings"] if "put aside" in each], report["warnings"]
    assert warehouse.rows("SELECT id FROM dw.t ORDER BY id") == [(1,), (6,)]
    assert warehouse.rows(LISTED) == [(2, f"{NOT_NULL}; {IN_RANGE}"), (3, UNIQUE), (4, UNIQUE), (5, IN_RANGE)]
    rejected = "SELECT count(DISTINCT run_id), min(run_id::text), bool_and(rejected_at <= now()) FROM dw.t__rejected"
    assert warehouse.rows(rejected) == [(1, report["run_id"], True)]
    stored = warehouse.value("SELECT rows_rejected FROM ematix_flow.run_history WHERE status = 'success'")
    assert stored == 4
    before, rows = written(warehouse), warehouse.rows("SELECT * FROM dw.t__rejected ORDER BY id")
    again = made.run(flow)["p"]
    # From the watermark on only its own row is read again.
    assert again["rows_rejected"] == (0 if "incremental_column" in options else 4), again
    assert (written(warehouse), warehouse.rows("SELECT * FROM dw.t__rejected ORDER BY id")) == (before, rows)
    assert warehouse.value("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_ematix%'") == 0


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize(("mode", "options"), MODES[2:8], ids=str)
def test_a_version_of_a_key_that_comes_bad_stays_as_it_is(
    mode: str, options: dict[str, Any], across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(ROWS)
    connect(flow, crm, warehouse)
    made = project(mode, kind=Across, **options)
    made.run(flow)
    before = warehouse.rows("SELECT * FROM dw.t WHERE id IN (1, 2) ORDER BY id")
    crm.execute("UPDATE app.s SET amount = -1, at = '2026-02-01' WHERE id = 1")
    crm.execute("UPDATE app.s SET email = NULL, at = '2026-02-01' WHERE id = 2; DELETE FROM app.s WHERE id = 3")
    report = made.run(flow)["p"]
    gone = {"rows_deleted": 1} if "incremental_column" not in options else {"rows_deleted": 0}
    assert {name: report[name] for name in gone} == gone, report
    assert (report["rows_rejected"], report["rows_inserted"], report["rows_updated"]) == (2, 0, 0)
    assert warehouse.rows("SELECT * FROM dw.t WHERE id IN (1, 2) ORDER BY id") == before
    assert warehouse.rows(LISTED) == [(1, IN_RANGE), (2, NOT_NULL)]
    # What is good by now leaves; what is bad for another reason is told anew.
    crm.execute("UPDATE app.s SET amount = 5, at = '2026-03-01' WHERE id = 1")
    crm.execute("UPDATE app.s SET email = 'b', amount = -2, at = '2026-03-01' WHERE id = 2")
    report = made.run(flow)["p"]
    assert (report["rows_rejected"], report["rows_inserted"] + report["rows_updated"]) == (1, 1), report
    assert warehouse.rows("SELECT id, reason, run_id::text FROM dw.t__rejected") == [(2, IN_RANGE, report["run_id"])]
    crm.execute("UPDATE app.s SET amount = 2, at = '2026-04-01' WHERE id = 2")
    assert made.run(flow)["p"]["rows_rejected"] == 0
    assert warehouse.rows(LISTED) == []


def test_append_without_keys_keeps_what_it_rejected_and_adds_nothing_twice(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (v integer, n integer)")
    database.execute("INSERT INTO app.s VALUES (1, 1), (-1, 1), (-1, 1)")
    made = Project()
    made.table("t", {"v": "integer", "n": "integer"}, schema="dw")
    made.pipeline("p", "app.s", "t", "append", expect=[{"sql": "v > 0", "policy": "quarantine"}])
    assert counts(made.run(flow)["p"]) == {"in": 3, "inserted": 1, "rejected": 2}
    assert database.value("SELECT count(*) FROM dw.t__rejected") == 2
    database.execute("INSERT INTO app.s VALUES (-1, 1), (-2, 1)")
    assert made.run(flow)["p"]["rows_rejected"] == 4
    assert database.rows("SELECT v, count(*) FROM dw.t__rejected GROUP BY v ORDER BY v") == [(-2, 1), (-1, 3)]
    database.execute("TRUNCATE app.s")
    made.run(flow)
    assert database.value("SELECT count(*) FROM dw.t__rejected") == 4


def test_keys_are_judged_when_bad_rows_are_out(database: Database, flow: Flow) -> None:
    """A row without a key and two of one key end no run that puts them aside; without that they do."""
    database.execute(ROWS)
    database.execute("INSERT INTO app.s VALUES (NULL, 'n', 1, now()), (NULL, 'm', 1, now()), (1, 'twice', 1, now())")
    expect = [{"not_null": "id", "policy": "quarantine"}, {"unique": "id", "policy": "quarantine"}]
    for mode in ("merge", "scd2"):
        made = project(mode, expect)
        made.tables["t"]["name"] = f"t_{mode}"
        assert counts(made.run(flow)["p"]) == {"in": 9, "inserted": 5, "rejected": 4}
        assert counts(made.run(flow)["p"]) == {"in": 9, "unchanged": 5, "rejected": 4}
        for left, code in ((1, "null_key"), (0, "duplicate_source_key")):
            made.pipelines["p"]["expect"] = [expect[left]]
            assert made.run(flow, expect=4)["p"]["error"]["code"] == code


def test_the_latest_row_of_a_key_is_judged(database: Database, flow: Flow) -> None:
    """An older row does not stand in for a latest one that is bad, and rows without a key are not one key."""
    database.execute(ROWS)
    database.execute(
        "INSERT INTO app.s VALUES (1, 'new', -1, '2027-01-01'), (NULL, 'n', 1, now()), (NULL, 'm', 1, now())"
    )
    expect = [{"not_null": "id", "policy": "quarantine"}, {"sql": "amount > 0", "policy": "quarantine"}]
    made = project("merge", expect, on_duplicate="latest", order_by="at")
    assert counts(made.run(flow)["p"]) == {"in": 9, "inserted": 5, "deduplicated": 1, "rejected": 3}
    assert database.value("SELECT count(*) FROM dw.t WHERE id = 1") == 0


def test_the_watermark_passes_rows_that_were_put_aside(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 6")
    made = project("append", incremental_column="id")
    report = made.run(flow)["p"]
    assert (report["watermark_after"], report["rows_rejected"]) == ("6", 1)
    # The row at the watermark is read again, and is neither kept twice nor loaded.
    again = made.run(flow)["p"]
    assert counts(again) == {"in": 1, "rejected": 1}
    assert database.rows(LISTED) == [(6, IN_RANGE)]


def test_pipelines_of_one_target_keep_their_own_rejected_rows(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("CREATE TABLE app.other AS SELECT id + 100 AS id, email, -1 AS amount, at FROM app.s WHERE id = 1")
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2")
    made = project("merge")
    made.pipeline("q", "app.other", "t", "merge", expect=EXPECT)
    made.run(flow, "p")
    made.run(flow, "q")
    made.run(flow, "p")
    assert database.rows(LISTED) == [(2, IN_RANGE), (101, IN_RANGE)]


def test_every_target_of_one_reading_has_its_own_table(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2")
    made = project("merge")
    made.pipelines["p"] = {
        "source": {"table": "app.s"},
        "targets": [{"target": "t", "mode": "merge"}, {"target": "dw.log", "mode": "append"}],
        "expect": EXPECT,
    }
    report = made.run(flow)["p"]
    assert counts(report) == {"in": 12, "inserted": 10, "rejected": 2}
    assert database.rows("SELECT id FROM dw.t__rejected UNION ALL SELECT id FROM dw.log__rejected") == [(2,), (2,)]


def test_the_table_follows_the_columns_of_the_target(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2")
    made = project("merge", migrate=True)
    made.run(flow)
    database.execute("ALTER TABLE app.s ADD note text; UPDATE app.s SET note = 'x', email = repeat('e', 30) || id")
    made.tables["t"]["columns"] |= {"note": "text?", "email": "string(40)?"}
    plan = flow("plan", "p", "--output", "json").json()["pipelines"][0] if flow.project(made.text()) else {}
    assert [mark["what"] for mark in plan["marks"] if "t__rejected" in mark["what"]], plan["marks"]
    made.run(flow)
    assert database.rows("SELECT id, note, length(email) FROM dw.t__rejected") == [(2, "x", 31)]


@pytest.mark.parametrize(
    "made_by", ["CREATE TABLE dw.t__rejected (a integer)", "CREATE VIEW dw.t__rejected AS SELECT 1 AS a"]
)
def test_a_table_of_somebody_else_is_left_alone(made_by: str, database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute(f"CREATE SCHEMA dw; {made_by}")
    made = project("merge")
    report = made.run(flow, expect=4)["p"]
    assert (report["error"]["code"], "t__rejected" in report["error"]["message"]) == ("drift", True), report
    assert database.value("SELECT to_regclass('dw.t')") is None
    made.pipelines["p"]["expect"] = [{"not_null": "email"}]
    made.run(flow)


def test_a_target_of_another_pipeline_is_no_table_of_rejected_rows(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    made = project("merge")
    made.pipeline("q", "app.s", "dw.t__rejected", "append")
    made.run(flow, "q")
    assert made.run(flow, "p", expect=4)["p"]["error"]["code"] == "drift"


def test_names_that_do_not_fit_are_said_before_a_run(flow: Flow) -> None:
    made = project("merge")
    made.tables["t"]["name"] = "t" * 54
    flow.project(made.text())
    said = flow("validate", expect=2).stderr
    assert "error[name_too_long]" in said, said
    assert "__rejected` has 64 bytes" in said, said
    made.tables["t"]["name"] = "t" * 53
    made.tables["t"]["columns"]["reason"] = "text?"
    flow.project(made.text())
    said = flow("validate", expect=2).stderr
    assert "error[duplicate_name]: the column `reason`" in said, said


@pytest.fixture
def loader(database: Database) -> Iterator[str]:
    role = f"loader_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    yield role
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_the_role_needs_what_the_table_takes(database: Database, loader: str, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2")
    made = project("merge")
    made.run(flow)
    database.execute(
        f"GRANT USAGE ON SCHEMA app, dw TO {loader}; GRANT USAGE, CREATE ON SCHEMA ematix_flow TO {loader};"
        f"GRANT SELECT ON app.s TO {loader}; GRANT SELECT, INSERT, UPDATE ON dw.t TO {loader};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA ematix_flow TO {loader}"
    )
    as_loader = {"EMATIX_FLOW_DSN": database.dsn_as(loader)}
    report = made.run(flow, env=as_loader, expect=1)["p"]
    assert report["error"]["code"] == "permission_denied", report
    assert "t__rejected" in report["error"]["hint"], report
    database.execute(report["error"]["hint"])
    made.run(flow, env=as_loader)


def test_a_load_that_fails_leaves_no_rejected_row(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    made = project("merge")
    made.run(flow)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2; UPDATE app.s SET amount = 99 WHERE id = 3")
    database.execute("ALTER TABLE dw.t ADD CHECK (amount < 99)")
    assert made.run(flow, expect=1)["p"]["error"]["code"] == "target_failed"
    assert database.value("SELECT to_regclass('dw.t__rejected')") is None
    database.execute("UPDATE app.s SET amount = 3 WHERE id = 3")
    made.run(flow)
    kept = database.rows("SELECT * FROM dw.t__rejected")
    database.execute("UPDATE app.s SET amount = 2 WHERE id = 2; UPDATE app.s SET amount = 99 WHERE id = 3")
    made.run(flow, expect=1)
    assert database.rows("SELECT * FROM dw.t__rejected") == kept


def test_a_plan_shows_how_rows_are_put_aside(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    flow.project(project("merge").text())
    steps = flow("plan", "p", "--output", "json").json()["pipelines"][0]["steps"]
    purposes = [step["purpose"] for step in steps]
    for purpose in (
        f"put aside the rows that fail: {NOT_NULL}; {IN_RANGE}; {UNIQUE}",
        "make the table of rejected rows: dw.t__rejected",
        "keep in dw.t__rejected what it does not have yet",
    ):
        assert purpose in purposes, purposes


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize("options", [{}, {"keys": "id"}], ids=["by values", "by keys"])
def test_a_row_that_was_loaded_and_is_read_again_is_skipped_and_not_rejected(
    options: dict[str, Any], across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    """A later row repeats its value: the new one is put aside, the one that stands is not."""
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, email text, at date)")
    crm.execute("INSERT INTO app.s VALUES (1, 'a', '2026-01-01'), (2, 'b', '2026-01-01')")
    connect(flow, crm, warehouse)
    made = Across()
    made.table("t", {"id": "bigint", "email": "text", "at": "date"}, schema="dw")
    expect = [{"unique": "email", "policy": "quarantine"}]
    made.pipeline("p", "app.s", "t", "append", expect=expect, incremental_column="at", **options)
    assert counts(made.run(flow)["p"]) == {"in": 2, "inserted": 2}
    crm.execute("INSERT INTO app.s VALUES (3, 'a', '2026-01-01'), (4, 'd', '2026-01-02')")
    assert counts(made.run(flow)["p"]) == {"in": 4, "inserted": 1, "skipped": 2, "rejected": 1}
    assert warehouse.rows("SELECT id, reason FROM dw.t__rejected") == [(3, UNIQUE)]
    assert warehouse.rows("SELECT id FROM dw.t ORDER BY id") == [(1,), (2,), (4,)]


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize("change", ["no expectation", "a warning", "another name"])
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_a_row_that_is_good_by_another_declaration_leaves_the_table(
    mode: str, options: dict[str, Any], change: str, across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(ROWS)
    crm.execute("UPDATE app.s SET amount = -1 WHERE id IN (2, 6)")
    connect(flow, crm, warehouse)
    expect: list[dict[str, Any]] = [{"in_range": {"column": "amount", "min": 0}, "policy": "quarantine"}]
    made = project(mode, expect, kind=Across, **options)
    if mode == "append":
        del made.tables["t"]["primary_key"]
    made.run(flow)
    assert warehouse.rows("SELECT id FROM dw.t__rejected ORDER BY id") == [(2,), (6,)]
    name = "p"
    if change == "no expectation":
        del made.pipelines["p"]["expect"]
    elif change == "a warning":
        expect[0]["policy"] = "warn"
    else:
        name = "q"
        made.pipelines["q"] = {**made.pipelines.pop("p"), "expect": [{"not_null": "id", "policy": "quarantine"}]}
    if mode == "append" and name == "p" and options:
        flow("watermark", "reset", "p", "--yes")
    made.run(flow, name, *(["--full-scan"] if mode != "append" and "incremental_column" in options else []))
    assert warehouse.rows("SELECT id FROM dw.t__rejected") == []
    current = "WHERE is_current" if mode == "scd2" else ""
    assert warehouse.value(f"SELECT count(DISTINCT id) FROM dw.t {current}") == 6
    assert made.run(flow)[name]["status"] == "success"


def test_a_role_that_may_not_touch_the_table_loads_without_it(database: Database, loader: str, flow: Flow) -> None:
    """Where no row is put aside any more, the rows that stand there bind nobody."""
    database.execute(ROWS)
    database.execute("UPDATE app.s SET amount = -1 WHERE id = 2")
    made = project("merge", [{"in_range": {"column": "amount", "min": 0}, "policy": "quarantine"}])
    made.run(flow)
    database.execute(
        f"GRANT USAGE ON SCHEMA app, dw, ematix_flow TO {loader}; GRANT CREATE ON SCHEMA ematix_flow TO {loader};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA app TO {loader}; GRANT ALL ON dw.t TO {loader};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA ematix_flow TO {loader}"
    )
    flow.variables["EMATIX_FLOW_DSN"] = database.dsn_as(loader)
    del made.pipelines["p"]["expect"]
    assert made.run(flow)["p"]["rows_inserted"] == 1
    assert database.value("SELECT count(*) FROM dw.t__rejected") == 1


@pytest.mark.parametrize("mode", ["merge", "append"])
def test_a_run_that_is_killed_at_any_moment_loads_and_puts_aside_all_or_nothing(
    mode: str, database: Database, flow: Flow
) -> None:
    """What stands and what is put aside are always those of one reading."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, n bigint)")
    database.execute("INSERT INTO app.s SELECT i, 0 FROM generate_series(1, 200) AS i")
    made = Project()
    made.table("t", {"id": "bigint", "n": "bigint"}, schema="dw", **({"primary_key": "id"} if mode == "merge" else {}))
    options = {"incremental_column": "n", "keys": "id"} if mode == "append" else {}
    expect = [{"sql": "id % 7 <> n % 7", "policy": "quarantine"}]
    made.pipeline("p", "app.s", "t", mode, expect=expect, lease="1s", **options)
    flow.project(made.text())
    chance = random.Random(7)
    began = time.monotonic()
    flow("run", "p")
    whole = time.monotonic() - began

    def stands() -> tuple[int, int, int, int]:
        """How many rows of the target and of those put aside are of the newest reading, and how many of others."""
        newest = "SELECT max(n) FROM (SELECT n FROM dw.t UNION ALL SELECT n FROM dw.t__rejected) AS b"
        counted = f"SELECT count(*) FILTER (WHERE n = ({newest})), count(*) FILTER (WHERE n < ({newest}) AND id % 7 <> ({newest}) % 7)"
        loaded, old = database.rows(f"{counted} FROM dw.t")[0]
        aside, old_aside = database.rows(f"{counted} FROM dw.t__rejected")[0]
        return loaded, aside, old if mode == "merge" else 0, old_aside if mode == "merge" else 0

    for turn in range(1, 25):
        database.execute(f"UPDATE app.s SET n = {turn}")
        running = flow.start("run", "p")
        time.sleep(chance.uniform(0, whole))
        running.kill()
        running.finish(None)
        wait_until_nothing_is_left(database)
        loaded, aside, *old = stands()
        assert (loaded + aside, old) == (200, [0, 0]), turn
        assert aside in (28, 29), turn
    flow("run", "p")
    assert database.value("SELECT count(*) FROM dw.t WHERE n = 24") == 200 - database.value(
        "SELECT count(*) FROM dw.t__rejected WHERE n = 24"
    )
