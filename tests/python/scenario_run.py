"""Plays a scenario on a real Postgres through the real binary, and says what was seen in the words of the scenario."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import scenario as scenarios
from database import Database
from flow_binary import Finished, Flow
from scenario import Scenario, Section, Table


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


def play(scenario: Scenario, database: Database, flow: Flow) -> Played:
    with database.connect() as reader:
        # The reader's settings decide how instants are written; the scenario's own SQL has another connection.
        reader.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'")
        began = clock(reader)
        seen = [play_section(section, database, flow, reader, began) for section in scenario.sections]
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


def play_section(section: Section, database: Database, flow: Flow, reader: Any, began: str) -> Seen:
    match section.kind:
        case "sql":
            return Seen(section, failure=run_statements("\n".join(section.body), database))
        case "file":
            path = flow.directory / section.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(section.body) + "\n", encoding="utf-8")
            return Seen(section)
        case "table":
            return Seen(section, read_table(section.query, reader, began))
        case "flow":
            finished = flow(*section.words, expect=None)
            asked = scenarios.fields(section.expected)
            found = scenarios.mentioned(finished.stdout + finished.stderr, asked)
            return Seen(section, scenarios.report_lines(found), finished)
        case command:
            finished = flow(command, *section.words, "--output", "json", expect=None)
            return Seen(section, reported(section, finished), finished)


def run_statements(statements: str, database: Database) -> str | None:
    """None, or why they failed; statements sent together are undone together."""
    try:
        database.execute(statements)
    except psycopg.Error as error:
        return error.diag.message_primary or str(error)
    return None


def reported(section: Section, finished: Finished) -> list[str]:
    """A command's JSON in the words of the format; output that is no such JSON is shown as it is."""
    try:
        document = json.loads(finished.stdout)
        output = "\n".join([finished.stdout, finished.stderr, *scenarios.strings(document)])
        if section.kind == "plan" and "pipelines" in document:
            return scenarios.plan_lines(document, output, section.expected)
        return scenarios.report_lines(scenarios.report_fields(document, output, scenarios.fields(section.expected)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"(no report: {type(error).__name__}: {error})"]


def read_table(query: str, reader: psycopg.Connection[Any], began: str) -> Table | list[str]:
    try:
        answer = reader.execute(query).pgresult
    except psycopg.Error as error:
        return [f"(no table: {error.diag.message_primary or error})"]
    assert answer is not None
    if answer.nfields == 0:
        return ["(no table: the statement returns no columns)"]
    columns = tuple((answer.fname(column) or b"").decode() for column in range(answer.nfields))
    rows = tuple(tuple(text(answer, row, column) for column in range(answer.nfields)) for row in range(answer.ntuples))
    now = clock(reader)
    instants = {
        value
        for column in range(answer.nfields)
        if answer.ftype(column) == scenarios.TIMESTAMPTZ_OID
        for value in (row[column] for row in rows)
        # As text: in UTC the server's form sorts by time, and `infinity` and BC fall outside.
        if value is not None and began <= value <= now
    }
    return Table(columns, rows, frozenset(instants))


def text(answer: Any, row: int, column: int) -> str | None:
    value = answer.get_value(row, column)
    if value is None:
        return None
    if answer.ftype(column) == scenarios.BOOLEAN_OID:
        return {b"t": "true", b"f": "false"}[value]
    return value.decode("utf-8")


def clock(reader: psycopg.Connection[Any]) -> str:
    answer = reader.execute("SELECT clock_timestamp()").pgresult
    assert answer is not None
    return answer.get_value(0, 0).decode()
