"""The line that tells how far a run has come: what it says, and where it stands in a notebook."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from fake_core import Core, run_json

from ematix_flow import Source, pipeline
from ematix_flow.run.progress import Said

STEP = {"kind": "stage", "purpose": "copy", "seconds": 0.0, "rows": 0, "bytes": 0, "waiting": False}


def said(*told: tuple[float, dict[str, Any]]) -> list[str]:
    line = Said("p")
    return [line.line(STEP | change, now) for now, change in told]


def test_rows_that_streamed_before_a_step_are_not_told_of_it() -> None:
    assert said(
        (0.0, {"kind": None, "purpose": None}),
        (0.1, {"waiting": True, "kind": None}),
        (0.2, {"rows": 1, "bytes": 1000}),
        (0.9, {"rows": 10_501, "bytes": 10_000, "seconds": 1.0}),
        (1.0, {"kind": "diff", "purpose": "rows that differ", "rows": 20_000, "seconds": 0.1}),
        (61.0, {"kind": "diff", "purpose": "rows that differ", "rows": 20_000, "seconds": 61.2}),
        (61.1, {"kind": "stage", "purpose": "again", "rows": 20_000}),
        (61.2, {"kind": "stage", "purpose": "again", "rows": 20_010, "bytes": 2_000_000}),
    ) == [
        "p  connecting",
        "p  waiting: another run holds the target",
        "p  source  1 row  1.0 kB",
        "p  source  10,501 rows  10 kB  15,000 rows/s  1 s",
        "p  diff  rows that differ",
        "p  diff  rows that differ  1 min 01 s",
        "p  stage  again",
        "p  source  20,010 rows  2.0 MB",
    ]


class Cell:
    """An output of a notebook, as `IPython.display.display(…, display_id=True)` gives it."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A kernel that is running: IPython is imported, and has a shell with a kernel."""
    found = Cell()

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Cell:
        assert raw and display_id
        found.shown.append(data)
        return found

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return found


def run(core: Core, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A run of three looks."""
    looks = [None, None, run_json()]
    core.answers["run"] = ""
    monkeypatch.setattr("fake_core.Run.poll", lambda self, seconds: looks.pop(0))
    monkeypatch.setattr("ematix_flow.run.progress._PATIENCE", 0.0)
    pipeline.sync(source=Source.postgres_query("crm", "SELECT 1"), target="a.b", mode="merge", keys="id", name=name)


def test_a_notebook_has_one_output_that_changes_and_is_empty_in_the_end(
    core: Core, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(core, monkeypatch, "<b>\n")
    line = {"text/plain": "<b>   connecting", "text/html": "<code>&lt;b&gt;   connecting</code>"}
    assert cell.shown == [line, line, {"text/plain": "", "text/html": ""}]


def test_a_notebook_can_do_without(core: Core, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMATIX_FLOW_NO_PROGRESS", "1")
    core.answers["run"] = run_json()
    pipeline.sync(source=Source.postgres_query("crm", "SELECT 1"), target="a.b", mode="merge", keys="id")
    assert cell.shown == []
