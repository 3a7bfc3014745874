# What only a checker sees.
import datetime as dt
from collections.abc import Awaitable, Sequence
from typing import Any, Generic, TypeVar, overload

from ..ground.values import Duration
from .connections import ConnectionLike
from .features import EntityKeys, Prefer

_C = TypeVar("_C")

class FeatureViewClass(Generic[_C]):
    """A decorated class, as pyright sees it: `C`, with what FeatureView adds."""

    def __call__(self) -> _C: ...
    @overload
    def online_features(
        self, conn: ConnectionLike, *, entity_keys: EntityKeys, columns: Sequence[str] | None = None
    ) -> dict[str, Any] | None: ...
    @overload
    def online_features(
        self, conn: ConnectionLike, *, entity_keys: Sequence[EntityKeys], columns: Sequence[str] | None = None
    ) -> list[dict[str, Any] | None]: ...
    @overload
    def point_in_time(
        self,
        conn: ConnectionLike,
        *,
        entity_keys: EntityKeys,
        as_of: dt.datetime,
        columns: Sequence[str] | None = None,
    ) -> dict[str, Any] | None: ...
    @overload
    def point_in_time(
        self,
        conn: ConnectionLike,
        *,
        entity_keys: Sequence[EntityKeys],
        as_of: dt.datetime,
        columns: Sequence[str] | None = None,
    ) -> list[dict[str, Any] | None]: ...
    @overload
    def online_features_async(
        self, conn: ConnectionLike, *, entity_keys: EntityKeys, columns: Sequence[str] | None = None
    ) -> Awaitable[dict[str, Any] | None]: ...
    @overload
    def online_features_async(
        self, conn: ConnectionLike, *, entity_keys: Sequence[EntityKeys], columns: Sequence[str] | None = None
    ) -> Awaitable[list[dict[str, Any] | None]]: ...
    @overload
    def point_in_time_async(
        self, conn: ConnectionLike, *, entity_keys: EntityKeys, as_of: dt.datetime, columns: Sequence[str] | None = None
    ) -> Awaitable[dict[str, Any] | None]: ...
    @overload
    def point_in_time_async(
        self,
        conn: ConnectionLike,
        *,
        entity_keys: Sequence[EntityKeys],
        as_of: dt.datetime,
        columns: Sequence[str] | None = None,
    ) -> Awaitable[list[dict[str, Any] | None]]: ...
    def historical_features(
        self,
        conn: ConnectionLike,
        *,
        spine: Any,
        columns: Sequence[str] | None = None,
        as_of_column: str = "as_of",
        max_age: Duration | None = None,
        known_as_of: dt.datetime | int | None = None,
        prefer: Prefer = "auto",
        into: str | None = None,
    ) -> Any: ...
    def served_since(self, conn: ConnectionLike) -> dt.datetime | None: ...
    def served_since_async(self, conn: ConnectionLike) -> Awaitable[dt.datetime | None]: ...
