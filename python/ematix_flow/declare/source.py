"""Where rows come from: a query, a table, or several of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import a, qualified
from ..ground.values import names, plain
from .connections import ConnectionLike, connection_name
from .frames import HeldFrame, as_frame


class Source:
    """Where rows come from; made by one of its methods. Nothing is read before a run.

    >>> Source.postgres_table("crm", "app", "customers")
    Source.postgres_table('crm', 'app.customers')
    """

    def __init__(self, connection: str | None, said: dict[str, Any], kind: str, members: Sequence[Source] = ()) -> None:
        self.connection = connection
        self._said = said
        self._kind = kind
        self._union = members
        self.frame: HeldFrame | None = None

    @staticmethod
    @told_at_the_line
    def postgres_query(connection: ConnectionLike, query: str, *, params: Mapping[str, Any] | None = None) -> Source:
        """The rows of one SELECT statement; it may end in `;` or a comment, and runs read-only.

        `params` fills `:name` (a value) and `{name}` (an identifier), as `[vars]` and `for_each` do in TOML.

        >>> Source.postgres_query("crm", "SELECT * FROM app.customers")
        Source.postgres_query('crm', 'SELECT * FROM app.customers')
        """
        if not isinstance(query, str) or not query.strip():
            raise SpecError(
                f"Source.postgres_query: {query!r} is not a query", code="invalid_value", hint="give one SELECT as text"
            )
        said: dict[str, Any] = {"query": query}
        if params:
            said["params"] = {str(name): plain(value) for name, value in params.items()}
        return Source(connection_name(connection, "Source.postgres_query"), said, "postgres_query")

    @staticmethod
    @told_at_the_line
    def postgres_table(
        connection: ConnectionLike, schema: str, table: str, columns: Sequence[str] | None = None
    ) -> Source:
        """All rows of a table or view; `columns` leaves the others out."""
        for name in (schema, table):
            if not isinstance(name, str) or not name:
                raise SpecError(f"Source.postgres_table: {name!r} is not a name", code="invalid_value")
        said: dict[str, Any] = {"table": qualified(schema, table)}
        if columns is not None:
            said["columns"] = names(columns, "Source.postgres_table")
        return Source(connection_name(connection, "Source.postgres_table"), said, "postgres_table")

    @staticmethod
    @told_at_the_line
    def query(connection: ConnectionLike, query: str) -> Source:
        """The rows of one SELECT statement, in the SQL of whatever the connection leads to: Postgres, MySQL or SQLite.

        >>> Source.query("crm", "SELECT id, `name` FROM orders WHERE updated_at > :watermark")
        Source.query('crm', 'SELECT id, `name` FROM orders WHERE updated_at > :watermark')
        """
        if not isinstance(query, str) or not query.strip():
            raise SpecError(
                f"Source.query: {query!r} is not a query", code="invalid_value", hint="give one SELECT as text"
            )
        return Source(connection_name(connection, "Source.query"), {"query": query}, "query")

    @staticmethod
    @told_at_the_line
    def table(connection: ConnectionLike, table: str) -> Source:
        """All rows of a table or view: `schema.table` of Postgres, `table` or `database.table` of MySQL, `table` of SQLite.

        >>> Source.table("crm", "orders")
        Source.table('crm', 'orders')
        """
        if not isinstance(table, str) or not table:
            raise SpecError(f"Source.table: {table!r} is not a name", code="invalid_value")
        return Source(connection_name(connection, "Source.table"), {"table": table}, "table")

    @staticmethod
    @told_at_the_line
    def union_all(*sources: Source) -> Source:
        """The rows of several sources, by the names of their columns; from one or from several connections.

        >>> Source.union_all(Source.postgres_table("eu", "app", "o"), Source.postgres_table("us", "app", "o"))
        Source.union_all(Source.postgres_table('eu', 'app.o'), Source.postgres_table('us', 'app.o'))
        """
        if not sources or not all(isinstance(source, Source) for source in sources):
            raise SpecError("Source.union_all: give one or more sources", code="invalid_value")
        members = [member for source in sources for member in source._members()]
        said = {"union": [member.export() for member in members]}
        return Source(None, said, "union_all", members)

    @staticmethod
    @told_at_the_line
    def files(
        pattern: str,
        format: Literal["parquet", "csv", "json"] | None = None,
        *,
        compression: Literal["none", "gzip", "zstd"] | None = None,
        csv: Mapping[str, Any] | None = None,
        storage: Mapping[str, str] | None = None,
    ) -> Source:
        """The rows of files: of a path, a glob or an address, as `files` in pipelines.toml.

        Format and compression are those that the names end in, unless said. `csv` has `delimiter`, `quote`, `null` and, for
        files without a first line of names, `columns`; `storage` says where an object store is: `endpoint`, `region` …

        >>> Source.files("landing/*.csv.gz", csv={"delimiter": ";"})
        Source.files('landing/*.csv.gz')
        """
        if not isinstance(pattern, (str, os.PathLike)) or not os.fspath(pattern):
            raise SpecError(f"Source.files: {pattern!r} is no path", code="invalid_value", hint='"landing/*.csv"')
        said: dict[str, Any] = {"files": os.fspath(pattern)}
        options = {"format": format, "compression": compression, "csv": csv, "storage": storage}
        said |= {name: plain(value) for name, value in options.items() if value is not None}
        return Source(None, said, "files")

    @staticmethod
    @told_at_the_line
    def parquet(path: str, *, storage: Mapping[str, str] | None = None) -> Source:
        """The rows of Parquet files."""
        return Source.files(path, "parquet", storage=storage)

    @staticmethod
    @told_at_the_line
    def csv(
        path: str,
        *,
        delimiter: str | None = None,
        quote: str | None = None,
        null: str | None = None,
        columns: Sequence[str] | None = None,
        storage: Mapping[str, str] | None = None,
    ) -> Source:
        """The rows of CSV files: each value is read as the type that the target declares, else it is text."""
        given = {"delimiter": delimiter, "quote": quote, "null": null, "columns": columns and list(columns)}
        csv = {name: value for name, value in given.items() if value is not None}
        return Source.files(path, "csv", csv=csv or None, storage=storage)

    @staticmethod
    @told_at_the_line
    def json(path: str, *, storage: Mapping[str, str] | None = None) -> Source:
        """The rows of JSON files: an object a line, or one array of objects."""
        return Source.files(path, "json", storage=storage)

    @staticmethod
    @told_at_the_line
    def http(
        url: str,
        *,
        records: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        paginate: Literal["link_header"] | Mapping[str, Any] | None = None,
        auth: Mapping[str, Any] | None = None,
        rate_limit: str | None = None,
        method: Literal["GET", "POST"] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: str | None = None,
        max_bytes: int | None = None,
        max_pages: int | None = None,
        retries: int | None = None,
    ) -> Source:
        """The rows that an API answers as JSON, a page at a time, as `http` in pipelines.toml.

        `":watermark"` in `params` is how far the last run came. `"${env:TOKEN}"` stands for what nobody may read, and is
        looked up when a run begins.

        >>> Source.http("https://api.example.org/issues", records="items", paginate={"cursor": "next"})
        Source.http('https://api.example.org/issues')
        """
        if not isinstance(url, str) or not url:
            raise SpecError(f"Source.http: {url!r} is no address", code="invalid_value", hint='"https://…"')
        options = {
            "records": records,
            "params": params,
            "headers": headers,
            "paginate": paginate,
            "auth": auth,
            "rate_limit": rate_limit,
            "method": method,
            "body": body,
            "timeout": timeout,
            "max_bytes": max_bytes,
            "max_pages": max_pages,
            "retries": retries,
        }
        said = {name: plain(value) for name, value in options.items() if value is not None}
        return Source(None, {"http": {"url": url} | said}, "http")

    @staticmethod
    def of_frame(frame: HeldFrame) -> Source:
        """The rows of a frame, which is kept as long as the source."""
        found = Source(None, {"frame": frame.export()}, "of_frame")
        found.frame = frame
        return found

    def export(self) -> dict[str, Any]:
        """The source as pipelines.toml has it."""
        return {**self._said} if self.connection is None else {"connection": self.connection, **self._said}

    def connections(self) -> set[str]:
        """The names of the connections that it reads."""
        found: set[str] = set()
        self.add_connections(found)
        return found

    def add_connections(self, found: set[str]) -> None:
        """Adds the names of the connections that it reads."""
        if self.connection:
            found.add(self.connection)
        for member in self._union:
            member.add_connections(found)

    def _members(self) -> Sequence[Source]:
        """The sources that it consists of: a union's, else itself."""
        return self._union or [self]

    def __repr__(self) -> str:
        if self._union:
            return f"Source.{self._kind}({', '.join(map(repr, self._union))})"
        if self.frame is not None:
            return f"<Source of {self.frame.words}>"
        shown = next(iter(self._said.values()))
        if self._kind == "http":
            # Behind the ? may stand a key.
            shown = shown["url"].partition("?")[0]
        first = "" if self.connection is None else f"{self.connection!r}, "
        return f"Source.{self._kind}({first}{shown!r})"


def as_source(value: object, where: str) -> Source:
    """A source, or an error that says how to make one of what was given."""
    if isinstance(value, Source):
        return value
    if isinstance(value, str):
        hint = 'write Source.postgres_query(connect("name"), "SELECT …")'
    elif (frame := as_frame(value)) is not None:
        return Source.of_frame(frame)
    else:
        hint = "a source is Source.postgres_query(…), Source.files(…), Source.http(…) or a frame"
    raise SpecError(f"{where}: {a(type(value))} is not a source", code="invalid_value", hint=hint)
