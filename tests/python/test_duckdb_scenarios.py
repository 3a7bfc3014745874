"""The scenarios of Postgres in a file of DuckDB: the same files, through the Python package, with the same answers.

What DuckDB words otherwise is translated in duckdb_words.py. Where it cannot do what a scenario asks,
tests/scenarios/duckdb_cannot.txt says why, and the page about DuckDB says it to users; what is left of such a story in
DuckDB is told in tests/scenarios/duckdb/*.flow.
"""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb_words
import pytest
from duckdb_file import DuckDbFile
from python_package import ROOT
from scenario import parse
from scenario_ground import OnDuckDb
from scenario_run import Played, play
from test_scenarios import DIRECTORY, FILES
from warm_package import WarmPackage, warm_package

OWN_FILES = sorted((DIRECTORY / "duckdb").glob("*.flow"))
PAGE = ROOT / "docs" / "reference" / "engines" / "duckdb.md"


@dataclass(frozen=True)
class Cannot:
    """The first section of a scenario that goes otherwise in DuckDB, and why."""

    at: str
    reason: str


def cannot(text: str) -> dict[str, Cannot]:
    """
    >>> cannot("# a comment\\n\\nname\\nsql\\nNo room,\\nno time.\\n")
    {'name': Cannot(at='sql', reason='No room, no time.')}
    """
    found = {}
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if lines:
            name, at, *reason = lines
            found[name] = Cannot(at, " ".join(reason))
    return found


CANNOT = cannot((DIRECTORY / "duckdb_cannot.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPackage]:
    with warm_package(tmp_path_factory.mktemp("package")) as package:
        yield package


def first_difference(played: Played) -> str | None:
    """The kind and argument of the first section that went otherwise."""
    pairs = zip(played.expected.sections, played.actual.sections, strict=True)
    return next((f"{was.kind} {was.argument}".rstrip() for was, now in pairs if was != now), None)


def played_in_a_file(path: Path, package: WarmPackage, directory: Path) -> Played:
    file = DuckDbFile(directory / "warehouse.duckdb")
    flow = replace(package, directory=directory, variables={"EMATIX_FLOW_DSN": file.dsn})
    return play(parse(path.name, path.read_text(encoding="utf-8")), OnDuckDb(file), flow)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario_in_a_file(path: Path, package: WarmPackage, tmp_path: Path) -> None:
    played = played_in_a_file(path, package, tmp_path)
    known = CANNOT.get(path.stem)
    if known is not None:
        # What comes before goes as on Postgres.
        assert first_difference(played) == known.at, played.difference()
    elif not played.as_expected:
        pytest.fail(f"{played.expected.title}\n{played.difference()}", pytrace=False)


@pytest.mark.parametrize("path", OWN_FILES, ids=[path.stem for path in OWN_FILES])
def test_scenario_of_duckdb(path: Path, package: WarmPackage, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    played = played_in_a_file(path, package, tmp_path)
    if request.config.getoption("--update-scenarios") and played.given_statements_ran:
        path.write_text(played.actual.text(), encoding="utf-8")
    elif not played.as_expected:
        pytest.fail(f"{played.expected.title}\n{played.difference()}", pytrace=False)


def test_what_duckdb_cannot_is_said_to_users() -> None:
    assert set(CANNOT) <= {path.stem for path in FILES}
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [each.reason for each in CANNOT.values() if each.reason not in page] == []


def test_the_words_are_as_documented() -> None:
    for module in (duckdb_words, sys.modules[__name__]):
        assert doctest.testmod(module).failed == 0
