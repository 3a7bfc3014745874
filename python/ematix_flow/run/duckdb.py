"""DuckDB through the module that the user has: files that it has open in this process are opened once more, not twice.

Called by the native half alone. The module is imported when the first file is opened.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OLDEST = (1, 4)

Answer = tuple[list[str], list[tuple[str | None, ...]], int]


class Connection:
    """A connection to a file; its zone is UTC, in which instants are written and read."""

    def __init__(self, file: str) -> None:
        import duckdb

        version = tuple(int(part) for part in duckdb.__version__.split(".")[:2])
        if version < OLDEST:
            raise ImportError(f"the module duckdb is {duckdb.__version__}, older than {OLDEST[0]}.{OLDEST[1]}")
        self._connection: DuckDBPyConnection = opened_alone(file)
        # As a setting of connect() it fails: the extension that knows zones is loaded afterwards.
        self._connection.execute("SET TimeZone = 'UTC'")

    def run(self, sql: str) -> list[Answer]:
        """Runs statements one after another; of each its columns, its rows as texts, and how many rows it touched."""
        import duckdb

        answers: list[Answer] = []
        for statement in duckdb.extract_statements(sql):
            cursor = self._connection.execute(statement)
            names = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall()
            # So DuckDB answers a statement that writes, and no other of ours.
            if names == ["Count"]:
                answers.append(([], [], rows[0][0] if rows else 0))
            else:
                answers.append((names, [tuple(map(text, row)) for row in rows], len(rows)))
        return answers

    def interrupt(self) -> None:
        """Ends the statement that another thread runs."""
        self._connection.interrupt()

    def close(self) -> None:
        """Rolls back what is open."""
        self._connection.close()


def opened_alone(file: str) -> DuckDBPyConnection:
    """Opens a file; another database object of this process that is just being closed is waited for."""
    import duckdb

    attempts = 40
    while True:
        connection = duckdb.connect(file)
        try:
            if sys.platform == "linux":
                refuse_a_second_database(file)
            return connection
        except BaseException as error:
            connection.close()
            attempts -= 1
            # What was open before a fork stays so.
            if attempts == 0 or not isinstance(error, SecondDatabaseError):
                raise
        time.sleep(0.025)


class FileError(Exception):
    """What is written through this connection could be lost; the words are as those of the library."""


class SecondDatabaseError(FileError):
    """The process has another database object on the file, which may be just being closed."""


def refuse_a_second_database(file: str) -> None:
    """Refuses a file, now open, that this process has open as another database object, too, or since before a fork.

    The lock of a file is one of POSIX: it does not stop the process that holds it, and a child does not have it. Of two
    objects, each overwrites what the other has written, without a word.

    Raises:
        FileError: What to do instead.
    """
    import fcntl

    open_here = descriptors(file)
    if len(open_here) > 1:
        raise SecondDatabaseError(
            "Second Database Error: this process has the file open as another database: by a hard link, or by another library than "
            "Python's module duckdb. What one writes, the other would overwrite"
        )
    for descriptor in open_here:
        # Asked on the descriptor that there is: closing one of the file's would let all locks of it go.
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            kind, _, _, _, holder = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        except OSError:  # A file system without locks.
            continue
        if kind != fcntl.F_UNLCK:
            raise FileError(
                f"Second Database Error: the file was open when this process was forked, and is that of process {holder}. What "
                "one writes, the other would overwrite"
            )


def descriptors(file: str) -> list[int]:
    """The descriptors of this process that write the file."""
    import fcntl

    of_file = os.stat(file)
    found = []
    for name in os.listdir("/proc/self/fd"):
        # The listing's own is gone by now.
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            same = (status.st_dev, status.st_ino) == (of_file.st_dev, of_file.st_ino)
            if same and fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                found.append(int(name))
    return found


def text(value: Any) -> str | None:
    """A value as the native half reads it.

    >>> text(None), text(True), text(12), text("a")
    (None, 'true', '12', 'a')
    """
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
