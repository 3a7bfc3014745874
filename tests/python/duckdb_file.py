"""A file of DuckDB as tests see it: opened for each question and let go again, so that `flow` can have it in between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb


@dataclass(frozen=True)
class DuckDbFile:
    """`execute` and `rows` as those of a `Database`; instants are in UTC."""

    path: Path

    @property
    def dsn(self) -> str:
        return f"duckdb:{self.path}"

    def connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.path))
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def execute(self, statements: str) -> None:
        """Runs statements, all or none of them."""
        with self.connect() as connection:
            connection.execute(f"BEGIN; {statements.rstrip().rstrip(';')}; COMMIT")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query).fetchall()

    def value(self, query: str) -> Any:
        [(value,)] = self.rows(query)
        return value

    def texts(self, query: str) -> list[tuple[str | None, ...]]:
        """The rows as DuckDB writes them."""
        return self.rows(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({query.strip().rstrip(';')})")

    def columns(self, query: str) -> list[tuple[str, str]]:
        """The names and types of a query's columns."""
        return [(name, of) for name, of, *_ in self.rows(f"DESCRIBE {query.strip().rstrip(';')}")]
