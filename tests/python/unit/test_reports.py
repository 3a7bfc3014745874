"""Reports: the core's JSON as objects, as text and as HTML."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import re
import uuid
from html.parser import HTMLParser
from typing import Any

import pytest
from fake_core import run_json

from ematix_flow import (
    CheckReport,
    KeyHistory,
    Plan,
    RunHistory,
    RunReport,
    Step,
    TransformReport,
    ValidationReport,
)
from ematix_flow.show.answers import instant

EVIL = "<script>alert('x')</script>\"&\u202e"

PLAN: dict[str, Any] = {
    "pipeline": "customers",
    "mode": "scd2",
    "keys": ["id"],
    "keys_reason": "primary_key",
    "path": "staging",
    "path_reason": "another server",
    "target": "analytics.dim",
    "marks": [{"mark": "~", "what": "compare_columns + score"}],
    "notes": ["n"],
    "warnings": ["w"],
    "steps": [
        {"n": 1, "kind": "stage", "purpose": "copy the source", "sql": "COPY `x`"},
        {"n": 2, "kind": "guard", "purpose": "no duplicate | NULL keys", "sql": None},
    ],
    "errors": [],
}
HISTORY: dict[str, Any] = {
    "key": {"customer_id": "17"},
    "versions": [
        {"valid_from": "-infinity", "valid_to": "2026-03-01T00:00:00Z", "is_current": False, "values": {"status": "a"}},
        {"valid_from": "2026-03-01T00:00:00Z", "valid_to": "2026-04-02T00:00:00Z", "is_current": False, "values": {"status": "b"}},
        {"valid_from": "2026-06-01T00:00:00Z", "valid_to": None, "is_current": True, "values": {"status": EVIL}},
    ],
}  # fmt: skip


def test_a_run_report_has_python_values() -> None:
    report = RunReport(json.loads(run_json()))
    assert report.run_id == uuid.UUID("01a207ab-0000-7000-8000-66b25d21c0fe")
    assert report.started_at == dt.datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=dt.timezone.utc)
    assert report.ended_at - report.started_at == dt.timedelta(milliseconds=110)
    assert (report.status, report.committed, report.path, report.rows_in) == ("success", True, "staging", 5000)
    assert (report.rows_deleted, report.error, report.transforms, report.warnings) == (0, None, [], [])
    assert report.to_dict() == json.loads(run_json()) == json.loads(report.to_json())
    assert repr(report) == (
        "RunReport('customers', success, mode=scd2, path=staging, rows_in=5000, rows_inserted=5000, 110 ms)"
    )


def test_changing_what_to_dict_gave_changes_no_report() -> None:
    report = RunReport(json.loads(run_json(parse_failures={"a": 1})))
    report.to_dict()["parse_failures"]["a"] = 2
    assert report.to_dict()["parse_failures"] == {"a": 1}


def test_what_is_inside_a_report_is_objects_too() -> None:
    transform = {
        "name": "t",
        "status": "failed",
        "duration_ms": 3,
        "metrics": {"n": 1},
        "error": {"code": "c", "message": "m"},
    }
    report = RunReport(
        json.loads(
            run_json(warnings=["w"], transforms=[transform], error={"code": "drift", "message": "d", "hint": "h"})
        )
    )
    assert report.warnings[0].message == "w"
    assert (report.transforms[0].name, report.transforms[0].metrics) == ("t", {"n": 1})
    assert report.transforms[0].error is not None and report.transforms[0].error.code == "c"
    assert report.error is not None and str(report.error) == "d\nhint: h"


def test_a_plan_reads_as_text_sql_and_markdown() -> None:
    plan = Plan(PLAN)
    assert (plan.keys, plan.changes, [step.number for step in plan.steps]) == (
        ["id"],
        ["~ compare_columns + score"],
        [1, 2],
    )
    assert plan.sql() == "-- 1 stage: copy the source\nCOPY `x`\n"
    assert plan.to_markdown() == (
        "### customers: scd2 → analytics.dim\n\n"
        "keys: id (primary\\_key)  \npath: staging (another server)\n\n"
        "- ~ compare\\_columns + score\n\n"
        "| step | kind | purpose |\n|---:|---|---|\n"
        "| 1 | stage | copy the source |\n| 2 | guard | no duplicate \\| NULL keys |\n\n"
        "<details><summary>SQL</summary>\n\n```sql\n-- 1 stage: copy the source\nCOPY `x`\n```\n\n</details>\n"
    )
    assert repr(plan).splitlines() == [
        "customers  scd2  path: staging (another server)",
        "  → analytics.dim",
        "~ compare_columns + score",
        "   1 stage     copy the source",
        "   2 guard     no duplicate | NULL keys",
    ]


def test_a_check_that_finds_nothing_is_true() -> None:
    assert CheckReport({"ok": True, "violations": []})
    found = CheckReport({"ok": False, "violations": [{"invariant": "no_overlap", "key": {"id": 1}, "detail": "d"}]})
    assert not found
    assert [(item.code, item.message, item.context) for item in found.violations] == [
        ("no_overlap", "d", {"key": {"id": 1}})
    ]


def test_a_validation_lists_errors_and_what_was_not_checked() -> None:
    found = ValidationReport({"ok": False, "errors": [{"code": "c", "message": "m"}], "unchecked": ["u"]})
    assert not found and found.errors[0].code == "c" and found.unchecked == ["u"]


@pytest.mark.parametrize(
    ("text", "microsecond", "hours"),
    [
        ("2026-01-02T03:04:05Z", 0, 0),
        ("2026-01-02T03:04:05.1Z", 100000, 0),
        ("2026-01-02T03:04:05.1234567+02:00", 123456, 2),
        ("2026-01-02 03:04:05.123-05:00", 123000, -5),
    ],
)
def test_an_instant_is_read_as_the_core_writes_it(text: str, microsecond: int, hours: int) -> None:
    zone = dt.timezone(dt.timedelta(hours=hours))
    assert instant(text) == dt.datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=zone)


# --- notebooks ---------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a browser sees: the elements in order, that every one is closed, and the text."""

    EMPTY = ("path", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


REPORTS = [
    RunReport(
        json.loads(run_json(pipeline=EVIL, target=EVIL, warnings=[EVIL], error={"code": EVIL, "message": EVIL}, watermark_after=EVIL))
    ),
    Plan(PLAN | {"pipeline": EVIL, "target": EVIL, "marks": [{"mark": "+", "what": EVIL}], "path_reason": EVIL}),
    Plan(PLAN | {"steps": [{"n": 1, "kind": EVIL, "purpose": EVIL, "sql": EVIL}], "keys": [EVIL], "warnings": [EVIL]}),
    Step({"n": 1, "kind": EVIL, "purpose": EVIL, "sql": EVIL}),
    KeyHistory(HISTORY | {"key": {EVIL: EVIL}}),
    ValidationReport({"ok": False, "errors": [{"code": EVIL, "message": EVIL, "hint": EVIL}]}),
    CheckReport({"ok": False, "violations": [{"invariant": EVIL, "detail": EVIL}]}),
    RunHistory({"runs": [{"started_at": EVIL, "status": EVIL}]}),
    TransformReport({"name": EVIL, "metrics": {EVIL: EVIL}}),
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_html_is_whole_escaped_and_without_colours_of_its_own(report: Any) -> None:
    text = report._repr_html_()
    outline = Outline(text)
    assert "script" not in outline.seen and "<script>alert(" in outline.text
    assert "\u202e" not in text, "what turns the text around it"
    assert not re.search(r"#[0-9a-f]{3}|\b(?:white|black)\b(?!-space)", text), "a colour that one theme would hide"
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_key_is_drawn_a_bar_a_version() -> None:
    outline = Outline(KeyHistory(HISTORY)._repr_html_())
    assert outline.seen.count("svg") == 1 and outline.seen.count("path") == 3
    drawing = KeyHistory(HISTORY)._repr_html_()
    bars = [float(left) for left in re.findall(r'<path d="M([0-9.]+) ', drawing)]
    assert bars == sorted(bars) and len(set(bars)) == 3
    assert "currentColor" in drawing and "2026-06-01T00:00:00Z to now" in drawing


@pytest.mark.parametrize("versions", [[], HISTORY["versions"][2:], HISTORY["versions"][:1]])
def test_a_short_history_is_drawn_too(versions: Any) -> None:
    Outline(KeyHistory({"key": {"id": "1"}, "versions": versions})._repr_html_())


def cells(report: Any) -> list[str]:
    return re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", report._repr_html_())


def test_a_finding_is_shown_with_its_key_or_its_place_and_what_was_not_checked() -> None:
    violation = {"invariant": "no_overlap", "key": {"id": "1", "region": "EU"}, "detail": "d"}
    assert cells(CheckReport({"ok": False, "violations": [violation]})) == [
        *("invariant", "key", "detail"),
        *("no_overlap", "id = 1, region = EU", "d"),
    ]
    error = {"code": "c", "message": "m", "location": {"file": "jobs.py", "line": 3, "column": 1}}
    found = ValidationReport({"ok": False, "errors": [error], "unchecked": ["drift"]})
    assert cells(found) == [*("code", "message", "where"), *("c", "m", "jobs.py:3")]
    assert "not checked: drift" in Outline(found._repr_html_()).text


def test_null_is_not_the_text_none() -> None:
    versions = [HISTORY["versions"][2] | {"values": {"a": None, "b": "None", "c": ""}}]
    shown = ["valid_from", "valid_to", "a", "b", "c", "2026-06-01T00:00:00Z", "", "NULL", "None", ""]
    assert cells(KeyHistory({"key": {"id": "1"}, "versions": versions})) == shown


def labels(*values: str) -> list[tuple[float, str, str]]:
    """Where each label stands, of versions a month long."""
    versions = [
        {"valid_from": f"2026-{n:02}-01T00:00:00Z", "valid_to": f"2026-{n + 1:02}-01T00:00:00Z", "values": {"s": value}}
        for n, value in enumerate(values, 1)
    ]
    drawing = KeyHistory({"key": {"id": "1"}, "versions": versions})._repr_html_()
    found = re.findall(r'<text x="([0-9.]+)" [^>]*text-anchor="(\w+)"[^>]*>(.*?)</text>', drawing)
    return [(float(at), anchor, text) for at, anchor, text in found]


def test_a_label_stands_in_its_bar_or_beside_it_and_is_cut_to_its_room() -> None:
    assert labels("fits")[0][1:] == ("start", "fits")
    drawn = labels(*["x" * 20] * 11)
    assert [text for _, _, text in drawn] == ["x" * 20] * 11
    # Beside its bar, at the right while there is room.
    assert [anchor for _, anchor, _ in drawn] == ["start"] * 10 + ["end"]
    (_, _, long), (_, _, last) = labels("y" * 500, "<" * 500)
    assert 20 < len(long) < 100 and long.endswith("…") and last.endswith("&lt;…")


def test_a_history_reads_as_text() -> None:
    assert repr(KeyHistory(HISTORY | {"versions": HISTORY["versions"][:1]})) == (
        "customer_id = 17   1 version\n  -infinity to 2026-03-01T00:00:00Z  status=a"
    )
