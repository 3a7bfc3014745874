"""What is wrong with files or usage ends with exit code 2 and is no run: the history does not know of it."""

from __future__ import annotations

from typing import Any

import pytest
from database import Database
from flow_binary import Flow

PIPELINE = """
[pipelines.p]
source = { connection = "source", table = "app.s" }
target = "dw.t"
target_connection = "default"
mode = "merge"
"""
QUERY = PIPELINE.replace('table = "app.s"', 'query = "SELECT s.id, max(s.v) AS v FROM app.s AS s GROUP BY 1"')
CONNECTION = '[connections.source]\ndsn = "${env:SOURCE}"\n'


def history(database: Database) -> list[tuple[str, str]]:
    if database.value("SELECT to_regclass('ematix_flow.run_history')") is None:
        return []
    return database.rows("SELECT pipeline_name, status FROM ematix_flow.run_history ORDER BY started_at")


@pytest.fixture
def source(new_database: Any) -> Database:
    made: Database = new_database()
    made.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id int PRIMARY KEY, v text); INSERT INTO app.s VALUES (1, 'a')"
    )
    return made


WRONG = {
    "unknown source": (PIPELINE, "unknown_connection"),
    "unknown target": (CONNECTION + PIPELINE.replace('"default"', '"nowhere"'), "unknown_connection"),
    "missing variable": (PIPELINE + CONNECTION.replace("SOURCE", "NOT_SET"), "missing_variable"),
    "missing variable of the target": (
        CONNECTION + PIPELINE.replace('"default"', '"t"') + '[connections.t]\ndsn = "${env:NOT_SET}"\n',
        "missing_variable",
    ),
    "impossible path": (CONNECTION + PIPELINE + 'force_path = "same_db"\n', "path_impossible"),
    "missing keys": (CONNECTION + QUERY, "missing_keys"),
    "unknown key": (CONNECTION + PIPELINE + 'keys = "nothing"\n', "unknown_column"),
    "unknown incremental column": (CONNECTION + PIPELINE + 'incremental_column = "nothing"\n', "unknown_column"),
    "no table": (CONNECTION + PIPELINE.replace("dw.t", "pg_catalog.pg_tables"), "invalid_value"),
    "of several targets": (
        CONNECTION
        + PIPELINE.replace(
            'target = "dw.t"', 'targets = [{ target = "dw.a", keys = "id" }, { target = "dw.b", keys = "x" }]'
        ),
        "unknown_column",
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ("run", "dry-run"))
def test_usage_errors_write_no_row(name: str, command: str, source: Database, database: Database, flow: Flow) -> None:
    text, code = WRONG[name]
    flow.project(text)
    finished = flow(command, "p", "--output", "json", env={"SOURCE": source.dsn}, expect=2)
    document = finished.json()
    error = document["error"] if "error" in document else document["errors"][0]
    assert error["code"] == code
    assert history(database) == []
    assert "(run " not in finished.stderr
    assert database.value("SELECT to_regnamespace('dw')") is None


def test_a_usage_error_serves_no_slot(source: Database, database: Database, flow: Flow) -> None:
    due = 'every = "1d"\nfirst_run = "now"\n'
    flow.project(CONNECTION + QUERY + due)
    environment: dict[str, str | None] = {"SOURCE": source.dsn}
    for _ in range(2):
        flow("run-due", env=environment, expect=2)
    assert history(database) == []
    flow.project(CONNECTION + QUERY + due + 'keys = "id"\n')
    [run] = flow("run-due", "--output", "json", env=environment).json()["runs"]
    assert (run["status"], run["rows_inserted"]) == ("success", 1)
    assert history(database) == [("p", "success")]


def test_a_usage_error_of_copy_writes_no_row(source: Database, database: Database, flow: Flow) -> None:
    copy = (
        "copy",
        "--from",
        "source",
        "--query",
        "SELECT 1 AS id",
        "--to",
        "default",
        "--table",
        "dw.t",
        "--mode",
        "merge",
    )
    flow.project(CONNECTION)
    flow(*copy, env={"SOURCE": source.dsn}, expect=2)
    assert history(database) == []


def test_what_fails_by_the_data_has_its_row(source: Database, database: Database, flow: Flow) -> None:
    flow.project(CONNECTION + QUERY.replace("SELECT s.id", "SELECT s.id / 0 AS id") + 'keys = "id"\n')
    flow("run", "p", env={"SOURCE": source.dsn}, expect=1)
    assert history(database) == [("p", "failed")]
