"""Feature views in a file of DuckDB: the load keeps what is served; there are no materialised views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from python_package import Interpreter

PIPELINES = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[features.user_features]
schema = "features"
event_timestamp_column = "seen"
online = "table"
freshness = "1h"
primary_key = "id"
columns = { id = "bigint", price = "numeric(10,2)", seen = "timestamptz" }

[pipelines.user_features]
source = { connection = "warehouse", query = "SELECT id, price, seen, gone FROM app.prices" }
target = "user_features"
delete_when = "gone"
"""

Sql = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    (tmp_path / "pipelines.toml").write_text(PIPELINES, encoding="utf-8")
    return Interpreter(tmp_path)


@pytest.fixture
def sql(python: Interpreter) -> Iterator[Sql]:
    def run(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(python.directory / "warehouse.duckdb")) as connection:
            return connection.execute(statement).fetchall()

    run("CREATE SCHEMA app")
    run("CREATE TABLE app.prices (id BIGINT, price DECIMAL(10,2), seen TIMESTAMPTZ, gone BOOLEAN)")
    run(
        "INSERT INTO app.prices VALUES (1, 1, '2026-01-01', false), (1, 2, '2026-01-03', false), (2, 5, '2026-01-02', false)"
    )
    yield run


SERVED = "SELECT id, CAST(price AS DOUBLE) FROM features.user_features_v1__online ORDER BY id"


def test_what_is_served_follows_the_load(python: Interpreter, sql: Sql) -> None:
    python.flow("run", "user_features")
    assert sql(SERVED) == [(1, 2.0), (2, 5.0)]
    sql(
        "INSERT INTO app.prices VALUES (2, 6, '2026-01-05', false), (1, 0, '2026-01-06', true), (3, 7, '2026-01-01', false)"
    )
    python.flow("run", "user_features")
    assert sql(SERVED) == [(2, 6.0), (3, 7.0)]
    assert sql("SELECT count(*) FROM features.user_features") == [(6,)]
    assert sql("SELECT name, version, entity_keys, online, is_shown FROM ematix_flow.feature_views") == [
        ("features.user_features", "v1", ["id"], "table", True)
    ]
    python.flow("features", "freshness")


def test_a_materialised_view_is_refused(python: Interpreter, sql: Sql) -> None:
    toml = python.directory / "pipelines.toml"
    toml.write_text(PIPELINES.replace('online = "table"', "online = true"), encoding="utf-8")
    refused = python.flow("run", "user_features", expect=2)
    words = 'error[unsupported_by_engine]: online = "view" of features.user_features: duckdb has no materialised views'
    assert refused.stderr.splitlines()[0] == words
