"""One reading of the source, younger than its locks; and the proof that source and target are one database."""

from __future__ import annotations

from typing import Any

import pytest
from customers import SOURCE, current, project, source, wait_until
from database import Database
from flow_binary import Flow

PARTITIONED = """
CREATE SCHEMA app;
CREATE TABLE app.customers (customer_id bigint, name text NOT NULL, revision bigint NOT NULL, PRIMARY KEY (customer_id))
    PARTITION BY RANGE (customer_id);
CREATE TABLE app.customers_1 PARTITION OF app.customers FOR VALUES FROM (1) TO (1000);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM generate_series(1, 10) AS n;
"""
VIEW = f"{SOURCE} CREATE VIEW app.customers_view AS SELECT * FROM app.customers;"


UPPER = "SELECT customer_id, upper(name) AS name, revision FROM app.customers"
# What is given, the table that is truncated, and how the pipeline reads it.
READINGS: dict[str, tuple[str, str, dict[str, str]]] = {
    "table": (SOURCE, "app.customers", {}),
    "query": (SOURCE, "app.customers", {"query": UPPER}),
    "view": (VIEW, "app.customers", {"query": "SELECT * FROM app.customers_view"}),
    "partition": (PARTITIONED, "app.customers_1", {}),
    "query over a partition": (PARTITIONED, "app.customers_1", {"query": f"{UPPER} WHERE customer_id > 0"}),
    "incremental": (SOURCE, "app.customers", {"incremental_column": "revision"}),
}
MODES = ["append", "truncate", "merge", "scd2"]


@pytest.mark.parametrize(
    ("mode", "reading"),
    [(mode, name) for mode in MODES for name in READINGS if (mode, name) != ("truncate", "incremental")],
)
def test_a_source_that_is_truncated_and_reloaded_meanwhile_is_read_whole(
    database: Database, flow: Flow, mode: str, reading: str
) -> None:
    given, truncated, options = READINGS[reading]
    database.execute(given)
    config = flow.project(project(mode, **options))
    flow("run", "customers", config=config)
    with database.connect(autocommit=False) as other:
        other.execute(f"TRUNCATE {truncated}")
        running = flow.start("run", "customers", "--output", "json", config=config)
        wait_until(lambda: waits_for_a_lock(database), "the run waits for the source")
        other.execute("INSERT INTO app.customers SELECT n, 'reloaded ' || n, 1 FROM generate_series(1, 12) AS n")
        other.commit()
    report = running.finish().json()
    assert report["rows_in"] == 12
    assert database.value("SELECT count(*) FROM analytics.dim_customers WHERE name ILIKE 'reloaded%'") == 12


def waits_for_a_lock(database: Database) -> bool:
    return bool(
        database.value(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'ematix-flow%%' AND wait_event_type = 'Lock' AND wait_event = 'relation'"
        )
    )


def two_connections(**source_more: Any) -> str:
    more = "".join(f'{name} = "{value}"\n' for name, value in source_more.items())
    return (
        project().replace('{ table = "app.customers" }', '{ connection = "crm", table = "app.customers" }')
        + 'target_connection = "warehouse"\n[connections.crm]\ndsn = "${env:CRM}"\n'
        + more
        + '[connections.warehouse]\ndsn = "${env:WAREHOUSE}"\n'
    )


@pytest.fixture
def by_tcp(database: Database, tcp_role: str) -> str:
    database.execute(SOURCE)
    return database.dsn_over_tcp(tcp_role, "right")


def test_socket_and_tcp_are_proved_to_be_one_database(database: Database, flow: Flow, by_tcp: str) -> None:
    environment = {"CRM": by_tcp, "WAREHOUSE": database.dsn}
    config = flow.project(two_connections())
    for command in ("run", "dry-run"):
        report = flow(command, "customers", "--output", "json", config=config, env=environment).json()
        assert report["path"] == "same_db"
        assert report["path_reason"] == "source crm and target warehouse are one database (proved)"
    planned = flow("plan", "customers", "--output", "json", config=config, env=environment).json()
    assert planned["pipelines"][0]["path"] == "same_db"
    assert current(database) == source(database)


def test_six_runs_over_two_connections_take_turns(database: Database, flow: Flow, by_tcp: str) -> None:
    environment = {"CRM": by_tcp, "WAREHOUSE": database.dsn}
    config = flow.project(two_connections())
    racing = [flow.start("run", "customers", config=config, env=environment) for _ in range(6)]
    assert [each.finish(None).code for each in racing] == [0] * 6


def test_rows_of_another_database_of_the_server_are_staged(database: Database, flow: Flow, new_database: Any) -> None:
    other = new_database()
    other.execute(SOURCE)
    environment = {"CRM": other.dsn, "WAREHOUSE": database.dsn}
    config = flow.project(two_connections())
    for command in ("plan", "dry-run"):
        flow(command, "customers", config=config, env=environment)
        assert database.value("SELECT to_regnamespace('analytics')") is None
    first = flow("run", "customers", "--output", "json", config=config, env=environment).json()
    assert (first["path"], first["rows_inserted"]) == ("staging", 10)
    assert first["path_reason"] == "source crm is another database; staged: the table does not exist yet"
    second = flow("run", "customers", "--output", "json", config=config, env=environment).json()
    assert (second["path"], second["rows_inserted"], second["rows_unchanged"]) == ("client_diff", 0, 10)
    assert current(database) == source(other)


def test_a_query_that_could_mean_something_else_in_the_target_is_read_by_its_own_session(
    database: Database, flow: Flow, by_tcp: str
) -> None:
    elsewhere = f"{by_tcp}&options=-c%20search_path%3Dapp"
    environment = {"CRM": elsewhere, "WAREHOUSE": database.dsn}
    report = flow("run", "customers", "--output", "json", config=two_connections(), env=environment).json()
    assert report["path"] == "staging"
    assert report["path_reason"].startswith(
        "crm and warehouse are one database, but their sessions differ in search_path (source: app; target: "
    )
    forced = flow("run", "customers", "--force-path", "same_db", config=two_connections(), env=environment, expect=2)
    assert "error[path_impossible]" in forced.stderr and "search_path" in forced.stderr
    pinned = two_connections().replace(':CRM}"', ':CRM}"\nsession = { search_path = "app" }')
    pinned = pinned.replace(':WAREHOUSE}"', ':WAREHOUSE}"\nsession = { search_path = "app" }')
    flow("run", "customers", config=pinned, env=environment)
