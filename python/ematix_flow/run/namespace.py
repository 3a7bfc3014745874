"""`pipeline`, which runs a load on the spot and finds pipelines by name."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, overload

from ..declare import options as checks
from ..declare import registry
from ..declare.connections import ConnectionLike
from ..declare.pipelines import CALL, Pipeline
from ..declare.runnable import Runnable
from ..declare.source import Source
from ..declare.targets import as_target
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from . import engine

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import Unpack

    from ..declare.options import Mode, PipelineOptions
    from ..declare.targets import Table
    from ..show.reports import CheckReport, KeyHistory, Plan, RunHistory, RunReport, ValidationReport


class _Once(Pipeline):
    """A pipeline that is run on the spot and stands in no registry."""

    def __init__(
        self, name: str, source: Any, target: Any, connection: Any, mode: Any, given: Mapping[str, Any]
    ) -> None:
        self._describe(name, source, target, connection, mode, given)


class PipelineNamespace:
    """`pipeline`: runs a load on the spot, and reaches declared pipelines by their names."""

    def sync(
        self,
        *,
        source: Source | Any,
        target: Table,
        target_connection: ConnectionLike | None = None,
        mode: Mode | None = None,
        name: str | None = None,
        dry_run: bool = False,
        **options: Unpack[PipelineOptions],
    ) -> RunReport:
        """Loads once. History and watermark are kept under `name`, by default the target's.

        Raises:
            SpecError, DriftError, DataError, SourceError, TargetError, ConnectError, LockedError: as it failed; with
                `.report` where a run had begun.

        >>> from ematix_flow import Source, pipeline
        >>> report = pipeline.sync(  # on a server
        ...     source=Source.postgres_query("crm", "SELECT * FROM app.customers"),
        ...     target="analytics.dim_customers",
        ...     target_connection="warehouse",
        ...     mode="scd2",
        ...     keys="customer_id",
        ... )
        >>> report.status, report.rows_in, report.rows_inserted
        ('success', 3, 3)
        """
        found = self.once("sync", source, target, target_connection, mode, name, options)
        return engine.run(found, {"dry_run": True} if dry_run else {})

    def sync_async(
        self,
        *,
        source: Source | Any,
        target: Table,
        target_connection: ConnectionLike | None = None,
        mode: Mode | None = None,
        name: str | None = None,
        dry_run: bool = False,
        **options: Unpack[PipelineOptions],
    ) -> Awaitable[RunReport]:
        """As `sync`, to be awaited. Cancelling the task cancels the run on the server."""
        found = self.once("sync_async", source, target, target_connection, mode, name, options)
        return engine.run_async(found, {"dry_run": True} if dry_run else {})

    def run(self, pipeline: str | Runnable) -> RunReport:
        """Runs a pipeline once."""
        return engine.run(_found(pipeline), {})

    def run_async(self, pipeline: str | Runnable) -> Awaitable[RunReport]:
        """As `run`, to be awaited."""
        return engine.run_async(_found(pipeline), {})

    def preview(self, pipeline: str | Runnable) -> Plan:
        """What a run would do, from the declarations alone."""
        return engine.plan(_found(pipeline), connect=False)

    def plan(self, pipeline: str | Runnable) -> Plan:
        """What a run would do, with the databases as they are."""
        return engine.plan(_found(pipeline), connect=True)

    def dry_run(self, pipeline: str | Runnable, *, sample: int = 0) -> RunReport:
        """Runs a pipeline and rolls back."""
        return engine.run(_found(pipeline), {"dry_run": True, "sample": sample})

    def validate(self, pipeline: str | Runnable, *, connect: bool = False) -> ValidationReport:
        """What is wrong with a pipeline, all at once."""
        return engine.validate(_found(pipeline), connect=connect)

    def check(self, pipeline: str | Runnable) -> CheckReport:
        """Whether the history of a pipeline's target is sound."""
        return engine.check(_found(pipeline))

    @overload
    def history(self, pipeline: str | Runnable, key: None = None) -> RunHistory: ...
    @overload
    def history(self, pipeline: str | Runnable, key: Any) -> KeyHistory: ...
    def history(self, pipeline: str | Runnable, key: Any = None) -> RunHistory | KeyHistory:
        """The versions of a key, or past runs."""
        found = _found(pipeline)
        if isinstance(found, str):
            if key is not None and not isinstance(key, Mapping):
                raise SpecError(
                    f"history of {found}: which column is {key!r}?", code="missing_keys", hint='say {"id": 17}'
                )
            return engine.history(found, None if key is None else dict(key))
        return engine.history(found, None if key is None else found._key(key))

    def as_of(
        self, pipeline: str | Runnable, at: datetime | str, known_as_of: datetime | int | str | UUID | None = None
    ) -> list[dict[str, Any]]:
        """The rows of its target that were valid at a time; see `Pipeline.as_of`."""
        return engine.as_of(_found(pipeline), at, known_as_of)

    def export(
        self,
        pipeline: str | Runnable,
        path: str | os.PathLike[str],
        *,
        as_of: datetime | str | None = None,
        known_as_of: datetime | int | str | UUID | None = None,
        run: int | str | UUID | None = None,
        format: Literal["parquet", "csv", "json"] | None = None,
    ) -> int:
        """Writes the rows of its target into a file; see `Pipeline.export`."""
        return engine.export(_found(pipeline), path, as_of, known_as_of, run, format)

    @told_at_the_line
    def once(
        self,
        function: str,
        source: Any,
        target: Any,
        connection: Any,
        mode: Any,
        name: str | None,
        given: Mapping[str, Any],
    ) -> Pipeline:
        """A pipeline that is run on the spot, for `function`, which is called so in errors."""
        checks.refuse_unknown(function, given, (*CALL, "dry_run"), scheduled=False)
        called = as_target(target, f"pipeline.{function}").name if name is None else name
        return _Once(called, source, target, connection, mode, given)

    def __repr__(self) -> str:
        return "pipeline"


pipeline = PipelineNamespace()


def _found(pipeline: str | Runnable) -> str | Runnable:
    """A declared pipeline; a name that nobody declared stays a name, which the core refuses."""
    if isinstance(pipeline, Runnable):
        return pipeline
    if not isinstance(pipeline, str):
        raise SpecError(f"{pipeline!r} is not a pipeline", code="unknown_pipeline", hint="give its name")
    return registry.pipelines.get(pipeline, pipeline)
