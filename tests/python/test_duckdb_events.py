"""Histories by event time inside one file of DuckDB."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from python_package import Interpreter

PIPELINE = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.prices]
source = { connection = "warehouse", query = "SELECT id, seen, price, version, op FROM app.events" }
target = "analytics.prices"
mode = "scd2"
keys = ["id"]
compare_columns = ["price"]
event_timestamp_column = "seen"
delete_when = "op = 'd'"
"""

Sql = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def sql(tmp_path: Path) -> Sql:
    def run(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
            connection.execute("SET timezone = 'UTC'")
            return connection.execute(statement).fetchall()

    run("CREATE SCHEMA app")
    run("CREATE TABLE app.events (id BIGINT, seen TIMESTAMPTZ, price DECIMAL(10,2), version INTEGER, op VARCHAR)")
    return run


def load(tmp_path: Path, sql: Sql, options: str, *rows: str, expect: int = 0) -> dict[str, Any]:
    (tmp_path / "pipelines.toml").write_text(f"{PIPELINE}{options}\n", encoding="utf-8")
    sql("DELETE FROM app.events")
    sql(f"INSERT INTO app.events VALUES {', '.join(rows)}")
    report: dict[str, Any] = json.loads(
        Interpreter(tmp_path).flow("run", "prices", "--output", "json", expect=expect).stdout
    )
    return report


TABLE = "SELECT id, CAST(price AS VARCHAR), strftime(valid_from, '%H'), strftime(valid_to, '%H'), is_current, is_deleted {more} FROM analytics.prices ORDER BY id, valid_from"


def test_late_events_corrections_and_deletions(tmp_path: Path, sql: Sql) -> None:
    options = 'order_by = "version"\nttl = "3h"'
    load(tmp_path, sql, options, "(1, '2026-01-01 08:00Z', 1, 1, 'u')", "(1, '2026-01-01 10:00Z', 3, 1, 'u')")
    report = load(
        tmp_path,
        sql,
        options,
        "(1, '2026-01-01 09:00Z', 2, 1, 'u')",
        "(1, '2026-01-01 10:00Z', 4, 2, 'u')",
        "(1, '2026-01-01 10:00Z', 9, 0, 'u')",
        "(1, '2026-01-01 12:00Z', NULL, 1, 'd')",
        "(2, '2026-01-01 08:00Z', 7, 1, 'u')",
    )
    counted = {
        name: report[f"rows_{name}"] for name in ("inserted", "updated", "deduplicated", "deleted", "closed_out")
    }
    assert counted == {"inserted": 3, "updated": 1, "deduplicated": 1, "deleted": 1, "closed_out": 1}
    assert sql(TABLE.format(more=", _run")) == [
        (1, "1.00", "08", "09", False, False, 1),
        (1, "2.00", "09", "10", False, False, 2),
        (1, "4.00", "10", "12", False, False, 2),
        (1, None, "12", "15", True, True, 2),
        (2, "7.00", "08", "11", True, False, 2),
    ]
    assert sql("SELECT CAST(price AS VARCHAR), _run, _superseded_by FROM analytics.prices_superseded") == [
        ("3.00", 1, 2)
    ]
    assert len(sql("SELECT * FROM analytics.prices_changes")) == 4
    assert Interpreter(tmp_path).flow("check", "prices").code == 0


def test_repeated_values_are_one_row(tmp_path: Path, sql: Sql) -> None:
    options = 'repeats = "collapse"'
    load(tmp_path, sql, options, *(f"(1, '2026-01-01 {hour:02}:00Z', {hour // 3}, 1, 'u')" for hour in range(3, 9)))
    more = ", strftime(confirmed_at, '%H')"
    assert sql(TABLE.format(more=more)) == [
        (1, "1.00", "03", "06", False, False, "05"),
        (1, "2.00", "06", None, True, False, "08"),
    ]
    load(tmp_path, sql, options, "(1, '2026-01-01 09:00Z', 2, 1, 'u')", "(1, '2026-01-01 02:00Z', 1, 1, 'u')")
    assert sql(TABLE.format(more=more)) == [
        (1, "1.00", "02", "06", False, False, "05"),
        (1, "2.00", "06", None, True, False, "09"),
    ]
    assert Interpreter(tmp_path).flow("check", "prices").code == 0


def test_a_contradiction_ends_the_run(tmp_path: Path, sql: Sql) -> None:
    rows = ("(1, '2026-01-01 08:00Z', 1, 1, 'u')", "(1, '2026-01-01 08:00Z', 2, 1, 'u')")
    assert load(tmp_path, sql, "", *rows, expect=4)["error"]["code"] == "conflicting_events"
