"""The function of a pipeline ends where its command is asked to: alone or with its whole group, and whatever it does."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow, Running
from python_package import PACKAGE

pytestmark = pytest.mark.clock

JOBS = """
import ctypes, time
from ematix_flow import ematix

def begun():
    open("begun", "w").close()

@ematix.pipeline(target="dw.t", mode="merge", keys="id", source_connection="default")
def asleep(conn):
    begun()
    time.sleep(60)

@ematix.pipeline(target="dw.t", mode="merge", keys="id", source_connection="default")
def asking(conn):
    begun()
    conn.query("SELECT pg_sleep(60)")

@ematix.pipeline(target="dw.t", mode="merge", keys="id", source_connection="default")
def deaf(conn):
    begun()
    # Keeps Python's lock, so that no thread of its process can do anything.
    while True:
        ctypes.PyDLL(None).sleep(60)
"""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
SIGNALS = {"SIGINT": (signal.SIGINT, 130), "SIGTERM": (signal.SIGTERM, 143)}


def start(flow: Flow, *arguments: str) -> tuple[Running, int]:
    """The command, and the process in which its function runs by now."""
    flow.variables |= {"EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": str(PACKAGE), "PYTHONSAFEPATH": ""}
    (flow.directory / "jobs.py").write_text(JOBS, encoding="utf-8")
    running = flow.start("--module", "jobs", *arguments)
    wait_until((flow.directory / "begun").exists, "the function runs")
    (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split() or of_threads(running.pid)
    return running, int(child)


def of_threads(pid: int) -> list[str]:
    """Children of other threads than the first."""
    return " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")).split()


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("function", ["asleep", "asking"])
@pytest.mark.parametrize("reaches", ["the group", "flow alone"])
@pytest.mark.parametrize("name", SIGNALS)
def test_a_wish_to_stop_ends_the_function(
    name: str, reaches: str, function: str, command: str, flow: Flow, database: Database
) -> None:
    running, child = start(flow, command, function, "--output", "json")
    number, code = SIGNALS[name]
    if reaches == "the group":
        os.kill(child, number)
    os.kill(running.pid, number)
    began = time.monotonic()
    ended = running.finish(code)
    assert time.monotonic() - began < 20
    document = ended.json()
    error: dict[str, Any] = document["error"] if command == "run" else document["pipelines"][0]["errors"][0]
    assert (error["code"], error["context"]["signal"]) == ("cancelled", name)
    assert "Traceback" not in ended.stderr and "import_failed" not in str(ended)
    assert is_gone(child)
    wait_until(lambda: database.value(SESSIONS) == 0, "the function's session is gone")


def test_a_function_that_hears_nothing_is_killed(flow: Flow) -> None:
    running, child = start(flow, "run", "deaf")
    running.terminate()
    running.finish(143, timeout=30)
    assert is_gone(child)


def test_a_function_ends_where_its_command_was_killed(flow: Flow) -> None:
    running, child = start(flow, "run", "asleep")
    running.kill()
    running.finish(-9)
    wait_until(lambda: is_gone(child), "the function's process is gone")


def test_a_function_finds_no_input_and_does_not_wait_for_any(flow: Flow) -> None:
    flow.variables |= {"EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": str(PACKAGE), "PYTHONSAFEPATH": ""}
    (flow.directory / "jobs.py").write_text(
        "import sys\nfrom ematix_flow import ematix\nassert sys.stdin.read() == ''\n"
        '@ematix.pipeline(target="dw.t", mode="truncate", source_connection="default")\n'
        "def p(conn):\n    return f\"SELECT '{sys.stdin.read()}' AS said\"\n"
    )
    assert flow("--module", "jobs", "run", "p", "--output", "json", timeout=60).json()["rows_inserted"] == 1
