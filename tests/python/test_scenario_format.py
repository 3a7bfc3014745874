"""The scenario format: what is read, what is normalised, what is refused. No database, no binary."""

from __future__ import annotations

import doctest

import pytest
import scenario as scenarios
from scenario import ScenarioError, Section, Table, normalised, parse

EXAMPLE = """\
# A changed row closes one version and opens another

For the reader.

## sql
CREATE TABLE a (id int);

INSERT INTO a VALUES (1);

## pipelines.toml
[pipelines.a]

## run a --full-scan exit 4
status refused
error drift

## table SELECT id FROM a ORDER BY id
# one row
id
1
"""

REPORT = {
    "schema": "ematix.run.v1",
    "status": "success",
    "rows_in": 3,
    "rows_inserted": 3,
    "rows_updated": 0,
    "rows_rehashed": 0,
    "watermark_after": None,
    "path": "same_db",
    "error": None,
}


def test_a_file_is_read_into_its_sections_and_written_back_unchanged() -> None:
    scenario = parse("example.flow", EXAMPLE)
    assert scenario.title == "A changed row closes one version and opens another"
    assert scenario.text() == EXAMPLE
    assert scenario.sections == (
        Section("sql", "", ("CREATE TABLE a (id int);", "", "INSERT INTO a VALUES (1);"), 0, 5),
        Section("file", "pipelines.toml", ("[pipelines.a]",), 0, 10),
        Section("run", "a --full-scan", ("status refused", "error drift"), 4, 13),
        Section("table", "SELECT id FROM a ORDER BY id", ("# one row", "id", "1"), 0, 17),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.flow:1: the first line is `# ` and a title"),
        ("# \n## sql\n", "x.flow:1: the first line is `# ` and a title"),
        ("# t\n", "x.flow: no section: a line that begins with `## ` opens one"),
        (
            "# t\n\n## rum a\n",
            "x.flow:3: unknown section `rum`; known are pipelines.toml, "
            + "sql, file, run, dry-run, validate, plan, flow, table",
        ),
        ("# t\n## run exit 4\n", "x.flow:2: `## run` needs a name"),
        ("# t\n## run a exit four\n", "x.flow:2: `exit` needs a number"),
        ("# t\n## table\nid\n1\n", "x.flow:2: `## table` needs a query, here or below it with `;` at the end"),
    ],
)
def test_a_faulty_file_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        parse("x.flow", text)
    assert str(raised.value) == message


def test_a_query_below_the_heading_ends_at_the_semicolon() -> None:
    scenario = parse("x.flow", "# t\n## table\nSELECT id,\n  name\nFROM a;\n# note\nid | name\n1 | b\n")
    [section] = scenario.sections
    assert section.query == "SELECT id,\n  name\nFROM a;"
    assert section.notes == ("# note",)
    assert section.expected == ("id | name", "1 | b")
    assert section.with_expected(["id"]).body == ("SELECT id,", "  name", "FROM a;", "# note", "id")


def test_expectations_are_normalised_to_one_order_and_alignment() -> None:
    text = (
        "# t\n## run a\nrows_inserted 3\nrows_updated 0\nmentions x\nstatus success\nrows_in 3\n\n## table SELECT 1\n"
    )
    scenario = normalised(parse("x.flow", text + "id|long name\n100 | ∅\n"))
    assert [section.body for section in scenario.sections] == [
        ("status success", "rows_in 3", "rows_inserted 3", "mentions x"),
        ("id  | long name", "100 | ∅"),
    ]


def lines(document: object, *asked: str, output: str = "") -> list[str]:
    return scenarios.report_lines(scenarios.report_fields(document, output, scenarios.fields(asked)))


def test_a_report_shows_every_count_that_is_not_zero() -> None:
    assert lines(REPORT, "status success") == ["status success", "rows_in 3", "rows_inserted 3"]
    assert lines(REPORT | {"rows_rehashed": 2}) == ["status success", "rows_in 3", "rows_inserted 3", "rows_rehashed 2"]


def test_other_fields_of_a_report_are_shown_where_they_are_asked_for() -> None:
    asked = ("watermark_after 3", "path staging", "colour red")
    assert lines({**REPORT, "rows_in": 0, "rows_inserted": 0}, *asked) == [
        "status success",
        "watermark_after ∅",
        "path same_db",
        "colour (not in the report)",
    ]


def test_rows_read_by_a_run_that_did_not_succeed_are_shown_where_they_are_asked_for() -> None:
    refused = {"status": "refused", "rows_in": 3, "rows_inserted": 0, "error": {"code": "null_key"}}
    assert lines(refused) == ["status refused", "error null_key"]
    assert lines(refused, "rows_in 4") == ["status refused", "error null_key", "rows_in 3"]


def test_all_errors_of_faulty_files_are_shown_in_their_order() -> None:
    faulty = {"schema": "ematix.error.v1", "errors": [{"code": "unknown_option"}, {"code": "conflicting_options"}]}
    assert lines(faulty) == ["error unknown_option", "error conflicting_options"]
    assert lines({"ok": True, "errors": [], "unchecked": []}) == ["ok"]


def test_a_text_that_is_nowhere_in_the_output_differs_from_what_was_asked() -> None:
    assert lines({}, "mentions a b", output="xa by") == ["mentions a b"]
    assert lines({}, "mentions a b", output="") == ["mentions (nowhere in the output) a b"]


def test_every_string_of_a_document_can_be_mentioned_as_it_reads() -> None:
    document = {"errors": [{"hint": 'ADD COLUMN "phone"', "context": {"n": 1}}], "ok": False}
    assert scenarios.strings(document) == ['ADD COLUMN "phone"']


PLAN = {
    "pipelines": [
        {
            "keys": ["id", "region"],
            "path": "same_db",
            "marks": [{"mark": "+", "what": "analytics.dim"}],
            "steps": [{"kind": "lock", "purpose": "one run at a time"}, {"kind": "insert", "purpose": "open versions"}],
            "errors": [],
        }
    ]
}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ([], ["path same_db", "mark + analytics.dim", "step lock", "step insert"]),
        (["keys id"], ["keys id, region"]),
        (["step lock", "step insert open"], ["step lock one run at a time", "step insert open versions"]),
        (["mark + x", "path x"], ["path same_db", "mark + analytics.dim"]),
    ],
)
def test_a_plan_shows_the_parts_that_are_asked_for(asked: list[str], shown: list[str]) -> None:
    assert scenarios.plan_lines(PLAN, "", asked) == shown


def test_instants_are_named_in_ascending_order_over_all_tables() -> None:
    early, late = "2030-01-01 00:00:00+00", "2030-01-01 00:00:00.5+00"
    first = Table(("valid_from",), ((late,),), frozenset({late}))
    second = Table(("valid_from", "valid_to"), ((early, late), (late, None)), frozenset({early, late}))
    names = scenarios.instant_names([first, second])
    assert names == {early: "t1", late: "t2"}
    assert second.lines(names) == ["valid_from | valid_to", "t1         | t2", "t2         | ∅"]


def test_an_author_can_write_every_cell_that_a_table_shows() -> None:
    values = ("", " a", "a|b", "∅", '"q"', "a\nb", "# a", "é", "\\x00")
    shown = Table(tuple("abcdefghi"), (values,)).lines({})
    assert scenarios.table_lines(shown) == shown
    assert [text.strip() for text in shown[1].split("|")] == [
        '""', '" a"', '"a\\u007cb"', '"∅"', '"\\"q\\""', '"a\\nb"', '"# a"', "é", "\\x00",
    ]  # fmt: skip


def test_the_examples_in_the_docstrings_hold() -> None:
    import server

    for module in (scenarios, server):
        found = doctest.testmod(module)
        assert (found.failed, found.attempted > 0) == (0, True)
