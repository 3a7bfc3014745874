"""The tree of exceptions, held to the core's codes."""

from __future__ import annotations

import json
import pickle
import re

import pytest
from fake_core import OPTIONS_RS

from ematix_flow import (
    ConnectError,
    DataError,
    DriftError,
    FlowError,
    LockedError,
    SourceError,
    SpecError,
    TargetError,
)
from ematix_flow.errors import from_json
from ematix_flow.ground.errors import class_of

TREE = {
    "Usage": {SpecError},
    "Refused": {DataError, DriftError},
    "Locked": {LockedError},
    "Unreachable": {ConnectError},
    "Failed": {TargetError, SourceError},
    "Interrupted": {FlowError},
    "Success": {FlowError},
}
DRIFT = {"drift", "missing_index", "watermark_mismatch"}


def codes_of_the_core() -> list[tuple[str, str]]:
    text = (OPTIONS_RS.parents[1] / "error.rs").read_text(encoding="utf-8")
    body = text.split("error_codes! {")[1].split("\n}\n")[0]
    found = []
    for group, block in re.findall(r"^    (\w+) \{\n(.*?)^    \}", body, flags=re.MULTILINE | re.DOTALL):
        found += [(group, code) for code in re.findall(r'\w+ = "(\w+)",', block)]
    assert len(found) > 50
    return found


@pytest.mark.parametrize(("group", "code"), codes_of_the_core())
def test_every_code_of_the_core_has_its_class(group: str, code: str) -> None:
    found = class_of(code)
    assert found in TREE[group]
    assert (found is DriftError) == (code in DRIFT)
    assert (found is SourceError) == (code == "source_failed")


def test_an_error_has_what_the_core_said() -> None:
    said = {
        "code": "source_failed",
        "message": "division by zero",
        "hint": "look",
        "sqlstate": "22012",
        "context": {"n": 1},
        "location": {"file": "jobs.py", "line": 3, "column": 1},
    }
    error = from_json(json.dumps(said))
    assert type(error) is SourceError
    assert (error.code, error.message, error.hint, error.sqlstate) == (
        "source_failed",
        "division by zero",
        "look",
        "22012",
    )
    assert (error.context, error.location, error.report) == ({"n": 1}, said["location"], None)
    assert str(error) == "division by zero\nhint: look"
    assert [item.to_dict() for item in error.errors] == [said]


def test_several_findings_come_together() -> None:
    error = from_json(
        '{"errors": [{"code": "missing_keys", "message": "a"}, {"code": "unknown_type", "message": "b"}]}'
    )
    assert type(error) is SpecError and isinstance(error, ValueError)
    assert [(item.code, item.message) for item in error.errors] == [("missing_keys", "a"), ("unknown_type", "b")]


def test_an_error_comes_with_the_report_of_its_run() -> None:
    from fake_core import run_json

    said = {"code": "mass_delete", "message": "m", "report": json.loads(run_json(status="refused"))}
    error = from_json(json.dumps(said))
    assert error.report is not None and error.report.status == "refused"


@pytest.mark.parametrize("code", ["drift", "locked", "missing_keys", "connect_failed", "cancelled"])
def test_an_error_survives_pickling_whole(code: str) -> None:
    from fake_core import run_json

    said = {"code": code, "message": "m", "hint": "h", "context": {"a": [1]}, "report": json.loads(run_json())}
    error = from_json(json.dumps(said))
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error) and copied.args == error.args
    assert copied.__dict__ == error.__dict__
