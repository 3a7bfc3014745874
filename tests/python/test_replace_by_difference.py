"""`replace_method = "diff"`: a table is replaced by writing what differs, so that what refers to it holds."""

from __future__ import annotations

from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import counts

PATHS = ["same_db", "staging"]
# A chain of bosses; the names are unique.
SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.staff (id bigint, "Boss" bigint, name text);
INSERT INTO app.staff SELECT n, nullif(n - 1, 0), 'name ' || n FROM generate_series(1, 4) AS n;
"""
# The first of the chain goes, and leaves its name to one that comes; who is under it comes under one that comes too.
RELOAD = """
DELETE FROM app.staff WHERE id = 1;
UPDATE app.staff SET "Boss" = 9 WHERE id = 2;
INSERT INTO app.staff VALUES (9, 10, 'name 1'), (10, NULL, 'name 10');
"""
RELOADED = [(2, 9, "name 2"), (3, 2, "name 3"), (4, 3, "name 4"), (9, 10, "name 1"), (10, None, "name 10")]
FOREIGN_KEYS = [
    "",
    "DEFERRABLE INITIALLY DEFERRED",
    "ON DELETE CASCADE",
    "ON DELETE SET NULL",
    "ON DELETE RESTRICT",
]


def project(target: str = "dw.staff", source: str = "SELECT * FROM app.staff", **options: Any) -> Across:
    made = Across()
    made.pipeline("staff", source, target, "truncate", replace_method="diff", **{"keys": "id", **options})
    return made


def ends(flow: Flow, database: Database, other: Database, path: str) -> Database:
    at = database if path == "same_db" else other
    connect(flow, at, database)
    at.execute(SOURCE)
    return at


def looked_at(made: Across, flow: Flow) -> dict[str, int]:
    """What a dry-run counts, and the run after it alike."""
    dry = made.run(flow, command="dry-run")["staff"]
    run = made.run(flow)["staff"]
    assert counts(dry) == counts(run)
    return counts(run)


def rows(database: Database) -> list[tuple[Any, ...]]:
    return database.rows("SELECT * FROM dw.staff ORDER BY 1")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("foreign_key", FOREIGN_KEYS)
def test_references_hold_whatever_goes_and_comes(
    foreign_key: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    database.execute(f"""
        CREATE SCHEMA dw;
        CREATE TABLE dw.staff (id bigint PRIMARY KEY, "Boss" bigint REFERENCES dw.staff {foreign_key}, name text UNIQUE);
        CREATE TABLE dw.badges (staff_id bigint REFERENCES dw.staff {foreign_key});
    """)
    made = project()
    assert looked_at(made, flow) == {"in": 4, "inserted": 4}
    database.execute("INSERT INTO dw.badges VALUES (2), (3)")
    at.execute(RELOAD)
    assert looked_at(made, flow) == {"in": 5, "inserted": 2, "updated": 1, "unchanged": 2, "deleted": 1}
    assert rows(database) == RELOADED
    # No row that stays was ever gone.
    assert database.rows("SELECT staff_id FROM dw.badges ORDER BY 1") == [(2,), (3,)]


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_a_row_that_is_referred_to_cannot_go_and_a_dry_run_says_so(
    deferred: str, flow: Flow, database: Database
) -> None:
    at = ends(flow, database, database, "same_db")
    made = project()
    made.run(flow)
    database.execute(
        f"CREATE TABLE dw.badges (staff_id bigint REFERENCES dw.staff {deferred}); INSERT INTO dw.badges VALUES (1)"
    )
    before = rows(database)
    at.execute(RELOAD)
    for command in ("dry-run", "run"):
        error = made.run(flow, command=command, expect=1)["staff"]["error"]
        assert (error["code"], error["sqlstate"]) == ("target_failed", "23503")
        assert error["context"]["constraint"] == "badges_staff_id_fkey"
        assert "in the order of their references" in error["hint"]
    assert rows(database) == before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("source", ["table", "query"])
def test_an_unchanged_reload_writes_nothing(
    source: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    at.execute("ALTER TABLE app.staff ADD PRIMARY KEY (id)")
    made = project(source="app.staff" if source == "table" else "SELECT * FROM app.staff")
    made.run(flow)
    # Where a row lies and who wrote it change with any write; a statement's own trigger would fire.
    written = "SELECT ctid::text, xmin::text, * FROM dw.staff ORDER BY 3"
    database.execute("""
        CREATE FUNCTION dw.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'somebody writes'; END $$;
        CREATE TRIGGER watch BEFORE INSERT OR UPDATE OR DELETE ON dw.staff EXECUTE FUNCTION dw.f();
    """)
    before = database.rows(written)
    for _ in range(2):
        assert looked_at(made, flow) == {"in": 4, "unchanged": 4}
    assert database.rows(written) == before
    assert flow("check", "staff").code == 0


def test_a_reader_never_sees_the_table_empty(flow: Flow, database: Database) -> None:
    at = ends(flow, database, database, "same_db")
    made = project()
    made.run(flow)
    at.execute(RELOAD)
    with database.connect(autocommit=False) as reader:
        # Its snapshot is older than the run, and its lock is kept: neither waits for the other.
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = reader.execute("SELECT * FROM dw.staff ORDER BY 1").fetchall()
        made.run(flow)
        assert reader.execute("SELECT * FROM dw.staff ORDER BY 1").fetchall() == before
    assert rows(database) == RELOADED


def test_duplicate_and_null_keys_are_refused_and_the_latest_may_be_kept(flow: Flow, database: Database) -> None:
    at = ends(flow, database, database, "same_db")
    made = project()
    made.run(flow)
    before = rows(database)
    at.execute("INSERT INTO app.staff VALUES (3, NULL, 'z')")
    for command in ("dry-run", "run"):
        assert made.run(flow, command=command, expect=4)["staff"]["error"]["code"] == "duplicate_source_key"
    latest = project(on_duplicate="latest", order_by="name DESC")
    assert looked_at(latest, flow) == {"in": 5, "updated": 1, "unchanged": 3, "deduplicated": 1}
    at.execute("INSERT INTO app.staff VALUES (NULL, NULL, 'nobody')")
    for command in ("dry-run", "run"):
        assert made.run(flow, command=command, expect=4)["staff"]["error"]["code"] == "null_key"
    assert rows(database) == [*before[:2], (3, None, "z"), before[3]]


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_source_empties_the_table_unless_that_is_an_error(
    path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    made = project()
    made.run(flow)
    at.execute("DELETE FROM app.staff")
    error = project(on_empty_source="error").run(flow, expect=4)["staff"]["error"]
    assert error["code"] == "empty_source"
    assert looked_at(made, flow) == {"deleted": 4}
    assert rows(database) == []


@pytest.mark.parametrize("path", PATHS)
def test_composite_keys_of_mixed_case_may_be_all_that_there_is(
    path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    made = project(source='SELECT id, name AS "Name" FROM app.staff', keys=["id", "Name"])
    assert looked_at(made, flow) == {"in": 4, "inserted": 4}
    at.execute("UPDATE app.staff SET name = 'else' WHERE id = 1")
    assert looked_at(made, flow) == {"in": 4, "inserted": 1, "unchanged": 3, "deleted": 1}
    assert rows(database)[0] == (1, "else")


def test_it_needs_keys_before_anything_is_run(flow: Flow, database: Database) -> None:
    ends(flow, database, database, "same_db")
    made = project("t")
    made.table("t", {"id": "bigint", "name": "text?"}, schema="dw")
    del made.pipelines["staff"]["keys"]
    flow.project(made.text())
    [error] = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert (error["code"], error["location"]["file"]) == ("missing_keys", "pipelines.toml")
    assert error["hint"].startswith("set keys")
    # A target that is only named may take its keys from the source, which has none here.
    made = project()
    del made.pipelines["staff"]["keys"]
    assert made.run(flow, expect=2)["staff"]["error"]["code"] == "missing_keys"


def test_a_table_of_others_needs_its_index_and_ours_is_given_one(flow: Flow, database: Database) -> None:
    ends(flow, database, database, "same_db")
    database.execute('CREATE SCHEMA dw; CREATE TABLE dw.staff (id bigint, "Boss" bigint, name text)')
    made = project()
    assert made.run(flow, expect=4)["staff"]["error"]["code"] == "missing_index"
    database.execute("DROP TABLE dw.staff")
    made.pipelines["staff"]["replace_method"] = "truncate"
    del made.pipelines["staff"]["keys"]
    made.run(flow)
    assert looked_at(project(), flow) == {"in": 4, "unchanged": 4}
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'dw'"
    assert [("UNIQUE" in text, text.endswith("(id)")) for (text,) in database.rows(indexes)] == [(True, True)]


def test_plan_and_preview_show_one_statement_that_writes(flow: Flow, database: Database) -> None:
    ends(flow, database, database, "same_db")
    made = project("t")
    made.table("t", {"id": "bigint", "Boss": "bigint?", "name": "text?"}, schema="dw")
    flow.project(made.text())
    flow("run", "staff")
    for command in ("plan", "preview"):
        [pipeline] = flow(command, "staff", "--output", "json").json()["pipelines"]
        [write] = [step["sql"] for step in pipeline["steps"] if step["kind"] in ("update", "delete", "insert")]
        assert write.index("DELETE FROM") < write.index("UPDATE") < write.index("INSERT INTO")
    sample = flow("dry-run", "staff", "--sample", "5", "--output", "json").json()["sample"]
    assert sample == []
    database.execute(RELOAD)
    sample = flow("dry-run", "staff", "--sample", "9", "--output", "json").json()["sample"]
    assert sorted(row["change"] for row in sample) == ["delete", "insert", "insert", "update"]
