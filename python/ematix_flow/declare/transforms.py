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


def takes_a_connection(function: Callable[..., Any], where: str) -> None:
    """Holds that a function can be called with a connection, or with a connection and a run's report.

    Raises:
        SpecError: `invalid_value` for one that needs more.
    """
    # Of anything else than a plain function the call says it: importing inspect takes longer than all of this package.
    code = getattr(function, "__code__", None)
    if code is None:
        return
    bound = 1 if hasattr(function, "__self__") else 0
    needed = code.co_argcount - bound - len(getattr(function, "__defaults__", None) or ())
    named = getattr(function, "__kwdefaults__", None) or {}
    needs_named = code.co_kwonlyargcount > len(named)
    if needed > 2 or needs_named:
        wants = "arguments by name" if needs_named else f"{needed} arguments"
        raise SpecError(
            f"{where}: the function needs {wants}",
            code="invalid_value",
            hint="it is called with a connection, and with the run's report where it takes one: def transform(conn, run)",
        )


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
        takes_a_connection(item, where)
        return {"callable": getattr(item, "__name__", "transform")}
    raise SpecError(
        f"{where}: {item!r} cannot be run after a load",
        code="invalid_value",
        hint='give SQL text, sql("…", transaction=False), ematix.transform_ref("name") or a function of a connection',
    )
