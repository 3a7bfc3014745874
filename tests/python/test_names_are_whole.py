"""Names are compared as wholes: what only ends, begins or reads like one is another."""

from __future__ import annotations

from database import Database
from flow_binary import Flow

HISTORY = """
[pipelines.p]
source = { query = "SELECT 1 AS id, 'a' AS v" }
target = "dw.t"
mode = "scd2"
keys = "id"
"""


def test_a_check_of_others_is_not_taken_for_ours(flow: Flow, database: Database) -> None:
    flow.project(HISTORY)
    flow("run", "p")
    database.execute(
        "ALTER TABLE dw.t DROP CONSTRAINT t_period; ALTER TABLE dw.t ADD CONSTRAINT billing_period CHECK (id > 0)"
    )
    [plan] = flow("plan", "--output", "json").json()["pipelines"]
    [mark] = plan["marks"]
    assert mark["mark"] == "~" and mark["what"].startswith("check: ")
    flow("run", "p")
    names = database.rows("SELECT conname FROM pg_constraint WHERE conrelid = 'dw.t'::regclass AND contype = 'c'")
    assert {"billing_period", "t_period"} <= {name for (name,) in names}


def test_the_end_of_a_runs_id_is_no_pattern(flow: Flow, database: Database) -> None:
    flow.project(HISTORY)
    report = flow("run", "p", "--output", "json").json()
    for pattern in ("%", "_", "_______%"):
        assert "there is no run" in flow("logs", pattern, expect=2).stderr
    for digits in (report["run_id"], report["run_id"][-8:], report["run_id"][-8:].upper()):
        flow("logs", digits)
