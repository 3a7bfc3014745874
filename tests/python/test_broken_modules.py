"""Modules of Python that cannot be imported: what is said of them, once, and who goes on without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from python_package import PACKAGE, Interpreter

DUE = 'every="1d", first_run="now"'
SOUND = f"""
from ematix_flow import Pipeline, Pipelines, Source
flows = Pipelines()
of_python = Pipeline(name="of_python", source=Source.postgres_query("default", "SELECT 1 AS id"), target="dw.of_python",
                     target_connection="default", mode="merge", keys="id", {DUE})
"""
PROJECT = """
python = [MODULES]
[pipelines.of_toml]
source = { query = "SELECT 1 AS id" }
target = "dw.of_toml"
mode = "merge"
keys = "id"
every = "1d"
first_run = "now"
"""

Run = Callable[..., tuple[str, str]]


@pytest.fixture(params=("native", "wheel"))
def command(request: pytest.FixtureRequest, database: Database, flow: Flow, tmp_path: Path) -> Run:
    interpreter = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})

    def run(*arguments: str, expect: int, modules: tuple[str, ...] = ("broken",), more: str = "") -> tuple[str, str]:
        flow.project(PROJECT.replace("MODULES", ", ".join(f'"{name}"' for name in modules)) + more)
        if request.param == "wheel":
            done = interpreter.flow(*arguments, expect=expect)
            return done.stdout, done.stderr
        native = {"EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": f"{PACKAGE}:{tmp_path}"}
        finished = flow(*arguments, env=native, expect=expect)
        return finished.stdout, finished.stderr

    return run


BROKEN = {
    "raises": ("import json\n\ndef f():\n    raise RuntimeError('boom')\n\nf()\n", "RuntimeError: boom", 4),
    "no such module": (
        "import nothing_of_that_name\n",
        "ModuleNotFoundError: No module named 'nothing_of_that_name'",
        1,
    ),
    "a prefix of its name": ("import brok\n", "ModuleNotFoundError: No module named 'brok'", 1),
    "no Python": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax", 2),
    "a mistake in a declaration": (
        "\nfrom ematix_flow import Column\nColumn(int)\n",
        "SpecError: Column: `int` is not a column type",
        3,
    ),
    "leaves": ("import sys\nsys.exit('not today')\n", "SystemExit: not today", 2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_exception_and_its_line_are_said_once(name: str, command: Run, tmp_path: Path) -> None:
    source, exception, line = BROKEN[name]
    (tmp_path / "broken.py").write_text(source)
    stdout, stderr = command("list", "--output", "json", expect=2)
    document = json.loads(stdout)
    assert document["schema"] == "ematix.error.v1"
    [error] = document["errors"]
    assert error["code"] == "import_failed"
    assert error["message"].startswith("module `broken` could not be imported\n") and exception in error["message"]
    assert (error["location"]["file"], error["location"]["line"]) == ("broken.py", line)
    assert error["context"]["module"] == "broken"
    assert stderr.count("error[import_failed]") == stderr.count(exception) == 1, stderr
    assert "ematix_flow" not in stderr.replace("from ematix_flow import Column", "")


def test_a_module_that_is_not_there_has_its_remedy(command: Run) -> None:
    stdout, stderr = command("list", "--output", "json", expect=2, modules=("jobs.daily",))
    [error] = json.loads(stdout)["errors"]
    assert (error["code"], error["message"]) == ("import_failed", "there is no module `jobs.daily`")
    assert error["hint"].startswith("name it as `import` does")
    assert "Traceback" not in stderr and stderr.count("error[") == 1


def test_every_broken_module_is_named_at_once(command: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "other.py").write_text("{}['x']\n")
    stdout, _ = command("validate", "--output", "json", expect=2, modules=("broken", "other"))
    assert [error["context"]["module"] for error in json.loads(stdout)["errors"]] == ["broken", "other"]


def test_run_due_reports_the_module_and_runs_the_others(command: Run, tmp_path: Path, database: Database) -> None:
    half = SOUND.replace("of_python", "half")
    (tmp_path / "broken.py").write_text(half + "\nraise RuntimeError('boom')\n")
    (tmp_path / "shop.py").write_text(SOUND.replace("flows = Pipelines()\n", ""))
    stdout, stderr = command("run-due", "--output", "json", expect=2, modules=("broken", "shop"))
    document = json.loads(stdout)
    assert [(run["pipeline"], run["status"]) for run in document["runs"]] == [
        ("of_toml", "success"),
        ("of_python", "success"),
    ]
    [error] = document["errors"]
    assert (error["code"], error["context"]["module"]) == ("import_failed", "broken")
    assert error["location"]["file"] == "broken.py"
    assert stderr.count("error[import_failed]") == 1
    # What the module declared before it failed is half of something.
    assert database.value("SELECT to_regclass('dw.half')") is None


MANY = f"""
from ematix_flow import Pipeline, Source
for n in range(600):
    Pipeline(name=f"{{prefix}}{{n}}", source=Source.postgres_query("default", "SELECT 1 AS id"), target=f"dw.{{prefix}}{{n}}",
             target_connection="default", mode="merge", keys="id", **(dict({DUE}) if n == 0 else {{}}))
"""


@pytest.mark.parametrize("modules", [("many", "broken"), ("broken", "many")])
def test_what_a_module_declared_long_before_it_failed_is_not_run(
    command: Run, tmp_path: Path, database: Database, modules: tuple[str, ...]
) -> None:
    """Of many pipelines the first are told while the module still declares."""
    (tmp_path / "many.py").write_text("prefix = 'many_'" + MANY)
    (tmp_path / "broken.py").write_text("prefix = 'half_'" + MANY + "raise RuntimeError('boom')\n")
    stdout, _ = command("run-due", "--output", "json", expect=2, modules=modules)
    assert [run["pipeline"] for run in json.loads(stdout)["runs"]] == ["of_toml", "many_0"]
    assert database.value("SELECT to_regclass('dw.half_0')") is None


def test_a_module_that_others_import_is_broken_for_them_alone(command: Run, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SOUND.replace("flows = Pipelines()\n", ""))
    (tmp_path / "broken.py").write_text("import shared\n1 / 0\n")
    stdout, _ = command("run-due", "--output", "json", expect=2, modules=("broken", "shared"))
    assert [run["pipeline"] for run in json.loads(stdout)["runs"]] == ["of_toml", "of_python"]


def test_a_mistake_in_a_pipeline_of_python_stops_no_other(command: Run, tmp_path: Path) -> None:
    mistaken = SOUND.replace('"of_python"', '"of.python"').replace("SELECT 1 AS id", "DELETE FROM x")
    second = SOUND.split("flows = Pipelines()\n")[1].replace("of_python", "second")
    (tmp_path / "shop.py").write_text(mistaken + second)
    stdout, _ = command("run-due", "--output", "json", expect=2, modules=("shop",))
    document = json.loads(stdout)
    assert [run["pipeline"] for run in document["runs"]] == ["of_toml", "second"]
    assert [error["code"] for error in document["errors"]] == ["query_writes"]


def test_a_function_that_raises_says_what_in_json(command: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from ematix_flow import ematix\n"
        '@ematix.pipeline(target="dw.t", mode="append", source_connection="default", target_connection="default")\n'
        "def called(conn):\n"
        "    raise ValueError('no such month')\n"
    )
    stdout, stderr = command("run", "called", "--output", "json", expect=1, modules=("shop",))
    error = json.loads(stdout)["error"]
    assert error["code"] == "source_failed"
    assert error["message"] == "the function of `called` raised an exception\nValueError: no such month"
    assert (error["location"]["file"], error["location"]["line"]) == ("shop.py", 4)
    assert stderr.count("ValueError: no such month") == 1 and 'shop.py", line 4, in called' in stderr


def test_a_python_without_the_package_is_named_with_the_remedy(flow: Flow, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = str(bare / "bin" / "python")
    (tmp_path / "shop.py").write_text(SOUND)
    flow.project(PROJECT.replace("MODULES", '"shop"'))
    finished = flow("list", "--output", "json", env={"EMATIX_FLOW_PYTHON": python}, expect=2)
    [error] = finished.json()["errors"]
    assert error["code"] == "import_failed"
    assert error["message"].splitlines() == [
        f"the Python that was asked, {python}, has no package ematix-flow",
        "asked for `shop`",
    ]
    assert error["context"] == {"interpreter": python, "modules": ["shop"]}
    assert f"{python} -m pip install ematix-flow" in error["hint"] and "EMATIX_FLOW_PYTHON" in error["hint"]
    assert finished.stderr.count("ematix-flow") == 2 and "Traceback" not in finished.stderr
    due = flow("run-due", "--output", "json", env={"EMATIX_FLOW_PYTHON": python}, expect=2).json()
    assert [run["pipeline"] for run in due["runs"]] == ["of_toml"]
    assert [found["code"] for found in due["errors"]] == ["import_failed"]


def test_no_python_at_all_stops_no_pipeline_of_toml(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace("MODULES", '"shop"'))
    nowhere: dict[str, Any] = {"EMATIX_FLOW_PYTHON": os.devnull}
    due = flow("run-due", "--output", "json", env=nowhere, expect=2).json()
    assert [run["pipeline"] for run in due["runs"]] == ["of_toml"]
    assert len(due["errors"]) == 1


def test_a_name_of_a_file_and_of_python_stops_nothing_but_what_uses_it(
    command: Run, tmp_path: Path, database: Database
) -> None:
    own = '[pipelines.mirror]\nevery = "1d"\nfirst_run = "now"\nsource = { query = "SELECT 1 AS id" }\ntarget = "dw.mirror"\nmode = "append"\n'
    second = SOUND.split("flows = Pipelines()\n")[1].replace("of_python", "mirror")
    (tmp_path / "shop.py").write_text(SOUND + second)
    stdout, stderr = command("run-due", "--output", "json", expect=2, modules=("shop",), more=own)
    document = json.loads(stdout)
    assert [run["pipeline"] for run in document["runs"]] == ["of_toml", "of_python"]
    assert [error["code"] for error in document["errors"]] == ["duplicate_name"]
    assert "the pipeline `mirror` is declared twice" in stderr
    assert database.value("SELECT to_regclass('dw.mirror')") is None
