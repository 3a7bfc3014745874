"""What every pipeline can do. Who does it comes from a later layer, which says so by `run_by`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.places import Place
from . import options as checks
from .table import Table
from .targets import Target, check_columns

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import Unpack

    from ..show.reports import CheckReport, KeyHistory, Plan, RunHistory, RunReport, ValidationReport
    from .options import PipelineOptions


class Runner(Protocol):
    """Who runs pipelines, and asks after them."""

    def run(self, pipeline: Runnable, request: Mapping[str, Any]) -> RunReport:
        """Runs it to the end."""
        ...

    def run_async(self, pipeline: Runnable, request: Mapping[str, Any]) -> Awaitable[RunReport]:
        """Runs it while the event loop goes on."""
        ...

    def run_due(self, pipelines: Sequence[Runnable], jobs: int) -> list[RunReport]:
        """Runs those that are due."""
        ...

    def plan(self, pipeline: Runnable, *, connect: bool) -> Plan:
        """Its plan."""
        ...

    def validate(self, pipeline: Runnable, *, connect: bool) -> ValidationReport:
        """What is wrong with it."""
        ...

    def check(self, pipeline: Runnable) -> CheckReport:
        """Whether the history of its target is sound."""
        ...

    def history(self, pipeline: Runnable, key: Mapping[str, Any] | None) -> RunHistory | KeyHistory:
        """The versions of a key, or past runs."""
        ...

    def as_of(
        self, pipeline: Runnable, at: datetime | str, known: datetime | int | str | UUID | None
    ) -> list[dict[str, Any]]:
        """The rows of its target as they were."""
        ...

    def export(
        self,
        pipeline: Runnable,
        path: str | os.PathLike[str],
        as_of: datetime | str | None,
        known: datetime | int | str | UUID | None,
        run: int | str | UUID | None,
        format: str | None,
    ) -> int:
        """Writes the rows of its target into a file."""
        ...


_runners: list[Runner] = []


def run_by(runner: Runner) -> None:
    """Says who runs pipelines from now on."""
    _runners[:] = [runner]


def runner() -> Runner:
    """Who runs pipelines."""
    return _runners[0]


class Runnable:
    """What every pipeline can do. Each method waits for its end; a run's errors are raised, each with its report.

    >>> from ematix_flow import Pipeline, Source
    >>> customers = Pipeline(
    ...     name="customers",
    ...     source=Source.postgres_table("crm", "app", "customers"),
    ...     target="analytics.dim_customers",
    ...     target_connection="warehouse",
    ...     mode="scd2",
    ...     keys="customer_id",
    ... )
    >>> customers.dry_run().rows_inserted, customers.run().rows_inserted, customers.run().rows_unchanged  # on a server
    (3, 3, 3)
    >>> [version["values"]["plan"] for version in customers.history({"customer_id": 42}).versions]
    ['team']
    >>> bool(customers.check())
    True
    """

    name: str
    place: Place
    # As pipelines.toml has it, and the targets (one, unless `targets=` gave several).
    _said: dict[str, Any]
    _targets: list[Target]
    _connections: set[str]
    _post: Sequence[Any] = ()

    def declared(self) -> dict[str, Any]:
        """The pipeline as pipelines.toml has it."""
        return self._said

    def tables(self) -> list[Table]:
        """The declarations of its targets."""
        return [target.table for target in self._targets if target.table is not None]

    def connections(self) -> set[str]:
        """The names of the connections that it says."""
        return self._connections

    def post_functions(self) -> list[Callable[..., Any]]:
        """The functions among `transforms_post`, in their order: of each target what it says, then what is said for all."""
        return [item for item in self._post if callable(item)]

    def run(self, **options: Unpack[PipelineOptions]) -> RunReport:
        """Runs it once; options said here are for this once.

        Raises:
            SpecError, DriftError, DataError, SourceError, TargetError, ConnectError, LockedError: as it failed; with
                `.report` where a run had begun.
            KeyboardInterrupt: it was interrupted, and cancelled on the server.
        """
        return runner().run(self, self._overrides("run", options))

    def run_async(self, **options: Unpack[PipelineOptions]) -> Awaitable[RunReport]:
        """As `run`, to be awaited. Cancelling the task cancels the run on the server."""
        return runner().run_async(self, self._overrides("run_async", options))

    def preview(self) -> Plan:
        """What a run would do, from the declarations alone: no connection is opened, so that what only a database can tell
        (which path, whether the table is there) is assumed, and said so.

        Raises:
            SpecError: the declaration is wrong; `.errors` has every mistake.
        """
        return runner().plan(self, connect=False)

    def plan(self) -> Plan:
        """What a run would do, with the databases as they are. Nothing is written.

        Raises:
            SpecError, ConnectError, SourceError, TargetError: as a run would. Drift is no error here, but in `.changes`.
        """
        return runner().plan(self, connect=True)

    def dry_run(self, *, sample: int = 0) -> RunReport:
        """Runs it and rolls back; `sample` rows that would change come with the report, old beside new.

        Raises:
            FlowError: as `run`.
        """
        return runner().run(self, {"dry_run": True, "sample": sample})

    def validate(self, *, connect: bool = False) -> ValidationReport:
        """What is wrong with it, all at once. Without `connect` nothing is opened and no function called.

        It raises nothing of what it finds: `.ok`, or the report's own truth, says whether all is well.
        """
        return runner().validate(self, connect=connect)

    def check(self) -> CheckReport:
        """Whether the table's history is sound: one current version a key, none that overlap. Nothing is written.

        Raises:
            ConnectError, TargetError: the target cannot be asked. What is found is in `.violations`.
        """
        return runner().check(self)

    @overload
    def history(self, key: None = None) -> RunHistory: ...
    @overload
    def history(self, key: Any) -> KeyHistory: ...
    def history(self, key: Any = None) -> RunHistory | KeyHistory:
        """The versions of a key: `history(17)`, `history({"id": 17, "region": "EU"})`. Without one: past runs, newest first.

        Raises:
            SpecError: `missing_keys`, the key has several columns, or they are not declared here.
        """
        return runner().history(self, None if key is None else self._key(key))

    def as_of(self, at: datetime | str, known_as_of: datetime | int | str | UUID | None = None) -> list[dict[str, Any]]:
        """The rows of the target that were valid at a time, ordered by their keys, each with `valid_from` and `valid_to`.

        `known_as_of` gives them as they were known after a run (its number on the target, or the end of its id), or by
        a time: for histories by event time, whose rows are corrected later. Values are as JSON has them, so a time is
        a text.
        """
        return runner().as_of(self, at, known_as_of)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        as_of: datetime | str | None = None,
        known_as_of: datetime | int | str | UUID | None = None,
        run: int | str | UUID | None = None,
        format: Literal["parquet", "csv", "json"] | None = None,
    ) -> int:
        """Writes the rows of the target into a file, which has its name when all are in it; gives how many they are.

        The format is that in which the name ends (`.parquet`, `.csv.gz`, `.jsonl.zst`), unless said. `as_of` gives the
        rows of a history that were valid at a time, `known_as_of` as they were known after a run or by a time; `run`
        (its number on the target, or the end of its id) those that a run wrote or closed.

        Raises:
            SpecError: `option_not_for_mode`, the table does not keep what is asked for; `missing_option`, nothing says
                the format.
            TargetError: the file cannot be written.
        """
        return runner().export(self, path, as_of, known_as_of, run, format)

    def _key(self, key: Any) -> dict[str, Any]:
        if isinstance(key, Mapping):
            return dict(key)
        names = self._targets[0].keys(self._said)
        if len(names) != 1:
            known = f"the keys are {', '.join(names)}" if names else "its keys are not declared here"
            raise SpecError(
                f"history of {self.name}: which column is {key!r}? {known}",
                code="missing_keys",
                hint='say it by name: history({"id": 17})',
            )
        return {names[0]: key}

    @told_at_the_line
    def _overrides(self, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        checks.refuse_unknown(function, given, (), scheduled=False)
        where = f"pipeline {self.name}"
        if not given:
            return {}
        if self._said.get("mode") is None:
            return {"overrides": checks.lower(where, None, given, needs_mode=False)}
        found = checks.lower(where, self._said["mode"], given)
        if any(isinstance(step, dict) and "callable" in step for step in found.get("transforms_post", ())):
            raise SpecError(
                f"{where}: a function in transforms_post for this once",
                code="invalid_value",
                hint='declare it with @ematix.transform, and give ematix.transform_ref("name")',
            )
        for target in self._targets[:1]:
            check_columns(where, target, self._said | found)
        return {"overrides": {name: value for name, value in found.items() if name != "mode"}}

    def _repr_said(self) -> str:
        shown = [f"{self.name}: {self._said.get('mode', 'several targets')}"]
        shown.append("→ " + ", ".join(target.name for target in self._targets))
        schedule = self._said.get("schedule") or self._said.get("every")
        return " ".join(shown) + (f", {schedule}" if schedule else "")

    def __repr__(self) -> str:
        return f"<Pipeline {self._repr_said()}>"
