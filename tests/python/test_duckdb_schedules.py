"""The slots of a pipeline whose target is a file of DuckDB: entered, served, skipped and tried again as in Postgres."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from python_package import Interpreter

pytestmark = pytest.mark.clock

PIPELINE = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.products]
source = { connection = "warehouse", query = "SELECT 1 AS id, :slot_start AS begins, :slot_end AS ends" }
target = "main.products"
mode = "append"
every = "1h"
first_run = "now"

[pipelines.after_them]
source = { connection = "warehouse", query = "SELECT count(*) AS products FROM products" }
target = "main.after_them"
mode = "append"
after = ["products"]

[transforms.tidy]
sql = "CREATE OR REPLACE TABLE main.tidy AS SELECT 1 AS one"
connection = "warehouse"
schedule = "* * * * *"
"""


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = Interpreter(directory)
        self.write(PIPELINE)

    def write(self, text: str) -> None:
        (self.directory / "pipelines.toml").write_text(text, encoding="utf-8")

    def due(self, expect: int = 0) -> dict[str, Any]:
        answer: dict[str, Any] = self.python.flow("run-due", "--output", "json", expect=expect).json()
        return answer

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.directory / "warehouse.duckdb")) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query).fetchall()

    def back(self, hours: int) -> None:
        self.rows(
            f"UPDATE ematix_flow.slots SET slot = slot - INTERVAL {hours} HOUR, due_at = due_at - INTERVAL {hours} HOUR,"
            f" covers_from = covers_from - INTERVAL {hours} HOUR WHERE pipeline = 'products'"
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def ran(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(run["pipeline"], run["status"]) for run in answer["runs"]]


def test_slots_are_served_once_caught_up_and_followed(project: Project) -> None:
    first = project.due()
    assert ran(first) == [("products", "success"), ("after_them", "success")]
    assert [transform["name"] for transform in first["transforms"]] == ["tidy"]
    assert ran(project.due()) == []
    project.back(3)
    assert ran(project.due())[0] == ("products", "success")
    slots = project.rows(
        "SELECT status, attempt, missed FROM ematix_flow.slots WHERE pipeline = 'products' ORDER BY slot"
    )
    assert slots == [("success", 1, 0), ("success", 1, 2)]
    assert project.rows("SELECT date_diff('hour', begins, ends) FROM products ORDER BY 1") == [(1,), (3,)]


def test_a_pause_a_failure_and_a_retry(project: Project) -> None:
    project.python.flow("pause", "products")
    assert ran(project.due()) == []
    project.python.flow("resume", "products")
    project.write(PIPELINE.replace("SELECT 1 AS id", "SELECT error('no') AS id"))
    answer = project.due(expect=1)
    assert ran(answer) == [("products", "failed")]
    assert answer["waiting"] == [{"pipeline": "after_them", "for": "products"}], "it is tried again"
    project.write(PIPELINE)
    retried = project.python.flow("retry", "products", "--output", "json").json()
    assert ran(retried) == [("products", "success")]
    assert ran(project.due()) == [("after_them", "success")]


def test_a_slot_whose_process_was_killed_is_taken_over(project: Project) -> None:
    project.due()
    project.back(1)
    # As a process leaves it that was killed in the middle of its load.
    project.rows(
        "UPDATE ematix_flow.slots SET status = 'running', owner = (SELECT CAST(max(run_id) AS VARCHAR) FROM"
        " ematix_flow.run_history WHERE pipeline_name = 'products') WHERE pipeline = 'products'"
    )
    project.rows("UPDATE ematix_flow.run_history SET status = 'running' WHERE pipeline_name = 'products'")
    assert ("products", "success") in ran(project.due())
    statuses = project.rows(
        "SELECT status FROM ematix_flow.run_history WHERE pipeline_name = 'products' ORDER BY started_at"
    )
    assert statuses[:2] == [("lost",), ("success",)]


TEN = [f"p{number}" for number in range(10)]
EACH = """
[pipelines.{name}]
source = {{ connection = "warehouse", query = "SELECT '{name}' AS name, :scheduled_for AS due" }}
target = "main.{name}"
mode = "append"
every = "{every}"
first_run = "now"
catchup = "all"
"""


def ten(every: str) -> str:
    head = '[connections.warehouse]\ndsn = "duckdb:warehouse.duckdb"\n'
    return head + "".join(EACH.format(name=name, every=every) for name in TEN)


def test_of_many_calls_at_once_each_slot_of_ten_pipelines_is_served_by_one(project: Project) -> None:
    project.write(ten("1d"))
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(project.python.flow, "run-due", "--output", "json") for _ in range(5)]
        reports = [run for call in calls for run in call.result().json()["runs"]]
    assert sorted(report["pipeline"] for report in reports if report["status"] == "success") == TEN, reports
    for name in TEN:
        assert project.rows(f"SELECT count(*) FROM {name}") == [(1,)]
    slots = project.rows("SELECT pipeline, status FROM ematix_flow.slots ORDER BY ALL")
    assert slots == [(name, "success") for name in TEN]
    assert ran(project.due()) == []


@pytest.mark.long
def test_a_daemon_serves_ten_pipelines_of_one_file(project: Project) -> None:
    project.write(ten("3s"))
    daemon = project.python.start(
        "import sys\nfrom ematix_flow.cli import main\n"
        "sys.argv = ['flow', 'daemon', '--jobs', '3', '--listen', '127.0.0.1:0']\nraise SystemExit(main())\n"
    )
    time.sleep(12)
    daemon.terminate()
    _, said = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, said
    for name in TEN:
        rows = project.rows(f"SELECT count(*), count(DISTINCT due) FROM {name}")
        assert rows[0][0] == rows[0][1] >= 2, (name, rows, said)
        # A slot that comes while a run lasts is skipped, and that is told of it; each other one is loaded.
        lost = project.rows(
            f"SELECT slot FROM (SELECT unnest(generate_series(min(due), max(due), INTERVAL 3 SECOND)) AS slot FROM {name})"
            f" WHERE slot NOT IN (SELECT due FROM {name}) AND slot NOT IN (SELECT slot FROM ematix_flow.slots"
            f" WHERE pipeline = '{name}' AND status = 'skipped')"
        )
        assert lost == [], (name, said)
    statuses = {status for (status,) in project.rows("SELECT DISTINCT status FROM ematix_flow.run_history")}
    assert statuses in ({"success"}, {"success", "skipped"}), (statuses, said)
    # Runs of one file come one after another: no two of them have read the same state of it.
    numbers = project.rows(
        "SELECT count(*), count(DISTINCT committed_at) FROM ematix_flow.run_history WHERE status = 'success'"
    )
    assert numbers[0][0] == numbers[0][1]
