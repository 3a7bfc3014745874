"""Who else has a file of DuckDB open: another process, another connection of this one, another database in it."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from python_package import Interpreter

pytestmark = pytest.mark.clock

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


@pytest.mark.parametrize("command", ["run products", "dry-run products", "plan products", "run-due"])
def test_a_file_of_another_process_is_waited_for(command: str, python: Interpreter) -> None:
    holder = python.start(
        "import duckdb, time\nc = duckdb.connect('warehouse.duckdb')\nprint(1, flush=True)\ntime.sleep(3)\n"
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    python.flow(*command.split())
    holder.communicate()


@pytest.mark.parametrize("command", ["run products", "dry-run products", "plan products", "run-due", "check products"])
def test_who_has_the_file_is_said_when_the_time_is_up(command: str, python: Interpreter) -> None:
    python.flow("run", "products")
    toml = python.directory / "pipelines.toml"
    toml.write_text(toml.read_text() + 'lock_timeout = "300ms"\n', encoding="utf-8")
    holder = python.start(
        "import duckdb, time\nc = duckdb.connect('warehouse.duckdb')\nprint(1, flush=True)\ntime.sleep(60)\n"
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        refused = python.flow(*command.split(), expect=5)
    finally:
        holder.kill()
        holder.communicate()
    said = refused.stdout + refused.stderr
    assert "error[locked]: another process has the file" in said
    # The program, and its number.
    assert re.search(rf"held in \S*python\S* \(PID {holder.pid}\)", said), said
    assert "waited 0.3 s (lock_timeout)" in said


def test_processes_at_once_get_the_file_one_after_another(python: Interpreter) -> None:
    targets = [f"p{number}" for number in range(6)]
    toml = python.directory / "pipelines.toml"
    text = toml.read_text(encoding="utf-8")
    head, body = text.split("[pipelines.products]\n")
    more = [f"[pipelines.{name}]\n" + body.replace("analytics.products", f"analytics.{name}") for name in targets]
    toml.write_text(head + "\n".join(more) + 'lock_timeout = "60s"\n', encoding="utf-8")
    with ThreadPoolExecutor(6) as pool:
        for call in [pool.submit(python.flow, "run", name) for name in targets]:
            call.result()
    statuses = "SELECT pipeline_name, status FROM ematix_flow.run_history ORDER BY 1"
    with duckdb.connect(str(python.directory / "warehouse.duckdb")) as connection:
        assert connection.execute(statuses).fetchall() == [(name, "success") for name in targets]


CONFLICT = """
import duckdb, json, threading, time
from ematix_flow import FlowError, Source, connect, pipeline
warehouse = connect(dsn="duckdb:warehouse.duckdb")
source = Source.postgres_query(warehouse, "SELECT id, name FROM app.products")
def load(**options):
    options = {"source": source, "target": "analytics.p", "target_connection": warehouse, "mode": "merge", **options}
    try:
        report = pipeline.sync(keys="id", **options)
        return [report.status, report.rows_inserted, report.rows_updated]
    except FlowError as error:
        return [error.code, "waited" in str(error)]
answers = [load()]
own = duckdb.connect("warehouse.duckdb")
own.execute("UPDATE app.products SET name = name || '!'")
own.begin()
own.execute("UPDATE analytics.p SET name = 'mine'")
answers.append(load(lock_timeout="300ms"))
timer = threading.Timer(1.0, own.commit)
timer.start()
answers.append(load())
timer.join()
answers.append(own.execute("SELECT name FROM analytics.p ORDER BY id").fetchall())
print(json.dumps(answers))
"""


def test_what_another_connection_has_not_committed_yet_is_waited_for(python: Interpreter) -> None:
    first, refused, waited, rows = python.run(CONFLICT).json()
    assert (first, refused, waited) == (["success", 2, 0], ["locked", True], ["success", 0, 2])
    assert rows == [["Pen!"], ["Ink!"]]
    statuses = "SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1 ORDER BY 1"
    with duckdb.connect(str(python.directory / "warehouse.duckdb")) as connection:
        assert connection.execute(statuses).fetchall() == [("locked", 1), ("success", 2)]


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
