"""`conn.write_df`: a frame is a source like any other, and the connection that of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..declare.frames import as_frame
from ..declare.source import Source
from ..declare.targets import as_target
from ..ground.errors import SpecError
from ..ground.names import a
from . import engine
from .connections import Connection
from .namespace import pipeline

if TYPE_CHECKING:
    from ..show.reports import RunReport


def write_frame(
    connection: Connection,
    frame: object,
    table: str,
    mode: Any,
    target: Any,
    if_exists: str,
    dry_run: bool,
    options: Mapping[str, Any],
) -> RunReport:
    """Loads a frame, as `Connection.write_df` says it."""
    if if_exists not in ("use", "error"):
        raise SpecError(f"write_df: if_exists is {if_exists!r}", code="invalid_value", hint='"use" or "error"')
    if not isinstance(table, str):
        raise SpecError(f"write_df: {table!r} is no table", code="invalid_value", hint='write "schema.table"')
    held = as_frame(frame)
    if held is None:
        raise SpecError(
            f"write_df: {a(type(frame))} is no frame",
            code="invalid_value",
            hint="give a DataFrame, what has __arrow_c_stream__, a list of dicts, or an iterator of batches",
        )
    if target is not None:
        named = as_target(target, "write_df").name
        if named != table:
            raise SpecError(
                f"write_df: the table is {table}, and the target {named}",
                code="conflicting_options",
                hint=f'write "{named}", or give another target',
            )
    once = pipeline.once("write_df", Source.of_frame(held), target or table, connection, mode, None, options)
    request = {"dry_run": True} if dry_run else {}
    return engine.run(once, request | ({"new_target": True} if if_exists == "error" else {}))
