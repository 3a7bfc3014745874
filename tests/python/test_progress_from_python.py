"""What a script tells while a run goes on: a line that moves on a terminal, nothing elsewhere, and no trace of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from database import Database
from ptyprocess import PtyProcess
from python_package import Interpreter
from test_python_runs import sleeping, wait_until

pytestmark = pytest.mark.clock

HEAD = """
from ematix_flow import Source, pipeline
def load(query, **options):
    source = Source.postgres_query("crm", query)
    return pipeline.sync(source=source, target="public.t", target_connection="warehouse", mode="merge", keys="id", **options)
"""
# A kilobyte a row, so that rows leave the server as they come; two seconds in all.
STREAM = f'{HEAD}print("rows", load("SELECT i AS id, pg_sleep(0.002)::text, repeat(md5(i::text), 32) AS t FROM generate_series(1, 1000) AS i").rows_in)'
SLOW = f"""{HEAD}
try:
    load("SELECT 1 AS id, pg_sleep(60)::text AS t")
except KeyboardInterrupt:
    print("interrupted")
"""
WIPE = "\x1b[2K"


@pytest.fixture
def crm(new_database: Callable[[], Database]) -> Database:
    return new_database()


@pytest.fixture
def python(database: Database, crm: Database, tmp_path: Path) -> Interpreter:
    dsns = {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn, "EMATIX_FLOW_DSN_CRM": crm.dsn}
    return Interpreter(tmp_path, dsns | {"LC_ALL": "C.UTF-8", "TERM": "xterm", "PYTHONUTF8": "1"})


@contextmanager
def terminal(python: Interpreter, script: str, columns: int = 80, **variables: str) -> Iterator[PtyProcess]:
    file = python.write("script.py", script)
    process = PtyProcess.spawn(
        [sys.executable, "-W", "error", str(file)],
        cwd=str(python.directory),
        env=python.variables(**variables),
        dimensions=(24, columns),
    )
    try:
        yield process
    finally:
        process.close(force=True)


def told(process: PtyProcess, until: str | None = None) -> str:
    """What the terminal gets, to the end or until a text comes."""
    deadline, text = time.monotonic() + 30, b""
    while time.monotonic() < deadline:
        try:
            text += process.read(4096)
        except EOFError:
            return text.decode()
        if until is not None and until in text.decode(errors="ignore"):
            return text.decode(errors="ignore")
    raise AssertionError(f"never: {until or 'the end'}, but {text!r}")


def screen(text: str) -> list[str]:
    """What a person sees in the end: a carriage return goes to the beginning of a line, a wipe empties it."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        lines.append(line.rpartition(WIPE)[2].removeprefix("\r"))
    return [line for line in lines if line]


def drawn(text: str) -> list[str]:
    """The lines that moved, without the picture that turns."""
    return [re.sub(r"^  [\u2800-\u28ff] ", "", line) for line in re.findall(r"\x1b\[2K(  [^\r\n\x1b]+)", text)]


def test_a_line_tells_the_rows_as_they_stream_and_is_gone_in_the_end(python: Interpreter) -> None:
    with terminal(python, STREAM) as process:
        text = told(process)
        assert process.wait() == 0
    assert screen(text) == ["rows 1000"]
    streaming = [line for line in drawn(text) if "  source  " in line]
    assert streaming, drawn(text)
    for line in streaming:
        assert re.fullmatch(r"public\.t  source  [\d,]+ rows  \d+(\.\d)? [kM]B(  [\d,]+ rows/s)?(  \d+ s)?", line), line
    rows = [int(line.split("source  ")[1].split(" ")[0].replace(",", "")) for line in streaming]
    assert rows == sorted(rows) and rows[0] < rows[-1] <= 1000
    assert any("rows/s" in line for line in streaming)


def test_ctrl_c_wipes_the_line_and_cancels_on_the_server(
    python: Interpreter, database: Database, crm: Database
) -> None:
    with terminal(python, SLOW) as process:
        text = told(process, until="public.t  ")
        wait_until(lambda: sleeping(crm), "the statement runs")
        process.sendintr()
        text += told(process)
        assert process.wait() == 0
    assert screen(text) == ["interrupted"]
    # It had rolled back, and said so, when the script went on.
    assert database.value("SELECT status FROM ematix_flow.run_history") == "cancelled"
    wait_until(lambda: not sleeping(crm), "the statement is cancelled")


def test_a_run_that_raises_leaves_no_line(python: Interpreter) -> None:
    script = f'{HEAD}\nload("SELECT 1 / (i - 500) AS id, pg_sleep(0.001)::text FROM generate_series(1, 1000) AS i")'
    with terminal(python, script) as process:
        text = told(process)
        assert process.wait() == 1
    shown = screen(text)
    assert drawn(text) and shown[0] == "Traceback (most recent call last):"
    assert shown[-1] == "ematix_flow.errors.SourceError: the source's query failed: division by zero"


@pytest.mark.parametrize(
    "variables", [{"EMATIX_FLOW_NO_PROGRESS": "1"}, {"TERM": "dumb"}], ids=["EMATIX_FLOW_NO_PROGRESS", "TERM=dumb"]
)
def test_nothing_moves_where_nobody_wants_it(variables: dict[str, str], python: Interpreter) -> None:
    with terminal(python, STREAM, **variables) as process:
        assert told(process) == "rows 1000\r\n"


def test_nothing_moves_in_a_pipe(python: Interpreter) -> None:
    done = python.run(STREAM)
    assert (done.stdout, done.stderr) == ("rows 1000\n", "")


def test_a_narrow_terminal_cuts_the_line(python: Interpreter) -> None:
    with terminal(python, STREAM, columns=24) as process:
        text = told(process)
    assert screen(text) == ["rows 1000"]
    lines = re.findall(r"\x1b\[2K(  [^\r\n\x1b]+)", text)
    assert lines and max(map(len, lines)) <= 23


def test_a_terminal_without_unicode_gets_a_plain_picture(python: Interpreter) -> None:
    with terminal(python, STREAM, PYTHONUTF8="0", PYTHONIOENCODING="ascii") as process:
        text = told(process)
    assert screen(text) == ["rows 1000"] and text.isascii()
    assert re.search(r"\x1b\[2K  [|/\\-] public\.t  ", text)


def test_of_two_threads_one_has_the_line(python: Interpreter) -> None:
    script = f"""{HEAD}
from concurrent.futures import ThreadPoolExecutor
def one(name):
    source = Source.postgres_query("crm", "SELECT 1 AS id, pg_sleep(1)::text AS t")
    return pipeline.sync(source=source, target=f"public.{{name}}", target_connection="warehouse", mode="merge", keys="id").status
with ThreadPoolExecutor(2) as threads:
    print(sorted(threads.map(one, ["a", "b"])))
"""
    with terminal(python, script) as process:
        text = told(process)
    assert screen(text) == ["['success', 'success']"]
    assert len({line.split("  ")[0] for line in drawn(text)}) == 1


def test_another_handler_than_pythons_own_cancels_too(python: Interpreter, database: Database) -> None:
    script = f"""{HEAD}
import signal
def late(signum, frame):
    raise TimeoutError("too slow")
signal.signal(signal.SIGALRM, late)
signal.alarm(1)
try:
    load("SELECT 1 AS id, pg_sleep(60)::text AS t")
except TimeoutError as error:
    print(error)
"""
    with terminal(python, script) as process:
        assert screen(told(process)) == ["too slow"]
    assert database.value("SELECT status FROM ematix_flow.run_history") == "cancelled"
