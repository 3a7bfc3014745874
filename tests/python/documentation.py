"""Pages of documentation as programs: the fenced blocks of a Markdown file, run in order.

Five languages are allowed, so that every block is either run or says that it is not:

`console`
    Lines that begin with `$ ` are commands for bash (`> ` goes on with the last one); what stands below is their
    output, stdout and stderr together, as in a pipe: without colour and progress. All blocks of a page share one
    directory, one environment (`export` lasts), and `$?`. A line `…` stands for any lines, none too. A run's id that
    an output of the page shows stands, in a later command, for the id of that run now.
`toml`
    The first line says where the block goes: `# pipelines.toml` writes the file, `# pipelines.toml, at the end` adds
    to it, `# pipelines.toml, instead of [pipelines.customers]` replaces that section. Without such a line the block
    must be TOML, no more.
`python`
    The first line says where the block goes, as with TOML: `# shop.py` writes the file, `# shop.py, at the end` adds to
    it. Without such a line the block must compile, no more. `python` in a console block is an interpreter that has
    the package.
`sql`
    Statements, each ending in `;` at the end of a line, run on the database of EMATIX_FLOW_DSN. Comments right below a
    statement are its result, as psql would draw it.
`text`
    Not run.

Outputs are compared after `normalised`: what differs between two runs of the same commands (times, run ids, instants,
durations, where the server is, and the widths that follow from them) is made equal on both sides.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.types.string import TextLoader

if sys.version_info >= (3, 11):
    import tomllib

LANGUAGES = ("console", "toml", "python", "sql", "text")
COMMAND_TIMEOUT_SECONDS = 60
INSTALLS_PACKAGE = 'pip install "ematix-flow[duckdb]"'
PACKAGE = Path(__file__).parent.parent.parent / "python"
# Whom the pages show: directories of the test become hers.
HOME = "/home/ada"
DEV_SERVER = f"{HOME}/.local/state/ematix-flow/dev"

FENCE = re.compile(r"^( *)```(\S*)\s*$")
PLACE = re.compile(r"^# (?P<file>[\w./-]+\.(toml|py))(?P<how>, at the end|, instead of \[(?P<section>.+)\])?$")


# --- a page -----------------------------------------------------------------------------------------------------


@dataclass
class Block:
    """One fenced block: its language, its lines without the fences, and the place of its first line (from 0)."""

    language: str
    lines: list[str]
    start: int
    indent: str = ""

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line in self.lines)


def blocks_of(markdown: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks: list[Block] = []
    open_block: Block | None = None
    for number, line in enumerate(markdown.splitlines()):
        fence = FENCE.match(line)
        if open_block is None:
            if fence:
                open_block = Block(fence[2], [], number + 1, fence[1])
        elif fence and not fence[2]:
            blocks.append(open_block)
            open_block = None
        else:
            open_block.lines.append(line.removeprefix(open_block.indent))
    if open_block is not None:
        raise AssertionError(f"line {open_block.start}: the block is never closed")
    return blocks


@dataclass(frozen=True)
class Command:
    """What is typed, and what a page says comes back."""

    shown: list[str]
    text: str
    expected: list[str]


def commands_of(block: Block) -> list[Command]:
    commands: list[Command] = []
    for line in block.lines:
        if line.startswith("$ "):
            commands.append(Command([line], line[2:], []))
        elif not commands:
            raise AssertionError(f"line {block.start + 1}: a console block begins with `$ `")
        elif line.startswith("> ") and not commands[-1].expected:
            last = commands[-1]
            commands[-1] = Command([*last.shown, line], f"{last.text}\n{line[2:]}", [])
        else:
            commands[-1].expected.append(line)
    return commands


@dataclass(frozen=True)
class Statement:
    """One SQL statement, and the result that its page shows below it."""

    shown: list[str]
    expected: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


def statements_of(block: Block) -> list[Statement]:
    statements: list[Statement] = []
    begun: list[str] = []
    result_may_follow = False
    for line in block.lines:
        if result_may_follow and line.startswith("--"):
            statements[-1].expected.append(line)
            continue
        begun.append(line)
        # A body between $$ holds semicolons of its own.
        result_may_follow = line.rstrip().endswith(";") and "\n".join(begun).count("$$") % 2 == 0
        if result_may_follow:
            statements.append(Statement(begun, []))
            begun = []
    if any(line.strip() for line in begun):
        raise AssertionError(f"line {block.start + 1}: the last statement does not end in `;`")
    return statements


# --- comparing --------------------------------------------------------------------------------------------------

# The last digits of a run's id, as they are printed.
RUN_ID = re.compile(r"\b[0-9a-f]{8}\b(?!-)")
VOLATILE = [
    (re.compile(r"postgresql://[^\s']+"), "<dsn>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"), "<batch>"),
    (RUN_ID, "<run>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d\d-\d\d \d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "<time>"),
    (re.compile(r"\b\d\d:\d\d(:\d\d(\.\d+)?)?\b"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? (µs|ms|s|min|h)\b"), "<duration>"),
    # A written time is longer by the digits of its microseconds.
    (re.compile(r"\b[\d,]+ bytes\b"), "<size>"),
    # pytest's.
    (re.compile(r"\bin \d+\.\d\ds$"), "in <duration>"),
    (re.compile(r"\b(on \S+, )?process \d+\b"), "<process>"),
    (re.compile(r"\bPostgres \d+(\.\d+)?\b.*"), "<postgres>"),
    # A timeline's bars are as long as the times between its versions.
    (re.compile(r"[├┤─▶]+"), " "),
    # A sparkline's are as high as runs took long.
    (re.compile(r"[▁▂▃▄▅▆▇█]"), "█"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r"\s+"), " "),
]


def normalised(line: str) -> str:
    """A line without what differs between two runs.

    >>> normalised("success  customers  3 in  0.05 s  (run 01dd2d5a)")
    'success customers 3 in <duration> (run <run>)'
    """
    for pattern, replacement in VOLATILE:
        line = pattern.sub(replacement, line)
    return line.strip()


def matches(expected: list[str], actual: list[str]) -> bool:
    """Whether the lines are the same; `…` in `expected` stands for any lines."""
    return _matches([normalised(line) for line in expected], [normalised(line) for line in actual])


def _matches(expected: list[str], actual: list[str]) -> bool:
    if not expected:
        return not actual
    if expected[0] == "…":
        return any(_matches(expected[1:], actual[skipped:]) for skipped in range(len(actual) + 1))
    return bool(actual) and _same(expected[0], actual[0]) and _matches(expected[1:], actual[1:])


def _same(one: str, other: str) -> bool:
    """Whether two lines are equal, but for a label that is cut (`…`) because its bar is short this time."""
    return one == other or any(
        "…" in cut and re.fullmatch(re.escape(cut).replace("…", ".*"), whole)
        for cut, whole in ((one, other), (other, one))
    )


def updated(page: list[str], actual: list[str]) -> list[str]:
    """What came, in the page's own words where only times and ids differ."""
    known = {normalised(line): line for line in page}
    return [known.get(normalised(line), line) for line in actual]


# --- running ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A command or statement whose output is not what its page shows."""

    line: int
    shown: list[str]
    expected: list[str]
    actual: list[str]

    def __str__(self) -> str:
        parts = [f"line {self.line}:", *self.shown, "--- the page", *self.expected, "--- now", *self.actual]
        return "\n".join(parts)


@dataclass
class PageRun:
    """A page under way: its directory, its environment, its database session.

    `directory` is its own and `environment` what its first command sees; `dev_server` is where `flow dev` would put
    its server.
    """

    directory: Path
    environment: Mapping[str, str]
    dev_server: Path
    differences: list[Difference] = field(default_factory=list)
    _run_ids: dict[str, str] = field(default_factory=dict)
    _connections: dict[str, psycopg.Connection[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True)
        self._state.write_text(f"cd {shlex.quote(str(self.project))}\n")

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def project(self) -> Path:
        return self.home / "shop"

    @property
    def _state(self) -> Path:
        return self.directory / "state.sh"

    def run(self, markdown: str) -> str:
        """Runs every block; the answer is the page with the outputs that came."""
        lines = markdown.splitlines()
        # From the last to the first, so that the places of the others stay what they were.
        done = [(block, self._run_block(block)) for block in blocks_of(markdown)]
        for block, new in reversed(done):
            lines[block.start : block.start + len(block.lines)] = [(block.indent + line).rstrip() for line in new]
        return "".join(line + "\n" for line in lines)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        # What a page leaves running says so in a file.
        for file in self.project.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGTERM)
        if self.dev_server.exists():
            self._bash("flow dev reset")
            # Its lock stays behind.
            shutil.rmtree(self.dev_server, ignore_errors=True)

    def _run_block(self, block: Block) -> list[str]:
        match block.language:
            case "console":
                return [line for command in commands_of(block) for line in self._run_command(command, block)]
            case "sql":
                return [line for statement in statements_of(block) for line in self._run_statement(statement, block)]
            case "toml" | "python":
                self._write(block)
            case "text":
                if INSTALLS_PACKAGE in block.text:
                    self._install()
            case other:
                raise AssertionError(f"line {block.start}: `{other}` is none of {', '.join(LANGUAGES)}")
        return block.lines

    def _install(self) -> None:
        """From now on `flow` is the package's."""
        programs = self.directory / "package"
        programs.mkdir(exist_ok=True)
        flow = programs / "flow"
        flow.write_text('#!/bin/sh\nexec python -m ematix_flow.cli "$@"\n')
        flow.chmod(0o755)
        with self._state.open("a") as state:
            state.write(f'export PATH={shlex.quote(str(programs))}:"$PATH"\n')

    # --- console

    def _run_command(self, command: Command, block: Block) -> Iterator[str]:
        text = RUN_ID.sub(lambda run: self._run_ids.get(run[0], run[0]), command.text)
        actual = [self._as_shown(line) for line in self._bash(text).splitlines()]
        expected = command.expected
        if matches(_without_blank_end(expected), _without_blank_end(actual)):
            shown_ids, ids = (RUN_ID.findall("\n".join(lines)) for lines in (expected, actual))
            if len(shown_ids) == len(ids):
                self._run_ids |= dict(zip(shown_ids, ids, strict=True))
        else:
            self.differences.append(Difference(block.start, command.shown, expected, actual))
            expected = updated(expected, actual)
        yield from command.shown
        yield from expected

    def _bash(self, text: str) -> str:
        """Runs it where the last one stopped: its directory, its exported variables, its `$?`."""
        script = f". {shlex.quote(str(self._state))}\n{text}\n{SAVE_STATE}"
        done = subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={
                **self.environment,
                "HOME": str(self.home),
                "EMATIX_FLOW_DEV_DIR": str(self.dev_server),
                "FLOW_DOCS_STATE": str(self._state),
            },
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        return done.stdout

    def _as_shown(self, line: str) -> str:
        for path, shown in ((self.dev_server, DEV_SERVER), (self.home, HOME)):
            line = line.replace(str(path), shown).replace(quote(str(path), safe=""), quote(shown, safe=""))
        return line.rstrip()

    # --- sql

    def _run_statement(self, statement: Statement, block: Block) -> Iterator[str]:
        actual = [f"-- {line}".rstrip() for line in self._query(statement.text)]
        expected = statement.expected
        if (actual or expected) and not matches(expected, actual):
            self.differences.append(Difference(block.start, statement.shown, expected, actual))
            expected = updated(expected, actual)
        yield from statement.shown
        yield from expected

    def _query(self, text: str) -> list[str]:
        """The result as psql draws it; nothing for a statement without rows to show."""
        dsn = self._bash('printf %s "$EMATIX_FLOW_DSN"')
        if dsn not in self._connections:
            connection = psycopg.connect(dsn, autocommit=True)
            connection.execute("SET TIME ZONE 'UTC'")
            for info in connection.adapters.types:
                connection.adapters.register_loader(info.oid, TextLoader)
            self._connections[dsn] = connection
        try:
            cursor = self._connections[dsn].execute(text.encode())
        except psycopg.Error as error:
            return [f"ERROR:  {line}" for line in [error.diag.message_primary or str(error)]]
        if cursor.description is None:
            return []
        return drawn([column.name for column in cursor.description], cursor.fetchall())

    # --- toml

    def _write(self, block: Block) -> None:
        if block.language == "python":
            compile(block.text, "block", "exec")
        elif sys.version_info >= (3, 11):
            tomllib.loads(block.text)
        place = PLACE.match(block.lines[0]) if block.lines else None
        if place is None:
            return
        path = Path(self._bash("pwd").rstrip("\n")) / place["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = block.text
        if place["how"]:
            text = "".join(line + "\n" for line in block.lines[1:])
            before = path.read_text(encoding="utf-8")
            text = with_section(before, place["section"], text) if place["section"] else f"{before}\n{text}"
        path.write_text(text, encoding="utf-8")


# `export -p` writes what `.` reads; the last exit code comes back by a subshell, as the last line of the state.
SAVE_STATE = """
code=$?
{ export -p; printf 'cd %q\\n(exit %d)\\n' "$PWD" "$code"; } >"$FLOW_DOCS_STATE"
"""


def with_section(text: str, header: str, section: str) -> str:
    """The file with `[header]`, up to the next header, replaced.

    >>> with_section("[a]\\nx = 1\\n[b]\\ny = 2\\n", "a", "[a]\\nx = 3\\n")
    '[a]\\nx = 3\\n[b]\\ny = 2\\n'
    """
    pattern = re.compile(rf"^\[{re.escape(header)}\]\n(?:(?!\[).*\n)*", re.MULTILINE)
    if not pattern.search(text):
        raise AssertionError(f"there is no [{header}] to be replaced")
    return pattern.sub(lambda _: section, text, count=1)


def drawn(names: list[str], rows: list[tuple[Any, ...]]) -> list[str]:
    """A result as psql draws it, without the count."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]

    def line(row: list[str]) -> str:
        return (" " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()

    return [line(names), "-" + "-+-".join("-" * width for width in widths) + "-", *map(line, cells)]


def _without_blank_end(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def clean_environment(binary: Path, directory: Path) -> dict[str, str]:
    """PATH with this `flow` first, and nothing of the caller's that a page could notice."""
    programs = directory / "bin"
    programs.mkdir(parents=True)
    (programs / "flow").symlink_to(binary)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(PACKAGE))} exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "PGTZ": "UTC",
        "EMATIX_FLOW_PYTHON": str(python),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Where the package is installed, pytest finds its plugin by itself.
        "PYTEST_PLUGINS": "ematix_flow.testing",
    }
