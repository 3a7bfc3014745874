"""What a plan shows of a table that has drifted: marks with the statements that settle it, as a run is refused for them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import Project

MODES = ("append", "truncate", "merge", "scd2")


@pytest.fixture
def source(database: Database) -> Database:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id integer PRIMARY KEY, v text, n integer);"
        "INSERT INTO app.s SELECT i, 'x' || i, i FROM generate_series(1, 5) AS i"
    )
    return database


def project(mode: str = "merge", **options: Any) -> Project:
    made = Project()
    made.table("t", {"id": "integer", "v": "text?", "n": "integer?"}, schema="dw")
    keys = {} if mode in ("append", "truncate") else {"keys": "id"}
    made.pipeline("p", "app.s", "t", mode, **keys, **options)
    return made


def planned(flow: Flow, *arguments: str, expect: int = 0) -> dict[str, Any]:
    document = flow("plan", *arguments, "--output", "json", expect=expect).json()
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("mode", MODES)
def test_drift_is_marked_with_its_alter_and_counted(mode: str, source: Database, flow: Flow) -> None:
    made = project(mode)
    made.run(flow)
    source.execute('ALTER TABLE dw.t ADD COLUMN "Mixed Case" text; ALTER TABLE dw.t DROP COLUMN n')
    document = planned(flow)
    [plan] = document["pipelines"]
    assert (document["create"], document["change"], document["drifted"]) == (0, 0, 1)
    missing, extra = plan["marks"]
    assert (missing["mark"], extra["mark"]) == ("!", "!")
    assert missing["what"] == (
        'column "n": declared integer, missing in the table\n  ALTER TABLE "dw"."t" ADD COLUMN "n" integer;'
    )
    assert extra["what"].splitlines()[0] == 'column "Mixed Case": live only'
    assert (plan["pipeline"], plan["mode"], plan["target"], plan["steps"]) == ("p", mode, "dw.t", [])
    assert [error["code"] for error in plan["errors"]] == ["drift"]
    planned(flow, "--exit-code", expect=3)
    assert made.run(flow, expect=4)["p"]["error"] == plan["errors"][0]


def test_what_a_person_reads_has_every_alter_once_and_the_way_out(source: Database, flow: Flow) -> None:
    made = project()
    made.run(flow)
    source.execute("ALTER TABLE dw.t ALTER v TYPE varchar(5), ALTER n TYPE bigint")
    finished = flow("plan")
    assert finished.stderr == ""
    assert finished.stdout == (
        "p  merge  dw.t  keys: id (keys)  path: same_db (source and target are one connection, default)\n"
        "! dw.t\n"
        '    column "v": declared text, live character varying(5)\n'
        '      ALTER TABLE "dw"."t" ALTER COLUMN "v" TYPE text;\n'
        '    column "n": declared integer, live bigint\n'
        '      ALTER TABLE "dw"."t" ALTER COLUMN "n" TYPE integer;\n'
        "  note: a run is refused: change the declaration, or run with --on-drift ignore\n"
        "Plan: 0 to create, 0 to change, 1 drifted\n"
    )


def test_the_statements_of_a_plan_settle_the_drift(source: Database, flow: Flow) -> None:
    made = project()
    made.run(flow)
    source.execute("ALTER TABLE dw.t ALTER v TYPE varchar(5), DROP COLUMN n, ADD COLUMN more text")
    [plan] = planned(flow)["pipelines"]
    for mark in plan["marks"]:
        source.execute(mark["what"].splitlines()[1])
    assert planned(flow, "--exit-code")["drifted"] == 0
    made.run(flow)


def test_migrate_marks_what_it_changes_and_what_it_leaves(source: Database, flow: Flow) -> None:
    made = project(migrate=True)
    made.run(flow)
    source.execute("ALTER TABLE dw.t DROP COLUMN n, ALTER v TYPE integer USING 1")
    document = planned(flow, "--exit-code", expect=3)
    marks = [(mark["mark"], mark["what"].splitlines()[0]) for mark in document["pipelines"][0]["marks"]]
    assert marks == [
        ("~", 'column "n": declared integer, missing in the table'),
        ("!", 'column "v": declared text, live integer'),
    ]
    assert (document["change"], document["drifted"]) == (1, 1)
    assert made.run(flow, expect=4)["p"]["error"]["code"] == "drift"


def test_drift_across_databases_is_marked_too(source: Database, new_database: Any, flow: Flow) -> None:
    other: Database = new_database()
    made = project(target_connection="other")
    environment: dict[str, str | None] = {"EMATIX_FLOW_DSN_OTHER": other.dsn}
    made.run(flow, env=environment)
    other.execute("ALTER TABLE dw.t ADD COLUMN more text")
    document = flow("plan", "--output", "json", env=environment).json()
    assert (document["drifted"], document["pipelines"][0]["path"]) == (1, "staging")
    made.run(flow, env=environment, expect=4)


def test_other_drift_is_marked_with_its_reason(source: Database, flow: Flow) -> None:
    """Not only columns drift: here the form of an open end does."""
    made = project("scd2")
    made.run(flow)
    made.pipelines["p"]["open_end"] = "infinity"
    flow.project(made.text())
    document = planned(flow)
    [mark] = document["pipelines"][0]["marks"]
    assert (document["drifted"], mark["mark"]) == (1, "!")
    assert mark["what"] == "current versions of dw.t end with NULL, and open_end says otherwise"
    assert 'open_end = "null"' in document["pipelines"][0]["notes"][-1]


def test_of_several_targets_each_mark_stands_at_its_own(source: Database, flow: Flow) -> None:
    text = (
        '[tables.a]\nschema = "dw"\n[tables.a.columns]\nid = "integer"\nv = "text?"\n'
        '[tables.b]\nschema = "dw"\n[tables.b.columns]\nid = "integer"\nv = "text?"\n'
        '[pipelines.p]\nsource = { query = "SELECT id, v FROM app.s" }\nkeys = "id"\n'
        'targets = [{ target = "a", mode = "merge" }, { target = "b", mode = "scd2" }]\n'
    )
    flow.project(text)
    flow("run", "p")
    source.execute("ALTER TABLE dw.a ADD COLUMN more text; ALTER TABLE dw.b ADD COLUMN more text")
    finished = flow("plan")
    blocks = re.findall(
        r"^! (dw\..)\n    column \"more\": live only\n      (ALTER .*;)$", finished.stdout, re.MULTILINE
    )
    assert blocks == [(f"dw.{name}", f'ALTER TABLE "dw"."{name}" DROP COLUMN "more";') for name in "ab"]
    [plan] = planned(flow)["pipelines"]
    assert [(mark["mark"], mark["part"]) for mark in plan["marks"]] == [("!", "dw.a"), ("!", "dw.b")]
    flow("run", "p", expect=4)


def test_a_check_before_a_merge_still_fails_for_drift(source: Database, flow: Flow) -> None:
    made = project()
    made.run(flow)
    source.execute("ALTER TABLE dw.t ADD COLUMN more text")
    report = flow("validate", "--connect", "--output", "json", expect=2).json()
    assert (report["ok"], [error["code"] for error in report["errors"]]) == (False, ["drift"])
