"""Thousands of pipelines: each declaration costs what the first one did, and so does each line of the registry."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from ematix_flow.declare import registry
from ematix_flow.ground import places
from ematix_flow.run import export

FEW, MANY = 1_000, 4_000
# Four times as many took sixteen times as long where each was held to all before it; four to five is what it takes now.
LARGEST_RATIO = 8
# A machine that is busy with something else is seen as a slow attempt: what the code takes is the fastest of these.
ATTEMPTS = 3

HEAD = """
from typing import Annotated
from ematix_flow import BigInt, Column, ManagedTable, Pipeline, Pipelines, Source, Text, connect, ematix, pk
flows = Pipelines()
"""


def one_table(count: int) -> str:
    return f"""
class Shared(ManagedTable):
    id = Column(BigInt, primary_key=True)
for at in range({count}):
    Pipeline(name=f"p{{at}}", source=Source.postgres_table("crm", "app", f"t{{at}}"), target=Shared, mode="merge",
             schedule="0 * * * *")
"""


def a_table_each(count: int) -> str:
    return f"""
def declare(at):
    @ematix.table(name=f"t{{at}}")
    class Own:
        id: Annotated[BigInt, pk()]
        name: Text | None
    Pipeline(name=f"p{{at}}", source=Source.postgres_query("crm", "SELECT 1"), target=Own, mode="scd2", every="15m")
for at in range({count}):
    declare(at)
"""


def a_dsn_each(count: int) -> str:
    return f"""
for at in range({count}):
    Pipeline(name=f"p{{at}}", source=Source.postgres_query(connect(dsn=f"host=h{{at}}"), "SELECT 1"), target=f"raw.t{{at}}",
             mode="append")
"""


def written_out(count: int) -> str:
    each = """
class T{at}(ManagedTable):
    id: Annotated[BigInt, pk()]
@ematix.pipeline(target=T{at}, mode="merge")
def p{at}(conn):
    return "SELECT 1"
"""
    return "".join(each.format(at=at) for at in range(count))


def seconds(source: str, count: int) -> float:
    """How long a module takes to declare so many pipelines and to hand them to the core."""
    module = types.ModuleType("declares_thousands")
    code = compile(HEAD + source, "thousands.py", "exec")
    sys.modules[module.__name__] = module
    # What else this process holds is not looked through each time that memory is tidied.
    gc.collect()
    gc.freeze()
    try:
        with registry.isolated():
            began = time.process_time()
            exec(code, module.__dict__)
            document = export.registry(export.load([f"{module.__name__}:flows"]))
            took = time.process_time() - began
    finally:
        gc.unfreeze()
        del sys.modules[module.__name__]
    assert len(json.loads(document)["pipelines"]) == count
    return took


def fastest(source: Callable[[int], str], count: int) -> float:
    return min(seconds(source(count), count) for _ in range(ATTEMPTS))


@pytest.mark.parametrize("source", [one_table, a_table_each, a_dsn_each, written_out])
def test_four_times_as_many_pipelines_take_about_four_times_as_long(source: Callable[[int], str]) -> None:
    seconds(source(10), 10)
    few, many = fastest(source, FEW), fastest(source, MANY)
    print(f"{source.__name__}: {FEW:,} in {few:.2f} s, {MANY:,} in {many:.2f} s")
    assert many / few < LARGEST_RATIO


def test_a_line_far_down_a_long_module_is_the_one_that_python_says() -> None:
    count = 2_000
    source = "seen = []\n" + "seen.append(\n    (here(), line())\n)\n\n" * count
    found = {"here": places.here, "line": lambda: sys._getframe(1).f_lineno, "__name__": "long_module"}
    code = compile(source, "long.py", "exec")
    assert len(code.co_linetable) > places._LONG
    exec(code, found)
    assert [place.line for place, _ in found["seen"]] == [line for _, line in found["seen"]]
    assert len({line for _, line in found["seen"]}) == count


def test_a_line_that_declares_again_and_again_is_told_as_it_is_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "loop.py"
    code = compile("for _ in range(2):\n    seen.append(here())\n", str(file), "exec")
    seen: list[places.Place] = []

    def run(module: str) -> places.Place:
        exec(code, {"here": places.here, "seen": seen, "__name__": module})
        first, second = seen[-2:]
        assert first == second
        return first

    monkeypatch.chdir(tmp_path)
    assert run("one") == (os.path.join("below", "loop.py"), 2, ("one",))
    assert run("other") == (os.path.join("below", "loop.py"), 2, ("other",))
    monkeypatch.chdir(tmp_path / "below")
    assert run("one") == ("loop.py", 2, ("one",))
    exec(compile("def declare():\n    seen.append(here())\n", str(file), "exec"), found := {"here": places.here})
    found |= {"seen": seen, "__name__": "helpers"}
    exec(compile("declare()\n", "user.py", "exec"), {"declare": found["declare"], "__name__": "user"})
    assert seen[-1] == ("loop.py", 2, ("helpers", "user"))
