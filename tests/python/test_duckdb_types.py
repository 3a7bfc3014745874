"""The tables of types on the page about DuckDB, row by row: what a type of one database becomes in the other, and what a
value does.

EMATIX_FLOW_UPDATE_DOCS=1 writes what happens into the page; the first two columns are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from across import Across
from database import Database
from duckdb_file import DuckDbFile
from python_package import ROOT
from test_docs import UPDATE
from warm_package import WarmPackage, warm_package

PAGE = ROOT / "docs" / "reference" / "engines" / "duckdb.md"
HEADINGS = {"into_duckdb": "### Types of Postgres in DuckDB", "into_postgres": "### Types of DuckDB in Postgres"}


@dataclass(frozen=True)
class Row:
    """A line of a table: what is given, and what is said to come of it."""

    line: int
    source_type: str
    value: str
    target_type: str
    arrived: str

    @property
    def text(self) -> str:
        return f"| `{self.source_type}` | `{self.value}` | {self.target_type} | {self.arrived} |"


def rows_of(page: list[str], heading: str) -> Iterator[Row]:
    start = page.index(heading)
    for number in range(start + 1, len(page)):
        if page[number].startswith("#"):
            return
        found = re.fullmatch(r"\| `(.+?)` \| `(.*?)` \| (.*?) \| (.*?) \|", page[number])
        if found:
            yield Row(number, *found.groups())


@pytest.fixture
def file(tmp_path: Path) -> DuckDbFile:
    return DuckDbFile(tmp_path / "warehouse.duckdb")


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[WarmPackage]:
    with warm_package(tmp_path) as package:
        yield package


@pytest.mark.parametrize("direction", HEADINGS)
def test_types_of_one_database_in_the_other(
    direction: str, database: Database, file: DuckDbFile, flow: WarmPackage
) -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    rows = list(rows_of(page, HEADINGS[direction]))
    assert len(rows) > 10
    source, target = (database, file) if direction == "into_duckdb" else (file, database)
    source.execute("CREATE SCHEMA app")
    project = Across()
    for number, row in enumerate(rows):
        value = row.value.replace("'", "''")
        source.execute(f"CREATE TABLE app.t{number} AS SELECT CAST('{value}' AS {row.source_type}) AS value")
        project.pipeline(f"t{number}", f"app.t{number}", f"dw.t{number}", "truncate")
    flow.variables.update({"CRM": source.dsn, "WAREHOUSE": target.dsn})
    reports = project.run(flow, expect=None)
    # What is refused is asked for once more, as text.
    for name, report in reports.items():
        if report["error"] and report["error"]["code"] == "unsupported_by_engine":
            project.pipelines[name]["on_type_loss"] = "text"
    as_text = project.run(flow, expect=None)
    seen = []
    for number, row in enumerate(rows):
        table = f"t{number}"
        refused = reports[table]["error"] and as_text[table]["status"] == "success"
        was = came(row, as_text[table] if refused else reports[table], f"dw.{table}", target)
        seen.append(replace(was, target_type=f"refused, or as text {was.target_type}") if refused else was)
    if UPDATE:
        for was, row in zip(rows, seen, strict=True):
            page[was.line] = row.text
        PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    else:
        assert [row.text for row in seen] == [row.text for row in rows]


def came(row: Row, report: dict[str, object], table: str, target: Database | DuckDbFile) -> Row:
    """The row as it is now."""
    error = report["error"]
    if isinstance(error, dict):
        return Row(row.line, row.source_type, row.value, "refused", f"`{error['code']}`")
    if isinstance(target, DuckDbFile):
        [(_, of)] = target.columns(f"FROM {table}")
    else:
        of = target.value(
            f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum = 1"
        )
        target.execute("SET TimeZone = 'UTC'")
    value = target.value(f"SELECT CAST(value AS VARCHAR) FROM {table}")
    return Row(row.line, row.source_type, row.value, f"`{of}`", f"`{value}`")


CHANGED = {
    "more digits than a decimal has": ("numeric", "123456789012345678901234567890123456789", "numeric(38,0)"),
    "more digits than are declared": ("numeric", "1234.5", "numeric(4,2)"),
    "no number": ("numeric", "NaN", "numeric(12,2)"),
    "more than the type holds": ("bigint", "40000", "smallint"),
    "a text that is no date": ("text", "soon", "date"),
}


@pytest.mark.parametrize("direction", HEADINGS)
def test_a_value_that_the_declared_type_does_not_hold_ends_the_run(
    direction: str, database: Database, file: DuckDbFile, flow: WarmPackage
) -> None:
    source, target = (database, file) if direction == "into_duckdb" else (file, database)
    project = Across()
    source.execute("CREATE SCHEMA app")
    for number, (of, value, declared) in enumerate(CHANGED.values()):
        # A decimal of DuckDB has digits; there it comes as text.
        of = "text" if direction == "into_postgres" and of == "numeric" else of
        source.execute(f"CREATE TABLE app.t{number} AS SELECT CAST('{value}' AS {of}) AS value")
        project.table(f"t{number}", {"value": declared}, schema="dw")
        project.pipeline(f"t{number}", f"app.t{number}", f"t{number}", "truncate")
    flow.variables.update({"CRM": source.dsn, "WAREHOUSE": target.dsn})
    reports = project.run(flow, expect=None)
    codes = [report["error"] and report["error"]["code"] for report in reports.values()]
    assert dict(zip(CHANGED, codes, strict=True)) == dict.fromkeys(CHANGED, "cast_failed")


def test_the_plan_names_what_a_column_becomes_where_that_is_wished(
    database: Database, file: DuckDbFile, flow: WarmPackage
) -> None:
    database.execute("CREATE TABLE prices AS SELECT 1 AS id, 1.10::numeric AS price, '10.0.0.1'::inet AS host")
    project = Across()
    project.pipeline("prices", "public.prices", "dw.prices", "merge", keys=["id"])
    flow.variables.update({"CRM": database.dsn, "WAREHOUSE": file.dsn})
    flow.project(project.text())
    for command in ("plan", "run"):
        refused = flow(command, "prices", expect=2)
        said = " ".join((refused.stdout + refused.stderr).split())
        assert "error[unsupported_by_engine]: the column `price`, numeric, would become VARCHAR in DuckDB" in said, said
        assert 'set on_type_loss = "text"' in said, said
    assert file.rows("SELECT * FROM duckdb_tables() WHERE schema_name = 'dw'") == []
    plan = " ".join(flow("plan", "prices", "--on-type-loss", "text").stdout.split())
    assert "the column price, numeric, becomes VARCHAR: DuckDB has no decimal without a precision" in plan, plan
    assert "the column host, inet, becomes VARCHAR: no other engine has its type" in plan, plan
    flow("run", "prices", "--on-type-loss", "text")
    assert file.rows("SELECT * FROM dw.prices") == [(1, "1.10", "10.0.0.1/32")]
    # Once more, and back as what it was.
    again = flow("run", "prices", "--on-type-loss", "text", "--output", "json").json()
    assert (again["rows_unchanged"], again["warnings"]) == (1, []), again
    project = Across()
    project.table("prices", {"id": "integer", "price": "numeric?"}, schema="back")
    project.pipeline("prices", "SELECT id, price FROM dw.prices", "prices", "merge", keys=["id"])
    flow.project(project.text())
    flow.variables.update({"CRM": file.dsn, "WAREHOUSE": database.dsn})
    flow("run", "prices")
    assert database.rows("SELECT price::text FROM back.prices") == [("1.10",)]
