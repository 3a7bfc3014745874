# What only a checker sees.
import datetime as dt
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from .connections import ConnectionLike
from .features import EntityKeys

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
