"""What `import ematix_flow` costs and loads: users pay for it in every script, and so does each start of `flow`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Each line of output is a module that was asked for although it is none of ours to need.
EVERYTHING_WITHOUT_THE_BIG_ONES = """
import importlib, pkgutil, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("polars", "pandas", "pyarrow", "numpy", "IPython"):
            print(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refused())
import ematix_flow
for module in pkgutil.walk_packages(ematix_flow.__path__, "ematix_flow."):
    importlib.import_module(module.name)
for name in ematix_flow.__all__:
    getattr(ematix_flow, name)
"""

QUIETLY = """
import os, sys

def heard(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.posix_spawn", "_thread.start")):
        print(event)

sys.addaudithook(heard)
import ematix_flow, ematix_flow._core
from ematix_flow import BigInt, Column, ManagedTable, Pipelines, ematix

flows = Pipelines()

class Customers(ManagedTable):
    id = Column(BigInt, primary_key=True)

@ematix.pipeline(target=Customers, mode="merge")
def customers(conn):
    return "SELECT 1 AS id"

ematix_flow.connect("nowhere")
ematix_flow._core.main(["flow", "--version"], None, None)
print(len(os.listdir("/proc/self/task")), "thread")
for number in os.listdir("/proc/self/fd"):
    path = f"/proc/self/fd/{number}"
    if os.path.islink(path) and os.readlink(path).startswith("socket:"):
        print(os.readlink(path))
"""


def interpreter(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), **variables}
    return subprocess.run(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )


def test_the_start_of_flow_imports_no_declaration() -> None:
    code = "import sys, ematix_flow.cli; print(*sys.modules)"
    loaded = interpreter("-S", "-c", code).stdout.split()
    assert [name for name in loaded if name.startswith(("ematix_flow.declare", "ematix_flow.run"))] == []


def test_every_public_name_is_there_whichever_is_used_first_and_its_module_is_the_one_that_checkers_read() -> None:
    tree = ast.parse((ROOT / "python" / "ematix_flow" / "__init__.py").read_text(encoding="utf-8"))
    declared = next(node for node in tree.body if isinstance(node, ast.If)).body
    read = {
        (alias.name, f"ematix_flow.{node.module}")
        for node in declared
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    code = "import ematix_flow as e; print(*(f'{n} ematix_flow.{m}' for n, m in e._MODULES.items()), sep='\\n')"
    found = {(name, module) for name, module in map(str.split, interpreter("-c", code).stdout.splitlines())}
    assert found - {("__version__", "ematix_flow._core")} == read
    every = interpreter("-c", "import ematix_flow as e; print(*e.__all__); assert set(e.__all__) <= set(dir(e))")
    assert set(every.stdout.split()) == {name for name, _ in found}
    for first in ("BigInt", "Source", "pipeline", "types", "__version__"):
        interpreter("-c", f"from ematix_flow import {first}; from ematix_flow import *; ManagedTable, sql, RunReport")


@pytest.mark.parametrize(
    ("module", "most"), [("ematix_flow", 100), ("ematix_flow._core", 100), ("ematix_flow.cli", 110)]
)
def test_importing_loads_little(module: str, most: int) -> None:
    """How long it takes is measured by `./do bench startup`."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    loaded = interpreter("-S", "-c", code).stdout.split()
    assert len(loaded) <= most, sorted(loaded)


def test_importing_needs_the_standard_library_alone_and_little_of_that() -> None:
    loaded = set(interpreter("-S", "-c", "import ematix_flow, sys; print(*sys.modules)").stdout.split())
    assert not loaded & {"asyncio", "json", "inspect", "dataclasses", "typing_extensions", "socket"}
    assert "ematix_flow._core" not in loaded
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"__main__", "ematix_flow"}
    assert not {name for name in foreign if not name.startswith("_")}


def test_no_module_of_it_loads_a_library_of_frames() -> None:
    assert interpreter("-c", EVERYTHING_WITHOUT_THE_BIG_ONES).stdout == ""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for its threads and sockets")
def test_neither_importing_nor_declaring_starts_a_thread_or_opens_a_socket() -> None:
    done = interpreter("-c", QUIETLY)
    assert done.stdout.splitlines()[1:] == ["1 thread"], done.stdout
    assert done.stdout.startswith("flow ")
