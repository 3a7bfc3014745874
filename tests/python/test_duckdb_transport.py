"""Rows on their way between Postgres and a file of DuckDB, by the package and by the native binary: all of them or none,
exactly or not at all, and no more than are needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from database import Database
from duckdb_file import DuckDbFile
from duckdb_library import library, python_library
from flow_binary import Finished, Flow, flow_binary
from warm_package import warm_package

PROJECT = """
[connections.crm]
dsn = "${{env:CRM}}"
[connections.warehouse]
dsn = "{file}"
{driver}
[defaults]
target_connection = "{target}"
[tables.loaded]
schema = "dw"
primary_key = ["id"]
columns = {{ id = "bigint", v = "{v}" }}
[pipelines.load]
source = {{ connection = "{source}", query = "{query}" }}
target = "loaded"
mode = "{mode}"
{more}
"""

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def file(tmp_path: Path) -> DuckDbFile:
    return DuckDbFile(tmp_path / "warehouse.duckdb")


@pytest.fixture(params=["package", "native"])
def load(request: pytest.FixtureRequest, database: Database, file: DuckDbFile, tmp_path: Path) -> Iterator[Load]:
    """Runs the pipeline and gives its report; `into` is where it loads."""

    def played(flow: Callable[..., Finished], driver: str) -> Load:
        def load(into: str, query: str, mode: str = "merge", v: str = "bigint?", more: str = "") -> dict[str, Any]:
            source, target = ("crm", "warehouse") if into == "duckdb" else ("warehouse", "crm")
            text = PROJECT.format(
                file=file.dsn, driver=driver, source=source, target=target, query=query, mode=mode, v=v, more=more
            )
            (tmp_path / "pipelines.toml").write_text(text, encoding="utf-8")
            done = flow("run", "load", "--output", "json", expect=None)
            report: dict[str, Any] = json.loads(done.stdout)
            return report

        return load

    if request.param == "package":
        with warm_package(tmp_path, CRM=database.dsn) as flow:
            yield played(flow, "")
        return
    native = Flow(flow_binary(), tmp_path, {"LD_PRELOAD": str(python_library(tmp_path)), "CRM": database.dsn})
    yield played(native, f'driver = "{library()}"')
    native.stop_all()


def loaded(into: str, database: Database, file: DuckDbFile) -> list[tuple[Any, ...]]:
    return (file if into == "duckdb" else database).rows("SELECT id, v FROM dw.loaded ORDER BY id")


@pytest.mark.parametrize("mode", ["truncate", "merge", "scd2"])
@pytest.mark.parametrize("into", ["duckdb", "postgres"])
def test_a_source_that_breaks_off_leaves_the_target_as_it_was(
    into: str, mode: str, load: Load, database: Database, file: DuckDbFile
) -> None:
    rows = {"duckdb": "generate_series(1, {n}) AS g(i)", "postgres": "range(1, {n} + 1) AS g(i)"}[into]
    file.execute("CREATE SCHEMA IF NOT EXISTS dw")
    assert load(into, f"SELECT i AS id, i AS v FROM {rows.format(n=3)}", mode)["rows_inserted"] == 3
    # It fails where several batches are on their way, or in the target, already.
    broken = {"duckdb": "1 / (i - 180000)", "postgres": "CAST(CASE WHEN i = 180000 THEN 'x' ELSE '1' END AS BIGINT)"}[
        into
    ]
    report = load(into, f"SELECT i AS id, {broken} AS v FROM {rows.format(n=200_000)}", mode)
    assert (report["status"], report["committed"]) == ("failed", False)
    assert report["error"]["code"] in ("source_failed", "cast_failed"), report["error"]
    assert loaded(into, database, file) == [(1, 1), (2, 2), (3, 3)]
    assert load(into, f"SELECT i AS id, i AS v FROM {rows.format(n=4)}", mode)["rows_inserted"] == (
        4 if mode == "truncate" else 1
    )


@pytest.mark.parametrize("into", ["duckdb", "postgres"])
def test_the_source_is_asked_for_no_more_than_what_came_since(
    into: str, load: Load, database: Database, file: DuckDbFile
) -> None:
    source: Database | DuckDbFile = database if into == "duckdb" else file
    source.execute("CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.t (id bigint, d bigint, seen timestamptz)")
    source.execute(
        "INSERT INTO app.t VALUES (1, 10, '2026-01-01 00:00:00+00'), (2, 20, '2026-01-02 00:00:00+00'), (3, 30, NULL)"
    )
    query = "SELECT id, 100 / NULLIF(d, 0) + CASE d WHEN 0 THEN CAST('none' || d AS bigint) ELSE 0 END AS v, seen FROM app.t"
    query = f"SELECT id, CAST(v AS bigint) AS v, seen FROM ({query}) AS s"
    more = 'incremental_column = "seen"\nnull_watermark = "include"'
    report = load(into, query, "append", more=more)
    assert report.get("rows_inserted") == 3, report["error"]
    # Whoever reads this row again fails.
    source.execute("UPDATE app.t SET d = 0 WHERE id = 1")
    source.execute("INSERT INTO app.t VALUES (4, 5, '2026-01-03 00:00:00+00')")
    report = load(into, query, "append", more=more)
    assert (report["status"], report["rows_inserted"]) == ("success", 1), report["error"]
    assert [row[0] for row in loaded(into, database, file)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("into", "value", "v", "said"),
    [
        ("duckdb", "1.239", "numeric(10,2)", "more digits than the column"),
        ("duckdb", "CAST('NaN' AS numeric)", "numeric(10,2)", "NaN"),
        ("postgres", "CAST(1.239 AS DECIMAL(10,3))", "numeric(10,2)", "more than 2 digits"),
        ("postgres", "CAST('170141183460469231731687303715884105727' AS HUGEINT)", "numeric(38,0)", ""),
    ],
)
def test_a_value_that_would_change_ends_the_run(into: str, value: str, v: str, said: str, load: Load) -> None:
    report = load(into, f"SELECT CAST(1 AS bigint) AS id, {value} AS v", v=v)
    assert report["status"] == "failed", report
    assert report["error"]["code"] == "cast_failed", report["error"]
    assert said in json.dumps(report["error"])


def test_what_a_merge_keeps_unique_of_a_table_it_takes_from_there(
    database: Database, file: DuckDbFile, tmp_path: Path
) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.t (id bigint PRIMARY KEY, v bigint NOT NULL); INSERT INTO app.t VALUES (1, 2)"
    )
    text = (
        f'[connections.crm]\ndsn = "{database.dsn}"\n[connections.warehouse]\ndsn = "{file.dsn}"\n'
        '[pipelines.load]\nsource = { connection = "crm", table = "app.t" }\ntarget = "dw.t"\nmode = "merge"\n'
        'target_connection = "warehouse"\n'
    )
    (tmp_path / "pipelines.toml").write_text(text, encoding="utf-8")
    with warm_package(tmp_path) as flow:
        plan = flow("plan", "load", "--sql").stdout
        assert "keys: id (primary key of the source table)" in plan
        # What is read once is not copied once more.
        assert "_ematix_stage" not in plan
        flow("run", "load")
    assert file.columns("SELECT * FROM dw.t") == [("id", "BIGINT"), ("v", "BIGINT")]
