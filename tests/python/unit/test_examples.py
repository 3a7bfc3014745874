"""The manual's examples run as printed; each mistake in mustfail.py is refused at run time too."""

from __future__ import annotations

import ast
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_core import Core, run_json

from ematix_flow import SpecError
from ematix_flow.declare import registry
from ematix_flow.run import export

EXAMPLES = Path(__file__).parents[1] / "typing"


@pytest.fixture
def module(core: Core) -> Iterator[types.ModuleType]:
    core.answers |= {"run": run_json(), "plan": {"plan": {"pipeline": "p"}}, "validate": {"ok": True}}
    found = types.ModuleType("example")
    sys.modules["example"] = found
    yield found
    del sys.modules["example"]


def statements(name: str) -> list[ast.stmt]:
    return ast.parse((EXAMPLES / name).read_text(encoding="utf-8")).body


def run(node: ast.stmt, name: str, module: types.ModuleType) -> None:
    exec(compile(ast.Module([node], type_ignores=[]), str(EXAMPLES / name), "exec"), module.__dict__)


@pytest.mark.parametrize(("name", "pipelines"), [("prd.py", 2), ("projects.py", 11)])
def test_every_example_runs(name: str, pipelines: int, module: types.ModuleType) -> None:
    for node in statements(name):
        run(node, name, module)
    assert len(registry.pipelines) == pipelines
    assert len(json.loads(export.registry(registry.pipelines.values()))["pipelines"]) == pipelines


def mistakes() -> list[Any]:
    """Line by line; the class once for each of its columns."""
    lines = (EXAMPLES / "mustfail.py").read_text(encoding="utf-8").splitlines()
    cases = [f"class D(ManagedTable):\n{line}" for line in lines[2:4]]
    # Line 10: the words of an option are the core's, which refuses them before a run.
    cases += [line for number, line in enumerate(lines[5:], 6) if number != 10]
    return [pytest.param(case, id=case.splitlines()[-1].strip()[:60]) for case in cases]


@pytest.mark.parametrize("case", mistakes())
def test_each_mistake_is_refused_at_run_time(case: str, module: types.ModuleType) -> None:
    first, *_ = (EXAMPLES / "mustfail.py").read_text(encoding="utf-8").splitlines()
    given = "s = Source.postgres_query(connect('a'), 'select 1')\nclass D(ManagedTable):\n    a = Column(Integer, primary_key=True)\n"
    exec(f"{first}\n{given}", module.__dict__)
    with pytest.raises((SpecError, TypeError)):
        exec(case, module.__dict__)
