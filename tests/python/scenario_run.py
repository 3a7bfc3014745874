"""Plays a scenario on a real database through a real `flow`, and says what was seen in the words of the scenario."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import scenario as scenarios
from flow_binary import Finished
from scenario import Scenario, Section, Table
from scenario_ground import Ground, StatementError


class Commands(Protocol):
    """A `flow` in a directory."""

    directory: Path

    def __call__(self, *arguments: str, expect: int | None) -> Finished: ...


@dataclass(frozen=True)
class Seen:
    """What one section led to: lines, or a table whose instants get their names when all tables are known."""

    section: Section
    answer: list[str] | Table | None = None
    finished: Finished | None = None
    # Why given statements did not run.
    failure: str | None = None


@dataclass(frozen=True)
class Played:
    """A scenario as expected and as it went, in the same form."""

    expected: Scenario
    actual: Scenario
    seen: list[Seen]

    @property
    def given_statements_ran(self) -> bool:
        """Whether what happened may be written down as what is expected."""
        return all(each.failure is None for each in self.seen)

    @property
    def as_expected(self) -> bool:
        return self.expected.text() == self.actual.text()

    def difference(self) -> str:
        """A unified diff of the file, then the output of every command that went otherwise."""
        diff = difflib.unified_diff(
            self.expected.text().splitlines(),
            self.actual.text().splitlines(),
            f"{self.expected.name} as expected",
            f"{self.expected.name} as it went",
            n=8,
            lineterm="",
        )
        sections = zip(self.expected.sections, self.actual.sections, self.seen, strict=True)
        outputs = [str(seen.finished) for expected, actual, seen in sections if expected != actual and seen.finished]
        return "\n".join([*diff, "", *outputs])


def play(scenario: Scenario, ground: Ground, flow: Commands) -> Played:
    began = ground.clock()
    seen = [play_section(section, ground, flow, began) for section in scenario.sections]
    names = scenarios.instant_names(each.answer for each in seen if isinstance(each.answer, Table))
    actual = replace(scenario, sections=tuple(described(each, names) for each in seen))
    return Played(scenarios.normalised(scenario), actual, seen)


def described(seen: Seen, names: dict[str, str]) -> Section:
    if seen.failure is not None:
        return replace(seen.section, body=(*seen.section.body, f"-- (failed: {seen.failure})"))
    if seen.answer is None:
        return seen.section
    lines = seen.answer.lines(names) if isinstance(seen.answer, Table) else seen.answer
    return seen.section.with_expected(lines, seen.finished.code if seen.finished else None)


def play_section(section: Section, ground: Ground, flow: Commands, began: str) -> Seen:
    match section.kind:
        case "sql":
            return Seen(section, failure=run_statements("\n".join(section.body), ground))
        case "file":
            path = flow.directory / section.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(section.body) + "\n", encoding="utf-8")
            return Seen(section)
        case "table":
            return Seen(section, read_table(section.query, ground, began))
        case "flow":
            finished = flow(*section.words, expect=None)
            asked = scenarios.fields(section.expected)
            found = scenarios.mentioned(ground.message(finished.stdout + finished.stderr), asked)
            return Seen(section, scenarios.report_lines(found), finished)
        case command:
            finished = flow(command, *section.words, "--output", "json", expect=None)
            return Seen(section, reported(section, finished, ground), finished)


def run_statements(statements: str, ground: Ground) -> str | None:
    """None, or why they failed."""
    try:
        ground.execute(statements)
    except StatementError as error:
        return str(error)
    return None


def reported(section: Section, finished: Finished, ground: Ground) -> list[str]:
    """A command's JSON in the words of the format; output that is no such JSON is shown as it is."""
    try:
        document = json.loads(finished.stdout)
        output = ground.message("\n".join([finished.stdout, finished.stderr, *scenarios.strings(document)]))
        if section.kind == "plan" and "pipelines" in document:
            return scenarios.plan_lines(document, output, section.expected)
        return scenarios.report_lines(scenarios.report_fields(document, output, scenarios.fields(section.expected)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"(no report: {type(error).__name__}: {error})"]


def read_table(query: str, ground: Ground, began: str) -> Table | list[str]:
    try:
        answer = ground.answer(query)
    except StatementError as error:
        return [f"(no table: {error})"]
    if not answer.columns:
        return ["(no table: the statement returns no columns)"]
    now = ground.clock()
    instants = {
        value
        for column, is_instant in enumerate(answer.instants)
        if is_instant
        for value in (row[column] for row in answer.rows)
        # As text: in UTC the form sorts by time, and `infinity` and BC fall outside.
        if value is not None and began <= value <= now
    }
    return Table(answer.columns, answer.rows, frozenset(instants))
