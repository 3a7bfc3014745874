"""Feature views: a history by event time, served to models. Declared here; this version of the core refuses them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, overload

from ..ground.errors import SpecError
from .connections import ConnectionLike

EntityKeys: TypeAlias = Mapping[str, Any]


class FeatureView:
    """What `@ematix.feature_view` gives a class; inherit it where the checker ignores class decorators."""

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
        """The newest features of one entity, or of several. This version refuses it: `not_yet_supported`."""
        raise not_yet("online_features")

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
        """The features as they were known at an instant. This version refuses it: `not_yet_supported`."""
        raise not_yet("point_in_time")


def add_methods(cls: type) -> None:
    """Gives a decorated class the methods of FeatureView, unless it inherits them."""
    for name in ("online_features", "point_in_time"):
        if not hasattr(cls, name):
            setattr(cls, name, classmethod(getattr(FeatureView, name).__func__))


def not_yet(name: str) -> SpecError:
    """The refusal of what is declared and not served."""
    return SpecError(
        f"`{name}` is not supported yet",
        code="not_yet_supported",
        hint="this version knows the name but cannot do it",
    )
