"""The package and its users under mypy (strict) and pyright: what must pass passes, and what is wrong is found."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "python"
EXAMPLES = ROOT / "tests" / "python" / "typing"
# mypy ignores class decorators, so it does not see what `@ematix.feature_view` adds; a function without annotations
# is the manual's own.
MYPY_ALONE = {("prd.py", 64), ("prd.py", 98), ("prd.py", 99)}


Errors = set[tuple[str, int]]


def mypy(directory: Path, *words: str) -> Errors:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", str(directory), *words],
        cwd=EXAMPLES,
        env=os.environ | {"MYPYPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(\S+?):(\d+): error", done.stdout, flags=re.MULTILINE)
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return {(Path(name).name, int(line)) for name, line in found}


def pyright(directory: Path, *words: str) -> Errors:
    settings = {
        "include": list(words),
        "extraPaths": [str(PACKAGE)],
        "pythonVersion": "3.10",
        "typeCheckingMode": "standard",
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", str(directory), "--outputjson", "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    analyzed = len(MODULES) + len(EXAMPLE_FILES)
    assert answer["summary"]["filesAnalyzed"] >= analyzed, done.stdout
    errors = [item for item in answer["generalDiagnostics"] if item["severity"] == "error"]
    return {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in errors}


MODULES = {path.name for suffix in ("py", "pyi") for path in (PACKAGE / "ematix_flow").glob(f"*.{suffix}")}
EXAMPLE_FILES = ("prd.py", "projects.py", "rows.py", "mustfail.py")


@pytest.fixture(params=[mypy, pyright])
def checker(request: pytest.FixtureRequest) -> Callable[..., Errors]:
    return request.param


@pytest.fixture
def errors(checker: Callable[..., Errors], tmp_path_factory: pytest.TempPathFactory) -> Errors:
    """What the checker says of the package and of its users: asked once by all workers, since it takes long."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / checker.__name__
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (known := shared / "errors.json").exists():
            words = [str(PACKAGE / "ematix_flow"), *(str(EXAMPLES / name) for name in EXAMPLE_FILES)]
            known.write_text(json.dumps(sorted(checker(shared, *words))))
    return {(name, line) for name, line in json.loads(known.read_text())}


def of(names: Collection[str], errors: Errors) -> Errors:
    return {(name, line) for name, line in errors if name in names}


@pytest.mark.long
def test_the_package_is_clean(errors: Errors) -> None:
    assert of(MODULES, errors) == set()


@pytest.mark.long
def test_examples_pass(errors: Errors, checker: Callable[..., Errors]) -> None:
    assert of({"prd.py", "projects.py", "rows.py"}, errors) == (MYPY_ALONE if checker is mypy else set())


@pytest.mark.long
def test_each_mistake_is_found_in_its_line(errors: Errors) -> None:
    wrong = EXAMPLES / "mustfail.py"
    marked = {3, 4, 6, 7, 8, 9, 10, 11, 12}
    assert len(wrong.read_text(encoding="utf-8").splitlines()) == max(marked)
    assert of({"mustfail.py"}, errors) == {("mustfail.py", line) for line in marked}


def test_nothing_else_is_said(errors: Errors) -> None:
    assert {name for name, _ in errors} <= MODULES | set(EXAMPLE_FILES)
