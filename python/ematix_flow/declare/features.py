"""Feature views: a history by event time, read by models. Who reads one comes from a later layer, which says so by
`read_by`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias, overload

from ..ground.errors import SpecError
from ..ground.names import did_you_mean
from ..ground.values import Duration, duration, names
from .connections import ConnectionLike
from .table import Table, table_of

EntityKeys: TypeAlias = Mapping[str, Any]
"""One entity: the names of its keys, each with its value."""

Prefer: TypeAlias = Literal["auto", "polars", "pandas", "pyarrow", "arrow"]
"""As what a frame comes: `auto` as the spine came, else the first of polars, pandas and pyarrow that is there."""


class Reader(Protocol):
    """Who reads feature views."""

    def lookup(self, conn: ConnectionLike, asked: Asked) -> Any:
        """The features of one entity, or of several."""
        ...

    def lookup_async(self, conn: ConnectionLike, asked: Asked) -> Awaitable[Any]:
        """The same, to be awaited."""
        ...

    def served_since(self, conn: ConnectionLike, view: str) -> dt.datetime | None:
        """When the last load began that is served of a view."""
        ...

    def served_since_async(self, conn: ConnectionLike, view: str) -> Awaitable[dt.datetime | None]:
        """The same, to be awaited."""
        ...

    def training_set(self, conn: ConnectionLike, wanted: TrainingSet) -> Any:
        """Features joined to a spine."""
        ...


_readers: list[Reader] = []


def read_by(reader: Reader) -> None:
    """Says who reads feature views from now on."""
    _readers[:] = [reader]


class Asked:
    """What is asked of a view: the values of its keys in their order, a list of them for each entity."""

    def __init__(self, cls: object, where: str, entity_keys: Any, columns: object, as_of: object = None) -> None:
        self.view, keys = _written(cls, where)
        self.columns = None if columns is None else _columns(view_of(cls, where), columns, where)
        # Who asks for an instant says which: None would be the newest, or nothing.
        self.as_of = instant(as_of, f"{where}: as_of") if where.startswith("point_in_time") else None
        self.many = type(entity_keys) is not dict and not isinstance(entity_keys, Mapping)
        entities = [entity_keys] if not self.many else _entities(entity_keys, where)
        self.keys = [_key(entity, keys, where) for entity in entities]


class TrainingSet:
    """A training set as it is asked for, held to what the views declare."""

    def __init__(
        self,
        *,
        spine: Any,
        feature_views: object,
        columns: object = None,
        as_of_column: str = "as_of",
        max_age: object = None,
        known_as_of: object = None,
        prefer: str = "auto",
        into: str | None = None,
    ) -> None:
        where = "training_set"
        given = list(feature_views) if isinstance(feature_views, Sequence) else [feature_views]
        if not given:
            raise SpecError(f"{where}: feature_views is empty", code="missing_option", hint="name a feature view")
        joined: dict[tuple[str, str, str], tuple[Any, Table]] = {}
        for each in given:
            table = view_of(each, where)
            # One that is named again is joined once.
            joined.setdefault((table.schema, table.name, description(table)["version"]), (each, table))
        given, tables = [each for each, _ in joined.values()], [table for _, table in joined.values()]
        if prefer not in ("auto", "polars", "pandas", "pyarrow", "arrow"):
            raise SpecError(
                f"{where}: prefer is {prefer!r}",
                code="invalid_value",
                hint='it is "auto", "polars", "pandas", "pyarrow" or "arrow"',
            )
        if into is not None and (not isinstance(into, str) or not into):
            raise SpecError(f"{where}: into is {into!r}", code="invalid_value", hint='write into="training.churn"')
        if into is not None and prefer != "auto":
            raise SpecError(
                f"{where}: a training set goes into a table, or comes as a frame",
                code="conflicting_options",
                hint="leave out `into` or `prefer`",
            )
        self.spine = spine
        self.views = [description(table) for table in tables]
        self.ages = _ages(max_age, given, tables, where)
        self.columns = None if columns is None else names(columns, f"{where}: columns")
        self.as_of_column = as_of_column
        self.known_as_of = None if known_as_of is None else _known(known_as_of, tables, where)
        self.prefer = prefer
        self.into = into


class FeatureView:
    """What `@ematix.feature_view` gives a class; inherit it where the checker ignores class decorators.

    A time without a zone is one of UTC. Features whose time to live is over, and those of an entity that was deleted,
    are no answer.
    """

    __abstract__ = True

    @overload
    @classmethod
    def online_features(
        cls, conn: ConnectionLike, *, entity_keys: EntityKeys, columns: Sequence[str] | None = None
    ) -> dict[str, Any] | None: ...
    @overload
    @classmethod
    def online_features(
        cls, conn: ConnectionLike, *, entity_keys: Sequence[EntityKeys], columns: Sequence[str] | None = None
    ) -> list[dict[str, Any] | None]: ...
    @classmethod
    def online_features(cls, conn: ConnectionLike, *, entity_keys: Any, columns: Sequence[str] | None = None) -> Any:
        """The features of an entity as of now: a dict, or None where there are none; for a list of entities a list.

        They come from what `online` keeps, else from the table. Threads may share the connection: each call has a session
        of its own from a pool.

        Raises:
            SpecError: a key is missing, unknown or cannot be read; a column is unknown; the view is not loaded.
            ConnectError: no connection, or no log-in.
        """
        return _reader().lookup(conn, Asked(cls, "online_features", entity_keys, columns))

    @overload
    @classmethod
    def online_features_async(
        cls, conn: ConnectionLike, *, entity_keys: EntityKeys, columns: Sequence[str] | None = None
    ) -> Awaitable[dict[str, Any] | None]: ...
    @overload
    @classmethod
    def online_features_async(
        cls, conn: ConnectionLike, *, entity_keys: Sequence[EntityKeys], columns: Sequence[str] | None = None
    ) -> Awaitable[list[dict[str, Any] | None]]: ...
    @classmethod
    def online_features_async(
        cls, conn: ConnectionLike, *, entity_keys: Any, columns: Sequence[str] | None = None
    ) -> Any:
        """As `online_features`, to be awaited."""
        return _reader().lookup_async(conn, Asked(cls, "online_features_async", entity_keys, columns))

    @overload
    @classmethod
    def point_in_time(
        cls, conn: ConnectionLike, *, entity_keys: EntityKeys, as_of: dt.datetime, columns: Sequence[str] | None = None
    ) -> dict[str, Any] | None: ...
    @overload
    @classmethod
    def point_in_time(
        cls,
        conn: ConnectionLike,
        *,
        entity_keys: Sequence[EntityKeys],
        as_of: dt.datetime,
        columns: Sequence[str] | None = None,
    ) -> list[dict[str, Any] | None]: ...
    @classmethod
    def point_in_time(
        cls, conn: ConnectionLike, *, entity_keys: Any, as_of: dt.datetime, columns: Sequence[str] | None = None
    ) -> Any:
        """The features of an entity as of an instant: those of its newest event up to then.

        Raises:
            SpecError, ConnectError: as `online_features`.
        """
        return _reader().lookup(conn, Asked(cls, "point_in_time", entity_keys, columns, as_of))

    @overload
    @classmethod
    def point_in_time_async(
        cls, conn: ConnectionLike, *, entity_keys: EntityKeys, as_of: dt.datetime, columns: Sequence[str] | None = None
    ) -> Awaitable[dict[str, Any] | None]: ...
    @overload
    @classmethod
    def point_in_time_async(
        cls,
        conn: ConnectionLike,
        *,
        entity_keys: Sequence[EntityKeys],
        as_of: dt.datetime,
        columns: Sequence[str] | None = None,
    ) -> Awaitable[list[dict[str, Any] | None]]: ...
    @classmethod
    def point_in_time_async(
        cls, conn: ConnectionLike, *, entity_keys: Any, as_of: dt.datetime, columns: Sequence[str] | None = None
    ) -> Any:
        """As `point_in_time`, to be awaited."""
        return _reader().lookup_async(conn, Asked(cls, "point_in_time_async", entity_keys, columns, as_of))

    @classmethod
    def historical_features(
        cls,
        conn: ConnectionLike,
        *,
        spine: Any,
        columns: Sequence[str] | None = None,
        as_of_column: str = "as_of",
        max_age: Duration | None = None,
        known_as_of: dt.datetime | int | None = None,
        prefer: Prefer = "auto",
        into: str | None = None,
    ) -> Any:
        """The features of many entities, each as of its own instant: `ematix.training_set` of this view alone."""
        return training_set(
            conn,
            spine=spine,
            feature_views=[cls],
            columns=columns,
            as_of_column=as_of_column,
            max_age=max_age,
            known_as_of=known_as_of,
            prefer=prefer,
            into=into,
        )

    @classmethod
    def served_since(cls, conn: ConnectionLike) -> dt.datetime | None:
        """When the last load began that `online_features` shows: `datetime.now(timezone.utc)` less this is its age.

        Where `online` is a materialised view, a load counts as soon as the refresh behind it has succeeded. None where
        no load is remembered.

        Raises:
            SpecError: the view is not loaded.
            ConnectError: no connection, or no log-in.
        """
        return _reader().served_since(conn, _view(cls, "served_since"))

    @classmethod
    def served_since_async(cls, conn: ConnectionLike) -> Awaitable[dt.datetime | None]:
        """As `served_since`, to be awaited."""
        return _reader().served_since_async(conn, _view(cls, "served_since_async"))


METHODS = (
    "online_features",
    "online_features_async",
    "point_in_time",
    "point_in_time_async",
    "historical_features",
    "served_since",
    "served_since_async",
)


def add_methods(cls: type) -> None:
    """Gives a decorated class the methods of FeatureView, unless it inherits them."""
    for name in METHODS:
        if not hasattr(cls, name):
            setattr(cls, name, classmethod(getattr(FeatureView, name).__func__))


def training_set(conn: ConnectionLike, **wanted: Any) -> Any:
    """A training set, by whoever reads."""
    return _reader().training_set(conn, TrainingSet(**wanted))


def view_of(cls: object, where: str) -> Table:
    """The table of a feature view.

    Raises:
        SpecError: `invalid_value` for what is none, `missing_keys` for one without an entity.
    """
    table = table_of(cls)
    if table is None or table.feature is None:
        raise SpecError(
            f"{where}: {getattr(cls, '__qualname__', repr(cls))} is no feature view",
            code="invalid_value",
            hint="@ematix.feature_view(…) above the class declares one",
        )
    if not table.primary_key:
        raise SpecError(
            f"{where}: {table.class_name} declares no entity",
            code="missing_keys",
            hint="mark its keys: Annotated[BigInt, pk()]",
        )
    return table


def description(table: Table) -> dict[str, Any]:
    """A feature view as the core reads it."""
    feature = table.feature or {}
    return {
        "schema": table.schema,
        "name": table.name,
        "version": feature["feature_version"],
        "keys": table.primary_key,
        "columns": table.column_names,
        "ttl": feature.get("ttl"),
        "online": bool(feature.get("online")),
    }


# A model asks thousands of times a second.
@lru_cache(maxsize=1024)
def _written(cls: object, where: str) -> tuple[str, list[str]]:
    """A view as JSON, and its keys."""
    import json

    table = view_of(cls, where)
    return json.dumps(description(table)), table.primary_key


def _view(cls: object, where: str) -> str:
    return _written(cls, where)[0]


def instant(value: object, where: str) -> str:
    """A time as text with its zone.

    >>> import datetime
    >>> instant(datetime.datetime(2026, 1, 2, 3), "as_of")
    '2026-01-02T03:00:00+00:00'

    Raises:
        SpecError: `invalid_value` for anything but a datetime or a date.
    """
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if not isinstance(value, dt.datetime):
        raise SpecError(
            f"{where}: {value!r} is no time",
            code="invalid_value",
            hint="give a datetime: datetime(2026, 1, 2, tzinfo=timezone.utc)",
        )
    return (value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)).isoformat()


def _known(value: object, tables: Sequence[Table], where: str) -> str | int:
    """A time, or the number of a run, which counts those of one target."""
    if isinstance(value, bool) or not isinstance(value, int):
        return instant(value, f"{where}: known_as_of")
    if value < 0:
        raise SpecError(
            f"{where}: known_as_of is {value}", code="invalid_value", hint="runs of a target are counted from 1"
        )
    if len(tables) > 1:
        raise SpecError(
            f"{where}: known_as_of is the number of a run, and each of {', '.join(table.name for table in tables)}"
            " counts its own",
            code="invalid_value",
            hint="give a time, which is one for all",
        )
    return value


def _reader() -> Reader:
    return _readers[0]


def _columns(table: Table, columns: object, where: str) -> list[str]:
    found = names(columns, f"{where}: columns")
    if not found:
        raise SpecError(f"{where}: columns names none", code="invalid_value", hint="leave it out for all of them")
    for name in found:
        if name not in table.column_names:
            raise SpecError(
                f"{where}: {table.class_name} has no column `{name}`",
                code="unknown_column",
                hint=did_you_mean(name, table.column_names, f"its columns are {', '.join(table.column_names)}"),
            )
    return found


def _entities(value: object, where: str) -> list[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise SpecError(
        f"{where}: entity_keys is {value!r}",
        code="invalid_value",
        hint='write {"user_id": 17}, or a list of them',
    )


def _key(entity: object, keys: Sequence[str], where: str) -> list[Any]:
    # Nearly every call.
    if type(entity) is dict and list(entity) == keys:
        return [_aware(value) for value in entity.values()]
    whole = ", ".join(f'"{key}": …' for key in keys)
    if not isinstance(entity, Mapping):
        raise SpecError(f"{where}: {entity!r} is no key", code="invalid_value", hint=f"write {{{whole}}}")
    for key in entity:
        if key not in keys:
            raise SpecError(
                f"{where}: entity_keys has `{key}`, which is no key of the view",
                code="unknown_column",
                hint=did_you_mean(str(key), keys, f"its keys are {', '.join(keys)}"),
            )
    missing = [key for key in keys if key not in entity]
    if missing:
        raise SpecError(
            f"{where}: entity_keys lacks {', '.join(f'`{key}`' for key in missing)}",
            code="missing_keys",
            hint=f"write {{{whole}}}",
        )
    return [_aware(entity[key]) for key in keys]


def _aware(value: object) -> object:
    # As everywhere: a time without a zone is one of UTC, whatever the session's zone. A column without one ignores it.
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.timezone.utc)
    return value


def _ages(given: object, views: Sequence[Any], tables: Sequence[Table], where: str) -> list[str | None]:
    if not isinstance(given, Mapping):
        one = None if given is None else duration(given, f"{where}: max_age")
        return [one] * len(views)
    ages: dict[int, str] = {}
    for view, age in given.items():
        place = next((n for n, each in enumerate(views) if each is view or tables[n].name == view), None)
        if place is None:
            raise SpecError(
                f"{where}: max_age names {getattr(view, '__qualname__', repr(view))}, which is not joined",
                code="invalid_value",
                hint=f"joined are {', '.join(table.name for table in tables)}",
            )
        ages[place] = duration(age, f"{where}: max_age")
    return [ages.get(n) for n in range(len(views))]
