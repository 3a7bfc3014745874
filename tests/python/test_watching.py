"""`--watch`: a terminal that is drawn anew in place and left as it was, and lines for programs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from database import Database
from flow_binary import Flow, Running
from ptyprocess import PtyProcess
from test_status import project, run

pytestmark = pytest.mark.clock

OPEN, SHUT = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
SLOW = """
[pipelines.slow]
source = {{ query = "SELECT 1::bigint AS id, pg_sleep({seconds})::text AS t{more}" }}
target = "public.slow"
keys = "id"
mode = "merge"
"""


@contextmanager
def terminal(flow: Flow, *arguments: str, rows: int = 24) -> Iterator[PtyProcess]:
    variables = flow.environment({"TERM": "xterm", "LC_ALL": "C.UTF-8"})
    process = PtyProcess.spawn(
        [str(flow.binary), *arguments], cwd=str(flow.directory), env=variables, dimensions=(rows, 120)
    )
    try:
        yield process
    finally:
        process.close(force=True)


def seen(process: PtyProcess, until: str | None = None) -> str:
    """What the terminal gets until a text comes, or to the end."""
    deadline, told = time.monotonic() + 60, b""
    while time.monotonic() < deadline:
        try:
            told += process.read(65536)
        except EOFError:
            return told.decode()
        if until is not None and until in told.decode(errors="ignore"):
            return told.decode(errors="ignore")
    raise AssertionError(f"never: {until or 'the end'}, but {told!r}")


def ended(process: PtyProcess) -> int | None:
    process.wait()
    return process.exitstatus


def frames(text: str) -> list[str]:
    return text.split("\x1b[?2026h\x1b[H")[1:]


def begun(flow: Flow, database: Database, **values: str) -> tuple[Running, str]:
    """A run that goes on, and its id."""
    flow.project(SLOW.format(**{"more": "", **values}))
    running = flow.start("run", "slow")
    question = "SELECT run_id::text FROM ematix_flow.run_history WHERE status = 'running'"
    there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'ematix_flow' AND tablename = 'run_history'"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if database.value(there) and (rows := database.rows(question)):
            return running, rows[0][0]
        time.sleep(0.05)
    raise AssertionError("the run has not begun")


def test_a_terminal_is_drawn_in_place_fits_its_window_and_is_left_as_it_was(flow: Flow, database: Database) -> None:
    flow.project(project(*(f"p{number:02}" for number in range(12))))
    flow("run", "p00")
    with terminal(flow, "status", "--watch=0.3") as process:
        first = seen(process, "\x1b[?2026l")
        assert first.index(OPEN) < first.index(HIDDEN) < first.index("p00")
        assert "never ran" in first
        run(database, "p01", "failed", 1, error_code="target_failed")
        changed = frames(seen(process, "✗") + seen(process, "\x1b[?2026l"))
        # Nothing is wiped before it is drawn over.
        assert all("\x1b[2J" not in frame for frame in changed)
        process.setwinsize(8, 120)
        small = frames(seen(process, "lines more: a higher window shows them") + seen(process, "\x1b[?2026l"))[0]
        assert small.count("\r\n") <= 7
        process.sendintr()
        last = seen(process)
        assert last.index(SHOWN) < last.index(SHUT) < last.rindex("p11"), "the last answer stays"
        assert ended(process) == 0


def test_sigterm_leaves_the_terminal_as_it_was_and_says_so(flow: Flow, database: Database) -> None:
    flow.project(project("p"))
    with terminal(flow, "history", "--watch=0.3") as process:
        seen(process, "no runs yet")
        process.kill(signal.SIGTERM)
        assert SHUT in seen(process)
        assert ended(process) == 143


def test_a_database_that_goes_away_is_told_and_waited_for(flow: Flow, database: Database) -> None:
    flow.project(project("p"))
    flow("run", "p")
    with terminal(flow, "status", "--watch=0.3") as process:
        seen(process, "success")
        database.execute("ALTER TABLE ematix_flow.run_history RENAME TO away")
        told = seen(process, "error[")
        assert "success" in told + seen(process, "\x1b[?2026l")
        database.execute("ALTER TABLE ematix_flow.away RENAME TO run_history")
        process.sendintr()
        seen(process)
        assert ended(process) == 0


def test_elsewhere_it_is_refused_with_the_form_that_is_not(flow: Flow, database: Database) -> None:
    flow.project(project("p"))
    for command in (["status"], ["history"], ["logs", "5d21c0fe"]):
        refused = flow(*command, "--watch", expect=2)
        assert "draws on a terminal, and stdout is none" in refused.stderr
        assert f"`flow {command[0]} --watch --output ndjson`" in refused.stderr
        assert "one JSON document has" in flow(*command, "--watch", "--output", "json", expect=2).stderr
    assert "hint: seconds stand behind an equals sign: --watch=5" in flow("status", "--watch", "5", expect=2).stderr
    assert "a number of seconds" in flow("status", "--watch=0", expect=2).stderr


def test_lines_come_for_what_is_new_alone(flow: Flow, database: Database) -> None:
    flow.project(project("p", "q"))
    flow("run", "p")
    watching = flow.start("history", "--watch=0.2", "--output", "ndjson")
    stdout = watching.process.stdout
    assert stdout is not None
    assert json.loads(stdout.readline())["pipeline"] == "p"
    time.sleep(1)
    run(database, "q", "failed", 1, error_code="target_failed")
    assert json.loads(stdout.readline())["pipeline"] == "q"
    watching.interrupt()
    assert watching.finish().stdout == ""


def test_the_log_of_a_run_ends_with_it_and_with_its_exit_code(flow: Flow, database: Database) -> None:
    running, run_id = begun(flow, database, seconds="3")
    watching = flow.start("logs", run_id[-8:], "--watch=0.2", "--output", "ndjson")
    with terminal(flow, "logs", run_id[-8:], "--watch=0.2") as process:
        assert "running" in seen(process, "\x1b[?2026l")
        text = seen(process)
        assert "success" in text.rpartition(SHUT)[2]
        assert ended(process) == 0
    steps = [json.loads(line) for line in watching.finish(0).stdout.splitlines()]
    assert "insert" in [step["kind"] for step in steps]
    running.finish(0)


def test_the_log_of_a_run_that_is_refused_ends_with_4(flow: Flow, database: Database) -> None:
    running, run_id = begun(flow, database, seconds="2", more=" FROM generate_series(1, 2)")
    watching = flow.start("logs", run_id, "--watch=0.2", "--output", "ndjson")
    running.finish(4)
    watching.finish(4)
    # Of one that has ended, it is told at once.
    flow("logs", run_id, "--watch", "--output", "ndjson", expect=4)
