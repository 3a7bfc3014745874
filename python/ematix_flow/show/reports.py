"""What runs, plans and questions answer: the core's JSON as objects, readable as text and in a notebook."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from . import notebook
from .answers import ErrorInfo, instant

Status: TypeAlias = Literal["running", "success", "failed", "refused", "locked", "skipped", "cancelled", "lost"]
Path: TypeAlias = Literal["same_db", "staging", "client_diff"]
# The core says `merge` where `scd1` was written.
Mode: TypeAlias = Literal["append", "truncate", "merge", "scd2"]


class Report:
    """An answer of the core. `to_dict()` and `to_json()` give it as the command line's `--output json` has it."""

    # The attributes that repr shows.
    _shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = copy.deepcopy(dict(data))
        self._read(self._data)

    def _read(self, data: dict[str, Any]) -> None:
        """Sets the attributes; what the core says beyond them stays in `to_dict()`."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain data: numbers, text, lists and dicts."""
        return copy.deepcopy(self._data)

    def to_json(self) -> str:
        """The answer as JSON text."""
        return json.dumps(self._data, ensure_ascii=False)

    def _repr_html_(self) -> str:
        return notebook.box(self._html())

    def _html(self) -> list[str]:
        """Its parts in a notebook."""
        return [notebook.pre(repr(self), wrap=True)]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{type(self).__name__}({shown})"


COUNTS = (
    "rows_in",
    "rows_inserted",
    "rows_updated",
    "rows_unchanged",
    "rows_closed_out",
    "rows_deleted",
    "rows_deduplicated",
    "rows_skipped",
    "rows_rejected",
    "rows_rehashed",
)


class RunReport(Report):
    """One run: how it ended, by which path, and what it did to how many rows.

    rows_in = rows_inserted + rows_updated + rows_unchanged + rows_deduplicated + rows_skipped + rows_rejected.
    `duration_ms` is in milliseconds; `started_at` and `ended_at` have a zone, UTC. Where one reading loaded several
    targets, `targets` has a report of each, and the counts are their sums.

    Attributes:
        pipeline: its name.
        run_id: by which the history, `flow logs` and `flow rewind` know the run.
        status: "success", "failed", "refused", "locked", "skipped" or "cancelled".
        committed: whether the load stands, also where a transform after it has failed.
        path: "same_db", "staging" or "client_diff"; `path_reason` says why.
        target: the table, `schema.table`.
        duration_ms: from beginning to end, in milliseconds.
        rows_in: what was read.
        rows_inserted: new rows; in scd2 every version opened.
        rows_updated: rows rewritten in place.
        rows_unchanged: rows that are as they were, for which nothing is written.
        rows_closed_out: every version closed.
        rows_deleted: the keys among them that left the source.
        rows_deduplicated: dropped by `on_duplicate="latest"`.
        rows_skipped: read again and known, or NULL in the incremental column.
        rows_rejected: put aside by an expectation.
        rows_rehashed: current versions whose hash was computed anew.
        watermark_before: from where it read, as the column's text; None without `incremental_column`.
        watermark_after: how far it came.
        parse_failures: by column, how many texts could not be read.
        transforms: what ran after the commit.
        warnings: what it did not fail by.
        error: what it failed by; None of a success.

    >>> from ematix_flow import Source, pipeline
    >>> customers = Source.postgres_table("crm", "app", "customers")
    >>> report = pipeline.sync(  # on a server
    ...     source=customers,
    ...     target="mart.customers",
    ...     target_connection="warehouse",
    ...     mode="merge",
    ...     keys="customer_id",
    ... )
    >>> report.status, report.path, report.rows_in, report.rows_inserted
    ('success', 'staging', 3, 3)
    """

    pipeline: str
    run_id: uuid.UUID
    status: Status
    committed: bool
    mode: Mode
    path: Path
    path_reason: str
    dry_run: bool
    source_connection: str | None
    target_connection: str | None
    target: str
    started_at: dt.datetime
    ended_at: dt.datetime
    duration_ms: int
    rows_in: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_closed_out: int
    rows_deleted: int
    rows_deduplicated: int
    rows_skipped: int
    rows_rejected: int
    rows_rehashed: int
    watermark_before: str | None
    watermark_after: str | None
    parse_failures: dict[str, int]
    transforms: list[TransformReport]
    notify: list[dict[str, Any]]
    warnings: list[ErrorInfo]
    error: ErrorInfo | None
    sample: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    targets: list[RunReport]

    def _read(self, data: dict[str, Any]) -> None:
        for name in ("pipeline", "status", "mode", "path", "path_reason", "target"):
            setattr(self, name, data.get(name))
        for name in ("source_connection", "target_connection", "watermark_before", "watermark_after"):
            setattr(self, name, data.get(name))
        for name in (*COUNTS, "duration_ms"):
            setattr(self, name, data.get(name) or 0)
        self.run_id = uuid.UUID(data["run_id"])
        self.committed = bool(data.get("committed"))
        self.dry_run = bool(data.get("dry_run"))
        self.started_at = instant(data["started_at"])
        self.ended_at = instant(data.get("ended_at") or data["started_at"])
        self.parse_failures = dict(data.get("parse_failures") or {})
        self.transforms = [TransformReport(item) for item in data.get("transforms") or []]
        self.notify = list(data.get("notify") or [])
        self.warnings = [ErrorInfo.from_dict(item) for item in data.get("warnings") or []]
        self.error = ErrorInfo.from_dict(data["error"]) if data.get("error") else None
        self.sample = list(data.get("sample") or [])
        self.layers = list(data.get("layers") or [])
        self.targets = [RunReport(item) for item in data.get("targets") or []]

    def _html(self) -> list[str]:
        heading = f"{notebook.MARKS.get(self.status, '')} {self.status}  {self.pipeline}"
        about = [
            ("mode", self.mode),
            ("path", f"{self.path} ({self.path_reason})" if self.path else "none"),
            ("target", self.target),
            ("took", f"{self.duration_ms:,} ms" + (", rolled back (dry run)" if self.dry_run else "")),
            ("watermark", f"{self.watermark_before} → {self.watermark_after}" if self.watermark_after else ""),
        ]
        counts = [(name.removeprefix("rows_").replace("_", " "), getattr(self, name)) for name in COUNTS]
        shown = [(name, count) for name, count in counts if count or name == "in"]
        parts = [notebook.title(heading), notebook.table([], [(name, value) for name, value in about if value])]
        parts.append(notebook.table([name for name, _ in shown], [[count for _, count in shown]]))
        if self.layers:
            parts.append(notebook.table(["layer", "rows"], [[each["layer"], each["rows"]] for each in self.layers]))
        if self.parse_failures:
            parts.append(notebook.table(["column", "not parsed"], list(self.parse_failures.items())))
        if self.transforms:
            parts.append(notebook.table(TRANSFORM_HEADS, [each.row() for each in self.transforms], empty=False))
        parts += notebook.warned(self.warnings)
        if self.error is not None:
            parts.append(notebook.pre(f"error[{self.error.code}]: {self.error}", wrap=True))
        return parts

    def __repr__(self) -> str:
        counts = [f"{name}={getattr(self, name)}" for name in COUNTS if name == "rows_in" or getattr(self, name)]
        first = [repr(self.pipeline), self.status, f"mode={self.mode}", f"path={self.path}"]
        after = [f"transforms=[{', '.join(f'{each.name}: {each.status}' for each in self.transforms)}]"]
        return f"RunReport({', '.join(first + counts + after[: len(self.transforms)])}, {self.duration_ms} ms)"


# What a notebook shows of transforms; what no line needs has no column.
TRANSFORM_HEADS = ["after the commit", "status", "ms", "metrics", "error"]


class TransformReport(Report):
    """One transform after a load. `metrics` is what its function returned."""

    name: str
    status: Status
    duration_ms: int
    metrics: dict[str, Any]
    error: ErrorInfo | None

    _shown = ("name", "status", "duration_ms", "metrics")

    def _read(self, data: dict[str, Any]) -> None:
        self.name = str(data.get("name", ""))
        self.status = data.get("status", "success")
        self.duration_ms = data.get("duration_ms") or 0
        self.metrics = dict(data.get("metrics") or {})
        self.error = ErrorInfo.from_dict(data["error"]) if data.get("error") else None

    def row(self) -> list[object]:
        """Its line in the table of a run's report."""
        metrics = json.dumps(self.metrics, ensure_ascii=False) if self.metrics else ""
        shown = f"{notebook.MARKS.get(self.status, '')} {self.status}"
        return [self.name, shown, self.duration_ms, metrics, str(self.error) if self.error else ""]


class Step(Report):
    """One step of a plan: its purpose, and the SQL where it is SQL."""

    number: int
    kind: str
    purpose: str
    sql: str | None

    _shown = ("number", "kind", "purpose")

    def _read(self, data: dict[str, Any]) -> None:
        self.number = data.get("n", data.get("number", 0))
        self.kind = str(data.get("kind", ""))
        self.purpose = str(data.get("purpose", ""))
        self.sql = data.get("sql")

    def _html(self) -> list[str]:
        said = f"{self.number} {notebook.text(self.kind)}: {notebook.text(self.purpose)}"
        return [said, notebook.sql(self.sql)]


class Plan(Report):
    """What a run will do, step by step, and why in that way. A run executes the same plan.

    `changes` says what would become of definitions: `"+ …"` is created, `"~ …"` altered, `"! …"` has drifted. `steps` are in
    the order in which they run, and `sql()` is all of their statements.
    """

    pipeline: str
    mode: Mode
    path: Path
    path_reason: str
    keys: list[str]
    keys_reason: str
    target: str
    changes: list[str]
    notes: list[str]
    steps: list[Step]
    warnings: list[ErrorInfo]

    def _read(self, data: dict[str, Any]) -> None:
        for name in ("pipeline", "mode", "path", "path_reason", "target"):
            setattr(self, name, data.get(name))
        self.keys = list(data.get("keys") or [])
        self.keys_reason = data.get("keys_reason") or ""
        # "+ created", "~ declared otherwise since the last run", "! drift".
        self.changes = [f"{item['mark']} {item['what']}" for item in data.get("marks") or []]
        self.notes = list(data.get("notes") or [])
        self.steps = [Step(item) for item in data.get("steps") or []]
        self.warnings = [ErrorInfo.from_dict(item) for item in data.get("warnings") or []]

    def _html(self) -> list[str]:
        heading = f"{self.pipeline}  {self.mode} → {self.target}"
        about = [("keys", f"{', '.join(self.keys)} ({self.keys_reason})" if self.keys else "")]
        about.append(("path", f"{self.path} ({self.path_reason})"))
        parts = [notebook.title(heading), notebook.table([], [(name, value) for name, value in about if value])]
        parts += [notebook.notice(said) for said in (*self.changes, *self.notes)]
        parts.append(
            notebook.table(["step", "kind", "purpose"], [(step.number, step.kind, step.purpose) for step in self.steps])
        )
        parts += notebook.warned(self.warnings)
        return [*parts, notebook.sql(self.sql())]

    def sql(self) -> str:
        """The statements of all steps, each under its purpose as a comment."""
        found = [f"-- {step.number} {step.kind}: {step.purpose}\n{step.sql}" for step in self.steps if step.sql]
        return "\n\n".join(found) + ("\n" if found else "")

    def to_markdown(self) -> str:
        """A table of the steps under a heading, for a review; the SQL is folded away."""
        lines = [f"### {_markdown(self.pipeline)}: {self.mode} → {_markdown(self.target)}", ""]
        if self.keys:
            lines.append(f"keys: {_markdown(', '.join(self.keys))} ({_markdown(self.keys_reason)})  ")
        lines += [f"path: {self.path} ({_markdown(self.path_reason)})", ""]
        lines += [f"- {_markdown(change)}" for change in self.changes] + ([""] if self.changes else [])
        lines += ["| step | kind | purpose |", "|---:|---|---|"]
        lines += [f"| {step.number} | {step.kind} | {_markdown(step.purpose)} |" for step in self.steps]
        statements = self.sql()
        if statements:
            fence = "`" * max(3, _longest_run(statements) + 1)
            lines += [
                "",
                "<details><summary>SQL</summary>",
                "",
                f"{fence}sql",
                statements.rstrip(),
                fence,
                "",
                "</details>",
            ]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        lines = [f"{self.pipeline}  {self.mode}  path: {self.path} ({self.path_reason})", f"  → {self.target}"]
        lines += [f"{change}" for change in self.changes]
        lines += [f"  {step.number:>2} {step.kind:<9} {step.purpose}" for step in self.steps]
        return "\n".join(lines)


class ValidationReport(Report):
    """What is wrong with a pipeline; `unchecked` is what only a database can tell. It is true where nothing is wrong."""

    ok: bool
    errors: list[ErrorInfo]
    warnings: list[ErrorInfo]
    unchecked: list[str]

    _shown = ("ok", "errors", "unchecked")

    def _read(self, data: dict[str, Any]) -> None:
        self.ok = bool(data.get("ok"))
        self.errors = [ErrorInfo.from_dict(item) for item in data.get("errors") or []]
        self.warnings = [ErrorInfo.from_dict(item) for item in data.get("warnings") or []]
        self.unchecked = [item if isinstance(item, str) else json.dumps(item) for item in data.get("unchecked") or []]

    def _html(self) -> list[str]:
        rows = [(item.code, item.message, item.hint or "", notebook.place(item.location)) for item in self.errors]
        parts = [
            notebook.heading(self.ok, "ValidationReport"),
            notebook.table(["code", "message", "hint", "where"], rows, empty=False),
        ]
        parts += notebook.warned(self.warnings)
        return [*parts, *(notebook.notice(f"not checked: {item}") for item in self.unchecked)]

    def __bool__(self) -> bool:
        return self.ok


class CheckReport(Report):
    """Whether a history is sound. A violation's `code` is the invariant, its `context` has the key. It is true where it is."""

    ok: bool
    violations: list[ErrorInfo]

    _shown = ("ok", "violations")

    def _read(self, data: dict[str, Any]) -> None:
        self.ok = bool(data.get("ok"))
        self.violations = [
            ErrorInfo(
                code=str(item.get("invariant", "")),
                message=str(item.get("detail", "")),
                context={"key": item["key"]} if item.get("key") else {},
            )
            for item in data.get("violations") or []
        ]

    def _html(self) -> list[str]:
        rows = [(item.code, notebook.named(item.context.get("key")), item.message) for item in self.violations]
        return [
            notebook.heading(self.ok, "CheckReport"),
            notebook.table(["invariant", "key", "detail"], rows, empty=False),
        ]

    def __bool__(self) -> bool:
        return self.ok


class KeyHistory(Report):
    """The versions of one key, oldest first: `valid_from`, `valid_to` (None while current), `is_current`, `values`."""

    key: dict[str, Any]
    versions: list[dict[str, Any]]

    def _read(self, data: dict[str, Any]) -> None:
        self.key = dict(data.get("key") or {})
        self.versions = list(data.get("versions") or [])

    def _html(self) -> list[str]:
        values = [version.get("values") or {} for version in self.versions]
        names = list(dict.fromkeys(name for row in values for name in row))
        rows = [
            [version.get("valid_from"), version.get("valid_to") or "", *(row.get(name, "") for name in names)]
            for version, row in zip(self.versions, values, strict=True)
        ]
        count = "1 version" if len(rows) == 1 else f"{len(rows)} versions"
        return [
            f"{notebook.title(notebook.named(self.key))} {count}",
            notebook.timeline(self.versions, names),
            notebook.table(["valid_from", "valid_to", *names], rows),
        ]

    def __len__(self) -> int:
        return len(self.versions)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        named = ", ".join(f"{name} = {value}" for name, value in self.key.items())
        count = "1 version" if len(self.versions) == 1 else f"{len(self.versions)} versions"
        lines = [f"{named}   {count}"]
        for version in self.versions:
            values = ", ".join(f"{name}={value}" for name, value in (version.get("values") or {}).items())
            lines.append(f"  {version.get('valid_from')} to {version.get('valid_to') or 'now'}  {values}")
        return "\n".join(lines)


class RunHistory(Report):
    """Past runs of a pipeline, the newest first, as rows of `ematix_flow.run_history`."""

    runs: list[dict[str, Any]]

    def _read(self, data: dict[str, Any]) -> None:
        self.runs = list(data.get("runs") or [])

    def _html(self) -> list[str]:
        names = ["started_at", "status", "rows_in", "rows_inserted", "rows_updated", "rows_closed_out", "duration_ms"]
        rows = [["" if run.get(name) is None else run[name] for name in names] for run in self.runs]
        count = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
        return [f"<strong>{count}</strong>", notebook.table(names, rows)]

    def __len__(self) -> int:
        return len(self.runs)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        lines = [f"{run.get('started_at')}  {run.get('status')}  {run.get('rows_in') or 0} in" for run in self.runs]
        return "\n".join([f"RunHistory: {len(self.runs)}", *lines])


def _markdown(text: object) -> str:
    found = " ".join(str(text).split())
    for letter in "\\`|<>*_[]":
        found = found.replace(letter, f"\\{letter}" if letter not in "<>" else {"<": "&lt;", ">": "&gt;"}[letter])
    return found


def _longest_run(text: str) -> int:
    return max((len(found) for found in re.findall("`+", text)), default=0)
