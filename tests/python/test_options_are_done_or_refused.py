"""An option of a later version is refused, with its place; only what this version does anyway may be said."""

from __future__ import annotations

import pytest
from flow_binary import Flow
from python_package import Interpreter

PIPELINE = '[pipelines.p]\nsource = { query = "SELECT 1 AS id" }\ntarget = "dw.t"\nmode = "append"\n'


@pytest.mark.parametrize("option", ("parallel = 2",))
@pytest.mark.parametrize("where", ("pipeline", "defaults"))
def test_what_is_not_done_is_refused_at_its_line(option: str, where: str, flow: Flow) -> None:
    text = f"{PIPELINE}{option}\n" if where == "pipeline" else f"{PIPELINE}[defaults]\n{option}\n"
    flow.project(text)
    [error] = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert error["code"] == "not_yet_supported"
    assert error["message"].startswith(f"`{option.split()[0]}` in ")
    assert error["hint"] and error["location"]["line"] == len(text.splitlines())
    flow("run", "p", expect=2)


@pytest.mark.parametrize("option", ("parallel = 1",))
def test_what_is_done_anyway_may_be_said(option: str, flow: Flow) -> None:
    flow.project(f"{PIPELINE}{option}\n")
    flow("run", "p")


def test_python_refuses_the_same(flow: Flow) -> None:
    done = Interpreter(flow.directory).run(
        """
        from ematix_flow import Pipeline, Source, SpecError
        for parallel in (1, 2):
            p = Pipeline(name=f"p{parallel}", source=Source.postgres_query("default", "SELECT 1 AS id"), target="dw.t",
                         target_connection="default", mode="append", parallel=parallel)
            try:
                print(p.validate().ok)
            except SpecError as error:
                print(error.code, error.location["line"])
        """
    )
    assert done.stdout == "True\nnot_yet_supported 4\n"
