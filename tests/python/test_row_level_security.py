"""Rows that a policy hides are never taken for rows that are not there: the server refuses, and the error says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from across import Across, connect
from database import Database, temporary_database
from flow_binary import Flow

MODES = ["append", "truncate", "merge", "scd2"]
COLUMNS = {"id": "bigint", "name": "text?", "owner": "text?"}
SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.orders (id bigint PRIMARY KEY, name text, owner text);
INSERT INTO app.orders SELECT n, 'order ' || n, CASE WHEN n <= 2 THEN 'one' ELSE 'two' END FROM generate_series(1, 4) AS n;
"""
# Of a tenant's own rows, as most policies are written.
POLICY = """
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.orders USING (owner = 'one');
"""


@pytest.fixture(params=["one database", "two databases"])
def warehouse(request: pytest.FixtureRequest, database: Database) -> Iterator[Database]:
    """Where the rows go."""
    if request.param == "one database":
        yield database
    else:
        with temporary_database() as other:
            yield other


@pytest.fixture
def reader(database: Database, warehouse: Database) -> Iterator[str]:
    """A role that may read the source and load the target."""
    role = f"reader_{database.name}"
    database.execute(f"{SOURCE} CREATE ROLE {role} LOGIN")
    database.execute(f"GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT ON app.orders TO {role}")
    warehouse.execute(f"GRANT CREATE ON DATABASE {warehouse.name} TO {role}")
    yield role
    for each in {database.name: database, warehouse.name: warehouse}.values():
        each.execute(f"DROP OWNED BY {role} CASCADE")
    database.execute(f"DROP ROLE {role}")


def pipeline(mode: str, **connections: dict[str, Any]) -> Across:
    made = Across(connections=connections)
    keys = {} if mode in ("append", "truncate") else {"handle_deletes": "soft", "keys": "id"}
    made.table("orders", COLUMNS, schema="dw")
    made.pipeline("orders", "app.orders", "orders", mode, **keys)
    return made


def refused(flow: Flow, made: Across, table: str, role: str) -> None:
    config = flow.project(made.text())
    for command in ("plan", "dry-run", "run"):
        finished = flow(command, "orders", "--output", "json", config=config, expect=4)
        answer = finished.json()
        error = answer["pipelines"][0]["errors"][0] if command == "plan" else answer["error"]
        assert error["code"] == "hidden_rows", finished
        assert table in error["message"] and f"from the role {role}" in error["message"], error
        assert f"ALTER ROLE {role} BYPASSRLS" in error["hint"] and 'row_security = "on"' in error["hint"], error


@pytest.mark.parametrize("mode", MODES)
def test_a_source_of_which_a_policy_hides_rows_is_refused(
    mode: str, database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    made = pipeline(mode)
    assert made.run(flow)["orders"]["rows_inserted"] == 4
    database.execute(POLICY)
    refused(flow, made, '"orders"', reader)
    # Nothing was deleted, and nothing emptied.
    assert warehouse.value("SELECT count(*) FROM dw.orders") == 4
    database.execute(f"ALTER ROLE {reader} BYPASSRLS")
    assert made.run(flow)["orders"]["rows_deleted"] == 0


def test_a_view_is_read_as_its_owner_sees_the_rows(
    database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    other = f"owner_{reader}"
    database.execute(f"""
        {POLICY}
        CREATE ROLE {other};
        GRANT USAGE ON SCHEMA app TO {other}; GRANT SELECT ON app.orders TO {other};
        CREATE VIEW app.shown AS SELECT * FROM app.orders;
        ALTER VIEW app.shown OWNER TO {other};
        GRANT SELECT ON app.shown TO {reader};
    """)
    try:
        connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
        made = pipeline("truncate")
        made.pipeline("orders", "SELECT * FROM app.shown", "orders", "truncate")
        refused(flow, made, '"orders"', reader)
    finally:
        database.execute(f"DROP OWNED BY {other} CASCADE; DROP ROLE {other}")


def test_whoever_means_the_rows_that_are_shown_says_so(
    database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    database.execute(POLICY)
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    shown: dict[str, Any] = {"session": {"row_security": "on"}}
    made = pipeline("scd2", crm=shown, warehouse=shown)
    assert made.run(flow)["orders"]["rows_inserted"] == 2
    assert made.run(flow)["orders"]["rows_unchanged"] == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_target_of_which_a_policy_hides_rows_is_refused(
    mode: str, database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    made = pipeline(mode)
    made.run(flow)
    warehouse.execute("""
        ALTER TABLE dw.orders ENABLE ROW LEVEL SECURITY;
        ALTER TABLE dw.orders FORCE ROW LEVEL SECURITY;
        CREATE POLICY own ON dw.orders USING (owner = 'one') WITH CHECK (true);
    """)
    refused(flow, made, "orders", reader)
    assert warehouse.value("SELECT count(*) FROM dw.orders") == 4


def test_a_comparison_is_refused_on_either_side(
    database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    made = pipeline("merge")
    made.run(flow)
    config = flow.project(made.text())
    flow("diff", "orders", config=config, expect=0)
    database.execute(POLICY)
    assert "error[hidden_rows]" in flow("diff", "orders", config=config, expect=4).stderr


@pytest.mark.parametrize("force_path", ["staging", "client_diff"])
def test_no_path_leads_around_a_policy(
    force_path: str, database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    made = pipeline("scd2")
    made.run(flow)
    made.pipelines["orders"]["force_path"] = force_path
    database.execute(POLICY)
    refused(flow, made, '"orders"', reader)


def test_an_owner_and_a_superuser_see_every_row(database: Database, flow: Flow) -> None:
    database.execute(f"{SOURCE} {POLICY}")
    connect(flow, database, database)
    assert pipeline("scd2").run(flow)["orders"]["rows_inserted"] == 4


@pytest.mark.parametrize("way", ["the query", "a view"])
def test_a_function_that_sets_row_security_itself_is_refused(
    way: str, database: Database, warehouse: Database, reader: str, flow: Flow
) -> None:
    database.execute(f"""
        CREATE FUNCTION app.shown() RETURNS SETOF app.orders LANGUAGE sql STABLE SET row_security = on
            AS 'SELECT * FROM app.orders';
        CREATE VIEW app.shown_rows AS SELECT * FROM app.shown();
        GRANT SELECT ON app.shown_rows TO {reader};
    """)
    connect(flow, database.dsn_as(reader), warehouse.dsn_as(reader))
    made = pipeline("merge")
    assert made.run(flow)["orders"]["rows_inserted"] == 4
    database.execute(POLICY)
    made.pipelines["orders"]["source"] = {
        "connection": "crm",
        "query": "SELECT * FROM " + ("app.shown()" if way == "the query" else "app.shown_rows"),
    }
    made.pipelines["orders"] |= {"handle_deletes": "hard", "max_delete_fraction": 1.0}
    config = flow.project(made.text())
    for command in ("plan", "dry-run", "run"):
        said = flow(command, "orders", config=config, expect=4)
        said_text = said.stdout + said.stderr
        assert "hidden_rows" in said_text and "the query calls app.shown, which sets row_security" in said_text, said
    assert warehouse.value("SELECT count(*) FROM dw.orders") == 4
    made.connections = {name: {"session": {"row_security": "on"}} for name in ("crm", "warehouse")}
    assert made.run(flow)["orders"]["rows_deleted"] == 2
