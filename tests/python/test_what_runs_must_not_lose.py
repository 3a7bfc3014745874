"""Loads that once ended with success and the wrong rows: each is refused now, or right."""

from __future__ import annotations

from typing import Any

from database import Database
from flow_binary import Flow


def run(flow: Flow, *arguments: str, expect: int = 0) -> Any:
    return flow("run", "p", "--output", "json", *arguments, expect=expect).json()


def test_a_watermark_does_not_outlive_its_table(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE src (id bigint PRIMARY KEY, u int); INSERT INTO src VALUES (1, 1), (2, 2)")
    flow.project(
        '[pipelines.p]\nsource = { table = "public.src" }\ntarget = "public.t"\nmode = "merge"\n'
        'keys = "id"\nincremental_column = "u"\n'
    )
    run(flow)
    database.execute("DROP TABLE t; INSERT INTO src VALUES (3, 3)")
    assert run(flow, expect=4)["error"]["code"] == "watermark_mismatch"
    flow("watermark", "reset", "p", "--yes")
    assert run(flow)["rows_inserted"] == 3


def test_rows_left_out_for_their_null_do_not_stand_before_those_that_stay(flow: Flow, database: Database) -> None:
    database.execute(
        "CREATE TABLE src (id int, v int, u int); INSERT INTO src VALUES (1, 1, 1), (1, 2, 2), (1, 9, NULL)"
    )
    flow.project(
        '[pipelines.p]\nsource = { table = "public.src" }\ntarget = "public.t"\nmode = "merge"\nkeys = "id"\n'
        'incremental_column = "u"\nnull_watermark = "skip"\non_duplicate = "latest"\norder_by = "v DESC"\n'
    )
    report = run(flow)
    assert (report["rows_inserted"], report["rows_deduplicated"], report["rows_skipped"]) == (1, 1, 1)
    assert database.rows("SELECT id, v FROM t") == [(1, 2)]


def test_append_by_keys_refuses_a_null_key(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE src (k int, v text, u int); INSERT INTO src VALUES (NULL, 'a', 1), (NULL, 'b', 1)")
    flow.project(
        '[pipelines.p]\nsource = { table = "public.src" }\ntarget = "public.t"\nmode = "append"\nkeys = "k"\n'
        'incremental_column = "u"\n'
    )
    assert run(flow, expect=4)["error"]["code"] == "null_key"


HISTORY = """
[tables.t]
natural_key = "id"
columns = {{ id = "bigint", v = "{type}" }}
[pipelines.p]
source = {{ table = "public.src" }}
target = "t"
mode = "scd2"
"""


def test_a_partial_index_of_another_condition_is_no_index_of_current_versions(flow: Flow, database: Database) -> None:
    database.execute("""
        CREATE TABLE src (id bigint PRIMARY KEY, v text); INSERT INTO src VALUES (1, 'a');
        CREATE TABLE t (id bigint NOT NULL, v text NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz,
                        is_current boolean NOT NULL, row_hash bytea NOT NULL);
        CREATE UNIQUE INDEX ON t (id, valid_from);
        CREATE UNIQUE INDEX ON t (id) WHERE v = 'never';
    """)
    flow.project(HISTORY.format(type="text"))
    error = run(flow, expect=4)["error"]
    assert error["code"] == "missing_index"
    database.execute("CREATE UNIQUE INDEX ON t (id) WHERE is_current")
    assert run(flow)["rows_inserted"] == 1


def test_a_version_that_begins_in_the_future_is_not_closed_before_it_begins(flow: Flow, database: Database) -> None:
    database.execute("""
        CREATE TABLE src (id bigint PRIMARY KEY, v text); INSERT INTO src VALUES (1, 'new');
        CREATE TABLE t (id bigint NOT NULL, v text NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz,
                        is_current boolean NOT NULL, row_hash bytea NOT NULL);
        CREATE UNIQUE INDEX ON t (id, valid_from);
        CREATE UNIQUE INDEX ON t (id) WHERE is_current;
        INSERT INTO t VALUES (1, 'old', '2099-01-01Z', NULL, true, 'theirs');
    """)
    flow.project(HISTORY.format(type="text"))
    assert run(flow, expect=4)["error"]["code"] == "future_event"
    assert database.rows("SELECT v, valid_to FROM t") == [("old", None)]


def test_a_widened_type_that_hashes_otherwise_is_rehashed(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE src (id bigint PRIMARY KEY, v int); INSERT INTO src VALUES (1, 10), (2, 20)")
    flow.project(HISTORY.format(type="integer?"))
    run(flow)
    flow.project(HISTORY.format(type="numeric?"))
    report = run(flow, "--migrate")
    assert (report["rows_inserted"], report["rows_rehashed"]) == (0, 2)
    assert flow("check", "p").code == 0


def test_ignored_drift_of_a_type_opens_no_version_at_every_run(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE src (id bigint PRIMARY KEY, v numeric); INSERT INTO src VALUES (1, 1.25)")
    flow.project(HISTORY.format(type="integer?"))
    run(flow)
    flow.project(HISTORY.format(type="numeric(10,2)?") + 'on_drift = "ignore"\n')
    assert [run(flow)["rows_inserted"] for _ in range(2)] == [0, 0]


def test_a_unique_value_of_a_row_that_goes_is_free_for_one_that_stays(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE src (id bigint PRIMARY KEY, email text); INSERT INTO src VALUES (1, 'a'), (2, 'b')")
    flow.project(
        '[tables.t]\nprimary_key = "id"\nunique = ["email"]\ncolumns = { id = "bigint", email = "text" }\n'
        '[pipelines.p]\nsource = { table = "public.src" }\ntarget = "t"\nmode = "merge"\nhandle_deletes = "hard"\n'
    )
    run(flow)
    database.execute("DELETE FROM src WHERE id = 1; UPDATE src SET email = 'a' WHERE id = 2")
    report = run(flow)
    assert (report["rows_updated"], report["rows_deleted"]) == (1, 1)
