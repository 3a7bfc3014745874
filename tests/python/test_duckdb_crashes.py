"""Runs in a file of DuckDB that are killed: the file is as before or after, the run is told as lost, the next goes on."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from customers import NO_VIOLATIONS, current, project, source, violations
from duckdb_file import DuckDbFile
from warm_package import WarmPackage, warm_package

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (customer_id BIGINT, name VARCHAR, revision BIGINT);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM range(1, 11) AS r (n)
"""


def statuses(file: DuckDbFile) -> list[str]:
    return [status for (status,) in file.rows("SELECT status FROM ematix_flow.run_history ORDER BY started_at")]


@pytest.mark.long
@pytest.mark.parametrize("mode", ["scd2", "merge", "append", "truncate"])
def test_a_run_killed_at_any_moment_leaves_all_or_nothing(mode: str, tmp_path: Path) -> None:
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    file.execute(SOURCE)
    options = {"append": {"incremental_column": "revision"}, "truncate": {}}.get(mode, {"handle_deletes": "soft"})
    with warm_package(tmp_path, EMATIX_FLOW_DSN=file.dsn) as flow:
        flow.project(project(mode, **options))
        whole = 0.0
        for _ in range(2):
            began = time.monotonic()
            flow("run", "customers")
            whole = time.monotonic() - began
        chance = random.Random(mode)
        killed = sum(one_turn(mode, turn, chance.uniform(0, whole), file, flow) for turn in range(20))
        assert killed, "some were killed while they ran"
        before = contents(mode, file)
        flow("run", "customers")
        assert contents(mode, file) == after(mode, file, before)
        assert set(statuses(file)) == {"success", "lost"}
        if mode == "scd2":
            assert violations(file) == NO_VIOLATIONS
        # What was told as a success is there, and nothing else is.
        unsaid = "SELECT count(*) FROM ematix_flow.run_history WHERE committed <> (status = 'success')"
        assert file.value(unsaid) == 0
        assert file.rows("SELECT table_name FROM duckdb_tables() WHERE contains(table_name, '_ematix')") == []
        shown = json.loads(flow("history", "customers", "--output", "json").stdout)["runs"]
        assert {run["status"] for run in shown} == {"success", "lost"}


def one_turn(mode: str, turn: int, seconds: float, file: DuckDbFile, flow: WarmPackage) -> bool:
    """One change of the source and one run that is killed after some time; whether it was killed while it ran."""
    before = contents(mode, file)
    file.execute(f"UPDATE app.customers SET revision = {turn + 1} WHERE customer_id % 3 = {turn % 3}")
    running = flow.start("run", "customers")
    time.sleep(seconds)
    running.kill()
    code = running.finish(None).code
    assert contents(mode, file) in (before, after(mode, file, before))
    return code == -9


def contents(mode: str, file: DuckDbFile) -> list[tuple[Any, ...]]:
    """The rows that hold now; of append all that ever came."""
    if mode == "scd2":
        return current(file)
    return file.rows("SELECT customer_id, name, revision FROM analytics.dim_customers ORDER BY ALL")


def after(mode: str, file: DuckDbFile, before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What is there after a run that goes well."""
    rows = source(file)
    if mode != "append":
        return rows
    highest = max(row[2] for row in before)
    return sorted({*before, *(row for row in rows if row[2] >= highest)})
