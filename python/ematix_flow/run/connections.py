"""Connections: a name that the core resolves, or a DSN. Nothing is opened before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload
from weakref import WeakSet

from ..declare.connections import NamedConnection, connection_name, name_for_good
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.secret import Secret, without_passwords
from .frames import Prefer, frame_of, library

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from typing_extensions import Self, Unpack

    from .._core import Features, RecordBatches, Session
    from ..declare.options import Mode, PipelineOptions
    from ..show.reports import RunReport

R = TypeVar("R")
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
NumericAs: TypeAlias = Literal["decimal", "float", "text"]
InfinityAs: TypeAlias = Literal["error", "null"]


class Connection(NamedConnection):
    """A connection that opens at its first use. Threads may share it; their statements wait for each other.

    >>> from ematix_flow import connect
    >>> connect("warehouse")
    <Connection warehouse>
    >>> connect(dsn="postgresql://me:secret@db/shop")
    <Connection postgresql://me:****@db/shop>

    It closes at the end of a `with`, or by `close()`; the next use opens it again.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        dsn: str | Secret | None = None,
        options: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        super().__init__(name, dsn=dsn, options=options)
        self._session: Session | None = None
        self._features: Features | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it; once is enough, and a second time does no harm."""
        with self._lock:
            session, self._session = self._session, None
            features, self._features = self._features, None
        if session is not None:
            session.close()
        if features is not None:
            features.close()

    def execute(self, statement: str, params: Params = None) -> int:
        """Runs a statement, and commits it. Gives the number of rows that it touched.

        Raises:
            ConnectError: no connection, or no log-in.
            TargetError: the statement failed; `.sqlstate` says why.

        >>> with connect("crm") as crm:  # on a server
        ...     crm.execute("UPDATE app.customers SET plan = :plan WHERE customer_id > :id", {"plan": "team", "id": 17})
        2
        """
        with self._lock:
            return self._opened().execute(statement, params)

    @overload
    def query(
        self, statement: str, params: Params = None, *, rows: Literal["dict"] = "dict"
    ) -> list[dict[str, Any]]: ...
    @overload
    def query(self, statement: str, params: Params = None, *, rows: Literal["tuple"]) -> list[tuple[Any, ...]]: ...
    @overload
    def query(self, statement: str, params: Params = None, *, rows: type[R]) -> list[R]: ...
    def query(self, statement: str, params: Params = None, *, rows: Any = "dict") -> Any:
        """The rows of a query: as dicts, as tuples, or as objects of a class.

        A class that declares a table is filled column by column; any other is called with the columns as keywords.

        Raises:
            ConnectError: no connection, or no log-in.
            TargetError: the query failed; `.sqlstate` says why.

        >>> with connect("crm") as crm:  # on a server
        ...     crm.query("SELECT customer_id, plan FROM app.customers WHERE plan = :plan", {"plan": "team"})
        ...     crm.query("SELECT count(*) FROM app.customers WHERE customer_id < $1", [42], rows="tuple")
        [{'customer_id': 42, 'plan': 'team'}]
        [(1,)]
        """
        if rows not in ("dict", "tuple") and not isinstance(rows, type):
            raise SpecError(f"query: rows is {rows!r}", code="invalid_value", hint='rows is "dict", "tuple" or a class')
        with self._lock:
            columns, found = self._opened().query(statement, params)
        return found if rows in ("tuple", tuple) else _shaped(columns, found, rows)

    def dbapi(self) -> Any:
        """A connection of psycopg to the same place, for what wants one; whoever asks commits and closes it.

        In a transform's function it commits and rolls back with the function.

        Raises:
            SpecError: `import_failed` where psycopg is not installed.
        """
        try:
            import psycopg
        except ImportError:
            raise SpecError(
                "dbapi: there is no psycopg", code="import_failed", hint='pip install "psycopg[binary]"'
            ) from None
        from .._core import Session

        self.check("dbapi")
        # The name is resolved as everywhere; nothing is opened for it.
        session = Session(*self._leads_to())
        try:
            return psycopg.connect(session.conninfo())
        except psycopg.Error as error:
            # Its frames and its `pgconn` hold the password, and what reports errors with their locals would send it.
            failure = type(error)(*error.args)
        raise failure

    def read_df(
        self,
        query_or_table: str,
        params: Params = None,
        *,
        prefer: Prefer = "auto",
        batch_rows: int | None = None,
        partition_on: str | None = None,
        numeric: NumericAs = "decimal",
        infinity: InfinityAs = "error",
    ) -> Any:
        """The rows of a query, or of a table by its name, as a frame of polars, else of pandas, else of pyarrow, else as
        an object that whatever reads Arrow can read; `prefer` names one. They are read in a session of their own, which
        only reads.

        `partition_on` names a column by whose values two sessions read a half each at the same time, and of the same
        instant; the order of the rows is then any. `numeric` and `infinity` say what becomes of what Arrow does not hold.

        Raises:
            ConnectError: no connection, or no log-in.
            SourceError: the query failed; `.sqlstate` says why.
            SpecError: `import_failed` where the library is not installed; `invalid_value` for numeric without precision.
            TargetError: `cast_failed` for a value that Arrow does not hold, with `row` and `column` in `.context`.

        >>> with connect("crm") as conn:  # on a server
        ...     conn.read_df("app.customers").shape
        (3, 3)
        """
        name = library(prefer, "read_df")
        batches = self._read(
            query_or_table,
            params,
            numeric=numeric,
            infinity=infinity,
            batch_rows=batch_rows,
            types="views" if name == "polars" else "all",
            partition_on=partition_on,
        )
        with batches:
            return frame_of(batches.frame(), name)

    def read_batches(
        self,
        query_or_table: str,
        params: Params = None,
        *,
        batch_rows: int = 65536,
        numeric: NumericAs = "decimal",
        infinity: InfinityAs = "error",
        plain: bool = False,
    ) -> RecordBatches:
        """The rows of a query, or of a table by its name, as Arrow batches that are read while they are taken, so that
        any number of rows passes in the memory of a few batches.

        It is an iterator of batches, or a stream for whatever reads Arrow (`__arrow_c_stream__`), once. It closes at its
        end, at the end of a `with`, by `close()`, and where nobody has it any more. `plain` has no type that polars does
        not know.

        Raises:
            ConnectError: no connection, or no log-in.
            SourceError: the query failed; `.sqlstate` says why.
            SpecError: `invalid_value` for numeric without precision.

        >>> with connect("crm") as conn:  # on a server
        ...     sum(len(batch) for batch in conn.read_batches("app.customers"))
        3
        """
        types = "plain" if plain else "all"
        return self._read(
            query_or_table, params, numeric=numeric, infinity=infinity, batch_rows=batch_rows, types=types
        )

    def _read(self, query_or_table: str, params: Params, **options: Any) -> RecordBatches:
        from .._core import read

        self.check("read")
        return read(*self._leads_to(), query_or_table, params, **options)

    def write_df(
        self,
        frame: Any,
        table: str,
        mode: Mode = "append",
        *,
        target: type[Any] | None = None,
        if_exists: Literal["use", "error"] = "use",
        dry_run: bool = False,
        **options: Unpack[PipelineOptions],
    ) -> RunReport:
        """Loads a frame into a table by a load strategy, as `pipeline.sync` loads a source: one plan, one transaction.

        Args:
            frame: what has `__arrow_c_stream__` or `__arrow_c_array__` (polars, pyarrow, duckdb …), a DataFrame of pandas,
                a list of dicts, dataclasses or pydantic models, or an iterator of these or of batches, which is read as
                it comes.
            table: "schema.table"; a table that does not exist is made, of the types that the frame has.
            mode: append, truncate, merge, scd1 or scd2.
            target: a declared class, whose types the values must have; its name must be `table`.
            if_exists: "error" refuses a table that exists.
            dry_run: run it and roll back.
            options: as in pipelines.toml: `keys`, `handle_deletes` …

        Raises:
            SpecError, DriftError, DataError, TargetError, ConnectError, LockedError: as it failed; nothing is written then.

        >>> report = connect("warehouse").write_df(  # on a server
        ...     [{"customer_id": 17, "plan": "free"}, {"customer_id": 42, "plan": "team"}],
        ...     "analytics.plans",
        ...     mode="merge",
        ...     keys="customer_id",
        ... )
        >>> report.rows_inserted
        2
        """
        return _writers[0](self, frame, table, mode, target, if_exists, dry_run, options)

    def features(self) -> Features:
        """What answers for feature views, with sessions of its own: questions do not wait for each other."""
        found = self._features
        if found is None:
            from .._core import Features

            self.check("features")
            with self._lock:
                if self._features is None:
                    self._features = Features(*self._leads_to())
                    _open.add(self)
                found = self._features
        return found

    def _leads_to(self) -> tuple[str | None, str | None]:
        """The DSN, or the name that stands for one."""
        return (None, self.name) if self._dsn is None else (self._dsn.reveal(), None)

    def _opened(self) -> Session:
        if self._session is None:
            # The native module takes as long to load as all of this package.
            from .._core import Session

            self.check("connect")
            self._session = Session(*self._leads_to())
            _open.add(self)
        return self._session

    # A copy opens a session of its own.
    def __copy__(self) -> Connection:
        return Connection(self.name, dsn=self._dsn, options=self._options)

    def __deepcopy__(self, memo: object) -> Connection:
        return Connection(self.name, dsn=self._dsn, options=self._options)

    # Neither a session nor a password can travel; the other side opens its own, by the connection's name.
    def __reduce__(self) -> tuple[Any, ...]:
        dsn = None if self._dsn is None else self._dsn.reveal()
        bare = None if dsn is None else without_passwords(dsn)
        return _rebuilt, (self.name, bare, self._left_behind or bare != dsn, self._options)


Writer: TypeAlias = "Callable[..., RunReport]"
_writers: list[Writer] = []


def written_by(writer: Writer) -> None:
    """Says who writes frames: a later layer, which runs pipelines."""
    _writers[:] = [writer]


_open: WeakSet[Connection] = WeakSet()


@overload
def connect(name: str | DuckDBPyConnection = "default", /) -> Connection: ...
@overload
def connect(
    dsn: str,
    /,
    *,
    read_only: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    temp_directory: str | None = None,
    storage_version: str | None = None,
) -> Connection: ...
@overload
def connect(
    *,
    dsn: str,
    read_only: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    temp_directory: str | None = None,
    storage_version: str | None = None,
) -> Connection: ...
@told_at_the_line
def connect(
    name: str | DuckDBPyConnection = "default",
    /,
    *,
    dsn: str | None = None,
    read_only: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    temp_directory: str | None = None,
    storage_version: str | None = None,
) -> Connection:
    """A connection by its name, by a DSN as psql takes it or `duckdb:file`, or through an open connection of DuckDB.
    Nothing is opened yet.

    A name stands for the first of: `EMATIX_FLOW_DSN_<NAME>`, and `[connections.NAME]` in
    `~/.ematix-flow/connections.toml`.

    Args:
        name: a name, `"duckdb:file"`, or what `duckdb.connect()` gave: loads then run on cursors of it, and see what is
            in its memory. It is never closed.
        dsn: a DSN.
        read_only: refused as a target; a file of DuckDB is opened for reading only.
        memory_limit: of DuckDB: how much memory it takes, `"1GB"`.
        threads: of DuckDB: how many threads work.
        temp_directory: of DuckDB: where it puts what does not fit into memory.
        storage_version: of DuckDB: the oldest version that is to read a file that is made, `"v1.0.0"`.

    >>> connect("warehouse").name
    'warehouse'
    >>> connect("duckdb:warehouse.duckdb", memory_limit="1GB")
    <Connection duckdb:warehouse.duckdb>
    """
    of_duckdb = {
        "memory_limit": memory_limit,
        "threads": threads,
        "temp_directory": temp_directory,
        "storage_version": storage_version,
    }
    options: dict[str, Any] = {option: value for option, value in of_duckdb.items() if value is not None}
    if not isinstance(name, str) and type(name).__name__ == "DuckDBPyConnection":
        return _handed_over(name, dsn is not None or read_only or bool(options))
    if isinstance(name, str) and name.startswith("duckdb:") and dsn is None:
        name, dsn = "default", name
    said = {**options, "read_only": True} if read_only else options
    if dsn is not None:
        if name != "default":
            raise SpecError("connect: a name and a DSN", code="conflicting_options", hint="give one of them")
        if options and not dsn.startswith("duckdb:"):
            raise SpecError(
                f"connect: `{next(iter(options))}` is for DuckDB, and the DSN leads elsewhere",
                code="conflicting_options",
            )
        return Connection(dsn=dsn, options=said)
    if said:
        raise SpecError(
            f"connect: `{next(iter(said))}` beside a name",
            code="conflicting_options",
            hint="say it where the connection is declared: [connections.NAME]",
        )
    return Connection(connection_name(name, "connect"))


def _handed_over(connection: Any, has_options: bool) -> Connection:
    from ..ground.duckdb import hand_over

    if has_options:
        raise SpecError(
            "connect: a connection that is open takes no options",
            code="conflicting_options",
            hint="say them where you open it: duckdb.connect(…, config={…})",
        )
    dsn = Secret("duckdb::python:")
    name = hand_over(connection)
    name_for_good(name, dsn)
    return Connection(name, dsn=dsn)


def close_named() -> None:
    """Closes the connections that are open by their names: those names lead elsewhere from now on."""
    for connection in list(_open):
        if connection._dsn is None:
            connection.close()


def _rebuilt(
    name: str | None,
    dsn: str | None,
    left_behind: bool = False,
    options: Mapping[str, str | int | bool] | None = None,
) -> Connection:
    connection = Connection(name, dsn=dsn, options=options)
    connection._left_behind = left_behind
    return connection


def _shaped(columns: list[str], rows: list[tuple[Any, ...]], shape: Any) -> list[Any]:
    dicts = [dict(zip(columns, row, strict=True)) for row in rows]
    if shape == "dict" or shape is dict:
        return dicts
    table = shape.__dict__.get("__ematix_table__")
    if table is None:
        return [shape(**row) for row in dicts]
    attributes = {column.name: attribute for attribute, column in table.columns.items()}
    found = []
    for row in dicts:
        item = shape.__new__(shape)
        item.__dict__.update((attributes.get(name, name), value) for name, value in row.items())
        found.append(item)
    return found


def _not_yet(name: str) -> SpecError:
    return SpecError(
        f"`{name}` is not supported yet",
        code="not_yet_supported",
        hint="this version knows the name but cannot do it; pipeline.sync loads from a query",
    )
