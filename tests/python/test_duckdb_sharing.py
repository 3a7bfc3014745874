"""Who else has a file of DuckDB open: another process, another connection of this one, another database in it."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest
from python_package import Interpreter

PIPELINE = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.products]
source = { connection = "warehouse", query = "SELECT id, name FROM app.products" }
target = "analytics.products"
mode = "merge"
keys = ["id"]
schedule = "* * * * *"
first_run = "now"
"""


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    (tmp_path / "pipelines.toml").write_text(PIPELINE, encoding="utf-8")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE app.products AS SELECT * FROM (VALUES (1, 'Pen'), (2, 'Ink')) AS p (id, name)")
    return Interpreter(tmp_path)


SECOND = """
import duckdb, json, os, warnings
from ematix_flow import FlowError, Source, connect, pipeline
own = duckdb.connect("warehouse.duckdb")
def load(file, target):
    warehouse = connect(dsn="duckdb:" + file)
    source = Source.postgres_query(warehouse, "SELECT id FROM app.products")
    try:
        return pipeline.sync(source=source, target=target, target_connection=warehouse, mode="append").status
    except FlowError as error:
        return error.code + ": " + " ".join(str(error).split())
def in_child():
    end, begin = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os.write(begin, load("warehouse.duckdb", "analytics.child").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(begin)
    return os.read(end, 10000).decode()
os.link("warehouse.duckdb", "linked.duckdb")
os.symlink("warehouse.duckdb", "named.duckdb")
answers = [in_child(), load("linked.duckdb", "analytics.linked"), load("named.duckdb", "analytics.named")]
tables = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'analytics'"
print(json.dumps([*answers, own.execute(tables).fetchall()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
def test_a_file_is_not_opened_as_a_second_database(python: Interpreter) -> None:
    # Of two in one process, or on both sides of a fork, the one that ends last overwrites what the other has written.
    forked, linked, named, tables = python.run(SECOND).json()
    assert forked.startswith("connect_failed: ")
    assert "the file was open when this process was forked" in forked
    assert linked.startswith("connect_failed: ")
    assert "this process has the file open as another database" in linked
    assert (named, tables) == ("success", [["named"]])
