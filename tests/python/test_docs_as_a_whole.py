"""What is asked of all pages together: how much of them is run, what they promise, how they are spelled."""

from __future__ import annotations

import doctest
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from documentation import blocks_of, commands_of, statements_of
from test_docs import DOCS, PAGES, ROOT, RUN_PAGES

# How much of the pages is run, at least. Who adds pages may raise them; nobody lowers them without a reason.
FLOORS = {"console": 250, "sql": 185, "toml": 100, "python": 48}
COMMANDS, STATEMENTS = 390, 400


def test_as_much_is_run_as_ever() -> None:
    blocks = [block for path in RUN_PAGES for block in blocks_of(path.read_text(encoding="utf-8"))]
    found = Counter(block.language for block in blocks)
    assert {language: found[language] for language in FLOORS if found[language] < FLOORS[language]} == {}
    assert sum(len(commands_of(block)) for block in blocks if block.language == "console") >= COMMANDS
    assert sum(len(statements_of(block)) for block in blocks if block.language == "sql") >= STATEMENTS


def test_every_guarantee_is_held_by_a_test_that_exists() -> None:
    page = (DOCS / "explanation" / "guarantees.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]{12,})`", page))
    tests = {
        name
        for path in (ROOT / "tests" / "python").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    scenarios = {path.stem for path in (ROOT / "tests" / "scenarios").glob("*.flow")}
    assert len(named) > 50
    assert named - tests - scenarios == set()


def test_every_page_names_a_test_that_exists() -> None:
    tests = {
        name
        for path in (ROOT / "tests" / "python").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    lacking = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in PAGES
        for name in re.findall(r"`(test_\w{20,})`", path.read_text(encoding="utf-8"))
        if name not in tests
    }
    assert lacking == set()


def test_the_home_page_leads_to_every_page() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    led_to = {page for page in pages if f"]({page})" in text}
    # These have a page of their own that leads to them.
    below = ("reference/errors/", "reference/python/", "index.md")
    assert {page for page in pages - led_to if not page.startswith(below)} == set()


# What looks misspelled and is not: words of databases, of other languages, and of our own examples.
RIGHT = "brin,doub,openend"


def test_nothing_is_misspelled() -> None:
    pytest.importorskip("codespell_lib", reason="pip install codespell")
    texts = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "--ignore-words-list", RIGHT, *map(str, texts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["for_pypi", "site/examples"])
def test_examples_of_the_programs_that_write_pages_hold(name: str) -> None:
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), DOCS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@pytest.mark.parametrize(
    "path", [path for path in DOCS.rglob("*.md") if "/errors/" not in str(path)], ids=lambda it: it.stem
)
def test_a_page_begins_with_its_title(path: Path) -> None:
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
