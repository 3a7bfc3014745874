"""Incremental loading: what commits late, ties, comes without a value or fails halfway is neither lost nor doubled."""

from __future__ import annotations

from typing import Any

import pytest
from customers import project
from database import Database
from flow_binary import Flow

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (
    customer_id bigint PRIMARY KEY, name text NOT NULL, revision bigint NOT NULL DEFAULT 0,
    changed_at {type} DEFAULT now());
"""
MODES = ["append", "merge", "scd2"]


def given(database: Database, data_type: str = "timestamptz") -> None:
    database.execute(SOURCE.format(type=data_type))


def config(flow: Flow, mode: str, **options: Any) -> Any:
    return flow.project(project(mode, incremental_column="changed_at", **options))


def insert(database: Any, first: int, last: int, values: str = "now()") -> None:
    database.execute(
        f"INSERT INTO app.customers (customer_id, name, changed_at)"
        f" SELECT n, 'customer ' || n, {values} FROM generate_series({first}, {last}) AS n"
    )


def loaded(database: Database) -> list[int]:
    """The keys in the target, as often as they are there."""
    return [key for (key,) in database.rows("SELECT customer_id FROM analytics.dim_customers ORDER BY 1")]


def run(flow: Flow, path: Any, expect: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = flow("run", "customers", "--output", "json", config=path, expect=expect).json()
    if expect == 0:
        parts = ("inserted", "updated", "unchanged", "deduplicated", "skipped", "rejected")
        assert report["rows_in"] == sum(report[f"rows_{part}"] for part in parts)
    return report


@pytest.mark.parametrize("mode", MODES)
def test_a_row_that_commits_after_newer_ones_were_read_is_loaded(database: Database, flow: Flow, mode: str) -> None:
    given(database)
    insert(database, 1, 3)
    path = config(flow, mode)
    assert run(flow, path)["rows_inserted"] == 3
    with database.connect(autocommit=False) as late, database.connect(autocommit=False) as idle:
        insert(late, 4, 4)
        # It has not written yet, and its now() is fixed all the same.
        idle.execute("SELECT 1")
        insert(database, 5, 5)
        for _ in range(2):
            run(flow, path)
            assert loaded(database) == [1, 2, 3, 5]
        late.commit()
        assert run(flow, path)["rows_inserted"] == 1
        assert loaded(database) == [1, 2, 3, 4, 5]
        insert(idle, 6, 6)
        insert(database, 7, 7)
        run(flow, path)
        idle.commit()
    assert run(flow, path)["rows_inserted"] == 1
    assert loaded(database) == [1, 2, 3, 4, 5, 6, 7]
    assert run(flow, path)["rows_inserted"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_lookback_loads_what_commits_late_where_the_cap_may_not_be_used(
    database: Database, flow: Flow, mode: str
) -> None:
    given(database)
    insert(database, 1, 3)
    path = config(flow, mode, late_commits="lookback", lookback="1h")
    run(flow, path)
    with database.connect(autocommit=False) as late:
        insert(late, 4, 4)
        insert(database, 5, 5)
        report = run(flow, path)
        assert any("lookback" in warning for warning in report["warnings"])
        late.commit()
    run(flow, path)
    assert loaded(database) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", MODES)
def test_rows_at_the_same_microsecond_are_neither_lost_nor_doubled(database: Database, flow: Flow, mode: str) -> None:
    given(database)
    at = "'2026-03-29 01:30:00.123457+00'::timestamptz"
    insert(database, 1, 2, at)
    path = config(flow, mode)
    first = run(flow, path)
    assert first["watermark_after"] == "2026-03-29T01:30:00.123457Z"
    insert(database, 3, 3, at)
    assert run(flow, path)["rows_inserted"] == 1
    assert run(flow, path)["rows_inserted"] == 0
    # One microsecond earlier is before the watermark: nothing shows that it comes late.
    assert loaded(database) == [1, 2, 3]
    assert run(flow, path)["watermark_after"] == "2026-03-29T01:30:00.123457Z"


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("timestamptz", "'2026-01-01 00:00:00.000001+00'::timestamptz + n * interval '1 microsecond'"),
        ("timestamp", "'2026-01-01 00:00:00.000001'::timestamp + n * interval '1 microsecond'"),
        ("double precision", "0.1::float8 + n * 1e-17::float8 + 1.0::float8 / 3"),
        ("numeric", "12345678901234567890.1234567890123456789 + n"),
        ("bigint", "9007199254740993 + n"),
        ("text", "'a''\\b' || n"),
        ("uuid", "('00000000-0000-7000-8000-00000000000' || n)::uuid"),
        ("date", "'2026-01-01'::date + n::int"),
    ],
)
def test_a_watermark_is_kept_to_its_last_digit_under_any_settings(
    database: Database, flow: Flow, data_type: str, values: str
) -> None:
    database.execute(f"""
        ALTER DATABASE {database.name} SET extra_float_digits = -15;
        ALTER DATABASE {database.name} SET DateStyle = 'SQL, DMY';
        ALTER DATABASE {database.name} SET TimeZone = 'Asia/Kathmandu';
        ALTER DATABASE {database.name} SET standard_conforming_strings = off;
        ALTER DATABASE {database.name} SET backslash_quote = off;
    """)
    database.execute(SOURCE.format(type=data_type).replace("DEFAULT now()", ""))
    insert(database, 1, 4, values)
    path = config(flow, "append")
    assert run(flow, path)["rows_inserted"] == 4
    kept = database.value(
        f"SELECT last_value::{data_type} = (SELECT changed_at FROM app.customers ORDER BY 1 DESC LIMIT 1)"
        " FROM ematix_flow.watermarks"
    )
    assert kept, database.rows("SELECT * FROM ematix_flow.watermarks")
    assert run(flow, path)["rows_inserted"] == 0
    insert(database, 5, 6, values)
    run(flow, path)
    assert run(flow, path)["rows_inserted"] == 0
    assert loaded(database) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("mode", MODES)
def test_rows_without_a_watermark_are_refused_read_or_left_out(database: Database, flow: Flow, mode: str) -> None:
    given(database)
    insert(database, 1, 2)
    insert(database, 3, 3, "NULL")
    report = run(flow, config(flow, mode), expect=4)
    assert (report["status"], report["error"]["code"]) == ("refused", "null_watermark")
    assert database.value("SELECT to_regclass('analytics.dim_customers')") is None
    skipping = config(flow, mode, null_watermark="skip")
    assert run(flow, skipping)["rows_skipped"] == 1
    assert loaded(database) == [1, 2]
    including = config(flow, mode, null_watermark="include")
    for _ in range(2):
        run(flow, including)
        assert loaded(database) == [1, 2, 3]


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_between_data_and_commit_leaves_watermark_and_data(database: Database, flow: Flow, mode: str) -> None:
    given(database)
    insert(database, 1, 3)
    path = config(flow, mode)
    run(flow, path)
    before = database.rows("SELECT * FROM ematix_flow.watermarks")
    seen = database.rows("SELECT * FROM ematix_flow.append_seen ORDER BY row_hash")
    insert(database, 4, 5)
    database.execute("ALTER TABLE ematix_flow.watermarks ADD CONSTRAINT refuse CHECK (false) NOT VALID")
    assert run(flow, path, expect=1)["status"] == "failed"
    assert database.rows("SELECT * FROM ematix_flow.watermarks") == before
    assert database.rows("SELECT * FROM ematix_flow.append_seen ORDER BY row_hash") == seen
    assert loaded(database) == [1, 2, 3]
    database.execute("ALTER TABLE ematix_flow.watermarks DROP CONSTRAINT refuse")
    assert run(flow, path)["rows_inserted"] == 2
    assert loaded(database) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_reading_leaves_the_watermark(database: Database, flow: Flow, mode: str) -> None:
    given(database)
    path = config(flow, mode)
    assert run(flow, path)["watermark_after"] is None
    insert(database, 1, 1)
    after = run(flow, path)["watermark_after"]
    database.execute("DELETE FROM app.customers")
    assert run(flow, path)["watermark_after"] == after
    insert(database, 2, 2)
    run(flow, path)
    assert loaded(database) == [1, 2]


def test_nothing_is_passed_over_while_a_transaction_is_prepared(flow: Flow, database: Database) -> None:
    database.execute("""
        CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
        INSERT INTO events VALUES (1, now() - interval '1 hour');
    """)
    flow.project(
        '[pipelines.events]\nsource = { table = "public.events" }\ntarget = "public.loaded"\nmode = "append"\n'
        'incremental_column = "at"\n'
    )
    flow("run", "events")
    with database.connect(autocommit=False) as other:
        other.execute("INSERT INTO events (id) VALUES (2)")
        other.execute("PREPARE TRANSACTION 'late'")
    database.execute("INSERT INTO events VALUES (3, now() + interval '1 second')")
    flow("run", "events")
    flow("run", "events")
    database.execute("COMMIT PREPARED 'late'")
    flow("run", "events")
    assert database.rows("SELECT id FROM loaded ORDER BY id") == [(1,), (2,), (3,)]


QUERIES = {
    "a column without a default": (
        "SELECT * FROM app.customers",
        "ALTER TABLE app.customers ALTER changed_at DROP DEFAULT",
    ),
    "an expression": (
        "SELECT customer_id, name, revision, changed_at + interval '0' AS changed_at FROM app.customers",
        "",
    ),
    "a view": ("SELECT * FROM app.seen", "CREATE VIEW app.seen AS SELECT DISTINCT * FROM app.customers"),
    "a join": ("SELECT c.* FROM app.customers AS c JOIN app.customers AS o USING (customer_id)", ""),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("mode", MODES)
def test_auto_takes_the_cap_of_any_column_of_instants(database: Database, flow: Flow, mode: str, name: str) -> None:
    given(database)
    query, change = QUERIES[name]
    database.execute(change or "SELECT 1")
    insert(database, 1, 3)
    path = config(flow, mode, query=query)
    report = run(flow, path)
    known = name == "a join"
    assert any("stamped by the source's own clock" in warning for warning in report["warnings"]) != known
    assert not any("only within lookback" in warning for warning in report["warnings"])
    with database.connect(autocommit=False) as late:
        insert(late, 4, 4)
        insert(database, 5, 5)
        for _ in range(2):
            run(flow, path)
            assert loaded(database) == [1, 2, 3, 5]
        late.commit()
        run(flow, path)
        assert loaded(database) == [1, 2, 3, 4, 5]
    assert run(flow, path)["rows_inserted"] == 0


def test_who_insists_on_the_cap_is_refused_where_there_is_none(database: Database, flow: Flow) -> None:
    given(database, "timestamp")
    insert(database, 1, 3)
    error = run(flow, config(flow, "append", late_commits="cap"), expect=2)["error"]
    assert error["code"] == "invalid_value"
    assert error["message"] == (
        '`customers` cannot have late_commits = "cap": `changed_at` is timestamp without time zone, not timestamptz'
    )
    assert 'late_commits = "auto"' in error["hint"]
    report = run(flow, config(flow, "append"))
    assert any("only within lookback" in warning for warning in report["warnings"])


def test_a_role_that_sees_no_other_session_has_lookback_alone(database: Database, flow: Flow) -> None:
    given(database)
    insert(database, 1, 3)
    role = f"{database.name}_r"
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON DATABASE {database.name} TO {role};"
        f"GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA app TO {role}"
    )
    environment: dict[str, str | None] = {"EMATIX_FLOW_DSN": database.dsn_as(role)}
    for options, code in (({}, 0), ({"late_commits": "cap"}, 2)):
        path = config(flow, "merge", **options)
        report = flow("run", "customers", "--output", "json", config=path, env=environment, expect=code).json()
        said = str(report["warnings"] or report["error"])
        assert "grant pg_read_all_stats" in said
