"""The matrix: what is promised has a cell, each cell has a row on the page, and the page says what came out."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import server

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "tests" / "matrix.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up.
    sys.modules["matrix"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_has_a_row_for_every_cell_and_says_what_is_known_of_it(matrix: ModuleType) -> None:
    known = matrix.known()
    assert set(known) <= {cell.name for cell in matrix.CELLS}
    text = matrix.PAGE.read_text(encoding="utf-8")
    assert text == matrix.page(known)
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    assert rows[1:] == [cell.title for cell in matrix.CELLS]


def test_what_is_promised_has_a_cell(matrix: ModuleType) -> None:
    names = [cell.name for cell in matrix.CELLS]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    promised = re.findall(r"Python :: (3\.\d+)", project)
    assert [name for name in names if name.startswith("python-")] == [f"python-{each}" for each in promised]
    oldest = re.search(r'"duckdb>=([\d.]+),<', project)
    assert oldest and f"duckdb-{oldest[1]}" in names
    assert f"postgres-{server.OLDEST_MAJOR}" in names
    assert {"pgbouncer", "standby", "duckdb-newest"} <= set(names)


def test_the_tests_of_every_cell_are_there(matrix: ModuleType) -> None:
    tests = {test.split("::")[0] for cell in matrix.CELLS for test in (*cell.tests, *cell.scenarios)}
    assert {test for test in tests if not (ROOT / "tests" / "python" / test).exists()} == set()


def test_what_pytest_says_is_read_whole(matrix: ModuleType) -> None:
    xml = (
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><skipped/>'
        '</testcase><testcase name="d"><error/></testcase></testsuite></testsuites>'
    )
    found = matrix.read(xml, "18.1", 3)
    assert (found.passed, found.skipped, found.failed) == (1, 1, ("b", "d"))
    assert (found.version, found.seconds) == ("18.1", 3)


def test_a_cell_that_failed_or_was_not_run_is_told(matrix: ModuleType) -> None:
    results = {"postgres-15": matrix.Result(version="15.1", day="2026-01-01", passed=9, failed=("test_a",))}
    results["python-3.10"] = matrix.Result(lacking="no python3.10 on this machine")
    text = matrix.page(results)
    assert "| Postgres 15 | 15.1 | Debian 12 | all | 9 | 1 | 0 | 2026-01-01 |\n" in text
    assert "- Postgres 15: `test_a` failed.\n" in text
    assert "| Python 3.10 | not run |" in text
    assert "- Python 3.10: no python3.10 on this machine.\n" in text
    assert "- Postgres 16: never run.\n" in text
