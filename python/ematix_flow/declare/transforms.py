"""Transforms: what runs after the load (`transforms_post`), or by a schedule of its own.

>>> from ematix_flow import ematix, sql
>>> after = ["ANALYZE dw.customers", sql("VACUUM dw.customers", transaction=False), ematix.transform_ref("refresh_marts")]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ground.errors import SpecError
from .markers import Sql


class TransformRef:
    """A transform by its name: `ematix.transform_ref("refresh_marts")`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"ematix.transform_ref({self.name!r})"


class Transform:
    """A function that was declared with `@ematix.transform`."""

    def __init__(
        self, name: str, function: Callable[..., Any], connection: str | None, schedule: str | None, timezone: str
    ) -> None:
        self.name = name
        self.function = function
        self.connection = connection
        self.schedule = schedule
        self.timezone = timezone

    def export(self) -> dict[str, Any]:
        """The transform as the registry has it."""
        said: dict[str, Any] = {"callable": True}
        if self.connection:
            said["connection"] = self.connection
        if self.schedule:
            said |= {"schedule": self.schedule, "timezone": self.timezone}
        return said


def export_post(item: Any, where: str) -> Any:
    """A step after the load as pipelines.toml has it; a function is named by what the registry calls it.

    Raises:
        SpecError: `invalid_value` for what is none of SQL text, `sql(…)`, `ematix.transform_ref(…)` and a function.
    """
    if isinstance(item, str) and item.strip():
        return item
    if isinstance(item, Sql):
        said: dict[str, Any] = {"sql": item.text}
        if not item.transaction:
            said["transaction"] = False
        if item.on_failure != "stop":
            said["on_failure"] = item.on_failure
        return said
    if isinstance(item, TransformRef):
        return {"transform_ref": item.name}
    if callable(item) and not isinstance(item, type):
        return {"callable": getattr(item, "__name__", "transform")}
    raise SpecError(
        f"{where}: {item!r} cannot be run after a load",
        code="invalid_value",
        hint='give SQL text, sql("…", transaction=False), ematix.transform_ref("name") or a function of a connection',
    )
