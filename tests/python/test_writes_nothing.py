"""A run that finds nothing new writes nothing to its target: no row version, no byte, no record of WAL."""

from __future__ import annotations

from typing import Any

import pytest
from customers import SOURCE, project, sessions, wait_until
from database import Database
from flow_binary import Flow

TARGET = "analytics.dim_customers"


def rows(database: Database) -> list[tuple[Any, ...]]:
    return database.rows(f"SELECT ctid::text, xmin::text, xmax::text, t::text FROM {TARGET} AS t ORDER BY ctid")


def statistics(database: Database) -> list[tuple[Any, ...]]:
    # A session tells what it has done when it is over.
    wait_until(lambda: not sessions(database), "no session of a run")
    database.execute("SELECT pg_stat_force_next_flush()")
    with database.connect() as other:
        return other.execute(
            "SELECT n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup, pg_relation_size(relid), pg_relation_filenode(relid)"
            " FROM pg_stat_user_tables WHERE relid = %s::regclass",
            [TARGET],
        ).fetchall()


def wal_position(database: Database) -> str:
    return str(database.value("SELECT pg_current_wal_insert_lsn()"))


def wal_records_of_target(database: Database, start: str) -> list[tuple[Any, ...]]:
    """The records since then that touch the target or its indexes."""
    # A commit that waits for its WAL, and so for all before it.
    database.execute("SET synchronous_commit = on")
    database.execute("SELECT pg_logical_emit_message(true, 'flow', '')")
    return database.rows(
        f"""
        WITH relations AS (
            SELECT oid FROM pg_class WHERE oid = '{TARGET}'::regclass
            UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = '{TARGET}'::regclass
            UNION ALL SELECT reltoastrelid FROM pg_class WHERE oid = '{TARGET}'::regclass AND reltoastrelid <> 0)
        SELECT w.resource_manager, w.record_type, w.block_ref
          FROM pg_get_wal_records_info(%s, pg_current_wal_flush_lsn()) AS w
         WHERE EXISTS (SELECT FROM relations AS r
                        WHERE w.block_ref ~ ('rel [0-9]+/[0-9]+/' || pg_relation_filenode(r.oid) || '( |$)'))
        """,
        [start],
    )


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("merge", {}),
        ("merge", {"handle_deletes": "soft"}),
        ("merge", {"handle_deletes": "hard"}),
        ("merge", {"query": "SELECT * FROM app.customers WHERE revision >= 0"}),
        ("merge", {"incremental_column": "revision"}),
        ("scd2", {}),
        ("scd2", {"handle_deletes": "soft"}),
        ("scd2", {"query": "SELECT * FROM app.customers WHERE revision >= 0"}),
        ("scd2", {"incremental_column": "revision"}),
        ("append", {"incremental_column": "revision"}),
        ("append", {"incremental_column": "revision", "keys": "customer_id"}),
    ],
)
def test_a_run_that_finds_nothing_writes_nothing(
    database: Database, flow: Flow, mode: str, options: dict[str, str]
) -> None:
    has_walinspect = bool(database.rows("SELECT FROM pg_available_extensions WHERE name = 'pg_walinspect'"))
    database.execute(SOURCE)
    config = flow.project(project(mode, **options))
    flow("run", "customers", config=config)
    # Hints and visibility are settled before the comparison.
    database.execute(f"VACUUM ANALYZE {TARGET}")
    if has_walinspect:
        database.execute("CREATE EXTENSION pg_walinspect")
        # Other tests of this server must not make it recycle what we want to look at; it goes with our session.
        database.execute(f"SELECT pg_create_physical_replication_slot('{database.name}', true, true)")
    before, counted, start = rows(database), statistics(database), wal_position(database)
    for _ in range(2):
        report = flow("run", "customers", "--output", "json", config=config).json()
        assert (report["rows_in"], report["rows_unchanged"] + report["rows_skipped"]) == (10, 10)
    assert rows(database) == before
    assert statistics(database) == counted
    if has_walinspect:
        assert wal_records_of_target(database, start) == []
        # The question finds what there is to find.
        start = wal_position(database)
        database.execute("UPDATE app.customers SET revision = revision + 1, name = 'other'")
        flow("run", "customers", config=config)
        assert wal_records_of_target(database, start) != []
