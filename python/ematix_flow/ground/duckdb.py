"""DuckDB through the module that the user has: files that it has open in this process are opened once more, not twice.

Called by the native half, and by `connect` for a connection that is handed over. When the first file is opened, of the
module its native half is imported, which has all that statements need in a third of the time; the rest comes with the
first rows that pass as Arrow.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from duckdb import DuckDBPyConnection

OLDEST = (1, 4)

# As duckdb.connect() declares it.
Settings = dict[str, str | bool | int | float | list[str]]
Answer = tuple[list[str], list[tuple[str | None, ...]], int]


class Connection:
    """A session on a database; its zone is UTC, in which instants are written and read."""

    def __init__(
        self,
        *,
        name: str,
        file: str | None,
        handed: bool,
        read_only: bool,
        memory_limit: str | None,
        threads: int | None,
        temp_directory: str | None,
        storage_version: str | None,
    ) -> None:
        library()
        said = {"memory_limit": memory_limit, "threads": threads, "temp_directory": temp_directory}
        settings: Settings = {setting: str(value) for setting, value in said.items() if value is not None}
        self._connection: DuckDBPyConnection
        if handed:
            self._connection = _of_users(name)
        elif file is None:
            self._connection = _in_memory(name, settings)
        else:
            if storage_version is not None and not read_only:
                _make_file(file, storage_version)
            self._connection = opened_alone(file, read_only, settings)
        # The zone as a setting of connect() fails: the extension that knows zones is loaded afterwards. The bar writes to
        # where answers go: from `python -c` and in notebooks, where it is on unless told. Without the last a UUID leaves
        # as text.
        self._connection.execute(
            "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET arrow_lossless_conversion = true"
        )

    def run(self, sql: str) -> list[Answer]:
        """Runs statements one after another; of each its columns, its rows as texts, and how many rows it touched."""
        answers: list[Answer] = []
        for statement in self._connection.extract_statements(sql):
            cursor = self._connection.execute(statement)
            names = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall()
            # So DuckDB answers a statement that writes, and no other of ours.
            if names == ["Count"]:
                answers.append(([], [], rows[0][0] if rows else 0))
            else:
                answers.append((names, [tuple(map(text, row)) for row in rows], len(rows)))
        return answers

    def query(self, sql: str) -> Any:
        """The rows of a query: an object with `__arrow_c_stream__`, of which they are read as they come."""
        whole_module()
        return self._connection.sql(sql)

    def append(self, table: str, _ematix_rows: Any) -> int:
        """Takes the rows of a capsule of a stream into a table, which has their columns in their order; how many."""
        whole_module()
        # The library looks the name of the parameter up.
        taken = self._connection.execute(f"INSERT INTO {table} SELECT * FROM _ematix_rows").fetchone()
        return taken[0] if taken else 0

    def interrupt(self) -> None:
        """Ends the statement that another thread runs."""
        self._connection.interrupt()

    def close(self) -> None:
        """Rolls back what is open."""
        self._connection.close()


def library() -> ModuleType:
    """The native half of the module, of a version that is new enough.

    Raises:
        ImportError: There is no module, or it is too old.
    """
    try:
        native = import_module("_duckdb")
    except ModuleNotFoundError:
        # Before 1.4 it had another name.
        native = import_module("duckdb")
    version = tuple(int(part) for part in native.__version__.split(".")[:2])
    if version < OLDEST:
        raise ImportError(f"the module duckdb is {native.__version__}, older than {OLDEST[0]}.{OLDEST[1]}")
    return native


def whole_module() -> None:
    """Imports all of the module, which the native half would do itself in the middle of a statement."""
    import_module("duckdb")


def hand_over(connection: DuckDBPyConnection) -> str:
    """Takes a connection of the user's, of which sessions become cursors; the name by which it is asked for."""
    with _lock:
        for name, known in _handed.items():
            if known is connection:
                return name
        name = f"duckdb_object_{len(_handed) + 1}"
        _handed[name] = connection
        return name


# What users have handed over, by the name that it got, and the databases in memory by the name of their connection. Both
# live as long as the process: a name may be asked for at any time.
_handed: dict[str, DuckDBPyConnection] = {}
_memories: dict[str, tuple[Settings, DuckDBPyConnection]] = {}
_lock = threading.Lock()


def _of_users(name: str) -> DuckDBPyConnection:
    with _lock:
        connection = _handed.get(name)
    if connection is None:
        raise FileError(f"Connection Error: no open connection was handed over as {name} in this process")
    return connection.cursor()


def _in_memory(name: str, settings: Settings) -> DuckDBPyConnection:
    with _lock:
        if name not in _memories:
            _memories[name] = settings, library().connect(config=dict(settings))
        first, connection = _memories[name]
    if first != settings:
        raise FileError("Connection Error: it is open in memory with a different configuration")
    return connection.cursor()


def _make_file(file: str, version: str) -> None:
    """Makes an empty file of an older version. As a setting of connect() every later connection would have to say it."""
    with _lock, library().connect() as connection:
        if not os.path.exists(file):
            path, version = (text.replace("'", "''") for text in (file, version))
            connection.execute(f"ATTACH '{path}' AS made (STORAGE_VERSION '{version}')")
            connection.execute("DETACH made")


def opened_alone(file: str, read_only: bool, settings: Settings) -> DuckDBPyConnection:
    """Opens a file; another database object of this process that is just being closed is waited for."""
    attempts = 40
    while True:
        connection: DuckDBPyConnection = library().connect(file, read_only=read_only, config=dict(settings))
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
