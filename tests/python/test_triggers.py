"""Triggers of the target: one that keeps rows back fails the run in every mode, one that changes them is seen."""

from __future__ import annotations

from typing import Any

import pytest
from across import Across, connect
from customers import NOTHING_LEFT_BEHIND, left_behind
from database import Database
from flow_binary import Flow
from project import counts

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.people (id bigint PRIMARY KEY, name text NOT NULL, age integer NOT NULL);
INSERT INTO app.people SELECT n, 'name ' || n, n FROM generate_series(1, 5) AS n;
"""
MODES: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "append from a watermark on": {"mode": "append", "incremental_column": "age"},
    "truncate": {"mode": "truncate"},
    "truncate by delete": {"mode": "truncate", "replace_method": "delete"},
    "truncate by diff": {"mode": "truncate", "replace_method": "diff", "keys": "id"},
    "merge": {"mode": "merge", "keys": "id"},
    "scd2": {"mode": "scd2", "keys": "id"},
}
# Those that find by comparison what they write.
COMPARING = ["truncate by diff", "merge", "scd2"]


def project(name: str) -> Across:
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?", "age": "integer?"}, schema="dw")
    made.pipeline("p", "app.people", "t", **MODES[name])
    return made


def prepared(name: str, path: str, flow: Flow, database: Database, new_database: Any) -> tuple[Across, Database]:
    """A first run is done, and the source has changed since."""
    at = database if path == "same_db" else new_database()
    connect(flow, at, database)
    at.execute(SOURCE)
    made = project(name)
    made.run(flow)
    at.execute(
        "UPDATE app.people SET name = 'another', age = 16 WHERE id = 1; INSERT INTO app.people VALUES (7, 'new', 17)"
    )
    return made, at


def trigger(database: Database, body: str, events: str = "INSERT OR UPDATE") -> None:
    database.execute(f"""
        CREATE FUNCTION dw.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER "Watch" BEFORE {events} ON dw.t FOR EACH ROW EXECUTE FUNCTION dw.f();
    """)


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize("name", MODES)
def test_a_trigger_that_keeps_rows_back_fails_the_run(
    name: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    made, _ = prepared(name, path, flow, database, new_database)
    before = database.rows("SELECT id, name, age FROM dw.t ORDER BY 1, 2")
    trigger(database, "IF NEW.id = 7 THEN RETURN NULL; END IF; RETURN NEW;")
    # A dry-run of TRUNCATE inserts nothing, so that no reader waits for it.
    commands = ["run"] if name == "truncate" else ["dry-run", "run"]
    for command in commands:
        error = made.run(flow, command=command, expect=1)["p"]["error"]
        assert error["code"] == "target_failed"
        assert "rows were touched by the step" in error["message"]
        assert error["hint"].startswith("a trigger or a rule of the target kept rows from being written")
    assert database.rows("SELECT id, name, age FROM dw.t ORDER BY 1, 2") == before
    assert left_behind(database)["tables"] == NOTHING_LEFT_BEHIND["tables"]
    database.execute('ALTER TABLE dw.t DISABLE TRIGGER "Watch"')
    assert made.run(flow)["p"]["warnings"] == made.run(flow, command="dry-run")["p"]["warnings"]


def test_a_rule_and_the_trigger_of_a_partition_are_triggers_too(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    database.execute("""
        CREATE SCHEMA dw;
        CREATE TABLE dw.t (id bigint, name text, age integer) PARTITION BY RANGE (id);
        CREATE TABLE dw.few PARTITION OF dw.t FOR VALUES FROM (0) TO (4);
        CREATE TABLE dw.many PARTITION OF dw.t FOR VALUES FROM (4) TO (100);
        CREATE FUNCTION dw.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER few BEFORE INSERT ON dw.few FOR EACH ROW EXECUTE FUNCTION dw.f();
    """)
    made = Across()
    made.pipeline("p", "app.people", "dw.t", "append", loaded_at_column=False, batch_id_column=False)
    error = made.run(flow, expect=1)["p"]["error"]
    assert error["message"] == '2 of 5 rows were touched by the step "append every row of the source"'
    database.execute(
        "DROP TRIGGER few ON dw.few; CREATE RULE few AS ON INSERT TO dw.t WHERE new.id < 3 DO INSTEAD NOTHING"
    )
    error = made.run(flow, expect=1)["p"]["error"]
    assert error["message"] == '3 of 5 rows were touched by the step "append every row of the source"'


def test_a_trigger_that_keeps_old_rows_from_being_deleted_fails_the_run(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project("truncate by delete")
    made.run(flow)
    trigger(database, "IF OLD.id < 3 THEN RETURN NULL; END IF; RETURN OLD;", "DELETE")
    for command in ("dry-run", "run"):
        error = made.run(flow, command=command, expect=1)["p"]["error"]
        assert error["message"] == "2 rows of dw.t were not deleted"
        assert error["hint"] == "a trigger or a rule of the target kept them (Watch); nothing stands of this run"
    assert database.value("SELECT count(*) FROM dw.t") == 5


@pytest.mark.parametrize("path", ["same_db", "staging", "client_diff"])
@pytest.mark.parametrize("name", COMPARING)
def test_a_trigger_that_changes_what_is_written_is_seen(
    name: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    made, _ = prepared(name, path, flow, database, new_database)
    if path == "staging":
        made.pipelines["p"]["force_path"] = "staging"
    trigger(database, "NEW.name := upper(NEW.name); RETURN NEW;")
    two = "2 rows of dw.t do not stand as they were written: a trigger changes them (Watch), so every run writes them again"
    for command in ("dry-run", "run"):
        assert made.run(flow, command=command)["p"]["warnings"] == [two]
    if path == "client_diff" and name == "scd2":
        # Its hashes are those of the source's values, and nothing is found to differ.
        assert counts(made.run(flow)["p"]) == {"in": 6, "unchanged": 6}
        return
    # The source is the same, and the rows differ again.
    report = made.run(flow)["p"]
    assert (report["rows_unchanged"], report["warnings"]) == (4, [two])


def test_a_trigger_that_changes_nothing_that_is_loaded_is_no_matter(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project("merge")
    made.run(flow)
    database.execute("ALTER TABLE dw.t ADD COLUMN touched timestamptz")
    made.table(
        "t",
        {
            "id": "bigint",
            "name": "text?",
            "age": "integer?",
            "touched": {"type": "timestamptz?", "default": {"sql": "now()"}},
        },
        schema="dw",
    )
    trigger(database, "NEW.touched := clock_timestamp(); RETURN NEW;")
    database.execute("UPDATE app.people SET age = 40")
    report = made.run(flow)["p"]
    assert (counts(report), report["warnings"]) == ({"in": 5, "updated": 5}, [])
    assert counts(made.run(flow)["p"]) == {"in": 5, "unchanged": 5}
