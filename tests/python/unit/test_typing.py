"""The package and its users under mypy (strict) and pyright: what must pass passes, and what is wrong is found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "python"
EXAMPLES = ROOT / "tests" / "python" / "typing"
# mypy ignores class decorators, so it does not see what `@ematix.feature_view` adds; a function without annotations
# is the manual's own.
MYPY_ALONE = {("prd.py", 64), ("prd.py", 98), ("prd.py", 99)}


def mypy(tmp_path: Path, *words: str) -> set[tuple[str, int]]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", str(tmp_path), *words],
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


def pyright(tmp_path: Path, *words: str) -> set[tuple[str, int]]:
    settings = {
        "include": list(words),
        "extraPaths": [str(PACKAGE)],
        "pythonVersion": "3.10",
        "typeCheckingMode": "standard",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", str(tmp_path), "--outputjson", "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] > 0, done.stdout
    errors = [item for item in answer["generalDiagnostics"] if item["severity"] == "error"]
    return {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in errors}


Checker = Callable[..., set[tuple[str, int]]]
CHECKERS = pytest.mark.parametrize("checker", [mypy, pyright])


@CHECKERS
def test_the_package_is_clean(checker: Checker, tmp_path: Path) -> None:
    assert checker(tmp_path, str(PACKAGE / "ematix_flow")) == set()


@CHECKERS
def test_examples_pass(checker: Checker, tmp_path: Path) -> None:
    found = checker(tmp_path, *(str(EXAMPLES / name) for name in ("prd.py", "projects.py", "rows.py")))
    assert found == (MYPY_ALONE if checker is mypy else set())


@CHECKERS
def test_each_mistake_is_found_in_its_line(checker: Checker, tmp_path: Path) -> None:
    wrong = EXAMPLES / "mustfail.py"
    marked = {3, 4, 6, 7, 8, 9, 10, 11, 12}
    assert len(wrong.read_text(encoding="utf-8").splitlines()) == max(marked)
    assert checker(tmp_path, str(wrong)) == {("mustfail.py", line) for line in marked}
