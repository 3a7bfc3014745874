"""The format of tests/scenarios/*.flow: read, normalised, written. Pure: it opens no database and starts no process.

A scenario tells a story in sections. Its first line is `# ` and a title, a sentence about behaviour; lines up to the
first section are for the reader. A line that begins with `## ` opens a section:

    ## sql                          statements, run as the superuser of an empty database of the scenario's own
    ## pipelines.toml               this file is written (again: replaced); so does `## file NAME` any other
    ## run NAME [FLAG…] [exit N]    `flow run NAME FLAG… --output json` ends with N (0 if not said); what it reports:
        status success                  always
        error duplicate_source_key      the code, where there is an error; one line each where the files are faulty
        rows_in 3                       every count that is not 0: one that is not listed must be 0 (but rows_in of a
                                        run that did not succeed is compared only where it is listed)
        watermark_after 17              any other field of the report, compared where it is listed (null is ∅)
        mentions ADD COLUMN "phone"     text that stdout, a string in its JSON, or stderr must contain
    ## dry-run NAME [FLAG…] [exit N]    likewise
    ## validate [FLAG…] [exit N]        `ok`, or `error CODE` a line
    ## plan NAME [FLAG…] [exit N]       `keys`, `path`, `mark MARK WHAT` and `step KIND [PURPOSE]`; of these four what is
                                        listed is compared whole, but purposes only where one of the steps has one
    ## flow ARGUMENT… [exit N]          any other command; `mentions TEXT`
    ## table QUERY                      the rows of a query, as the server writes them (true and false in full):

        customer_id | email   | valid_from | valid_to
        17          | a@x.org | t1         | ∅

A query that is too long for the heading follows it instead and ends in `;` at the end of a line.

In a table NULL is `∅`. A cell that is empty, has blanks at an end, or a `|`, a line break or a `"` in front, or reads
like NULL, is written as a JSON string. The query says ORDER BY.

Instants that depend on when the test runs have names: every distinct `timestamptz` in the tables of one file that lies
between the start of the scenario and the query is `t1`, `t2`, … in ascending order over the whole file. Any other
instant (a literal, infinity, the epoch) is printed, in UTC.

Lines that begin with `#` at the head of an expected section are for the reader, and stay where they are.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

NULL = "∅"
TIMESTAMPTZ_OID = 1184
BOOLEAN_OID = 16

GIVEN = ("sql", "file")
REPORTED = ("run", "dry-run", "validate")
EXPECTED = (*REPORTED, "plan", "flow", "table")

# The order in which a reader adds them up: in = inserted + updated + unchanged + deduplicated + skipped + rejected.
COUNTS = (
    "rows_in",
    "rows_inserted",
    "rows_updated",
    "rows_unchanged",
    "rows_deduplicated",
    "rows_skipped",
    "rows_rejected",
    "rows_closed_out",
    "rows_deleted",
    "rows_rehashed",
)


class ScenarioError(Exception):
    """The file is not a scenario; the message begins with file and line."""


@dataclass(frozen=True)
class Section:
    """One section: `## kind argument [exit N]` and the lines below it."""

    kind: str
    argument: str
    body: tuple[str, ...]
    exit_code: int = 0
    line: int = 0

    @property
    def words(self) -> list[str]:
        return shlex.split(self.argument)

    @property
    def query(self) -> str:
        """The query of a table section, from the heading or from below it."""
        return self.argument or "\n".join(self.split_query()[0])

    def split_query(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The lines of a query below the heading, and the lines after it."""
        if self.argument:
            return (), self.body
        end = next((n for n, line in enumerate(self.body, 1) if line.rstrip().endswith(";")), 0)
        return self.body[:end], self.body[end:]

    @property
    def notes(self) -> tuple[str, ...]:
        """The reader's lines at the head of what is expected."""
        notes = []
        for line in self.split_query()[1]:
            if not line.startswith("#"):
                break
            notes.append(line)
        return tuple(notes)

    @property
    def expected(self) -> tuple[str, ...]:
        return self.split_query()[1][len(self.notes) :]

    def with_expected(self, lines: Iterable[str], exit_code: int | None = None) -> Section:
        """The same section with other expectations; the query and the reader's lines stay."""
        body = (*self.split_query()[0], *self.notes, *lines)
        return replace(self, body=body, exit_code=self.exit_code if exit_code is None else exit_code)

    def text(self) -> str:
        exit_words = f" exit {self.exit_code}" if self.exit_code else ""
        if self.kind == "file" and self.argument == "pipelines.toml":
            heading = "## pipelines.toml"
        else:
            heading = f"## {self.kind} {self.argument}".rstrip() + exit_words
        return "\n".join((heading, *self.body)) + "\n"


@dataclass(frozen=True)
class Scenario:
    name: str
    introduction: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def title(self) -> str:
        return self.introduction[0].removeprefix("# ")

    def text(self) -> str:
        parts = ["\n".join(self.introduction) + "\n", *(section.text() for section in self.sections)]
        return "\n".join(parts)


def parse(name: str, text: str) -> Scenario:
    """Reads a scenario file; `name` is said in errors."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# ") or not lines[0][2:].strip():
        raise ScenarioError(f"{name}:1: the first line is `# ` and a title")
    headings = [n for n, line in enumerate(lines) if line.startswith("## ")]
    if not headings:
        raise ScenarioError(f"{name}: no section: a line that begins with `## ` opens one")
    ends = [*headings[1:], len(lines)]
    sections = [
        section(name, start + 1, lines[start], lines[start + 1 : end])
        for start, end in zip(headings, ends, strict=True)
    ]
    return Scenario(name, without_blank_end(lines[: headings[0]]), tuple(sections))


def section(name: str, line: int, heading: str, body: Sequence[str]) -> Section:
    kind, _, argument = heading.removeprefix("## ").strip().partition(" ")
    argument = argument.strip()
    if kind == "pipelines.toml" and not argument:
        kind, argument = "file", "pipelines.toml"
    if kind not in GIVEN + EXPECTED:
        known = ", ".join(("pipelines.toml", *GIVEN, *EXPECTED))
        raise ScenarioError(f"{name}:{line}: unknown section `{kind}`; known are {known}")
    exit_code = 0
    if kind in EXPECTED and kind != "table":
        argument, exit_code = split_exit(name, line, argument)
    if kind in ("file", "run", "dry-run", "plan", "flow") and not argument:
        raise ScenarioError(f"{name}:{line}: `## {kind}` needs a name")
    made = Section(kind, argument, without_blank_end(body), exit_code, line)
    if kind == "table" and not made.query:
        raise ScenarioError(f"{name}:{line}: `## table` needs a query, here or below it with `;` at the end")
    return made


def split_exit(name: str, line: int, argument: str) -> tuple[str, int]:
    words = argument.rsplit(maxsplit=2)
    if words[-2:-1] != ["exit"]:
        return argument, 0
    if not words[-1].isdigit():
        raise ScenarioError(f"{name}:{line}: `exit` needs a number")
    return " ".join(words[:-2]), int(words[-1])


def without_blank_end(lines: Sequence[str]) -> tuple[str, ...]:
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return tuple(kept)


# --- reports ----------------------------------------------------------------------------------------------------


def fields(lines: Iterable[str]) -> list[tuple[str, str]]:
    """`rows_in 3` as ("rows_in", "3"); blank lines are nothing."""
    pairs = (line.strip().partition(" ") for line in lines if line.strip())
    return [(name, value.strip()) for name, _, value in pairs]


def report_lines(found: Sequence[tuple[str, str]]) -> list[str]:
    """Fields in the order of the format, without counts of 0: both sides of a comparison go through here."""

    def rank(item: tuple[str, str]) -> int:
        name = item[0]
        if name in ("ok", "status", "error"):
            return ("ok", "status", "error").index(name)
        if name in COUNTS:
            return 10 + COUNTS.index(name)
        return 101 if name == "mentions" else 100

    kept = [(name, value) for name, value in found if not (name.startswith("rows_") and value == "0")]
    return [f"{name} {value}".rstrip() for name, value in sorted(kept, key=rank)]


def report_fields(document: Any, output: str, asked: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What a command's JSON says, in the fields of the format; `asked` are those the scenario lists."""
    found: list[tuple[str, str]] = []
    if document.get("ok") is True:
        found.append(("ok", ""))
    if "status" in document:
        found.append(("status", document["status"]))
    errors = [document["error"]] if document.get("error") else document.get("errors", [])
    found += [("error", error["code"]) for error in errors]
    asked_names = [name for name, _ in asked]
    for name, value in document.items():
        succeeded = document.get("status") == "success"
        if name.startswith("rows_") and (name != "rows_in" or succeeded or name in asked_names):
            found.append((name, str(value)))
    for name in asked_names:
        if not name.startswith("rows_") and name not in ("ok", "status", "error", "mentions"):
            found.append((name, plain(document[name]) if name in document else "(not in the report)"))
    return found + mentioned(output, asked)


def mentioned(output: str, asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The texts asked for, each as it is if the output has it."""
    texts = [value for name, value in asked if name == "mentions"]
    return [("mentions", text if text in output else f"(nowhere in the output) {text}") for text in texts]


def strings(document: Any) -> list[str]:
    """Every string in a JSON document: quotes in them are escaped in its text."""
    match document:
        case str():
            return [document]
        case dict():
            return [text for value in document.values() for text in strings(value)]
        case list():
            return [text for value in document for text in strings(value)]
    return []


def plain(value: Any) -> str:
    if value is None:
        return NULL
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- plans ------------------------------------------------------------------------------------------------------


def plan_lines(document: Any, output: str, expected: Sequence[str]) -> list[str]:
    """A plan's parts that the scenario lists; with nothing listed: path, marks and kinds of steps."""
    [plan] = document["pipelines"]
    asked = fields(expected)
    names = {name for name, _ in asked} or {"path", "mark", "step"}
    with_purpose = any(name == "step" and " " in value for name, value in asked)
    lines = []
    if "keys" in names:
        lines.append("keys " + ", ".join(plan["keys"] or []))
    if "path" in names:
        lines.append(f"path {plan['path']}")
    if "mark" in names:
        lines += [f"mark {mark['mark']} {mark['what']}" for mark in plan["marks"]]
    if "step" in names:
        lines += [f"step {step['kind']} {step['purpose'] if with_purpose else ''}".rstrip() for step in plan["steps"]]
    lines += [f"error {error['code']}" for error in plan.get("errors", [])]
    return lines + [f"mentions {text}" for _, text in mentioned(output, asked)]


# --- tables -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A query's answer in the server's own text, and the instants in it that depend on when the test ran."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    instants: frozenset[str] = field(default_factory=frozenset)

    def lines(self, names: dict[str, str]) -> list[str]:
        cells = [[cell(value, names) for value in row] for row in self.rows]
        return aligned([list(self.columns), *cells])


def cell(value: str | None, names: dict[str, str]) -> str:
    """
    >>> cell(None, {}), cell("a b", {}), cell("", {}), cell(" a|b", {})
    ('∅', 'a b', '""', '" a\\\\u007cb"')
    """
    if value is None:
        return NULL
    if value in names:
        return names[value]
    ambiguous = value != value.strip() or value in ("", NULL) or value[0] in '"#'
    if ambiguous or "|" in value or any(not character.isprintable() for character in value):
        return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")
    return value


def instant_names(tables: Iterable[Table]) -> dict[str, str]:
    """t1, t2, … in ascending order. Instants in UTC of years with four digits sort as text."""
    distinct = sorted(set().union(*(table.instants for table in tables)))
    return {instant: f"t{number}" for number, instant in enumerate(distinct, 1)}


def table_lines(lines: Iterable[str]) -> list[str]:
    """An author's table, aligned."""
    return aligned([[text.strip() for text in line.split("|")] for line in lines if line.strip()])


def aligned(rows: list[list[str]]) -> list[str]:
    columns = max((len(row) for row in rows), default=0)
    widths = [max(len(row[n]) for row in rows if n < len(row)) for n in range(columns)]
    return [" | ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip() for row in rows]


# --- both sides -------------------------------------------------------------------------------------------------


def normalised(scenario: Scenario) -> Scenario:
    """The scenario with what it expects in the one form that an observation takes."""
    return replace(scenario, sections=tuple(normalised_section(section) for section in scenario.sections))


def normalised_section(section: Section) -> Section:
    if section.kind in GIVEN:
        return section
    if section.kind == "table":
        return section.with_expected(table_lines(section.expected))
    if section.kind == "plan":
        order = ("keys", "path", "mark", "step", "error", "mentions")
        listed = [line.strip() for line in section.expected if line.strip()]
        known = [line for line in listed if line.split()[0] in order]
        unknown = [line for line in listed if line.split()[0] not in order]
        return section.with_expected(sorted(known, key=lambda line: order.index(line.split()[0])) + unknown)
    return section.with_expected(report_lines(fields(section.expected)))
