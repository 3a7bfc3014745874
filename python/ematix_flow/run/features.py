"""Reads feature views: what models are served, and training sets. Rows cross as Arrow; a frame's library is imported when
one is asked for."""

from __future__ import annotations

import datetime as dt
import decimal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from ..declare.connections import ConnectionLike, connection_name
from ..declare.features import Asked, TrainingSet
from ..ground.errors import SpecError
from .connections import Connection
from .frames import Library, frame_of, is_there, library

if TYPE_CHECKING:
    import asyncio


# Connections that are known by their names alone: each keeps its pool.
_named: dict[str, Connection] = {}
_named_lock = threading.Lock()


def lookup(conn: ConnectionLike, asked: Asked) -> Any:
    """The features of one entity, or of several."""
    return _connection(conn, "lookup").features().lookup(asked.view, asked.columns, asked.keys, asked.many, asked.as_of)


def lookup_async(conn: ConnectionLike, asked: Asked) -> Awaitable[Any]:
    """The same, to be awaited: nothing waits in a thread."""
    return _awaited(
        lambda deliver: (
            _connection(conn, "lookup")
            .features()
            .lookup_then(asked.view, asked.columns, asked.keys, asked.many, asked.as_of, deliver)
        )
    )


def served_since(conn: ConnectionLike, view: str) -> dt.datetime | None:
    """When the last load began that is served of a view."""
    return _time(_connection(conn, "served_since").features().served_since(view))


async def served_since_async(conn: ConnectionLike, view: str) -> dt.datetime | None:
    """The same, to be awaited."""
    features = _connection(conn, "served_since_async").features()
    return _time(await _awaited(lambda deliver: features.served_since_then(view, deliver)))


def _time(said: str | None) -> dt.datetime | None:
    from ..show.answers import instant

    return None if said is None else instant(said)


async def _awaited(ask: Callable[[Callable[[Any, BaseException | None], None]], None]) -> Any:
    """What is delivered to whoever asks, from another thread."""
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def deliver(answer: Any, error: BaseException | None) -> None:
        # A loop that is closed has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, future, answer, error)

    ask(deliver)
    return await future


def _settle(future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)


def training_set(conn: ConnectionLike, wanted: TrainingSet) -> Any:
    """Features joined to a spine: a frame, or the number of rows of the table that it was written to."""
    import json

    made_as = _library(wanted) if wanted.into is None else "arrow"
    spine, types = _spine(wanted)
    request = {
        "views": [{"view": view, "max_age": age} for view, age in zip(wanted.views, wanted.ages, strict=True)],
        "as_of": wanted.as_of_column,
        "columns": wanted.columns,
        "known_as_of": wanted.known_as_of,
        "into": wanted.into,
        "query": wanted.spine if isinstance(wanted.spine, str) else None,
        "types": types,
    }
    made = _connection(conn, "training_set").features().training_set(json.dumps(request), spine)
    return made if isinstance(made, int) else frame_of(made, made_as)


def _connection(conn: ConnectionLike, where: str) -> Connection:
    if isinstance(conn, Connection):
        return conn
    name = connection_name(conn, where)
    with _named_lock:
        return _named.setdefault(name, Connection(name))


def _spine(wanted: TrainingSet) -> tuple[Any, dict[str, str]]:
    """What crosses of a spine: an object with Arrow's stream, or a list of columns with their types."""
    spine = wanted.spine
    if spine is None or isinstance(spine, str):
        if not spine:
            raise SpecError(
                "training_set: the spine is empty", code="invalid_value", hint="give rows, a table or a query"
            )
        return None, {}
    if type(spine).__module__.partition(".")[0] == "pandas":
        if not is_there("pyarrow"):
            raise SpecError(
                "training_set: a frame of pandas crosses as Arrow, and there is no pyarrow",
                code="import_failed",
                hint="pip install pyarrow",
            )
        # An index of one's own would come as a column of a name that nobody gave.
        return import_module("pyarrow").Table.from_pandas(spine, preserve_index=False), {}
    if hasattr(spine, "__arrow_c_stream__"):
        return spine, {}
    if isinstance(spine, Sequence) and all(isinstance(row, Mapping) for row in spine):
        return _columns_of(spine, wanted)
    raise SpecError(
        f"training_set: a spine is no {type(spine).__name__}",
        code="invalid_value",
        hint="give a list of dicts, a frame of polars, pandas or Arrow, the name of a table, or a query",
    )


def _columns_of(rows: Sequence[Mapping[str, Any]], wanted: TrainingSet) -> tuple[list[Any], dict[str, str]]:
    if not rows:
        # Typed all the same: what is joined by is known.
        keys = dict.fromkeys(key for view in wanted.views for key in view["keys"])
        named = [*keys, wanted.as_of_column]
        return [(name, []) for name in named], dict.fromkeys(named, "text")
    named = list(dict.fromkeys(name for row in rows for name in row))
    columns: list[Any] = []
    types: dict[str, str] = {}
    for name in named:
        if not isinstance(name, str):
            raise SpecError(
                f"training_set: the spine has a column {name!r}", code="invalid_value", hint="names are texts"
            )
        values = [row.get(name) for row in rows]
        if name == wanted.as_of_column:
            values = [_instant(value, name, n) for n, value in enumerate(values, 1)]
        types[name] = _type(values, name)
        columns.append((name, values))
    return columns, types


def _instant(value: Any, name: str, row: int) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if not isinstance(value, dt.datetime):
        raise SpecError(
            f"training_set: `{name}` of row {row} of the spine is {value!r}, and no time",
            code="invalid_value",
            hint="give datetimes; one without a zone is of UTC",
        )
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)


# The types of Postgres that values become, by their classes.
_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    str: "text",
    bytes: "bytea",
    dt.date: "date",
    dt.time: "time",
    dt.timedelta: "interval",
    dict: "jsonb",
}


def _type(values: Sequence[Any], name: str) -> str:
    classes = {type(value) for value in values if value is not None}
    if classes == {int, float}:
        return "double precision"
    if classes <= {int, decimal.Decimal} and decimal.Decimal in classes:
        return _numeric(values)
    if len(classes) > 1:
        listed = " and ".join(sorted(cls.__name__ for cls in classes))
        raise SpecError(
            f"training_set: the spine's column `{name}` has values of {listed}",
            code="invalid_value",
            hint="give a column values of one type",
        )
    kind = classes.pop() if classes else str
    if kind is int and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return "numeric(76,0)"
    if issubclass(kind, dt.datetime):
        aware = {value.tzinfo is not None for value in values if value is not None}
        return "timestamptz" if True in aware else "timestamp"
    if kind.__name__ == "UUID":
        return "uuid"
    # Other libraries' numbers and texts are those of their kind.
    return next((found for base, found in _TYPES.items() if issubclass(kind, base)), "text")


def _numeric(values: Sequence[Any]) -> str:
    """The smallest type that holds numbers exactly, so that they come back as numbers."""
    whole, scale = 1, 0
    for value in values:
        if value is None:
            continue
        _, digits, exponent = decimal.Decimal(value).as_tuple()
        if not isinstance(exponent, int):
            return "numeric"
        scale = max(scale, -exponent)
        whole = max(whole, len(digits) + exponent)
    return f"numeric({whole + scale},{scale})" if whole + scale <= 76 else "numeric"


def _library(wanted: TrainingSet) -> Library:
    """As what the training set comes: as the spine did, where nothing is preferred."""
    own = type(wanted.spine).__module__.partition(".")[0]
    if wanted.prefer == "auto" and own in ("polars", "pandas", "pyarrow"):
        return cast("Library", own)
    return library(wanted.prefer, "training_set")
