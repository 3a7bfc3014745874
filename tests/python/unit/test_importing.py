"""What `import ematix_flow` costs and loads: users pay for it in every script, and so does each start of `flow`."""

from __future__ import annotations

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
