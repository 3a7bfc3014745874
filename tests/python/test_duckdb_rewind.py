"""Histories inside one file of DuckDB are put back and shown as they were, as in Postgres."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from python_package import Interpreter

PIPELINES = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.dim]
source = { connection = "warehouse", query = "SELECT id, name FROM app.products" }
target = "analytics.dim"
mode = "scd2"
keys = ["id"]
handle_deletes = "soft"
max_delete_fraction = 1

[tables.states]
schema = "analytics"
primary_key = ["id"]
columns = { id = "bigint", seen = "timestamptz", name = "text?" }

[pipelines.states]
source = { connection = "warehouse", query = "SELECT id, seen, name FROM app.products" }
target = "states"
mode = "scd2"
event_timestamp_column = "seen"
incremental_column = "seen"
lookback = "30d"
"""


@pytest.mark.parametrize("name", ["dim", "states"])
def test_a_history_is_what_it_was_and_is_shown_as_it_was(tmp_path: Path, name: str) -> None:
    (tmp_path / "pipelines.toml").write_text(PIPELINES)
    python = Interpreter(tmp_path)

    def sql(text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
            return connection.execute(text).fetchall()

    def as_of(at: str, *more: str) -> dict[int, str]:
        rows = json.loads(python.flow("history", name, "--as-of", at, *more, "--output", "json").stdout)["rows"]
        return {row["values"]["id"]: row["values"]["name"] for row in rows}

    sql("CREATE SCHEMA app; CREATE TABLE app.products (id BIGINT, seen TIMESTAMPTZ, name VARCHAR)")
    sql("INSERT INTO app.products VALUES (1, '2026-01-01 10:00+00', 'a'), (2, '2026-01-01 10:00+00', 'b')")
    rows = f"SELECT CAST(t AS VARCHAR) FROM analytics.{name} AS t ORDER BY 1"
    python.flow("run", name)
    first = sql(rows)
    sql("UPDATE app.products SET name = 'x' WHERE id = 1")
    sql("INSERT INTO app.products VALUES (3, '2026-01-02 10:00+00', 'c'), (4, '2025-12-31 10:00+00', 'd')")
    python.flow("run", name)
    second = sql(rows)
    sql("DELETE FROM app.products WHERE id = 2; UPDATE app.products SET name = 'y' WHERE id = 3")
    python.flow("run", name)
    for to, then in ((2, second), (1, first)):
        report = json.loads(python.flow("rewind", name, "--to", str(to), "--yes", "--output", "json").stdout)
        assert (report["mode"], report["status"]) == ("rewind", "success")
        assert sql(rows) == then
    assert json.loads(python.flow("check", name, "--output", "json").stdout)["ok"]
    python.flow("backfill", name, "--yes")
    assert as_of("2100-01-01T00:00Z")[1] == "x"
    if name == "states":
        assert as_of("2026-01-01T12:00Z", "--known-as-of", "1") == {1: "a", 2: "b"}
        assert as_of("2026-01-01T12:00Z") == {1: "x", 2: "b", 4: "d"}
