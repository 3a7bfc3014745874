"""Rows of files come straight into a table that only takes them in; wherever something is to be done with them before, they
are staged, with the same outcome."""

from __future__ import annotations

import pytest
from database import Database
from flow_binary import Flow

PIPELINE = """
[tables.events]
schema = "shop"
columns = { id = "bigint", name = "text" }

[pipelines.events]
source = { files = "landing/*.csv" }
target = "events"
"""
APPEND = PIPELINE + 'mode = "append"\n'
MADE = "CREATE SCHEMA shop; CREATE TABLE shop.events (id bigint NOT NULL, name text NOT NULL"
OWN = ", _loaded_at timestamptz DEFAULT now(), _batch_id uuid)"


@pytest.fixture
def landing(flow: Flow) -> None:
    (flow.directory / "landing").mkdir()
    (flow.directory / "landing" / "1.csv").write_text("id,name\n1,Ann\n2,Bob\n2,Bob\n")


def is_straight(flow: Flow) -> bool:
    """Whether the plan has no table for the rows on their way."""
    return "_ematix_reading" not in flow("plan", "events", "--sql", "--output", "json").stdout


@pytest.mark.usefixtures("landing")
def test_an_append_takes_rows_into_the_table_itself(flow: Flow, database: Database) -> None:
    flow.project(APPEND)
    assert is_straight(flow)
    runs = [flow("run", "events", "--output", "json").json() for _ in range(2)]
    assert [(run["rows_in"], run["rows_inserted"]) for run in runs] == [(3, 3), (3, 3)]
    found = database.rows(
        "SELECT _batch_id::text, _loaded_at IS NOT NULL, array_agg(id || name ORDER BY id) FROM shop.events GROUP BY 1, 2"
    )
    assert sorted(found) == sorted((run["run_id"], True, ["1Ann", "2Bob", "2Bob"]) for run in runs)


@pytest.mark.usefixtures("landing")
def test_a_first_load_that_replaces_without_keys_is_straight_and_later_ones_wait_with_the_lock(flow: Flow) -> None:
    flow.project(PIPELINE + 'mode = "truncate"\n')
    assert is_straight(flow)
    flow("run", "events")
    assert not is_straight(flow)
    assert flow("run", "events", "--output", "json").json()["rows_inserted"] == 3


@pytest.mark.usefixtures("landing")
@pytest.mark.parametrize(
    "table",
    [
        MADE + OWN.replace("DEFAULT now()", "DEFAULT '2026-01-01'"),
        MADE + OWN + "; CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER t BEFORE INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.f()",
        MADE.replace("name text", "name varchar(9)") + OWN,
    ],
    ids=["a default of its own", "a trigger", "another type"],
)
def test_what_the_table_does_with_rows_is_done_over_a_stage(flow: Flow, database: Database, table: str) -> None:
    database.execute(table)
    flow.project(APPEND + 'on_drift = "ignore"\n')
    assert not is_straight(flow)
    assert flow("run", "events", "--output", "json").json()["rows_inserted"] == 3
    assert database.value("SELECT max(_loaded_at) > now() - interval '1 minute' FROM shop.events")


@pytest.mark.usefixtures("landing")
def test_what_the_table_refuses_is_told_as_over_a_stage_and_nothing_stands(flow: Flow, database: Database) -> None:
    (flow.directory / "landing" / "2.csv").write_text("id,name\n3,\n")
    told = []
    for table in (MADE + OWN, MADE + OWN.replace("DEFAULT now()", "DEFAULT '2026-01-01'")):
        database.execute(f"DROP SCHEMA IF EXISTS shop CASCADE; {table}")
        flow.project(APPEND + 'on_drift = "ignore"\n')
        failed = flow("run", "events", "--output", "json", expect=None)
        run = failed.json()
        told.append((failed.code, run["error"]["code"], run["error"]["sqlstate"], run["error"]["hint"]))
        assert database.value("SELECT count(*) FROM shop.events") == 0
    assert told[0] == told[1]
