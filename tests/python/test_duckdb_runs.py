"""Loads inside one file of DuckDB, by the Python package: rows, guards, history, runs that meet, runs that die."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb_pipelines import (
    PIPELINES,
    SLOW,
    SOURCE,
    Sql,
    counts,
    fill,
    load_with_every_strategy,
    reports_of,
    statements_in,
)
from flow_binary import Flow
from python_package import Interpreter


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    (tmp_path / "pipelines.toml").write_text(PIPELINES, encoding="utf-8")
    return Interpreter(tmp_path)


@pytest.fixture
def sql(python: Interpreter) -> Iterator[Sql]:
    """Runs a statement in the file, which is let go again."""
    run = statements_in(python.directory / "warehouse.duckdb")
    fill(run)
    yield run


def reports(python: Interpreter, *arguments: str, expect: int = 0) -> dict[str, Any]:
    """What `flow run` reports, by pipeline."""
    return reports_of(python.flow, *arguments, expect=expect)


def option(python: Interpreter, pipeline: str, line: str) -> None:
    """Adds an option to a pipeline."""
    toml = python.directory / "pipelines.toml"
    head = f"[pipelines.{pipeline}]\n"
    toml.write_text(toml.read_text().replace(head, f"{head}{line}\n"))


def test_every_strategy_loads_inside_one_file(python: Interpreter, sql: Sql) -> None:
    load_with_every_strategy(python.flow, sql)


@pytest.mark.parametrize(
    ("spoil", "pipeline", "code"),
    [
        ("INSERT INTO app.products VALUES (1, 'Pen again', 2, '2026-01-04')", "products", "duplicate_source_key"),
        ("INSERT INTO app.products VALUES (NULL, 'No key', 2, '2026-01-04')", "history", "null_key"),
        ("DELETE FROM app.products", "products", "empty_source"),
        ("UPDATE app.products SET seen = NULL WHERE id = 1", "log", "null_watermark"),
    ],
)
def test_what_would_spoil_the_target_is_refused(
    spoil: str, pipeline: str, code: str, python: Interpreter, sql: Sql
) -> None:
    reports(python, pipeline)
    before = sql(f"SELECT * FROM analytics.{'log' if pipeline == 'log' else pipeline} ORDER BY id")
    sql(spoil)
    refused = reports(python, pipeline, expect=4)[pipeline]
    assert (refused["status"], refused["error"]["code"]) == ("refused", code)
    assert sql(f"SELECT * FROM analytics.{'log' if pipeline == 'log' else pipeline} ORDER BY id") == before
    last = "SELECT status, error_code, rows_inserted FROM ematix_flow.run_history ORDER BY started_at DESC LIMIT 1"
    assert sql(last) == [("refused", code, 0)]


def test_a_value_that_does_not_fit_ends_the_run(python: Interpreter, sql: Sql) -> None:
    reports(python, "products")
    sql("ALTER TABLE app.products ALTER price TYPE VARCHAR")
    sql("UPDATE app.products SET price = 'dear' WHERE id = 1")
    failed = reports(python, "products", expect=1)["products"]["error"]
    assert (failed["code"], failed["context"]["class"]) == ("cast_failed", "Conversion Error")
    assert "dear" in failed["message"]
    assert sql("SELECT name, price FROM analytics.products WHERE id = 1")[0][0] == "Pen"


def test_a_dry_run_leaves_nothing_behind(python: Interpreter, sql: Sql) -> None:
    dry = reports(python, "--all", "--dry-run")
    assert all(report["dry_run"] and counts(report)["inserted"] == 2 for report in dry.values())
    assert sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name IN ('analytics', 'ematix_flow')") == [(0,)]


def test_the_printed_plan_is_what_runs(python: Interpreter, sql: Sql) -> None:
    for again in (False, True):
        plans = json.loads(python.flow("plan", "--all", "--output", "json").stdout)["pipelines"]
        printed = {plan["pipeline"]: [step["purpose"] for step in plan["steps"]] for plan in plans}
        for name, report in reports(python, "--all").items():
            log = json.loads(python.flow("logs", report["run_id"][-8:], "--output", "json").stdout)
            executed = [step["purpose"].replace(report["run_id"].replace("-", ""), "<batch>") for step in log["steps"]]
            # A step that is done under a condition only is printed, too.
            assert [purpose for purpose in printed[name] if purpose in executed] == executed, (name, again)


def test_the_commands_that_ask_the_history(python: Interpreter, sql: Sql) -> None:
    reports(python, "history", "log")
    sql("UPDATE app.products SET name = 'Fountain pen' WHERE id = 1")
    reports(python, "history", "log")
    runs = json.loads(python.flow("history", "history", "--output", "json").stdout)["runs"]
    assert [run["rows_inserted"] for run in runs] == [1, 2]
    steps = json.loads(python.flow("logs", runs[0]["run_id"][-8:], "--output", "json").stdout)
    assert [step["n"] for step in steps["steps"]] == sorted(step["n"] for step in steps["steps"])
    key = json.loads(python.flow("history", "history", "--key", "1", "--output", "json").stdout)
    assert [(v["values"]["name"], v["is_current"]) for v in key["versions"]] == [("Pen", False), ("Fountain pen", True)]
    assert key["versions"][0]["valid_to"] == key["versions"][1]["valid_from"]
    assert "Fountain pen" in python.flow("history", "history", "--key", "1").stdout
    assert json.loads(python.flow("check", "history", "--output", "json").stdout)["ok"] is True
    sql("UPDATE analytics.history SET is_current = true WHERE id = 1")
    violations = json.loads(python.flow("check", "history", "--output", "json", expect=1).stdout)["violations"]
    assert violations
    assert all(violation["key"] == {"id": "1"} for violation in violations), violations


def test_a_watermark_is_shown_set_and_forgotten(python: Interpreter, sql: Sql) -> None:
    reports(python, "log")
    shown = json.loads(python.flow("watermark", "show", "log", "--output", "json").stdout)
    assert shown["watermarks"][0]["last_value"] == "2026-01-02 00:00:00+00"
    python.flow("watermark", "set", "log", "2026-01-02")
    assert counts(reports(python, "log")["log"])["inserted"] == 1
    assert "not a TIMESTAMP" in python.flow("watermark", "set", "log", "soon", expect=2).stderr
    python.flow("watermark", "reset", "log", "--yes")
    assert counts(reports(python, "log")["log"])["inserted"] == 2


def test_drift_is_named_and_mended_on_request(python: Interpreter, sql: Sql) -> None:
    reports(python, "products")
    sql("ALTER TABLE analytics.products DROP COLUMN price")
    toml = python.directory / "pipelines.toml"
    toml.write_text(
        toml.read_text() + '\n[tables.products]\nschema = "analytics"\n[tables.products.columns]\nid = "bigint"\n'
        'name = "text?"\nprice = "numeric(10,2)?"\nseen = "timestamptz?"\n'
    )
    toml.write_text(toml.read_text().replace('target = "analytics.products"', 'target = "products"'))
    drift = reports(python, "products", expect=4)["products"]["error"]
    assert (drift["code"], "price" in drift["message"]) == ("drift", True)
    toml.write_text(toml.read_text().replace('target = "products"', 'target = "products"\nmigrate = true'))
    assert counts(reports(python, "products")["products"])["updated"] == 1
    assert sql("SELECT price FROM analytics.products ORDER BY id")[0][0] is not None


THREADS = """
import json, threading
from ematix_flow import Source, connect, pipeline
warehouse = connect(dsn="duckdb:warehouse.duckdb")
source = Source.postgres_query(warehouse, "SELECT id, name, price, seen FROM app.products")
rows, errors = [], []
def load(target):
    try:
        report = pipeline.sync(source=source, target=target, target_connection=warehouse, mode="scd2", keys="id")
        rows.append([target, report.rows_inserted])
    except Exception as error:
        errors.append(repr(error))
threads = [threading.Thread(target=load, args=[target]) for target in TARGETS]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps({"errors": errors, "rows": sorted(rows)}))
"""


def test_runs_of_one_process_exclude_each_other(python: Interpreter, sql: Sql) -> None:
    answer = python.run(THREADS.replace("TARGETS", str(["analytics.history"] * 6))).json()
    assert answer == {"errors": [], "rows": [["analytics.history", n] for n in (0, 0, 0, 0, 0, 2)]}
    assert sql("SELECT count(*), count(*) FILTER (is_current) FROM analytics.history") == [(2, 2)]
    assert sql("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1") == [("success", 6)]


def test_loads_of_one_file_come_one_after_another(python: Interpreter, sql: Sql) -> None:
    # All of them create the schema; of two that write at once, DuckDB refuses one.
    targets = [f"analytics.history_{n}" for n in range(8)]
    answer = python.run(THREADS.replace("TARGETS", str(targets))).json()
    assert answer == {"errors": [], "rows": [[target, 2] for target in targets]}
    assert sql("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1") == [("success", 8)]


def test_a_file_that_another_process_has_is_locked(python: Interpreter, sql: Sql) -> None:
    option(python, "products", 'lock_timeout = "500ms"')
    with duckdb.connect(str(python.directory / "warehouse.duckdb")):
        locked = reports(python, "products", expect=5)["products"]
    assert (locked["status"], locked["error"]["code"]) == ("locked", "locked")
    assert "PID" in locked["error"]["message"]
    assert "waited 0.5 s (lock_timeout)" in locked["error"]["message"]
    assert sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'analytics'") == [(0,)]


def test_a_connection_of_the_users_own_shares_the_file(python: Interpreter, sql: Sql) -> None:
    script = """
    import duckdb, json
    from ematix_flow import Source, connect, pipeline
    own = duckdb.connect("warehouse.duckdb")
    warehouse = connect(dsn="duckdb:warehouse.duckdb")
    source = Source.postgres_query(warehouse, "SELECT id, name FROM app.products")
    report = pipeline.sync(source=source, target="analytics.p", target_connection=warehouse, mode="merge", keys="id")
    print(json.dumps(own.execute("SELECT count(*) FROM analytics.p").fetchall()))
    """
    assert python.run(script).json() == [[2]]


def test_a_run_that_was_killed_is_lost_and_leaves_no_row(python: Interpreter, sql: Sql) -> None:
    toml = python.directory / "pipelines.toml"
    toml.write_text(toml.read_text() + SLOW)
    script = "import sys\nfrom ematix_flow.cli import main\nsys.argv = ['flow', 'run', 'slow']\nmain()\n"
    # Nobody else can look into the file meanwhile: a machine that is slow gets more time to begin the run.
    for seconds in (3, 10, 30):
        process = python.start(script)
        time.sleep(seconds)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        status = json.loads(python.flow("status", "slow", "--output", "json").stdout)["pipelines"][0]
        if status["last_run"] is not None:
            break
    assert status["last_run"]["status"] == "lost"
    assert sql("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'analytics'") == [(0,)]
    reports(python, "products")
    assert sql("SELECT status, error_code FROM ematix_flow.run_history WHERE pipeline_name = 'slow'") == [
        ("lost", "lost")
    ]


def test_a_time_limit_and_ctrl_c_end_the_statement(python: Interpreter, sql: Sql) -> None:
    toml = python.directory / "pipelines.toml"
    toml.write_text(toml.read_text() + SLOW + 'statement_timeout = "1s"\n')
    assert reports(python, "slow", expect=1)["slow"]["error"]["code"] == "timeout"
    toml.write_text(toml.read_text().replace('statement_timeout = "1s"\n', 'run_timeout = "1s"\n'))
    assert reports(python, "slow", expect=1)["slow"]["error"]["code"] == "timeout"
    assert reports(python, "products")["products"]["status"] == "success"


def test_what_is_not_there_yet_is_refused_with_the_reason(python: Interpreter, sql: Sql, flow: Flow) -> None:
    for dsn, said in [
        ("duckdb://warehouse.duckdb", "has no host"),
        ("duckdb:warehouse.duckdb?access_mode=READ_ONLY", "has no options behind a ?"),
        ("duckdb::warehouse", "as no file's name does"),
    ]:
        (python.directory / "other.toml").write_text(f'[connections.warehouse]\ndsn = "{dsn}"\n')
        assert said in python.flow("validate", "--config", "other.toml", expect=2).stderr
    two = "SELECT 1 AS id"
    for source, more, said in [
        (
            f'{{ union = [{{ connection = "shop", query = "{two}" }}, {{ connection = "warehouse", query = "{two}" }}] }}',
            'mode = "append"',
            "a union of Postgres and DuckDB is not in this version yet",
        ),
        (
            f'{{ connection = "shop", query = "{two}" }}',
            'mode = "scd2"\nkeys = ["id"]\nforce_path = "client_diff"',
            "the path client_diff cannot be taken: a row of DuckDB has no address",
        ),
        (
            f'{{ connection = "shop", query = "{two}" }}',
            'mode = "append"\nforce_path = "same_db"',
            "the path same_db cannot be taken: source shop is another database",
        ),
    ]:
        (python.directory / "across.toml").write_text(
            f"""
            [connections.warehouse]
            dsn = "duckdb:warehouse.duckdb"
            [pipelines.in]
            source = {source}
            target = "analytics.in"
            target_connection = "warehouse"
            {more}
            """
        )
        environment = {"EMATIX_FLOW_DSN_SHOP": flow.variables["EMATIX_FLOW_DSN"]}
        done = python.flow("run", "in", "--config", "across.toml", expect=2, env=environment)
        assert said in " ".join(done.stderr.split())
        assert sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'analytics'") == [(0,)]


def test_without_the_module_the_remedy_is_named(python: Interpreter) -> None:
    for name in ("duckdb", "_duckdb"):
        (python.directory / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\")\n")
    done = python.flow("connections", "check", "warehouse", expect=2)
    assert "No module named 'duckdb'" in done.stdout + done.stderr
    assert 'pip install "ematix-flow[duckdb]"' in done.stdout + done.stderr


def test_two_names_of_one_file_are_one_database(python: Interpreter, sql: Sql) -> None:
    toml = python.directory / "pipelines.toml"
    more = '[connections.again]\ndsn = "duckdb:./warehouse.duckdb"\n[pipelines.two]\n'
    more += 'source = { connection = "again", query = "SELECT id FROM app.products" }\n'
    more += 'target = "analytics.two"\ntarget_connection = "warehouse"\nmode = "append"\n'
    toml.write_text(toml.read_text() + more)
    report = reports(python, "two")["two"]
    assert (report["path"], counts(report)["inserted"]) == ("same_db", 2)
    assert "one database (proved)" in report["path_reason"]


def test_a_macro_of_the_users_takes_the_place_of_no_function(python: Interpreter, sql: Sql) -> None:
    for name in ("greatest", "least", "timezone", "list_value", "array_extract", "to_seconds", "to_microseconds"):
        sql(f"CREATE MACRO {name}(a) AS error('{name}'), (a, b) AS error('{name}')")
    option(python, "log", 'lookback = "1h"')
    for again in (False, True):
        assert {report["status"] for report in reports(python, "--all").values()} == {"success"}, again
    assert json.loads(python.flow("check", "history", "--output", "json").stdout)["ok"] is True
    python.flow("history", "history", "--key", "1")
    python.flow("status")


@pytest.mark.parametrize("mode", ["merge", "scd2", "overwritten"])
def test_an_interval_becomes_what_counts_as_equal(mode: str, python: Interpreter, sql: Sql) -> None:
    toml = python.directory / "pipelines.toml"
    overwritten = mode == "overwritten"
    toml.write_text(
        '[connections.warehouse]\ndsn = "duckdb:warehouse.duckdb"\n[pipelines.terms]\n'
        'source = { connection = "warehouse", table = "app.terms" }\ntarget = "analytics.terms"\nkeys = "id"\n'
        f'mode = "{"scd2" if overwritten else mode}"\n' + ('overwrite_columns = ["term"]\n' if overwritten else "")
    )
    sql("CREATE TABLE app.terms (id INTEGER, term INTERVAL)")
    sql("INSERT INTO app.terms VALUES (1, '1 month'), (2, '1 day'), (3, NULL), (4, '0 days')")
    reports(python, "terms")
    sql("UPDATE app.terms SET term = NULL")
    sql(
        "UPDATE app.terms SET term = CASE id WHEN 1 THEN '30 days'::INTERVAL WHEN 2 THEN '24 hours' WHEN 4 THEN '1 day' END"
    )
    assert counts(reports(python, "terms")["terms"])["unchanged"] == 1
    assert counts(reports(python, "terms")["terms"]) == {"in": 4, "unchanged": 4}
    current = "WHERE is_current" if mode != "merge" else ""
    assert sql(f"SELECT term::VARCHAR FROM analytics.terms {current} ORDER BY id") == [
        ("30 days",),
        ("24:00:00",),
        (None,),
        ("1 day",),
    ]


def test_a_list_of_a_type_that_the_user_has_made(python: Interpreter, sql: Sql) -> None:
    sql("CREATE TYPE app.mood AS ENUM ('sad', 'Happy')")
    sql("CREATE TABLE app.moods AS SELECT 1 AS id, ['sad', 'Happy']::app.mood[] AS moods")
    toml = python.directory / "pipelines.toml"
    toml.write_text(
        toml.read_text().replace("SELECT id, name, price, seen FROM app.products", "SELECT * FROM app.moods")
    )
    assert counts(reports(python, "replaced")["replaced"])["inserted"] == 1
    assert sql("SELECT moods::VARCHAR FROM analytics.replaced") == [("[sad, Happy]",)]


@pytest.mark.parametrize("name", ["analytics", "ematix_flow"])
def test_a_file_that_is_called_as_a_schema_is_refused(name: str, python: Interpreter, sql: Sql) -> None:
    shutil.move(python.directory / "warehouse.duckdb", python.directory / f"{name}.duckdb")
    toml = python.directory / "pipelines.toml"
    toml.write_text(toml.read_text().replace("warehouse.duckdb", f"{name}.duckdb"))
    refused = reports(python, "products", expect=2)["products"]["error"]
    assert (refused["code"], name in refused["message"]) == ("invalid_value", True)
    assert refused["hint"] == "rename the file, or choose another schema"


def test_numbers_that_are_not_finite_are_shown(python: Interpreter, sql: Sql) -> None:
    sql("CREATE TABLE app.measured AS SELECT 1 AS id, 'NaN'::DOUBLE AS a, '-inf'::FLOAT AS b, 'NaN' AS c")
    toml = python.directory / "pipelines.toml"
    query = "SELECT id, name, price, seen FROM app.products"
    toml.write_text(toml.read_text().replace(query, "SELECT * FROM app.measured"))
    reports(python, "history")
    key = json.loads(python.flow("history", "history", "--key", "1", "--output", "json").stdout)
    assert key["versions"][0]["values"] == {"a": "NaN", "b": "-Infinity", "c": "NaN"}
    sql("UPDATE app.measured SET a = 'inf'")
    assert "Infinity" in python.flow("dry-run", "history", "--sample", "1").stdout


def test_markers_and_helpers_are_refused_where_duckdb_reads_the_source(python: Interpreter, sql: Sql) -> None:
    with (python.directory / "pipelines.toml").open("a", encoding="utf-8") as file:
        file.write("""
[tables.cleaned]
primary_key = "id"
columns = { id = "bigint", name = { type = "text?", normalize = ["trim"] } }
[pipelines.cleaned]
source = { connection = "warehouse", query = "SELECT id, name FROM app.products" }
target = "cleaned"
target_connection = "warehouse"
mode = "merge"
""")
    refused = python.flow("run", "cleaned", expect=2)
    assert "error[not_yet_supported]: markers are not supported yet where duckdb reads the source" in refused.stderr
    with (python.directory / "pipelines.toml").open("a", encoding="utf-8") as file:
        file.write("transforms_pre = [{ filter_where = 'id > 0' }, { limit = 5 }]\n")
    for command in ("run", "preview"):
        refused = python.flow(command, "cleaned", expect=2)
        said = refused.stdout + refused.stderr
        assert "error[not_yet_supported]: helpers are not supported yet where duckdb reads the source" in said


def test_rows_are_expected_to_hold_what_they_must(python: Interpreter, sql: Sql) -> None:
    """Every expectation in DuckDB's words, and rows that are put aside there."""
    expect = [
        '{ not_null = "price" }', '{ unique = "name" }', '{ unique = ["id", "name"], policy = "warn" }',
        '{ accepted_values = { column = "name", values = ["Pen", "Ink"] } }', '{ in_range = { column = "price", min = 1 } }',
        '{ matches = { column = "name", pattern = "^[A-Z]" } }', '{ sql = "price < 100" }',
        '{ references = { columns = "id", table = "app.products" } }', '{ row_count = { min = 1 } }',
        '{ freshness = { column = "seen", max_age = "9999d" } }',
    ]  # fmt: skip
    path = python.directory / "pipelines.toml"

    def declare(mode: str, expected: list[str], options: str = "") -> None:
        project = PIPELINES.split("[pipelines.")[0]
        project += f'[pipelines.p]\n{SOURCE}\ntarget = "analytics.{mode}"\nmode = "{mode}"\n{options}\n'
        path.write_text(project + f"expect = [{', '.join(expected)}]\n", encoding="utf-8")

    declare("merge", expect, 'keys = "id"')
    error = reports(python, "p", expect=4)["p"]["error"]
    assert (error["code"], error["context"]["sample"]) == ("expectation_failed", [{"id": "2"}]), error
    for mode, options in [
        ("merge", 'keys = "id"\nhandle_deletes = "soft"'), ("scd2", 'keys = "id"\nhandle_deletes = "soft"'),
        ("truncate", ""), ("append", 'incremental_column = "seen"'),
    ]:  # fmt: skip
        sql("UPDATE app.products SET price = NULL WHERE id = 2")
        declare(
            mode,
            ['{ not_null = "price", policy = "quarantine" }', '{ unique = "name", policy = "quarantine" }'],
            options,
        )
        for _ in range(2):
            report = reports(python, "p")["p"]
            assert report["rows_rejected"] == 1, report
            assert sql(f"SELECT id, reason FROM analytics.{mode}__rejected") == [(2, 'not_null = "price"')]
        listed = json.loads(python.flow("rejected", "p", "--output", "json").stdout)
        assert (listed["count"], listed["rows"][0]["values"]["name"]) == (1, "Ink"), listed
        sql("UPDATE app.products SET price = 2 WHERE id = 2")
        report = reports(python, "p")["p"]
        assert (report["rows_rejected"], report["rows_deleted"]) == (0, 0), report
        if mode != "append":
            assert sql(f"SELECT count(*) FROM analytics.{mode}__rejected") == [(0,)]


AFTER = """
[pipelines.after]
source = { connection = "warehouse", query = "SELECT id, name FROM app.products" }
target = "analytics.after"
mode = "append"
transforms_post = ["CREATE OR REPLACE TABLE analytics.n AS SELECT count(*) AS n FROM analytics.after", %s]

[transforms.alone]
connection = "warehouse"
sql = "CREATE OR REPLACE TABLE analytics.alone AS SELECT 1 AS one"
"""


def test_transforms_run_in_the_file_after_a_load(python: Interpreter, sql: Sql) -> None:
    with (python.directory / "pipelines.toml").open("a", encoding="utf-8") as file:
        file.write(AFTER % '{ transform_ref = "alone" }, { sql = "CHECKPOINT", transaction = false }')
    done = json.loads(python.flow("run", "after", "--output", "json").stdout)
    assert [each["status"] for each in done["transforms"]] == ["success"] * 3, done["error"]
    assert sql("SELECT n FROM analytics.n") == [(done["rows_in"],)] and sql("SELECT one FROM analytics.alone") == [(1,)]
    recorded = (
        "SELECT step_name, status FROM ematix_flow.run_history WHERE parent_run_id IS NOT NULL ORDER BY started_at"
    )
    assert [status for _, status in sql(recorded)] == ["success"] * 3
    shown = json.loads(python.flow("history", "after", "--output", "json").stdout)["runs"]
    assert [len(run["transforms"]) for run in shown] == [3]
    assert "success  alone" in python.flow("transform", "run", "alone").stderr


def test_a_transform_in_the_file_that_fails_rolls_back(python: Interpreter, sql: Sql) -> None:
    broken = '["CREATE TABLE analytics.gone AS SELECT 1 AS a", "SELECT * FROM nowhere"]'
    with (python.directory / "pipelines.toml").open("a", encoding="utf-8") as file:
        file.write(AFTER % f"{{ sql = {broken} }}")
    failed = json.loads(python.flow("run", "after", "--output", "json", expect=1).stdout)
    assert (failed["error"]["code"], failed["committed"]) == ("transform_failed", True)
    assert sql("SELECT count(*) FROM information_schema.tables WHERE table_name = 'gone'") == [(0,)]


def test_metadata_of_the_first_version_in_a_file_are_migrated(python: Interpreter, sql: Sql) -> None:
    python.flow("run", "products")
    sql("DROP INDEX IF EXISTS ematix_flow.run_history_by_pipeline")
    sql("DROP INDEX IF EXISTS ematix_flow.run_history_by_target")
    sql("ALTER TABLE ematix_flow.run_history DROP COLUMN metrics")
    sql("ALTER TABLE ematix_flow.run_history DROP COLUMN cancel_asked")
    for column in ("instant", "watermark_column", "read_from", "rewound_to"):
        sql(f"ALTER TABLE ematix_flow.run_history DROP COLUMN {column}")
    for column in ("due_at", "covers_from", "missed", "reason"):
        sql(f"ALTER TABLE ematix_flow.slots DROP COLUMN {column}")
    sql("DROP TABLE ematix_flow.pauses")
    sql("DROP TABLE ematix_flow.feature_views")
    sql("DROP TABLE ematix_flow.loaded_files")
    sql("UPDATE ematix_flow.metadata SET version = 1")
    assert len(json.loads(python.flow("history", "products", "--output", "json").stdout)["runs"]) == 1
    python.flow("run", "products")
    assert sql("SELECT version FROM ematix_flow.metadata") == [(5,)]


def test_status_history_and_the_page_read_the_file(python: Interpreter, sql: Sql) -> None:
    document = python.flow("status", "--output", "json").stdout
    assert {row["last_run"] for row in json.loads(document)["pipelines"]} == {None}
    reports(python, "replaced", "products")
    sql("UPDATE app.products SET id = 1")
    assert python.flow("run", "products", expect=4).stderr
    states = {row["name"]: row for row in json.loads(python.flow("status", "--output", "json").stdout)["pipelines"]}
    told = {name: [run["status"] for run in state["runs"]] for name, state in states.items()}
    assert told == {"replaced": ["success"], "log": [], "products": ["success", "refused"], "history": []}
    products = states["products"]
    assert products["last_run"]["status"] == "refused"
    assert products["last_success"].endswith("Z")
    assert 0 <= products["lag_ms"] < 120_000
    failed = python.flow("history", "--failed", "--since", "1h", "--output", "ndjson").stdout.splitlines()
    assert [json.loads(line)["error_code"] for line in failed] == ["duplicate_source_key"]
    page = python.flow("status", "--html", "-").stdout
    assert "duplicate_source_key" in page
    assert 'class="steps"' in page


@pytest.mark.parametrize("of", ["JSON", "STRUCT(id INTEGER)", "MAP(VARCHAR, INTEGER)"])
def test_a_column_that_hides_a_table_of_a_statement_is_refused(of: str, python: Interpreter, sql: Sql) -> None:
    """To DuckDB `c.id` is a field of the column `c` of a table inside before it is a column of the table `c` outside."""
    sql(f"CREATE TABLE app.hiding AS SELECT 1 AS id, CAST(NULL AS {of}) AS C, CAST(NULL AS {of}) AS cc")
    toml = python.directory / "pipelines.toml"
    query = "SELECT id, name, price, seen FROM app.products"
    toml.write_text(toml.read_text().replace(query, "SELECT * FROM app.hiding"))
    refused = reports(python, "history", expect=2)["history"]["error"]
    assert refused["code"] == "unsupported_by_engine"
    assert "the column `C`" in refused["message"]
    assert "cannot be called by one letter" in refused["message"]
    toml.write_text(toml.read_text().replace("SELECT * FROM app.hiding", "SELECT id, c AS details, cc FROM app.hiding"))
    assert counts(reports(python, "history")["history"]) == {"in": 1, "inserted": 1}
    # A letter of another type hides nothing.
    toml.write_text(
        toml.read_text().replace("c AS details, cc", "'x' AS c").replace("analytics.history", "analytics.other")
    )
    assert counts(reports(python, "history")["history"]) == {"in": 1, "inserted": 1}
