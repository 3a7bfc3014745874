"""Random histories in a file of DuckDB against the model: the generator of `test_against_a_model.py`, and what it
expects after every run.

EMATIX_FLOW_TEST_SEED moves the seeds on.
"""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from database import Database
from duckdb_file import DuckDbFile
from project import Project, counts
from test_against_a_model import JOINED, RUNS, SEED, TYPES, History, change, found_in, history, project_of
from warm_package import warm_package

SEEDS, HISTORIES = 2, 18

# A decimal of DuckDB has a scale; JSON is compared as text there, as the model does.
SOURCE_TYPES = {**TYPES, JOINED[0]: JOINED[1], "b": "numeric(10,2)?", "doc": "json?"}


def created(histories: list[History]) -> str:
    statements = ["CREATE SCHEMA app"]
    for each in histories:
        key = [*each.keys, "seq"] if each.mode == "append" else each.keys
        # Postgres knows the type by two words alone, DuckDB by both names.
        types = {name: {"double?": "double precision"}.get(of, of.rstrip("?")) for name, of in SOURCE_TYPES.items()}
        columns = [f"{name} {of}" for name, of in types.items()]
        if each.source == "unique table" and not each.latest:
            columns.append(f"PRIMARY KEY ({', '.join(key)})")
        statements.append(f"CREATE TABLE app.{each.name} ({', '.join(columns)})")
    return ";".join(statements)


def literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def write(histories: list[History], file: DuckDbFile | Database) -> None:
    statements = []
    for each in histories:
        statements.append(f"DELETE FROM app.{each.name}")
        rows = [f"({', '.join(literal(row[name]) for name in SOURCE_TYPES)})" for row in each.rows]
        if rows:
            statements.append(f"INSERT INTO app.{each.name} VALUES {', '.join(rows)}")
    file.execute(";".join(statements))


def declared(histories: list[History]) -> Project:
    project = project_of(histories)
    for table in project.tables.values():
        table["columns"] |= {name: of for name, of in SOURCE_TYPES.items() if name in ("b", "doc")}
    return project


def spelled(history: History, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Numbers in one spelling: each database has its own."""

    def value(column: str, text: str | None) -> str | None:
        if text is None or column not in ("b", "f"):
            return text
        if column == "b":
            return str(Decimal(text).normalize())
        # To DuckDB an UPDATE of 0 to -0 changes nothing, and it leaves the value as it is.
        return repr(float(text) + 0.0)

    width = len(history.held)
    return sorted(
        ((*map(value, history.held, row[:width]), *row[width:]) for row in rows),
        key=repr,
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_random_histories_in_a_file_are_as_the_model_says(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    histories = [history(chance, number) for number in range(HISTORIES)]
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    file.execute(created(histories))
    with warm_package(tmp_path, EMATIX_FLOW_DSN=file.dsn) as flow:
        for run in range(1, RUNS + 1):
            expected = {}
            for each in histories:
                each.run = run
                # Now and then nothing changes, and the run must find nothing.
                if chance.random() > 0.15:
                    change(chance, each)
            write(histories, file)
            for each in histories:
                expected[each.name] = each.expected()
            reports = declared(histories).run(flow, expect=None)
            for each in histories:
                report = reports[each.name]
                outcome = "success" if report["status"] == "success" else report["error"]["code"]
                told = (outcome, counts(report) if outcome == "success" else {})
                assert told == expected[each.name], (seed, run, each, report["error"])
                if each.exists:
                    found = spelled(each, found_in(each, file))
                    assert found == spelled(each, each.content()), (seed, run, each)
                elif outcome != "success":
                    there = (
                        f"SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'dw' AND table_name = '{each.name}'"
                    )
                    assert file.value(there) == 0
        standing = [each.name for each in histories if each.exists and each.mode in ("merge", "scd2")]
        assert flow("check", *standing, "--output", "json").json()["violations"] == []
        left = "SELECT table_name FROM duckdb_tables() WHERE contains(table_name, '_ematix')"
        assert file.rows(left) == []
