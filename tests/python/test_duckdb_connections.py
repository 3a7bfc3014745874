"""Connections to DuckDB in Python: their options, databases in memory, and connections that are open already."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest
from python_package import Interpreter

HEAD = """
import duckdb, json
from ematix_flow import FlowError, Source, connect, pipeline
def load(source, target, query, name, **options):
    options = {"mode": "truncate", **options}
    try:
        report = pipeline.sync(
            source=Source.postgres_query(source, query), target=name, target_connection=target, **options
        )
        return [report.status, report.rows_inserted]
    except FlowError as error:
        return [error.code, " ".join(str(error).split())]
"""


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    return Interpreter(tmp_path)


def test_options_of_a_connection_reach_the_module(python: Interpreter) -> None:
    script = """
    w = connect("duckdb:w.duckdb", memory_limit="400MiB", threads=1, temp_directory="spilled", storage_version="v1.0.0")
    settings = "memory_limit", "threads", "temp_directory"
    query = "SELECT " + ", ".join(f"current_setting('{name}')::VARCHAR AS {name}" for name in settings)
    print(json.dumps([load(w, w, query, "analytics.s") for _ in range(2)]))
    """
    assert python.run(HEAD + _plain(script)).json() == [["success", 1], ["success", 1]]
    with duckdb.connect(str(python.directory / "w.duckdb")) as connection:
        [(limit, threads, directory)] = connection.execute("SELECT * FROM analytics.s").fetchall()
        tags = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE path IS NOT NULL"
        version = connection.execute(tags).fetchall()
    assert (limit, threads, Path(directory).name, version) == ("400.0 MiB", "1", "spilled", [("v1.0.0+",)])


def test_two_connections_to_one_file_agree_on_its_options(python: Interpreter) -> None:
    script = """
    one, other = connect("duckdb:w.duckdb", threads=1), connect("duckdb:w.duckdb")
    answers = [load(one, other, "SELECT 1 AS id", "analytics.a")]
    own = duckdb.connect("w.duckdb")
    answers.append(load(one, one, "SELECT 1 AS id", "analytics.a"))
    answers.append(load(other, other, "SELECT 1 AS id", "analytics.a"))
    print(json.dumps(answers))
    """
    among, beside, alike = python.run(HEAD + _plain(script)).json()
    assert among[0] == "conflicting_options"
    assert "`threads` of that connection is another" in among[1]
    assert beside[0] == "conflicting_options"
    assert "is open in this process already, in another way" in beside[1]
    assert alike == ["success", 1]


def test_a_database_in_memory_lasts_as_long_as_the_process(python: Interpreter) -> None:
    script = """
    memory = connect("duckdb:")
    answers = [load(memory, memory, "SELECT 1 AS id", "analytics.a")]
    answers.append(load(memory, memory, "SELECT id FROM analytics.a UNION ALL SELECT 2", "analytics.b"))
    print(json.dumps(answers))
    """
    assert python.run(HEAD + _plain(script)).json() == [["success", 1], ["success", 2]]


def test_loads_run_through_a_connection_that_is_open_already(python: Interpreter) -> None:
    script = """
    own = duckdb.connect()
    own.execute("CREATE TABLE raw AS SELECT 1 AS id, 'Pen' AS name")
    handed, again = connect(own), connect(own)
    answers = [handed.name == again.name, load(handed, again, "SELECT * FROM raw", "analytics.p", mode="scd2", keys="id")]
    own.execute("UPDATE raw SET name = 'Ink'")
    answers.append(load(handed, handed, "SELECT * FROM raw", "analytics.p", mode="scd2", keys="id"))
    answers.append(own.execute("SELECT name, is_current FROM analytics.p ORDER BY valid_from").fetchall())
    del handed, again
    answers.append(own.execute("SELECT count(*) FROM ematix_flow.run_history").fetchall())
    print(json.dumps(answers))
    """
    same, first, second, versions, runs = python.run(HEAD + _plain(script)).json()
    assert (same, first, second) == (True, ["success", 1], ["success", 1])
    assert versions == [["Pen", False], ["Ink", True]]
    assert runs == [[2]]


def test_an_open_connection_to_a_file_and_its_dsn_are_one_database(python: Interpreter) -> None:
    script = """
    own = duckdb.connect("w.duckdb")
    answers = [load(connect(own), connect("duckdb:w.duckdb"), "SELECT 1 AS id", "analytics.a")]
    answers.append(own.execute("SELECT count(*) FROM analytics.a").fetchall())
    own.close()
    answers.append(load(connect(own), connect(own), "SELECT 1 AS id", "analytics.a"))
    print(json.dumps(answers))
    """
    loaded, rows, closed = python.run(HEAD + _plain(script)).json()
    assert (loaded, rows) == (["success", 1], [[1]])
    assert closed[0] == "connect_failed"
    assert "closed" in closed[1]


def test_what_does_not_belong_together_is_refused(python: Interpreter) -> None:
    script = """
    own = duckdb.connect()
    answers = []
    for make in (
        lambda: connect("warehouse", memory_limit="1GB"),
        lambda: connect(dsn="postgresql:///shop", threads=2),
        lambda: connect(own, read_only=True),
    ):
        try:
            answers.append(make())
        except FlowError as error:
            answers.append(error.code)
    only = connect("duckdb:w.duckdb", read_only=True)
    answers.append(load(only, only, "SELECT 1 AS id", "analytics.a")[0])
    for options in ({"memory_limit": "much"}, {"storage_version": "1"}, {"threads": 0}):
        w = connect("duckdb:w.duckdb", **options)
        answers.append(load(w, w, "SELECT 1 AS id", "analytics.a")[0])
    memory = connect("duckdb:", storage_version="v1.0.0")
    answers.append(load(memory, memory, "SELECT 1 AS id", "analytics.a")[0])
    print(json.dumps(answers))
    """
    assert python.run(HEAD + _plain(script)).json() == [
        *["conflicting_options"] * 3,
        "read_only_target",
        *["invalid_value"] * 3,
        "conflicting_options",
    ]


def test_statements_of_ones_own_are_for_the_module(python: Interpreter) -> None:
    script = """
    answers = []
    for connection in (connect("duckdb:w.duckdb"), connect(duckdb.connect())):
        for ask in (
            lambda: connection.query("SELECT 1"),
            lambda: connection.execute("SELECT 1"),
            lambda: connection.read_df("SELECT 1"),
            connection.dbapi,
        ):
            try:
                ask()
            except FlowError as error:
                answers.append(error.code)
    print(json.dumps(answers))
    """
    assert python.run(HEAD + _plain(script)).json() == ["not_yet_supported"] * 8


def _plain(script: str) -> str:
    """A script without the margin that it has here."""
    return textwrap.dedent(script)


def test_no_bar_of_progress_is_written_among_answers(tmp_path: Path) -> None:
    """DuckDB shows one on standard output where it takes a person to be there, as in `python -c` and notebooks."""
    code = """
import duckdb
from ematix_flow.ground.duckdb import Connection

said = dict(name="x", file="w.duckdb", handed=False, read_only=False, memory_limit=None, threads=None)
opened = Connection(**said, temp_directory=None, storage_version=None)
asked = "SELECT CAST(current_setting('enable_progress_bar') AS VARCHAR)"
print(duckdb.connect().execute(asked).fetchall(), opened.run(asked)[0][1])
"""
    variables = Interpreter(tmp_path).variables()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[('true',)] [('false',)]\n", "")
