"""Every tests/scenarios/*.flow, run against a real Postgres through the real binary.

The format is described in scenario.py. A file is one test, named after it:

    pytest tests/python/test_scenarios.py -k scd2
    pytest tests/python/test_scenarios.py -k scd2_first_load --update-scenarios

The second form rewrites the expected sections with what happened; read the diff before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow
from scenario import parse
from scenario_ground import on_postgres
from scenario_run import play

DIRECTORY = Path(__file__).parent.parent / "scenarios"
FILES = sorted(DIRECTORY.glob("*.flow"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path, database: Database, flow: Flow, request: pytest.FixtureRequest) -> None:
    scenario = parse(path.name, path.read_text(encoding="utf-8"))
    with on_postgres(database) as ground:
        played = play(scenario, ground, flow)
    if request.config.getoption("--update-scenarios") and played.given_statements_ran:
        path.write_text(played.actual.text(), encoding="utf-8")
        return
    if not played.as_expected:
        pytest.fail(f"{scenario.title}\n{played.difference()}", pytrace=False)
