"""What commands show of pipelines in a file of DuckDB is what they show of the same on Postgres, letter by letter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from database import Database
from documentation import normalised
from duckdb_file import DuckDbFile
from flow_binary import Flow
from warm_package import WarmPackage, warm_package

PROJECT = """
[pipelines.customers]
source = { query = "SELECT id, name, city FROM app.customers" }
target = "dw.customers"
mode = "scd2"
keys = ["id"]
handle_deletes = "soft"

[pipelines.log]
source = { query = "SELECT id, name, seen FROM app.customers" }
target = "dw.log"
mode = "append"
incremental_column = "seen"
"""

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint, name text, city text, seen timestamptz);
INSERT INTO app.customers VALUES (1, 'Ada', 'London', '2026-01-01 10:00+00'), (2, 'Bob', NULL, '2026-01-02 10:00+00'),
  (3, 'Cyd', 'Bern', '2026-01-02 10:00+00')
"""
DAYS = (
    "UPDATE app.customers SET city = 'Paris', seen = '2026-01-03 10:00+00' WHERE id = 1",
    "DELETE FROM app.customers WHERE id = 3",
    "INSERT INTO app.customers VALUES (3, 'Cyd', 'Bern', '2026-01-04 10:00+00')",
    "INSERT INTO app.customers VALUES (1, 'Ada again', 'Rome', '2026-01-05 10:00+00')",
)
COMMANDS = (
    "status",
    "history",
    "history customers",
    "history --failed",
    "history customers --key 1",
    "history customers --key 3",
    "history customers --key 9",
    "history customers --as-of 2 --limit 5",
    "check customers",
    "check --all",
    "watermark show log",
    "list",
)


def story(execute: Callable[[str], None], flow: Flow | WarmPackage) -> dict[str, tuple[int, list[str]]]:
    """Several days, and what the commands show then: exit code and lines without what differs between two runs."""
    flow.project(PROJECT)
    execute(SOURCE)
    flow("run", "--all")
    for day in DAYS:
        execute(day)
        flow("run", "--all", expect={0, 1, 4})
    shown = {}
    for command in COMMANDS:
        finished = flow(*command.split(), expect=None)
        text = finished.stdout + finished.stderr
        shown[command] = (finished.code, [normalised(line) for line in text.splitlines()])
    return shown


@pytest.fixture
def in_a_file(tmp_path: Path) -> DuckDbFile:
    (tmp_path / "duckdb").mkdir()
    return DuckDbFile(tmp_path / "duckdb" / "warehouse.duckdb")


def test_what_is_shown_is_as_on_postgres(database: Database, flow: Flow, in_a_file: DuckDbFile) -> None:
    on_postgres = story(database.execute, flow)
    with warm_package(in_a_file.path.parent, EMATIX_FLOW_DSN=in_a_file.dsn) as package:
        assert story(in_a_file.execute, package) == on_postgres
        # The steps of a run are the engine's own; each is there with its rows.
        runs = json.loads(package("history", "customers", "--output", "json").stdout)["runs"]
        log = package("logs", runs[1]["run_id"][-8:]).stdout
        assert "closed out" in log or "close" in log, log
