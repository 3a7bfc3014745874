"""DuckDB through the module that the user has: files that it has open in this process are opened once more, not twice.

Called by the native half alone. The module is imported when the first file is opened.
"""

from __future__ import annotations

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
        self._connection: DuckDBPyConnection = duckdb.connect(file)
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


def text(value: Any) -> str | None:
    """A value as the native half reads it.

    >>> text(None), text(True), text(12), text("a")
    (None, 'true', '12', 'a')
    """
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
