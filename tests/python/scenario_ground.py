"""The databases on which scenarios are played: one of Postgres, or a file of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import duckdb_words
import psycopg
from database import Database
from duckdb_file import DuckDbFile
from scenario import BOOLEAN_OID, TIMESTAMPTZ_OID


class StatementError(Exception):
    """What the database says of a statement, in one line."""


@dataclass(frozen=True)
class Answer:
    """Columns and rows as text, and which of the columns are instants."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    instants: tuple[bool, ...]


class Ground(Protocol):
    """A database on which a scenario is played."""

    def execute(self, statements: str) -> None:
        """Runs what is given; statements sent together are undone together. StatementError where one fails."""

    def answer(self, query: str) -> Answer:
        """The rows of a query. StatementError where it fails."""

    def message(self, said: str) -> str:
        """What `flow` has said, in the words of Postgres."""

    def clock(self) -> str:
        """Its time, in UTC."""


@dataclass
class OnPostgres:
    """A database of Postgres; its reader is not the connection of the scenario's own SQL."""

    database: Database
    reader: psycopg.Connection[Any]

    def execute(self, statements: str) -> None:
        try:
            self.database.execute(statements)
        except psycopg.Error as error:
            raise StatementError(error.diag.message_primary or str(error)) from error

    def answer(self, query: str) -> Answer:
        try:
            found = self.reader.execute(query).pgresult
        except psycopg.Error as error:
            raise StatementError(error.diag.message_primary or str(error)) from error
        assert found is not None
        return Answer(
            tuple((found.fname(column) or b"").decode() for column in range(found.nfields)),
            tuple(tuple(text(found, row, column) for column in range(found.nfields)) for row in range(found.ntuples)),
            tuple(found.ftype(column) == TIMESTAMPTZ_OID for column in range(found.nfields)),
        )

    def message(self, said: str) -> str:
        return said

    def clock(self) -> str:
        found = self.reader.execute("SELECT clock_timestamp()").pgresult
        assert found is not None
        return found.get_value(0, 0).decode()


@contextmanager
def on_postgres(database: Database) -> Iterator[OnPostgres]:
    with database.connect() as reader:
        # The reader's settings decide how instants are written.
        reader.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'")
        yield OnPostgres(database, reader)


def text(answer: Any, row: int, column: int) -> str | None:
    value = answer.get_value(row, column)
    if value is None:
        return None
    if answer.ftype(column) == BOOLEAN_OID:
        return {b"t": "true", b"f": "false"}[value]
    return value.decode("utf-8")


@dataclass
class OnDuckDb:
    """A file of DuckDB, to which the SQL of a scenario is said in DuckDB's words."""

    file: DuckDbFile

    def execute(self, statements: str) -> None:
        try:
            self.file.execute(duckdb_words.statement(statements))
        except duckdb.Error as error:
            raise StatementError(str(error).splitlines()[0]) from error

    def answer(self, query: str) -> Answer:
        said = duckdb_words.statement(query)
        try:
            columns, rows = self.file.columns(said), self.file.texts(said)
        except duckdb.Error as error:
            raise StatementError(str(error).splitlines()[0]) from error
        return Answer(
            tuple(duckdb_words.heading(name) for name, _ in columns),
            tuple(
                tuple(duckdb_words.value(cell, *column) for cell, column in zip(row, columns, strict=True))
                for row in rows
            ),
            tuple(of == duckdb_words.INSTANT for _, of in columns),
        )

    def message(self, said: str) -> str:
        return duckdb_words.message(said)

    def clock(self) -> str:
        return str(self.file.value("SELECT CAST(now() AS VARCHAR)"))
