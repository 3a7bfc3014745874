"""Runs from Python: signals, tasks, threads and processes; what is raised, and what a session answers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from database import Database
from python_package import Interpreter

pytestmark = pytest.mark.clock

HEAD = """
import asyncio, threading, time, os, sys, json
from ematix_flow import *
from ematix_flow import pipeline, Source, connect, errors
SLOW = Source.postgres_query("warehouse", "SELECT 1 AS id, pg_sleep(60)::text AS t")
"""


@pytest.fixture
def python(database: Database, tmp_path: Path) -> Interpreter:
    return Interpreter(tmp_path, {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn, "EMATIX_FLOW_DSN": database.dsn})


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


SLEEPERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
)


def sleeping(database: Database) -> int:
    count = database.value(SLEEPERS)
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    "call",
    [
        "pipeline.sync(source=SLOW, target='public.t', mode='merge', keys='id')",
        "connect('warehouse').query('SELECT pg_sleep(60)')",
        "asyncio.run(pipeline.sync_async(source=SLOW, target='public.t', mode='merge', keys='id'))",
    ],
    ids=["sync", "query", "async"],
)
def test_ctrl_c_cancels_on_the_server(call: str, python: Interpreter, database: Database) -> None:
    script = f"{HEAD}\ntry:\n    {call}\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    process = python.start(script)
    wait_until(lambda: sleeping(database), "the statement runs")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (stdout, process.returncode) == ("interrupted\n", 0), stderr
    wait_until(lambda: not sleeping(database), "the statement is cancelled")
    if "sync" in call:
        assert database.value("SELECT status FROM ematix_flow.run_history") == "cancelled"


def test_a_task_that_is_cancelled_cancels_on_the_server(python: Interpreter, database: Database) -> None:
    script = """
    async def main():
        task = asyncio.ensure_future(pipeline.sync_async(source=SLOW, target='public.t', mode='merge', keys='id'))
        ticks = 0
        while not connect("warehouse").query("{sleepers}")[0]["count"]:
            await asyncio.sleep(0.02)
            ticks += 1
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled", ticks > 0)
    asyncio.run(main())
    """
    body = "\n".join(line[4:] for line in script.replace("{sleepers}", SLEEPERS).splitlines())
    assert python.run(HEAD + body).stdout == "cancelled True\n"
    wait_until(lambda: not sleeping(database), "the statement is cancelled")
    assert database.value("SELECT status FROM ematix_flow.run_history") == "cancelled"


def test_other_threads_go_on_while_a_statement_runs(python: Interpreter) -> None:
    done = python.run(
        HEAD
        + """
ticks = 0
def count():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)
threading.Thread(target=count, daemon=True).start()
connect("warehouse").query("SELECT pg_sleep(0.5)")
print(ticks > 20)
"""
    )
    assert done.stdout == "True\n"


def test_one_connection_serves_many_threads(python: Interpreter) -> None:
    done = python.run(
        HEAD
        + """
from concurrent.futures import ThreadPoolExecutor
conn = connect("warehouse")
conn.execute("CREATE TABLE t (n int)")
with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda n: conn.execute("INSERT INTO t VALUES ($1)", [n]), range(100)))
print(conn.query("SELECT count(DISTINCT n) AS n FROM t"))
"""
    )
    assert done.stdout == "[{'n': 100}]\n"


def test_a_child_process_runs_after_its_parent_did(python: Interpreter) -> None:
    done = python.run(
        HEAD
        + """
conn = connect("warehouse")
conn.query("SELECT 1")
pid = os.fork()
if pid == 0:
    report = pipeline.sync(source=Source.postgres_query("warehouse", "SELECT 1 AS id"), target="public.t", mode="merge", keys="id")
    os._exit(0 if report.rows_inserted == 1 else 3)
print(os.waitpid(pid, 0)[1], conn.query("SELECT count(*) AS n FROM public.t"))
"""
    )
    assert done.stdout == "0 [{'n': 1}]\n"


FAILURES = {
    "DataError duplicate_source_key": "pipeline.sync(source=Source.postgres_query('warehouse', 'SELECT 1 AS id UNION ALL SELECT 1'), target='public.t', mode='merge', keys='id')",
    "SourceError source_failed": "pipeline.sync(source=Source.postgres_query('warehouse', 'SELECT 1/0 AS id'), target='public.t', mode='merge', keys='id')",
    "ConnectError connect_failed": "connect(dsn='postgresql://nobody@localhost:1/x').query('SELECT 1')",
    "SpecError unknown_connection": "pipeline.sync(source=Source.postgres_query('nowhere', 'SELECT 1 AS id'), target='public.t', mode='merge', keys='id')",
    "SpecError query_writes": "pipeline.sync(source=Source.postgres_query('warehouse', 'DELETE FROM x'), target='public.t', mode='merge', keys='id')",
    "TargetError target_failed": "connect('warehouse').execute('DROP TABLE nothing')",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_has_its_class_and_code(kind: str, python: Interpreter) -> None:
    script = f"""
import pickle
try:
    {FAILURES[kind]}
except FlowError as error:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, again.hint, again.context) == (type(error), error.code, error.hint, error.context)
    print(type(error).__name__, error.code)
"""
    assert python.run(HEAD + script).stdout == f"{kind}\n"


def test_a_failed_run_carries_its_report_and_ends_in_the_users_line(python: Interpreter) -> None:
    failing = FAILURES["DataError duplicate_source_key"]
    done = python.run(
        f"{HEAD}\ntry:\n    {failing}\nexcept DataError as error:\n    print(error.report.status)\n    raise", expect=1
    )
    assert done.stdout == "refused\n"
    assert "ematix_flow.errors.DataError: 1 key of `public.t` comes more than once from the source" in done.stderr


def test_a_locked_target_raises(python: Interpreter, database: Database) -> None:
    script = """
first = connect("warehouse")
import ematix_flow._core as core
source = Source.postgres_query("warehouse", "SELECT 1 AS id")
pipeline.sync(source=source, target="public.t", mode="merge", keys="id")
conn = connect("warehouse")
conn.execute("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
try:
    pipeline.sync(source=source, target="public.t", mode="merge", keys="id", lock_timeout="200ms")
except LockedError as error:
    print(error.code, error.report.status)
"""
    assert python.run(HEAD + script).stdout == "locked locked\n"


VALUES = """
import datetime as dt, decimal, uuid
conn = connect("warehouse")
utc = dt.timezone.utc
same = [
    (True, "boolean"), (-32768, "smallint"), (2**31 - 1, "integer"), (-(2**63), "bigint"), (1.5, "real"), (1e300, "double precision"),
    (decimal.Decimal("-0.00120"), "numeric"), (decimal.Decimal("123456789012345678901234567890.5"), "numeric"),
    (decimal.Decimal("10000"), "numeric"), (decimal.Decimal("0.0001"), "numeric"),
    ("h\\u00e9 'x' \\\\ \\n", "text"), ("a", "varchar(3)"), (b"\\x00\\xff", "bytea"),
    (dt.date(1, 1, 1), "date"), (dt.date(9999, 12, 31), "date"), (dt.time(23, 59, 59, 999999), "time"),
    (dt.datetime(2026, 3, 29, 2, 30, 0, 5), "timestamp"), (dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=utc), "timestamptz"),
    (dt.timedelta(days=-3, seconds=5, microseconds=7), "interval"), (uuid.UUID(int=7), "uuid"),
    ({"a": [1, None, "x"]}, "jsonb"), ({"a": 1}, "json"), ([1, None, 3], "integer[]"), (["a", 'b"c', ""], "text[]"), ([], "text[]"),
    ([[1, 2], [3, 4]], "integer[]"),
]
for value, kind in same:
    found = conn.query(f"SELECT $1::{kind} AS v", [value])[0]["v"]
    assert found == value and type(found) is type(value), (kind, value, found)
    assert conn.query(f"SELECT :v::{kind} AS v, NULL::{kind} AS n", {"v": value}) == [{"v": value, "n": None}]
assert conn.query("SELECT 'infinity'::timestamptz AS a, '0044-03-15 BC'::date AS b, 'NaN'::numeric AS c")[0]["a"] == "infinity"
assert conn.query("SELECT 1 AS a, 2 AS b", rows="tuple") == [(1, 2)]
assert conn.query("SELECT 1 AS a WHERE false") == []
assert conn.execute("CREATE TABLE n (i int); INSERT INTO n SELECT generate_series(1, 3)") == 3
assert conn.execute("UPDATE n SET i = i + :by WHERE i > :least", {"by": 10, "least": 1}) == 2
print("good")
"""


def test_values_come_back_as_they_went(python: Interpreter) -> None:
    assert python.run(HEAD + VALUES).stdout == "good\n"


def test_no_representation_shows_a_password(python: Interpreter) -> None:
    script = """
conn = connect(dsn="postgresql://me:secret1@localhost:1/db")
p = Pipeline(name="p", source=Source.postgres_query(conn, "SELECT 1 AS id"), target="public.t", mode="merge", keys="id")
shown = [repr(conn), str(conn), repr(p), repr(p.source) if hasattr(p, "source") else ""]
try:
    conn.query("SELECT 1")
except ConnectError as error:
    shown += [str(error), repr(error), repr(error.context)]
try:
    p.run()
except ConnectError as error:
    shown += [str(error), repr(error.report), error.report.to_json()]
print("secret1" in "".join(shown), len(shown))
"""
    assert python.run(HEAD + script).stdout == "False 10\n"


CHAINS = {
    # What a function of the user's raises is his own exception, and ends in his line.
    "ZeroDivisionError script.py": """
@ematix.pipeline(target="public.t", mode="append", source_connection="warehouse")
def failing_function(conn):
    return 1 / 0
failing = failing_function.run
""",
    # The server's error comes from Rust: there is no other exception of Python's behind it.
    "SourceError engine.py": """
query = Source.postgres_query("warehouse", "SELECT 1/0 AS id")
failing = lambda: pipeline.sync(source=query, target="public.t", mode="merge", keys="id")
""",
    "TargetError connections.py": """
failing = lambda: connect("warehouse").execute("DROP TABLE nothing")
""",
    "SpecError script.py": """
query = Source.postgres_query("warehouse", "SELECT 1")
failing = lambda: Pipeline(name="p", source=query, target="public.t", mode="append", schedule="nonsense")
""",
}


@pytest.mark.parametrize("kind", CHAINS)
def test_no_exception_drags_another_behind_it(kind: str, python: Interpreter) -> None:
    script = f"""
import traceback
{CHAINS[kind]}
try:
    failing()
except Exception as error:
    last = os.path.basename(traceback.extract_tb(error.__traceback__)[-1].filename)
    print(type(error).__name__, last)
    print(error.__cause__, error.__context__ is None or error.__suppress_context__)
    print("direct cause" in traceback.format_exc() or "During handling" in traceback.format_exc())
"""
    assert python.run(HEAD + script).stdout.splitlines() == [kind, "None True", "False"]


RUN_DUE = """
for name in ("a", "b", "c"):
    Pipeline(name=name, source=Source.postgres_query("warehouse", "SELECT 1 AS id, pg_sleep(0.5)::text AS t"),
             target=f"public.{name}", mode="append", every="1h", first_run="now")
reports = Pipelines().run_due(jobs=JOBS)
most = max(sum(one.started_at <= at.started_at < one.ended_at for one in reports) for at in reports)
print([report.pipeline for report in reports], {report.status for report in reports}, most)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_so_many_of_those_that_are_due_run_at_a_time(jobs: int, python: Interpreter) -> None:
    done = python.run(HEAD + RUN_DUE.replace("JOBS", str(jobs)))
    assert done.stdout == f"['a', 'b', 'c'] {{'success'}} {jobs}\n"
