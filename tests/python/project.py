"""A pipelines.toml from Python values, for tests that make many tables and pipelines, and the reports of a run of all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flow_binary import Flow

if TYPE_CHECKING:
    from warm_package import WarmPackage

COUNTED_ROWS = ("inserted", "updated", "unchanged", "deduplicated", "skipped", "rejected")


@dataclass
class Project:
    """Tables and pipelines by name; options have the names that they have in the file."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def table(self, name: str, columns: Mapping[str, Any], **options: Any) -> None:
        self.tables[name] = {**options, "columns": dict(columns)}

    def pipeline(self, name: str, source: str, target: str, mode: str, **options: Any) -> None:
        """`source` is a query where it begins like one, else a table."""
        kind = "query" if source.lstrip(" (\n/-").lower().startswith(("select", "with", "values", "table")) else "table"
        self.pipelines[name] = {"source": {kind: source}, "target": target, "mode": mode, **options}

    def text(self) -> str:
        sections = [
            f"[{section}.{string(name)}]\n" + "".join(f"{string(key)} = {value(each)}\n" for key, each in body.items())
            for section, bodies in (("tables", self.tables), ("pipelines", self.pipelines))
            for name, body in bodies.items()
        ]
        return "\n".join(sections) + "\n"

    def run(
        self,
        flow: Flow | WarmPackage,
        *arguments: str,
        command: str = "run",
        env: Mapping[str, str | None] | None = None,
        expect: int | Collection[int] | None = 0,
    ) -> dict[str, dict[str, Any]]:
        """Runs what the arguments name, else all; the reports by the pipelines' names. Every report adds up."""
        flow.project(self.text())
        finished = flow(command, *(arguments or ("--all",)), "--output", "ndjson", env=env, expect=expect)
        reports = [json.loads(line) for line in finished.stdout.splitlines()]
        for report in reports:
            assert "pipeline" in report, finished
            if report["status"] == "success":
                adds_up(report)
        return {report["pipeline"]: report for report in reports}


def adds_up(report: Mapping[str, Any]) -> None:
    """Every row that was read is counted once."""
    assert report["rows_in"] == sum(report[f"rows_{name}"] for name in COUNTED_ROWS), report


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """The counts of a report that are not 0, without `rows_`."""
    return {name.removeprefix("rows_"): n for name, n in report.items() if name.startswith("rows_") and n != 0}


def string(text: str) -> str:
    # JSON's escapes are TOML's, but for characters outside the BMP and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(of: Any) -> str:
    match of:
        case str():
            return string(of)
        case bool() | int() | float():
            return json.dumps(of)
        case list() | tuple():
            return "[" + ", ".join(value(each) for each in of) + "]"
        case dict():
            return "{ " + ", ".join(f"{string(key)} = {value(each)}" for key, each in of.items()) + " }"
    raise TypeError(f"no TOML for {of!r}")
