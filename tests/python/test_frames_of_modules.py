"""Frames of modules, loaded by the native `flow`: a process of its own makes the rows, and gives all of them or none."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow, Running
from python_package import PACKAGE, Interpreter
from test_functions_end import is_gone, of_threads

# Those that need polars import it: an import takes longer than a run.
MODULE = """
import datetime as dt, decimal, os, sys, time, uuid
from ematix_flow import Pipeline, ematix

def begun():
    open("begun", "w").close()

def ended():
    open("ended", "w").close()

@ematix.pipeline(target="dw.plans", mode="merge", keys="id")
def plans(conn):
    import polars
    return polars.DataFrame({"id": [1, 2], "plan": ["free", None], "day": [dt.date(2026, 1, 1), None]})

@ematix.pipeline(target="dw.people", mode="scd2", keys="id")
def people(conn):
    for id in range(1, 12_001):
        if id % 1000 == 0:
            print("made", id)
        yield {
            "id": id, "name": f"name {id}", "fee": decimal.Decimal("19.90"), "since": dt.datetime(2026, 1, 1, 12),
            "key": uuid.UUID(int=id), "tags": ["a", {"b": id}],
        }

@ematix.pipeline(target="dw.pages", mode="append")
def pages(conn):
    import polars
    for page in range(3):
        yield polars.DataFrame({"page": [page] * 50_000, "text": [f"{page} {row} " + "x" * 20 for row in range(50_000)]})

@ematix.pipeline(target="dw.asked", mode="append", source_connection="default")
def asked(conn):
    for number in range(3):
        yield conn.query("SELECT %s::int AS number" % number)[0]

@ematix.pipeline(target="dw.nothing", mode="append", on_empty_source="ignore")
def nothing(conn):
    return []

@ematix.pipeline(target="dw.nothing", mode="append", on_empty_source="ignore")
def no_columns(conn):
    return iter(())

@ematix.pipeline(target="dw.broken", mode="append")
def broken(conn):
    for id in range(20_000):
        yield {"id": id}
    raise RuntimeError("the API is away")

@ematix.pipeline(target="dw.broken", mode="append")
def broken_batches(conn):
    import polars
    yield polars.DataFrame({"id": range(100_000)})
    raise RuntimeError("the API is away")

@ematix.pipeline(target="dw.broken", mode="append")
def other_columns(conn):
    import polars
    yield polars.DataFrame({"id": [1]})
    yield polars.DataFrame({"id": ["a"]})

@ematix.pipeline(target="dw.broken", mode="append")
def no_row(conn):
    yield {"id": 1}
    yield 17

def slowly():
    for id in range(20_000):
        yield {"id": id}
    begun()
    try:
        time.sleep(60)
    finally:
        ended()

@ematix.pipeline(target="dw.slow", mode="append")
def slow(conn):
    yield from slowly()

@ematix.pipeline(target="dw.slow", mode="append", run_timeout="2s")
def short(conn):
    yield from slowly()

@ematix.pipeline(target="dw.slow", mode="append")
def slow_batches(conn):
    import polars
    yield polars.DataFrame({"id": range(200_000)})
    begun()
    try:
        time.sleep(60)
    finally:
        ended()

@ematix.pipeline(target="dw.due", mode="append", schedule="* * * * *")
def due(conn):
    return [{"id": 1}]

@ematix.pipeline(targets=[
    {"target": "dw.first", "mode": "merge", "keys": "id"}, {"target": "dw.second", "mode": "scd2", "keys": "id"},
])
def both(conn):
    import polars
    return polars.DataFrame({"id": [1, 2, 3]})

@ematix.pipeline(target="dw.copied", mode="append", source_connection="default")
def query(conn):
    return "SELECT 1 AS id"

@ematix.pipeline(target="dw.many", mode="append")
def many(conn):
    import polars
    for at in range(100):
        yield polars.DataFrame({"id": range(at * 10_000, (at + 1) * 10_000), "text": ["x" * 100] * 10_000})

@ematix.pipeline(target="dw.many", mode="append")
def many_in_one(conn):
    import polars
    return polars.DataFrame({"id": range(1_000_000), "text": ["x" * 100] * 1_000_000}).rechunk()

declared = Pipeline(name="declared", source=[{"id": 7}, {"id": 8}], target="dw.declared", mode="append")
"""


@pytest.fixture
def frames(flow: Flow, database: Database) -> Iterator[Flow]:
    database.execute("CREATE SCHEMA dw")
    flow.variables |= {
        "EMATIX_FLOW_PYTHON": sys.executable,
        "PYTHONPATH": str(PACKAGE),
        "PYTHONSAFEPATH": "",
        "EMATIX_FLOW_MODULE": "frames",
        "EMATIX_FLOW_DSN": database.dsn,
    }
    (flow.directory / "frames.py").write_text(MODULE, encoding="utf-8")
    yield flow


def exists(database: Database, table: str) -> bool:
    return bool(database.value(f"SELECT to_regclass('{table}') IS NOT NULL"))


def test_a_frame_is_loaded_with_its_types(frames: Flow, database: Database) -> None:
    report = frames("run", "plans", "--output", "json").json()
    assert (report["rows_in"], report["rows_inserted"]) == (2, 2)
    assert database.rows("SELECT id, plan, day::text FROM dw.plans ORDER BY id") == [
        (1, "free", "2026-01-01"),
        (2, None, None),
    ]


def test_rows_that_a_generator_makes_become_a_history(frames: Flow, database: Database) -> None:
    done = frames("run", "people", "--output", "json")
    assert done.json()["rows_inserted"] == 12_000
    # What the function prints is no part of its rows.
    assert "made 12000" in done.stderr
    assert database.rows(
        "SELECT name, fee::text, since::text, key::text, tags::text FROM dw.people WHERE id = 12000"
    ) == [("name 12000", "19.90", "2026-01-01 12:00:00", "00000000-0000-0000-0000-000000002ee0", '["a", {"b": 12000}]')]
    again = frames("run", "people", "--output", "json").json()
    assert (again["rows_inserted"], again["rows_unchanged"]) == (0, 12_000)


def test_batches_of_a_generator_are_loaded_one_after_the_other(frames: Flow, database: Database) -> None:
    assert frames("run", "pages", "--output", "json").json()["rows_inserted"] == 150_000
    assert database.rows("SELECT page, count(*), count(DISTINCT text) FROM dw.pages GROUP BY 1 ORDER BY 1") == [
        (page, 50_000, 50_000) for page in range(3)
    ]


def test_a_generator_may_use_its_connection_while_it_makes_rows(frames: Flow, database: Database) -> None:
    frames("run", "asked")
    assert database.rows("SELECT number FROM dw.asked ORDER BY 1") == [(0,), (1,), (2,)]


def test_a_list_without_rows_is_an_empty_source(frames: Flow, database: Database) -> None:
    database.execute("CREATE TABLE dw.nothing (id int)")
    report = frames("run", "nothing", "--output", "json").json()
    assert (report["status"], report["rows_in"]) == ("success", 0)


def test_one_frame_is_loaded_into_two_targets(frames: Flow, database: Database) -> None:
    frames("run", "both")
    assert database.value("SELECT count(*) FROM dw.first") == 3
    assert database.value("SELECT count(*) FROM dw.second WHERE is_current") == 3


def test_a_pipeline_that_declares_its_frame_is_asked_for_it(frames: Flow, database: Database) -> None:
    frames("run", "declared")
    assert database.rows("SELECT id FROM dw.declared ORDER BY 1") == [(7,), (8,)]


def test_all_that_is_due_is_loaded(frames: Flow, database: Database) -> None:
    frames("run-due", "--jobs", "2")
    assert database.value("SELECT count(*) FROM dw.due") == 1


def test_several_frames_at_the_same_time_are_not_mixed_up(frames: Flow, database: Database) -> None:
    frames("run", "plans", "people", "pages", "declared", "query", "--jobs", "4")
    counts = "SELECT (SELECT count(*) FROM dw.plans), (SELECT count(*) FROM dw.people), (SELECT count(*) FROM dw.pages)"
    assert database.rows(counts) == [(2, 12_000, 150_000)]
    assert database.rows("SELECT id FROM dw.declared ORDER BY 1") == [(7,), (8,)]


def test_a_plan_looks_at_the_columns_and_loads_nothing(frames: Flow, database: Database) -> None:
    planned = frames("plan", "plans", "--sql").stdout
    assert "a DataFrame of polars" in planned and "+ dw.plans" in planned
    began = time.monotonic()
    frames("plan", "slow")
    assert time.monotonic() - began < 20
    # Its first page is all that was made.
    assert not (frames.directory / "begun").exists()
    assert not exists(database, "dw.slow")


@pytest.mark.parametrize("name", ["broken", "broken_batches"])
def test_what_is_raised_in_the_middle_leaves_nothing_behind(name: str, frames: Flow, database: Database) -> None:
    failed = frames("run", name, "--output", "json", expect=1)
    error = failed.json()["error"]
    assert (error["code"], error["message"]) == (
        "source_failed",
        f"the function of `{name}` raised an exception\nRuntimeError: the API is away",
    )
    assert Path(error["location"]["file"]).name == "frames.py"
    assert "Traceback (most recent call last)" in failed.stderr
    assert 'raise RuntimeError("the API is away")' in failed.stderr
    assert not exists(database, "dw.broken")
    assert database.rows("SELECT status FROM ematix_flow.run_history") == [("failed",)]


@pytest.mark.parametrize(
    "name, code, words",
    [
        ("no_columns", "invalid_value", "the iterator has no batch"),
        ("other_columns", "source_failed", "item 2 has other columns"),
        ("no_row", "invalid_value", "row 2 is an int"),
    ],
)
def test_what_cannot_be_read_is_told_as_in_the_package(
    name: str, code: str, words: str, frames: Flow, database: Database
) -> None:
    error = frames("run", name, "--output", "json", expect=None).json()["error"]
    assert error["code"] == code
    assert words in error["message"]
    assert not exists(database, "dw.broken")


def begin(flow: Flow, name: str) -> tuple[Running, int]:
    """A run in the middle of its rows, and the process that makes them."""
    running = flow.start("run", name, "--output", "json")
    wait_until((flow.directory / "begun").exists, "the rows are on their way")
    (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split() or of_threads(running.pid)
    return running, int(child)


@pytest.mark.parametrize("name", ["slow", "slow_batches"])
def test_a_process_that_is_killed_gives_no_short_frame(name: str, frames: Flow, database: Database) -> None:
    running, child = begin(frames, name)
    os.kill(child, signal.SIGKILL)
    error = running.finish(1).json()["error"]
    assert error["code"] == "source_failed"
    assert "were broken off" in error["message"] and "SIGKILL" in error["message"]
    assert not exists(database, "dw.slow")


@pytest.mark.parametrize("name", ["slow", "slow_batches"])
@pytest.mark.parametrize("reaches", ["the group", "flow alone"])
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_wish_to_stop_ends_who_makes_the_rows(
    number: signal.Signals, code: int, reaches: str, name: str, frames: Flow, database: Database
) -> None:
    running, child = begin(frames, name)
    if reaches == "the group":
        os.kill(child, number)
    os.kill(running.pid, number)
    began = time.monotonic()
    ended = running.finish(code)
    assert time.monotonic() - began < 20
    error = ended.json()["error"]
    assert (error["code"], error["context"]["signal"]) == ("cancelled", number.name)
    assert "Traceback" not in ended.stderr
    assert is_gone(child)
    # What the function does at its end, it has done.
    assert (frames.directory / "ended").exists()
    assert not exists(database, "dw.slow")


def test_a_run_that_takes_too_long_ends_who_makes_the_rows(frames: Flow, database: Database) -> None:
    failed = frames("run", "short", "--output", "json", expect=None)
    assert failed.json()["error"]["code"] == "timeout", failed
    assert (frames.directory / "ended").exists()
    assert not exists(database, "dw.slow")


def test_who_makes_the_rows_ends_where_its_command_was_killed(frames: Flow) -> None:
    running, child = begin(frames, "slow")
    running.kill()
    running.finish(-9)
    wait_until(lambda: is_gone(child), "the function's process is gone")


@pytest.mark.parametrize("name", ["many", "many_in_one"])
def test_memory_does_not_grow_with_the_rows(name: str, frames: Flow, database: Database) -> None:
    peak, _ = frames.start("run", name).finish_and_measure()
    assert database.value("SELECT count(*) FROM dw.many") == 1_000_000
    # Three batches of 16 MB, and what the binary is.
    assert peak < 200, f"{peak} MB"


@pytest.mark.parametrize("name", ["broken", "broken_batches"])
def test_the_flow_of_the_package_tells_the_same(name: str, tmp_path: Path, frames: Flow, database: Database) -> None:
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    python.write("frames.py", MODULE)
    failed = python.flow("--module", "frames", "run", name, "--output", "json", expect=1)
    error = json.loads(failed.stdout)["error"]
    assert error == frames("run", name, "--output", "json", expect=1).json()["error"]
    assert 'raise RuntimeError("the API is away")' in failed.stderr
