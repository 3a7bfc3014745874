"""Tables that others began: what scd2 takes over, what it asks for, and what it never does by itself."""

from __future__ import annotations

from database import Database
from flow_binary import Flow

PROJECT = """
[tables.people]
schema = "mart"
natural_key = "id"
columns = { id = "bigint", name = "text?" }
[pipelines.people]
source = { table = "raw.people" }
target = "people"
mode = "scd2"
"""
SOURCE = """
CREATE SCHEMA raw;
CREATE TABLE raw.people (id bigint PRIMARY KEY, name text);
INSERT INTO raw.people VALUES (1, 'Ada'), (2, 'Grace');
CREATE SCHEMA mart;
"""
HASH = "sha256(record_send(ROW(name)))"


def test_a_plain_table_becomes_a_history_where_migrate_allows_it(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    database.execute("CREATE TABLE mart.people (id bigint NOT NULL, name text)")
    database.execute("INSERT INTO mart.people VALUES (1, 'Ada'), (2, 'Grace H.')")
    flow.project(PROJECT)
    refused = flow("run", "people", "--output", "json", expect=4).json()
    assert refused["error"]["code"] == "drift"
    report = flow("run", "people", "--migrate", "--output", "json").json()
    assert (report["rows_inserted"], report["rows_closed_out"], report["rows_unchanged"]) == (1, 1, 1)
    assert database.rows(
        "SELECT id, name, valid_from = '1970-01-01Z', is_current FROM mart.people ORDER BY 1, valid_from"
    ) == [
        (1, "Ada", True, True),
        (2, "Grace H.", True, False),
        (2, "Grace", False, True),
    ]
    assert database.value(f"SELECT bool_and(row_hash = {HASH}) FROM mart.people") is True
    assert flow("check", "people").code == 0
    again = flow("run", "people", "--output", "json").json()
    assert (again["rows_inserted"], again["rows_rehashed"]) == (0, 0)


def test_a_history_made_by_others_is_rehashed_and_opens_no_false_version(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    database.execute("""
        CREATE TABLE mart.people (id bigint NOT NULL, name text, valid_from timestamptz NOT NULL, valid_to timestamptz,
                                  is_current boolean NOT NULL, row_hash bytea NOT NULL);
        INSERT INTO mart.people VALUES (1, 'Ada', '2020-01-01Z', NULL, true, 'theirs'), (2, 'Grace', '2020-01-01Z', NULL, true, 'theirs');
        CREATE UNIQUE INDEX ON mart.people (id, valid_from);
        CREATE UNIQUE INDEX ON mart.people (id) WHERE is_current;
    """)
    flow.project(PROJECT)
    report = flow("run", "people", "--output", "json").json()
    assert (report["rows_inserted"], report["rows_unchanged"], report["rows_rehashed"]) == (0, 2, 2)
    assert database.value(f"SELECT bool_and(row_hash = {HASH}) FROM mart.people") is True


def test_an_index_that_allows_one_row_a_key_stands_in_the_way(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    database.execute("CREATE TABLE mart.people (id bigint PRIMARY KEY, name text)")
    flow.project(PROJECT)
    error = flow("run", "people", "--migrate", "--output", "json", expect=4).json()["error"]
    assert error["code"] == "drift"
    statement = error["hint"].removeprefix("drop it: ").split(";")[0]
    database.execute(statement)
    assert flow("run", "people", "--migrate", "--output", "json").json()["rows_inserted"] == 2


def test_another_open_end_is_drift_and_a_changed_value_is_found_by_check(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    flow.project(PROJECT)
    flow("run", "people")
    flow.project(PROJECT + 'open_end = "infinity"\n')
    assert flow("plan", "people", "--output", "json").json()["pipelines"][0]["errors"][0]["code"] == "drift"
    flow.project(PROJECT)
    assert flow("check", "people").code == 0
    database.execute("UPDATE mart.people SET name = 'someone else' WHERE id = 2")
    found = flow("check", "people", "--output", "json", expect=1).json()["violations"]
    assert [(each["invariant"], each["key"]) for each in found] == [("hash_is_of_the_row", {"id": "2"})]
