"""From a declared pipeline to the core and back: one engine for each call, JSON in and reports out.

A declaration needs none of it, so what takes its time to import is imported where it is used: the native module, JSON,
reports, the line that tells of progress.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..declare import registry
from ..ground.errors import FlowError, SpecError, class_of, from_dict
from ..ground.values import text_of

if TYPE_CHECKING:
    from uuid import UUID

    from .._core import Engine, Run
    from ..declare.runnable import Runnable
    from ..show.reports import CheckReport, KeyHistory, Plan, RunHistory, RunReport, ValidationReport


def run(pipeline: str | Runnable, request: Mapping[str, Any]) -> RunReport:
    """Runs it to the end, and tells whoever watches how far it has come. Ctrl-C cancels it on the server."""
    from .progress import wait

    name = pipeline if isinstance(pipeline, str) else pipeline.name
    return report_or_raise(wait(_start(pipeline, request), name))


def run_async(pipeline: str | Runnable, request: Mapping[str, Any]) -> Awaitable[RunReport]:
    """Runs it while the event loop goes on."""
    return _finished(lambda: _start(pipeline, request))


def plan(pipeline: str | Runnable, *, connect: bool) -> Plan:
    """Its plan, from the declarations alone or from the databases as they are."""
    from ..show.reports import Plan

    engine, name = _engine(pipeline)
    found = _read(engine.plan(name, connect))
    item = found.get("plan", found)
    if item.get("errors"):
        raise from_dict({"errors": item["errors"]})
    return Plan(item)


def columns(pipeline: Runnable) -> list[tuple[str, str]]:
    """The columns that the rows of its frame have in the target's database, each with its type.

    Raises:
        FlowError: what a plan refuses.
    """
    made, name = _engine(pipeline)
    return made.columns(name)


def validate(pipeline: str | Runnable, *, connect: bool) -> ValidationReport:
    """What is wrong with it."""
    from ..show.reports import ValidationReport

    engine, name = _engine(pipeline)
    return ValidationReport(_read(engine.validate(name, connect)))


def check(pipeline: str | Runnable) -> CheckReport:
    """Whether the history of its target is sound."""
    from ..show.reports import CheckReport

    engine, name = _engine(pipeline)
    return CheckReport(_read(engine.check(name)))


def history(pipeline: str | Runnable, key: Mapping[str, Any] | None) -> RunHistory | KeyHistory:
    """The versions of a key, or past runs."""
    import json

    from ..show.reports import KeyHistory, RunHistory

    engine, name = _engine(pipeline)
    if key is None:
        return RunHistory(_read(engine.history(name, None)))
    said = json.dumps({column: text_of(value) for column, value in key.items()}, ensure_ascii=False)
    return KeyHistory(_read(engine.history(name, said)))


def as_of(
    pipeline: str | Runnable, at: datetime | str, known: datetime | int | str | UUID | None
) -> list[dict[str, Any]]:
    """The rows of its target that were valid at a time, as they are known now or were then."""
    engine, name = _engine(pipeline)
    found = _read(engine.as_of(name, _instant(at, "as_of"), None if known is None else _run(known)))
    own = ("valid_from", "valid_to")
    return [{**row["values"], **{column: row[column] for column in own}} for row in found["rows"]]


def export(
    pipeline: str | Runnable,
    path: str | os.PathLike[str],
    as_of: datetime | str | None,
    known: datetime | int | str | UUID | None,
    run: int | str | UUID | None,
    format: str | None,
) -> int:
    """Writes the rows of its target into a file."""
    if as_of is not None and run is not None:
        raise SpecError("export: as_of and run", code="conflicting_options", hint="give one of them")
    if known is not None and as_of is None:
        hint = "say as_of, the time of the rows, too"
        raise SpecError("export: known_as_of without as_of", code="missing_option", hint=hint)
    engine, name = _engine(pipeline)
    at = None if as_of is None else _instant(as_of, "as_of")
    then = None if known is None else _run(known)
    return engine.export(name, os.fspath(path), format, at, then, None if run is None else _run(run))


def _instant(value: datetime | str, what: str) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise SpecError(
                f"{what}: {value} has no time zone", code="invalid_value", hint="say which: tzinfo=timezone.utc"
            )
        return value.isoformat()
    return value


def _run(value: datetime | int | str | UUID) -> str:
    return _instant(value, "known_as_of") if isinstance(value, (datetime, str)) else str(value)


def run_due(pipelines: Sequence[Runnable], jobs: int) -> list[RunReport]:
    """The reports of those that were due and ran, and of those that were passed over."""
    from ..show.reports import RunReport
    from .progress import wait

    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise SpecError(f"run_due: jobs is {jobs!r}", code="invalid_value", hint="write jobs=4")
    found = _read(wait(_engine_of(pipelines).run_due(_request({}), jobs), "run_due"))
    if found.get("errors") and not found.get("runs"):
        raise from_dict({"errors": found["errors"]})
    return [RunReport(item) for item in found.get("runs", [])]


def report_or_raise(text: str) -> RunReport:
    """The report of a run that went well, or the exception of one that did not.

    Raises:
        KeyboardInterrupt: the run was cancelled.
    """
    from ..show.reports import RunReport

    report = RunReport(_read(text))
    if report.status in ("success", "skipped"):
        return report
    if report.status == "cancelled":
        raise KeyboardInterrupt
    raise _error_of(report)


def _error_of(report: RunReport) -> FlowError:
    if report.error is None:
        return class_of("target_failed")(f"the run ended {report.status}", code="target_failed", report=report)
    error = from_dict(report.error.to_dict())
    error.report = report
    transform = error.context.get("transform")
    if transform is not None:
        from .transforms import cause_of

        # What the user's function raised, with its traceback.
        error.__cause__ = cause_of(str(transform))
    return error


async def _finished(start: Callable[[], Run]) -> RunReport:
    import asyncio

    running = start()
    pause = 0.002
    try:
        while (text := running.poll(0)) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
    except asyncio.CancelledError:
        running.cancel()
        await _rolled_back(running)
        raise
    try:
        return report_or_raise(text)
    except KeyboardInterrupt:
        # It was cancelled by somebody else; the loop itself was not interrupted.
        raise asyncio.CancelledError from None


async def _rolled_back(running: Run) -> None:
    import asyncio
    import time

    from .progress import ROLLBACK_PATIENCE

    until = time.monotonic() + ROLLBACK_PATIENCE
    try:
        while time.monotonic() < until and running.poll(0) is None:
            await asyncio.sleep(0.02)
    except (FlowError, KeyboardInterrupt):
        # That it was cancelled is known already.
        pass


def _start(pipeline: str | Runnable, request: Mapping[str, Any]) -> Run:
    # What is said for this once may name any transform.
    engine, name = _engine(pipeline, every_transform="transforms_post" in request.get("overrides", ()))
    return engine.start(name, _request(request))


def _request(said: Mapping[str, Any]) -> str:
    import json

    return json.dumps({**said, "started_by": "python"}, ensure_ascii=False)


def _engine(pipeline: str | Runnable, *, every_transform: bool = False) -> tuple[Engine, str]:
    """The core says what there is instead of a name that nobody declared."""
    if isinstance(pipeline, str):
        return _engine_of(list(registry.pipelines.values())), pipeline
    return _engine_of([pipeline], every_transform=every_transform), pipeline.name


def _engine_of(pipelines: Sequence[Runnable], *, every_transform: bool = False) -> Engine:
    from .._core import Engine
    from . import declared, export

    return Engine(declared.registry(pipelines, every_transform=every_transform), export.answerer(pipelines))


def _read(text: str) -> dict[str, Any]:
    import json

    found = json.loads(text)
    assert isinstance(found, dict), "the core answers with an object"
    return found
