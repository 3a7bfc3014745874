"""dry-run, plan and preview say what a run will do, and leave nothing; what a message tells to do makes the run pass."""

from __future__ import annotations

import re
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

OPTIONS: dict[str, dict[str, Any]] = {
    "append": {},
    "append_incremental": {"incremental_column": "n", "lookback": 100},
    "truncate": {},
    "truncate_by_delete": {"replace_method": "delete"},
    "truncate_by_diff": {"replace_method": "diff", "keys": "id"},
    "merge": {"keys": "id", "handle_deletes": "soft"},
    "merge_hard": {"keys": "id", "handle_deletes": "hard"},
    "scd2": {"keys": "id", "handle_deletes": "soft", "overwrite_columns": ["n"]},
    "scd2_latest": {"keys": "id", "on_duplicate": "latest", "order_by": "n"},
}


def project() -> Project:
    made = Project()
    for name, options in OPTIONS.items():
        table = {"id": "integer", "v": "text?", "n": "integer?"}
        made.table(name, table, schema=f"dw_{name}")
        made.pipeline(name, "SELECT * FROM app.s", name, name.split("_")[0], **options)
    return made


@pytest.fixture
def source(database: Database) -> Database:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id integer, v text, n integer);"
        "INSERT INTO app.s SELECT i, 'a', i FROM generate_series(1, 5) AS i"
    )
    return database


def everything(database: Database) -> dict[str, object]:
    """All that a dry-run could leave: objects, rows and who wrote them, files, sequences."""
    relations = database.rows(
        "SELECT c.oid::regclass::text, c.relkind::text, c.relfilenode, c.relacl::text FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1"
    )
    rows = {
        name: database.rows(f"SELECT xmin::text, xmax::text, ctid::text, t::text FROM {name} AS t ORDER BY ctid")
        for name, kind, _, _ in relations
        if kind in ("r", "S")
    }
    return {"relations": relations, "schemas": database.rows("SELECT oid, nspname FROM pg_namespace"), "rows": rows}


def without_xmax(state: dict[str, Any]) -> dict[str, object]:
    """A row that a rolled-back transaction has touched keeps its number in xmax."""
    rows = {name: [(row[0], *row[2:]) for row in each] for name, each in state["rows"].items()}
    return {**state, "rows": rows}


@pytest.mark.long
def test_a_dry_run_counts_what_the_run_does_and_leaves_nothing(source: Database, flow: Flow) -> None:
    made = project()
    changes = [
        "",
        (
            "UPDATE app.s SET v = 'b' WHERE id = 1; UPDATE app.s SET n = -2 WHERE id = 2; DELETE FROM app.s WHERE id = 3;"
            "INSERT INTO app.s VALUES (6, 'f', 6)"
        ),
        "INSERT INTO app.s VALUES (3, 'again', 9)",
    ]
    for statements in changes:
        source.execute(statements or "SELECT 1")
        before = everything(source)
        dry = made.run(flow, "--all", "--sample", "10", command="dry-run")
        assert without_xmax(everything(source)) == without_xmax(before)
        flow("plan", "--all")
        flow("plan", "--all", "--sql")
        assert without_xmax(everything(source)) == without_xmax(before)
        wet = made.run(flow)
        for name in OPTIONS:
            assert (dry[name]["dry_run"], dry[name]["committed"]) == (True, False)
            assert (wet[name]["dry_run"], wet[name]["committed"]) == (False, True)
            assert counts(dry[name]) == counts(wet[name]), name
            assert dry[name]["watermark_after"] == wet[name]["watermark_after"]


def test_a_sample_shows_old_beside_new(source: Database, flow: Flow) -> None:
    made = project()
    made.run(flow)
    source.execute(
        "UPDATE app.s SET v = 'b' WHERE id = 1; UPDATE app.s SET n = 20 WHERE id = 2; DELETE FROM app.s WHERE id = 3;"
        "INSERT INTO app.s VALUES (6, 'f', 6)"
    )

    def row(id: int, v: str, n: int) -> dict[str, object]:
        return {"id": id, "v": v, "n": n}

    old = {1: row(1, "a", 1), 2: row(2, "a", 2), 3: row(3, "a", 3), 6: None}
    new = {1: row(1, "b", 1), 2: row(2, "a", 20), 3: None, 6: row(6, "f", 6)}
    words = {
        "merge": {1: "update", 2: "update", 3: "delete", 6: "insert"},
        "merge_hard": {1: "update", 2: "update", 3: "delete", 6: "insert"},
        "scd2": {1: "close", 2: "update", 3: "delete", 6: "insert"},
        "scd2_latest": {1: "close", 2: "close", 6: "insert"},
    }
    reports = made.run(flow, *words, "--sample", "10", command="dry-run")
    for name, expected in words.items():
        found = {(each["old"] or each["new"])["id"]: each for each in reports[name]["sample"]}
        assert found == {id: {"change": word, "old": old[id], "new": new[id]} for id, word in expected.items()}, name
    few = made.run(flow, "merge", "--sample", "2", command="dry-run")
    assert len(few["merge"]["sample"]) == 2


def test_a_preview_needs_no_server(flow: Flow, database: Database) -> None:
    made = project()
    flow.project(made.text())
    nowhere = {"EMATIX_FLOW_DSN": "postgresql://127.0.0.1:1/nowhere"}
    document = flow("preview", "--all", "--output", "json", env=nowhere).json()
    assert [each["pipeline"] for each in document["pipelines"]] == list(OPTIONS)
    assert all(each["steps"] and not each["errors"] for each in document["pipelines"])
    flow("plan", "merge", env=nowhere, expect=6)


@pytest.mark.parametrize("mode", ("merge", "scd2"))
def test_the_statements_that_a_missing_index_prints_make_the_run_pass(mode: str, source: Database, flow: Flow) -> None:
    managed = (
        ", valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL, row_hash bytea NOT NULL"
    )
    source.execute(
        f'CREATE SCHEMA "D W"; CREATE TABLE "D W"."T ""x""" (id integer NOT NULL, v text, n integer'
        f"{managed if mode == 'scd2' else ''})"
    )
    made = Project()
    made.table('T "x"', {"id": "integer", "v": "text?", "n": "integer?"}, schema="D W")
    made.pipeline("p", "app.s", 'T "x"', mode, keys="id")
    statements = 0
    while (report := made.run(flow, expect=(0, 4))["p"])["status"] != "success":
        assert report["error"]["code"] == "missing_index"
        [statement] = re.findall(r"create it: (.*); or run with --migrate", report["error"]["hint"])
        source.execute(statement)
        statements += 1
    assert statements == {"merge": 1, "scd2": 2}[mode]
    assert counts(report) == {"in": 5, "inserted": 5}
    assert counts(made.run(flow)["p"]) == {"in": 5, "unchanged": 5}


def test_migrate_gives_a_table_of_others_what_it_lacks(source: Database, flow: Flow) -> None:
    source.execute("CREATE SCHEMA dw; CREATE TABLE dw.t (id integer NOT NULL, v varchar(3))")
    made = Project()
    made.table("t", {"id": "bigint", "v": "text?", "n": "integer?"}, schema="dw")
    made.pipeline("p", "app.s", "t", "merge", keys="id")
    report = made.run(flow, expect=4)["p"]
    assert report["error"]["code"] == "drift"
    assert 'ALTER TABLE "dw"."t" ADD COLUMN "n" integer' in report["error"]["hint"]
    dry = made.run(flow, "p", "--migrate", command="dry-run")["p"]
    report = made.run(flow, "p", "--migrate")["p"]
    assert counts(report) == counts(dry) == {"in": 5, "inserted": 5}
    assert counts(made.run(flow)["p"]) == {"in": 5, "unchanged": 5}


@pytest.mark.parametrize("open_end", ("null", "infinity"))
def test_migrate_tells_what_a_history_lacks_from_what_it_holds(open_end: str, source: Database, flow: Flow) -> None:
    """Another tool's history has no hash and no flag, and names of its own."""
    end = "NULL" if open_end == "null" else "'infinity'"
    source.execute(
        "CREATE SCHEMA dw; CREATE TABLE dw.t (id integer NOT NULL, v text, n integer,"
        ' dbt_from timestamptz NOT NULL, "dbt to" timestamptz);'
        f"INSERT INTO dw.t VALUES (1, 'z', 1, '2020-01-01', '2021-01-01'), (1, 'a', 1, '2021-01-01', {end}),"
        f" (2, 'y', 2, '2020-01-01', {end}), (9, 'gone', 9, '2020-01-01', '2022-01-01')"
    )
    made = Project()
    made.table("t", {"id": "integer", "v": "text?", "n": "integer?"}, schema="dw")
    names = {"effective_from": "dbt_from", "effective_to": "dbt to", "open_end": open_end}
    made.pipeline("p", "app.s", "t", "scd2", keys="id", **names)
    assert made.run(flow, expect=4)["p"]["error"]["code"] == "drift"
    expected = {"in": 5, "inserted": 4, "unchanged": 1, "closed_out": 1, "rehashed": 4}
    assert counts(made.run(flow, "p", "--migrate", command="dry-run")["p"]) == expected
    assert counts(made.run(flow, "p", "--migrate")["p"]) == expected
    assert counts(made.run(flow)["p"]) == {"in": 5, "unchanged": 5}
    flow("check", "p")
    assert source.value("SELECT bool_and(row_hash = sha256(record_send(ROW(n::int8, v)))) FROM dw.t")


DRIFTS = {
    "narrower text": ({"v": "string(2)?"}, False),
    "narrower number": ({"n": "smallint?"}, False),
    "text to number": ({"v": "integer?"}, False),
    "less precision": ({"n": "numeric(4,1)?"}, False),
    "without a column": ({"n": None}, False),
    "a required column": ({"more": "text"}, False),
    "wider number": ({"n": "bigint?"}, True),
    "number to numeric": ({"n": "numeric?"}, True),
    "a nullable column": ({"more": "text?"}, True),
    "a column with a default": ({"more": {"type": "text", "default": "x"}}, True),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_migrate_widens_and_adds_and_never_narrows_or_drops(name: str, source: Database, flow: Flow) -> None:
    change, migrates = DRIFTS[name]
    made = Project()
    made.table("t", {"id": "integer", "v": "text?", "n": "integer?"}, schema="dw")
    made.pipeline("p", "SELECT id, v, n, 'm' AS more FROM app.s", "t", "merge", keys="id")
    made.run(flow)
    columns = {**made.tables["t"]["columns"], **change}
    made.tables["t"]["columns"] = {column: of for column, of in columns.items() if of is not None}
    shape = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'dw.t'::regclass AND attnum > 0 ORDER BY attnum"
    )
    before = source.rows(shape)
    assert made.run(flow, expect=4)["p"]["error"]["code"] == "drift"
    report = made.run(flow, "p", "--migrate", expect=0 if migrates else 4)["p"]
    if not migrates:
        assert report["error"]["code"] == "drift"
        assert source.rows(shape) == before
    else:
        assert source.rows(shape) != before
        assert flow("plan", "p", "--output", "json").json()["pipelines"][0]["marks"] == []
    if name == "without a column":
        ignored = made.run(flow, "p", "--on-drift", "ignore")["p"]
        assert counts(ignored) == {"in": 5, "unchanged": 5}
        assert any("drift ignored" in warning for warning in ignored["warnings"])


def test_a_full_scan_reads_what_the_watermark_would_leave(source: Database, flow: Flow) -> None:
    made = Project()
    for mode in ("merge", "scd2"):
        made.table(mode, {"id": "integer", "v": "text?", "n": "integer?"}, schema="dw")
        made.pipeline(mode, "app.s", mode, mode, keys="id", incremental_column="n")
    made.run(flow)
    source.execute("UPDATE app.s SET v = 'late' WHERE id = 1")
    for report in made.run(flow).values():
        assert counts(report) == {"in": 1, "unchanged": 1}
    before = everything(source)
    seen = made.run(flow, "--all", "--full-scan", command="dry-run")
    assert without_xmax(everything(source)) == without_xmax(before)
    reports = made.run(flow, "--all", "--full-scan")
    assert counts(reports["merge"]) == counts(seen["merge"]) == {"in": 5, "updated": 1, "unchanged": 4}
    assert counts(reports["scd2"]) == counts(seen["scd2"]) == {"in": 5, "inserted": 1, "closed_out": 1, "unchanged": 4}
    for report in made.run(flow).values():
        assert (counts(report), report["watermark_after"]) == ({"in": 1, "unchanged": 1}, "5")
