"""Where rows come from: a query, a table, or several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import a, qualified
from ..ground.values import names, plain
from .connections import ConnectionLike, connection_name


class Source:
    """Where rows come from; made by one of its methods. Nothing is read before a run.

    >>> Source.postgres_table("crm", "app", "customers")
    Source.postgres_table('crm', 'app.customers')
    """

    def __init__(
        self, connection: str | None, said: Mapping[str, Any], kind: str, members: Sequence[Source] = ()
    ) -> None:
        self.connection = connection
        self._said = dict(said)
        self._kind = kind
        self._union = list(members)

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
    def parquet(path: str) -> Source:
        """The rows of Parquet files. This version refuses it at the run."""
        return Source(None, {"parquet": str(path)}, "parquet")

    @staticmethod
    @told_at_the_line
    def csv(path: str) -> Source:
        """The rows of CSV files. This version refuses it at the run."""
        return Source(None, {"csv": str(path)}, "csv")

    def export(self) -> dict[str, Any]:
        """The source as pipelines.toml has it."""
        said: dict[str, Any] = {} if self.connection is None else {"connection": self.connection}
        return said | self._said

    def connections(self) -> set[str]:
        """The names of the connections that it reads."""
        found = {self.connection} if self.connection else set()
        return found.union(*(member.connections() for member in self._union))

    def _members(self) -> Sequence[Source]:
        """The sources that it consists of: a union's, else itself."""
        return self._union or [self]

    def __repr__(self) -> str:
        if self._union:
            return f"Source.{self._kind}({', '.join(map(repr, self._union))})"
        shown = next(iter(self._said.values()))
        first = "" if self.connection is None else f"{self.connection!r}, "
        return f"Source.{self._kind}({first}{shown!r})"


def as_source(value: object, where: str) -> Source:
    """A source, or an error that says how to make one of what was given."""
    if isinstance(value, Source):
        return value
    if isinstance(value, str):
        hint = 'write Source.postgres_query(connect("name"), "SELECT …")'
    elif hasattr(value, "__arrow_c_stream__") or hasattr(value, "__dataframe__"):
        raise SpecError(
            f"{where}: a frame as a source is not supported yet",
            code="not_yet_supported",
            hint="write it to a table first, and load from that",
        )
    else:
        hint = "a source is Source.postgres_query(…) or Source.postgres_table(…)"
    raise SpecError(f"{where}: {a(type(value))} is not a source", code="invalid_value", hint=hint)
