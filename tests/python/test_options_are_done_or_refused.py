"""An option of a later version is refused, with its place; only what this version does anyway may be said."""

from __future__ import annotations

import pytest
from flow_binary import Flow

PIPELINE = '[pipelines.p]\nsource = { query = "SELECT 1 AS id" }\ntarget = "dw.t"\nmode = "append"\n'


@pytest.mark.parametrize(
    "section, option",
    [
        ("", 'strategy = "scd2"'),
        ("[defaults]\n", 'strategy = "scd2"'),
        ('[connections.crm]\nhost = "localhost"\n', 'gsslib = "gssapi"'),
        ('[transforms.t]\nsql = "SELECT 1"\n', 'every = "1h"'),
    ],
)
def test_what_is_not_done_is_refused_at_its_line(section: str, option: str, flow: Flow) -> None:
    text = f"{PIPELINE}{section}{option}\n"
    flow.project(text)
    [error] = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert error["code"] == "not_yet_supported"
    assert error["message"].startswith(f"`{option.split()[0]}` in ")
    assert error["hint"] and error["location"]["line"] == len(text.splitlines())
    flow("run", "p", expect=2)


def test_what_is_done_anyway_may_be_said(flow: Flow) -> None:
    flow.project(f'{PIPELINE}[connections.crm]\nhost = "localhost"\ngssencmode = "disable"\n')
    flow("run", "p")
