"""Pages that say which tests prove something name tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "explanation" / "scheduling.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|") and "test_" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_promise_names_tests_that_there_are(row: str) -> None:
    source = ""
    for name in re.findall(r"`([\w./-]+)`", row.split("|")[2]):
        if name.endswith((".py", ".rs")):
            path = ROOT / name if "/" in name else ROOT / "tests" / "python" / name
            source = path.read_text(encoding="utf-8")
        else:
            assert re.search(rf"\b(fn|def) {name}\(", source), name
