"""A file of DuckDB with the rows that its pipelines read, and what each strategy makes of them, by whichever `flow`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import duckdb

SOURCE = 'source = { connection = "warehouse", query = "SELECT id, name, price, seen FROM app.products" }'

PIPELINES = f"""
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.replaced]
{SOURCE}
target = "analytics.replaced"
mode = "truncate"

[pipelines.log]
{SOURCE}
target = "analytics.log"
mode = "append"
incremental_column = "seen"

[pipelines.products]
{SOURCE}
target = "analytics.products"
mode = "merge"
keys = ["id"]
handle_deletes = "hard"

[pipelines.history]
{SOURCE}
target = "analytics.history"
mode = "scd2"
keys = ["id"]
"""

SLOW = """
[pipelines.slow]
source = { connection = "warehouse", query = \"\"\"
SELECT id, name FROM app.products UNION ALL
SELECT max(a.range + b.range), 'slow' FROM range(100000) AS a, range(100000) AS b WHERE (a.range * b.range) % 7 = 3\"\"\" }
target = "analytics.slow"
mode = "merge"
keys = ["id"]
"""

Sql = Callable[[str], list[tuple[Any, ...]]]


class Output(Protocol):
    """What a `flow` has printed."""

    @property
    def stdout(self) -> str: ...


class Runs(Protocol):
    """A `flow`, of the package or native."""

    def __call__(self, *arguments: str, expect: int = 0) -> Output: ...


def statements_in(file: Path) -> Sql:
    """Runs a statement in a file, which is let go again."""

    def run(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(file)) as connection:
            return connection.execute(statement).fetchall()

    return run


def fill(sql: Sql) -> None:
    """Makes the table that the pipelines read."""
    sql("CREATE SCHEMA app")
    sql("CREATE TABLE app.products (id BIGINT, name VARCHAR, price DECIMAL(10,2), seen TIMESTAMPTZ)")
    sql("INSERT INTO app.products VALUES (1, 'Pen', 1.5, '2026-01-01'), (2, 'Ink', NULL, '2026-01-02')")


def reports_of(flow: Runs, *arguments: str, expect: int = 0) -> dict[str, Any]:
    """What `flow run` reports, by pipeline."""
    lines = flow("run", *arguments, "--output", "ndjson", expect=expect).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return {report["pipeline"]: report for report in found if report.get("schema") == "ematix.run.v1"}


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {name.removeprefix("rows_"): n for name, n in report.items() if name.startswith("rows_") and n}


def load_with_every_strategy(flow: Runs, sql: Sql) -> None:
    """Loads, changes the source, loads again, and once more."""
    first = reports_of(flow, "--all")
    assert {name: report["path"] for name, report in first.items()} == dict.fromkeys(first, "same_db")
    assert all(counts(report)["inserted"] == 2 for report in first.values())
    sql("UPDATE app.products SET name = 'Fountain pen' WHERE id = 1")
    sql("DELETE FROM app.products WHERE id = 2")
    sql("INSERT INTO app.products VALUES (3, 'Paper', 2, '2026-01-03')")
    second = reports_of(flow, "--all")
    assert counts(second["replaced"]) == {"in": 2, "inserted": 2}
    assert counts(second["products"]) == {"in": 2, "inserted": 1, "updated": 1, "deleted": 1}
    assert counts(second["history"]) == {"in": 2, "inserted": 2, "closed_out": 1}
    assert counts(second["log"])["inserted"] == 1
    assert sql("SELECT id, name FROM analytics.products ORDER BY id") == [(1, "Fountain pen"), (3, "Paper")]
    versions = sql("SELECT id, name, is_current, valid_to IS NULL FROM analytics.history ORDER BY id, valid_from")
    assert versions == [
        (1, "Pen", False, False),
        (1, "Fountain pen", True, True),
        (2, "Ink", True, True),
        (3, "Paper", True, True),
    ]
    # Nothing has changed: nothing is written.
    third = reports_of(flow, "products", "history", "log")
    assert {name: counts(report) for name, report in third.items()} == {
        "products": {"in": 2, "unchanged": 2},
        "history": {"in": 2, "unchanged": 2},
        "log": {"in": 1, "skipped": 1},
    }
    assert sql("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '\\_ematix%' ESCAPE '\\'") == [(0,)]
    runs = sql("SELECT status, committed, count(*) FROM ematix_flow.run_history GROUP BY ALL")
    assert runs == [("success", True, 11)]
    steps = sql("SELECT count(DISTINCT run_id) FROM ematix_flow.run_steps")
    assert steps == [(11,)]
