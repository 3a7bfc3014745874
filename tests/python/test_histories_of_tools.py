"""Histories that dbt, dlt, SQLMesh and an earlier ematix-flow have made themselves, installed from PyPI, are taken over."""

from __future__ import annotations

import histories
import pytest
from database import Database
from flow_binary import Flow
from histories import Tool

# Where each tool keeps its tables, and which of them are histories.
TABLES = {
    histories.DBT: "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'snapshots_dbt'",
    histories.DLT: "SELECT 'dlt_shop', 'customers'",
    histories.SQLMESH: "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'sqlmesh__shop'",
    histories.EMATIX: "SELECT 'mart', 'customers'",
}
MADE_BY = {"dbt": "dbt", "dlt": "dlt", "sqlmesh": "sqlmesh", "ematix": "ematix-flow"}


@pytest.mark.slow
@pytest.mark.parametrize("tool", TABLES, ids=lambda tool: tool.name)
def test_what_a_tool_kept_goes_on(
    tool: Tool, flow: Flow, database: Database, tcp_role: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = tool.install(tmp_path_factory.mktemp("tool"))
    tool.keep(python, tmp_path_factory.mktemp("project"), database, tcp_role)
    tables = database.rows(TABLES[tool])
    assert tables
    for schema, table in tables:
        taken_over(flow, database, tool, f"{schema}.{table}")


def taken_over(flow: Flow, database: Database, tool: Tool, table: str) -> None:
    (flow.directory / "pipelines.toml").unlink(missing_ok=True)
    add = ("add", "app.customers", "--from", "default", "--adopt", table)
    assert flow(*add, "--fix", "--output", "json").json()["made_by"] == MADE_BY[tool.name]
    flow(*add, "--fix", "--yes")
    assert counts(flow) == (0, 0, 3)
    flow("check", "customers")
    database.execute("UPDATE app.customers SET email = 'b@example.com', updated_at = now() WHERE id = 2")
    assert counts(flow) == (1, 1, 2)
    assert counts(flow) == (0, 0, 3)
    flow("check", "customers")
    database.execute("UPDATE app.customers SET email = NULL, updated_at = '2024-01-01 11:00Z' WHERE id = 2")


def counts(flow: Flow) -> tuple[int, int, int]:
    report = flow("run", "customers", "--output", "json").json()
    return (report["rows_inserted"], report["rows_closed_out"], report["rows_unchanged"])
