"""What `import ematix_flow` costs and loads: users pay for it in every script, and so does each start of `flow`."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What a user does not notice, in seconds above a bare interpreter. It is 0.02 where this was written.
LONGEST_IMPORT = 0.060
# What a bare interpreter takes where that was measured; on a slower machine both take longer.
BARE = 0.015
ROUNDS = 15

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


def cpu_seconds(code: str, **variables: str) -> float:
    """Of a child that runs it, without the site-packages: a .pth file of the tests' own is none of our cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    interpreter("-S", "-c", code, **variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("module", ["ematix_flow", "ematix_flow._core", "ematix_flow.cli"])
def test_importing_takes_less_than_people_notice(module: str, tmp_path: Path) -> None:
    # An installed package has its bytecode, also where the tests must not write any.
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    cpu_seconds(f"import {module}", **bytecode)
    # By turns: what slows the machine down slows both.
    pairs = [(cpu_seconds(f"import {module}", **bytecode), cpu_seconds("pass", **bytecode)) for _ in range(ROUNDS)]
    above, bare = (
        statistics.median(times) for times in ([whole - bare for whole, bare in pairs], [b for _, b in pairs])
    )
    print(f"{module}: {above * 1000:.1f} ms above {bare * 1000:.1f} ms")
    assert above < LONGEST_IMPORT * max(1, bare / BARE)


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
