"""Settings of server and role change nothing of what a run does, and a rerun under others changes nothing either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import server
from customers import project
from database import Database
from flow_binary import Flow

SOURCE = r"""
CREATE SCHEMA app;
CREATE TABLE app.customers (
    customer_id bigint PRIMARY KEY, name text NOT NULL, revision bigint NOT NULL DEFAULT 0,
    seen_at timestamptz, born date, stay interval, share double precision, score numeric, photo bytea,
    facts jsonb, tags text[]);
INSERT INTO app.customers
SELECT n, E'back\\slash '' quote " ' || n, n, timestamptz '2026-03-29 00:30:00.123456+00' + n * interval '1 hour',
       date '2026-01-31' + n, interval '1 mon -3 days 04:05:06.7' * n, 0.1::float8 + n * 1e-16::float8 + 1.0 / 3,
       1.10 * n, decode('00ff5c27', 'hex'), '{"a": [1, 2.50, null]}', array['x', NULL, 'y,z']
  FROM generate_series(1::int, 6) AS n;
"""
TABLE = """
[tables.dim_customers]
schema = "analytics"
natural_key = ["customer_id"]
[tables.dim_customers.columns]
customer_id = "bigint"
name = "text"
revision = "bigint"
seen_at = "timestamptz?"
born = "date?"
stay = "interval?"
share = "double?"
score = "numeric(30,10)?"
photo = "bytes?"
facts = "jsonb?"
tags = "text[]?"
"""
HOSTILE = """
CREATE SCHEMA hostile;
CREATE TABLE hostile.customers (customer_id bigint);
DO $$
DECLARE
    name text;
    signature text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sha256', 'record_send', 'jsonb_send', 'trim_scale', 'max', 'count', 'to_json', 'lower',
        'quote_ident', 'format_type', 'json_agg', 'isfinite', 'array_send', 'int8send', 'substr', 'overlay'] LOOP
        FOREACH signature IN ARRAY ARRAY['anyelement', 'bytea', 'text', 'jsonb', 'numeric', 'bigint', 'record',
            'timestamptz', 'bytea, integer', 'text, integer'] LOOP
            EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS text LANGUAGE plpgsql AS %L',
                name, signature, format('BEGIN RAISE ''hostile.%s was called''; END', name));
        END LOOP;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['now', 'clock_timestamp', 'row_number', 'count', 'current_database', 'version',
        'pg_backend_pid'] LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I() RETURNS timestamptz LANGUAGE plpgsql AS %L',
            name, format('BEGIN RAISE ''hostile.%s was called''; END', name));
    END LOOP;
END $$;
"""
SETTINGS: dict[str, list[str]] = {
    "serializable and read only": [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "default_transaction_read_only = on",
        "search_path = ''",
    ],
    "repeatable read and texts": [
        "default_transaction_isolation = 'repeatable read'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'sql_standard'",
        "TimeZone = 'America/St_Johns'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
        "client_encoding = 'LATIN1'",
    ],
    "a hostile search_path and strings": [
        "search_path = hostile, pg_catalog, public",
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "backslash_quote = off",
    ],
    "planner, limits and messages": [
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "enable_seqscan = off",
        "plan_cache_mode = force_generic_plan",
        "work_mem = '64kB'",
        "row_security = off",
        "transform_null_equals = on",
        "quote_all_identifiers = on",
        "array_nulls = on",
        "statement_timeout = '20s'",
        "lock_timeout = '20s'",
        "idle_in_transaction_session_timeout = '20s'",
        "client_min_messages = 'debug1'",
    ],
}
MODES: dict[str, dict[str, Any]] = {
    "append": {"incremental_column": "seen_at"},
    "truncate": {},
    "merge": {"handle_deletes": "soft"},
    "scd2": {"handle_deletes": "soft"},
}


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    role = f"set_{database.name}"
    database.execute(f"{SOURCE} {HOSTILE} CREATE ROLE {role} LOGIN; GRANT ALL ON DATABASE {database.name} TO {role}")
    database.execute(
        f"GRANT USAGE ON SCHEMA app, hostile TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA app TO {role}"
    )
    yield role
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def config(flow: Flow, mode: str) -> Any:
    text = project(mode, **MODES[mode])
    return flow.project(TABLE + text[text.index("[pipelines.customers]") :])


def differences(database: Database) -> list[tuple[Any, ...]]:
    """Rows that source and current target do not share."""
    columns = "customer_id, name, revision, seen_at, born, stay, share, score, photo, facts, tags"
    live = {True: "is_current", False: "true"}[
        bool(
            database.rows(
                "SELECT FROM information_schema.columns WHERE table_name = 'dim_customers' AND column_name = 'is_current'"
            )
        )
    ]
    target = f"SELECT {columns} FROM analytics.dim_customers WHERE {live}"
    source = f"SELECT {columns} FROM app.customers"
    return database.rows(f"(({target}) EXCEPT ALL ({source})) UNION ALL (({source}) EXCEPT ALL ({target}))")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_settings_of_a_role_change_nothing(database: Database, flow: Flow, role: str, mode: str, settings: str) -> None:
    path = config(flow, mode)
    under = {"EMATIX_FLOW_DSN": database.dsn_as(role)}

    def run() -> dict[str, Any]:
        report: dict[str, Any] = flow("run", "customers", "--output", "json", config=path, env=under).json()
        return report

    for setting in SETTINGS[settings]:
        database.execute(f"ALTER ROLE {role} SET {setting}")
    assert run()["rows_inserted"] == 6
    assert differences(database) == []
    again = run()
    if mode != "truncate":
        assert (again["rows_inserted"], again["rows_updated"], again["rows_closed_out"]) == (0, 0, 0)
    # Under other settings nothing differs either.
    database.execute(f"ALTER ROLE {role} RESET ALL")
    plain = run()
    if mode != "truncate":
        assert (plain["rows_inserted"], plain["rows_updated"], plain["rows_closed_out"]) == (0, 0, 0)
    for setting in SETTINGS[settings]:
        database.execute(f"ALTER ROLE {role} SET {setting}")
    database.execute(
        "UPDATE app.customers SET name = name || '!', seen_at = seen_at + interval '1 day' WHERE customer_id = 3;"
        " INSERT INTO app.customers (customer_id, name, seen_at) VALUES (7, 'new', '2026-05-01 00:00:00.000001+00')"
    )
    changed = run()
    assert changed["rows_inserted"] + changed["rows_updated"] == (7 if mode == "truncate" else 2)
    if mode != "append":
        assert differences(database) == []
    assert database.rows("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1") == [("success", 4)]
    if mode == "scd2":
        for command in ("history", "status", "check", "plan"):
            flow(command, "customers", config=path, env=under)


def test_statement_timeout_of_a_role_ends_its_query(database: Database, flow: Flow, role: str) -> None:
    database.execute(f"ALTER ROLE {role} SET statement_timeout = '300ms'")
    text = project(query="SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(60)) AS slow")
    under = {"EMATIX_FLOW_DSN": database.dsn_as(role)}
    report = flow("run", "customers", "--output", "json", config=text, env=under, expect=1).json()
    assert (report["status"], report["error"]["code"]) == ("failed", "timeout")
    assert database.rows("SELECT status FROM ematix_flow.run_history") == [("failed",)]


def test_processes_under_serializable_take_turns(database: Database, flow: Flow, role: str) -> None:
    database.execute(f"ALTER ROLE {role} SET default_transaction_isolation = 'serializable'")
    path = config(flow, "scd2")
    under = {"EMATIX_FLOW_DSN": database.dsn_as(role)}
    for _ in range(3):
        database.execute("UPDATE app.customers SET name = name || '!'")
        racing = [flow.start("run", "customers", config=path, env=under) for _ in range(6)]
        assert [each.finish(None).code for each in racing] == [0] * 6
    assert differences(database) == []


@pytest.mark.parametrize("way", ["session", "variable"])
def test_a_setting_that_the_server_does_not_take_is_told_as_one(database: Database, flow: Flow, way: str) -> None:
    database.execute(SOURCE)
    text = project()
    if way == "session":
        text += '[connections.default]\nsession = { timezone = "Nowhere/Bad" }\n'
    else:
        flow.variables["PGTZ"] = "Nowhere/Bad"
    path = flow.project(text)
    for command in (["connections", "check"], ["run", "customers"], ["plan", "customers"]):
        finished = flow(*command, config=path, expect=2)
        said = finished.stdout + finished.stderr
        assert "[invalid_value]" in said and "Nowhere/Bad" in said and "PGTZ" in said, finished
        assert "cast" not in said, finished
    found = flow("doctor", "customers", "--output", "json", config=path, expect=1).json()
    codes = {check["error"]["code"] for each in found["pipelines"] for check in each["checks"] if check["error"]}
    assert codes == {"invalid_value"}, found


def test_a_word_of_options_that_the_server_does_not_take_is_no_matter_of_roles(database: Database, flow: Flow) -> None:
    def checked(words: str, expect: int) -> str:
        flow.variables["EMATIX_FLOW_DSN"] = server.url({**database.parameters, "options": words})
        finished = flow("connections", "check", config=project(), expect=expect)
        return finished.stdout + finished.stderr

    for words in ("-c search_path=a,,b", "-c work_mem=lots", "-c role=postgres -c search_path=a,,b"):
        said = checked(words, expect=2)
        assert "[invalid_value]" in said and "PGOPTIONS" in said and "role" not in said, said
    said = checked("-c role=nobody_at_all", expect=6)
    assert "[authentication_failed]" in said and "check the role" in said, said
