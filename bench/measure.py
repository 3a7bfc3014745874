"""What a command costs: seconds, WAL, rows that died in the target, and memory of the client and of the server.

- WAL is what the server wrote between the command's start and its end (`pg_current_wal_insert_lsn`); nothing else works there.
- Dead tuples are the rows of the target that were updated or deleted (`pg_stat_user_tables`): each leaves one dead version.
  Rows that a table lost with its file (TRUNCATE, DROP) are not among them.
- Memory is looked at in /proc every 50 ms, on Linux. Of the client it is the largest peak (`VmHWM`) of one of its processes:
  what the system says of a child that has ended (`ru_maxrss`) has the memory of its parent at the fork in it.
- Of the server it is the sum of the private memory (`RssAnon`) of the backends that came after the start, at its peak. Shared
  buffers are not in it. On a server elsewhere it is not known.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

EVERY_SECONDS = 0.05
# A backend tells its counts as it ends, shortly after its client.
GONE_SECONDS = 5.0
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type IN ('client backend', 'parallel worker')"
    " AND pid <> pg_backend_pid()"
)
DIED = (
    "SELECT coalesce(sum(n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables WHERE schemaname || '.' || relname LIKE %s"
)


@dataclass(frozen=True)
class Command:
    """A program to run, in a directory, with what its environment has besides."""

    words: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None


class CommandFailed(Exception):
    """A command ended in an error; the message is its first line that says so."""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    wal_bytes: int
    dead_tuples: int
    client_bytes: int | None
    server_bytes: int | None


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        int(statistics.median(cost.wal_bytes for cost in costs)),
        int(statistics.median(cost.dead_tuples for cost in costs)),
        middle_known([cost.client_bytes for cost in costs]),
        middle_known([cost.server_bytes for cost in costs]),
    )


def middle_known(figures: Sequence[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return int(statistics.median(known)) if known else None


def run(command: Command, watch: Watch | None = None) -> str:
    """Runs a command to its end; what it printed."""
    process = subprocess.Popen(
        list(command.words),
        env={**os.environ, **command.environment},
        cwd=command.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if watch:
        watch.client = process.pid
    output, _ = process.communicate()
    if process.returncode:
        raise CommandFailed(complaint(output) or f"{command.words[0]} ended with {process.returncode}")
    return output


def complaint(output: str) -> str:
    """The first line that speaks of an error, else the first.

    >>> complaint("Running with x\\n  Error: no such table\\nmore")
    'Error: no such table'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    spoken = (line for line in lines if any(word in line.lower() for word in ("error", "failed", "exception")))
    # A warning of Python begins with the file that gave it.
    return next(spoken, lines[0] if lines else "").split("UserWarning: ")[-1][:300]


def measured(commands: Sequence[Command], dsn: str, target: str) -> Cost:
    """The cost of commands, one after the other, on the server of `dsn`; `target` is the LIKE pattern of its tables."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        died = number(connection, DIED, target)
        wal = number(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'")
        postmaster = parent(connection.info.backend_pid)
        with watching(postmaster) as watch:
            started = time.perf_counter()
            for command in commands:
                run(command, watch)
            seconds = time.perf_counter() - started
        wal = number(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'") - wal
        until = time.monotonic() + GONE_SECONDS
        while number(connection, OTHERS) and time.monotonic() < until:
            time.sleep(0.01)
        # A table that was made anew counts from nothing.
        died = max(number(connection, DIED, target) - died, 0)
    return Cost(seconds, wal, died, watch.client_peak, watch.server_peak)


def number(connection: psycopg.Connection, query: str, *values: object) -> int:
    row = connection.execute(query, values or None).fetchone()
    return int(row[0]) if row else 0


def parent(pid: int) -> int | None:
    """The process that `pid` comes from, where it runs on this machine."""
    found = status(pid, "PPid")
    return found if found and status(found, "RssAnon") is not None else None


def status(pid: int, name: str) -> int | None:
    """A number in /proc/PID/status; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)
    return int(line.split()[1]) if line else None


def children(pid: int) -> set[int]:
    """The processes that a thread of `pid` has started and that still run."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(int(word) for word in task.read_text().split())
        except OSError:
            continue
    return found


def family(pid: int) -> set[int]:
    """A process and all that come from it."""
    found, new = {pid}, {pid}
    while new:
        new = set().union(*(children(each) for each in new)) - found
        found |= new
    return found


class Watch:
    """Looks at the memory of a client and of the server's new processes from its beginning to its end."""

    def __init__(self, postmaster: int | None) -> None:
        self.postmaster = postmaster
        self.client: int | None = None
        self.known = children(postmaster) if postmaster else set()
        self.client_peak: int | None = None
        self.server_peak: int | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self) -> None:
        while not self.ended.wait(EVERY_SECONDS):
            if self.client:
                peaks = [status(pid, "VmHWM") for pid in family(self.client)]
                self.client_peak = most(self.client_peak, [1024 * peak for peak in peaks if peak])
            if self.postmaster:
                held = (status(pid, "RssAnon") or 0 for pid in children(self.postmaster) - self.known)
                self.server_peak = most(self.server_peak, [1024 * sum(held)])


@contextmanager
def watching(postmaster: int | None) -> Iterator[Watch]:
    watch = Watch(postmaster)
    watch.thread.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.thread.join()


def most(before: int | None, found: list[int]) -> int | None:
    return max([*found, *([before] if before is not None else [])], default=None)
