"""Partitions: tasks on any number of machines fill one table of the target's database, and one load takes its rows.

A task may run twice (Spark, Dask and Ray repeat what fails, and what is slow), so each attempt has a number of its own,
under which it commits its rows; of each partition the load takes the rows of one attempt.
"""

from __future__ import annotations

import itertools
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..declare.connections import ConnectionLike
from ..declare.frames import HeldFrame, as_frame
from ..declare.source import Source
from ..declare.targets import as_target
from ..ground.errors import FlowError, SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import a
from ..ground.secret import Secret
from . import engine
from .connections import Connection, connect
from .namespace import pipeline

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..declare.options import Mode, PipelineOptions
    from ..show.reports import RunReport

WHERE = "write_partitions"


@dataclass(frozen=True)
class Receipt:
    """What an attempt leaves: its rows are in the table, or it met what every other attempt would meet.

    It travels by pickle, and holds no row.
    """

    partition: int
    attempt: str
    rows: int
    refused: bytes | None = None

    def check(self) -> None:
        """Raises what refused the rows."""
        if self.refused is not None:
            raise pickle.loads(self.refused)


class Place:
    """Where a connection leads, on its way to other machines. It travels by pickle.

    A connection that has a name travels as its name: whoever opens it there resolves it, by EMATIX_FLOW_DSN_<NAME> or
    `~/.ematix-flow/connections.toml` of that machine. One that was made from a DSN travels as that DSN, with the password
    if it has one.
    """

    def __init__(self, dsn: Secret | None, name: str | None) -> None:
        self._dsn = dsn
        self._name = name

    @staticmethod
    def of(connection: Connection) -> Place:
        """Where a connection leads."""
        return Place(connection._dsn, connection.name)

    def connect(self) -> Connection:
        """The connection, here."""
        return Connection(self._name, dsn=self._dsn)

    def leads_to(self) -> tuple[str | None, str | None]:
        """The DSN, or the name that stands for one."""
        return self.connect()._leads_to()

    def __reduce__(self) -> tuple[Any, ...]:
        return _place, self.leads_to()

    def __repr__(self) -> str:
        return f"<Place {self._name or self._dsn or 'default'}>"


class Stage:
    """The table that tasks fill. It travels by pickle, with its place."""

    def __init__(self, place: Place, table: str) -> None:
        self.place = place
        self.table = table

    @staticmethod
    def open(connection: Connection, columns: Sequence[tuple[str, str]]) -> Stage:
        """Makes the table, of columns and their types."""
        from .._core import open_partitions

        place = Place.of(connection)
        return Stage(place, open_partitions(place.leads_to(), list(columns)))

    def write(self, frame: object, partition: int) -> Receipt:
        """Takes the rows of a partition in, over a connection of its own, as an attempt of its own.

        Raises:
            FlowError: what another attempt may not meet: no connection, no room.
        """
        from .._core import fill_partition

        attempt = str(uuid.uuid4())
        try:
            held = _frame(frame, partition)
            rows = 0 if held is None else fill_partition(self.place.leads_to(), self.table, attempt, held)
            return Receipt(partition, attempt, rows)
        except FlowError as error:
            if not _lasts(error):
                raise
            error.context.setdefault("partition", partition)
            return Receipt(partition, attempt, 0, pickle.dumps(error))

    def accept(self, columns: Sequence[str], attempts: Sequence[str]) -> str:
        """The query of the rows of these attempts."""
        from .._core import accept_partitions

        return accept_partitions(self.place.leads_to(), self.table, list(columns), list(attempts))

    def close(self) -> None:
        """Drops the table. One that cannot be dropped now is dropped by a later write, a day after it was made at most."""
        from .._core import close_partitions

        try:
            close_partitions(self.place.leads_to(), self.table)
        except FlowError:
            # What the load has said stands: the server is gone, or an attempt that nobody needs is still in the table.
            pass

    def __repr__(self) -> str:
        return f"<Stage {self.table} on {self.place!r}>"


def _lasts(error: FlowError) -> bool:
    """Whether another attempt would meet it again: what is wrong with the declaration, the rows, or the table."""
    # Classes of SQLSTATE: data exceptions, broken constraints, access and syntax.
    said = (error.sqlstate or "").startswith(("22", "23", "42"))
    return said or isinstance(error, SpecError) or error.code == "cast_failed"


def _place(dsn: str | None, name: str | None) -> Place:
    return Place(None if dsn is None else Secret(dsn), name)


def _frame(given: object, partition: int) -> HeldFrame | None:
    """What a partition is; None for an iterator that has nothing, not even columns."""
    frame = given() if callable(given) and as_frame(given) is None else given
    if isinstance(frame, Iterator):
        first = list(itertools.islice(frame, 1))
        if not first:
            return None
        frame = itertools.chain(first, frame)
    held = as_frame(frame)
    if held is None:
        raise SpecError(
            f"{WHERE}: partition {partition} is {a(type(frame))}, which is no frame",
            code="invalid_value",
            hint="a partition is a DataFrame, what has __arrow_c_stream__, an iterator of batches, or a function without "
            "arguments that returns one",
        )
    held.words = f"partition {partition}, {held.words}"
    return held


class Numbered:
    """Writes partitions that have their numbers with them: what `map` calls, here or on another machine."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def __call__(self, numbered: tuple[int, object]) -> Receipt:
        number, frame = numbered
        return self.stage.write(frame, number)


@told_at_the_line
def write_partitions(
    connection: ConnectionLike,
    partitions: Sequence[Any],
    table: str,
    mode: Mode = "append",
    *,
    map: Callable[..., Iterable[Any]] = map,
    schema: Any = None,
    target: type[Any] | None = None,
    if_exists: Literal["use", "error"] = "use",
    dry_run: bool = False,
    **options: Unpack[PipelineOptions],
) -> RunReport:
    """Loads partitions into a table by a load strategy, as `conn.write_df` loads a frame: one plan, one transaction.

    Each partition goes into a table of the target's database first, over a connection of whoever `map` lets write it.
    Then one run takes the rows of all of them.

    Args:
        connection: where the target is. One that has a name travels as its name, one of a DSN as the DSN.
        partitions: frames, as `conn.write_df` takes them, or functions without arguments that return one.
        table: "schema.table".
        mode: append, truncate, merge, scd1 or scd2.
        map: what calls a function with each of several things: `executor.map`, for Dask
            `lambda f, xs: client.gather(client.map(f, xs))`. It may call twice: one answer for each partition counts.
        schema: the columns, as a schema of pyarrow or a frame without rows; unless said, those of the first partition,
            which is opened here to look.
        target: as for `conn.write_df`, and so are the next ones.
        if_exists: "error" refuses a table that exists.
        dry_run: write the partitions, and load none.
        options: as in pipelines.toml.

    Raises:
        SpecError, DriftError, DataError, TargetError, ConnectError, LockedError: as it failed; nothing is loaded then.

    >>> from ematix_flow.df import write_partitions
    >>> halves = [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    >>> write_partitions("warehouse", halves, "public.ids", "merge", keys="id").rows_inserted  # on a server
    3
    """
    numbered = list(enumerate(partitions))

    def fill(stage: Stage) -> Iterable[Any]:
        return map(Numbered(stage), numbered)

    columns = _columns_of(numbered[0][1] if numbered and schema is None else schema)
    return load(WHERE, connection, columns, fill, len(numbered), table, mode, target, if_exists, dry_run, options)


def _columns_of(given: Any) -> HeldFrame:
    """What has the columns of all partitions."""
    frame: Any = given() if callable(given) and as_frame(given) is None else given
    if hasattr(frame, "empty_table"):
        frame = frame.empty_table()
    held = as_frame(frame)
    # What can be read once would be gone.
    if held is None or isinstance(frame, Iterator):
        what = "there is no partition" if given is None else f"the columns are not known of {a(type(frame))}"
        raise SpecError(
            f"{WHERE}: {what}",
            code="invalid_value",
            hint="say schema=, a schema of pyarrow or a frame without rows",
        )
    return held


def load(
    where: str,
    connection: ConnectionLike,
    columns: HeldFrame,
    fill: Callable[[Stage], Iterable[Any]],
    count: int | None,
    table: str,
    mode: Any,
    target: Any,
    if_exists: str,
    dry_run: bool,
    options: Mapping[str, Any],
) -> RunReport:
    """Lets partitions be written, and loads the rows of one attempt of each; `count` says how many there are."""
    if not isinstance(table, str):
        raise SpecError(f"{where}: {table!r} is no table", code="invalid_value", hint='write "schema.table"')
    if if_exists not in ("use", "error"):
        raise SpecError(f"{where}: if_exists is {if_exists!r}", code="invalid_value", hint='"use" or "error"')
    if target is not None and (named := as_target(target, where).name) != table:
        raise SpecError(
            f"{where}: the table is {table}, and the target {named}",
            code="conflicting_options",
            hint=f'write "{named}", or give another target',
        )
    conn = connection if isinstance(connection, Connection) else connect(str(connection))
    conn.check(where)
    # What is wrong with it is said before a task runs.
    before = pipeline.once(where, Source.of_frame(columns), target or table, conn, mode, None, options)
    found = engine.columns(before)
    stage = Stage.open(conn, found)
    try:
        attempts = accepted(where, fill(stage), count)
        query = stage.accept([name for name, _ in found], attempts)
        source = Source.postgres_query(conn, query)
        once = pipeline.once(where, source, target or table, conn, mode, None, options)
        request = {"dry_run": True} if dry_run else {}
        return engine.run(once, request | ({"new_target": True} if if_exists == "error" else {}))
    finally:
        stage.close()


def accepted(where: str, receipts: Iterable[Any], count: int | None) -> list[str]:
    """One attempt of each partition, the first that came.

    Raises:
        FlowError: what refused a partition.
        SpecError: `invalid_value` for an answer that is none, or a partition without one.
    """
    found: dict[int, str] = {}
    refused: list[Receipt] = []
    for receipt in receipts:
        if not isinstance(receipt, Receipt):
            raise SpecError(
                f"{where}: map gave {a(type(receipt))}, and no answer of a partition",
                code="invalid_value",
                hint="map gives what the function returns: lambda f, xs: client.gather(client.map(f, xs))",
            )
        if receipt.refused is None:
            found.setdefault(receipt.partition, receipt.attempt)
        else:
            refused.append(receipt)
    for receipt in refused:
        if receipt.partition not in found:
            receipt.check()
    lacking = [number for number in range(count or 0) if number not in found]
    if lacking:
        raise SpecError(
            f"{where}: map gave no answer of partition {lacking[0]} ({len(lacking)} of {count} lack one)",
            code="invalid_value",
            hint="map calls the function with each of the things, and gives every answer",
        )
    return list(found.values())
