"""One database through two roles: the target's session runs the query only where it means the same there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name text, owner text);
INSERT INTO app.customers SELECT n, 'customer ' || n, 'nobody' FROM generate_series(1, 4) AS n;
"""
QUERY = "SELECT id, name FROM app.customers"


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str]]:
    """A reader and a loader; the loader may read everything, too."""
    reader, loader = (f"{purpose}_{database.name}" for purpose in ("reader", "loader"))
    database.execute(f"""
        {SOURCE}
        CREATE ROLE {reader} LOGIN; CREATE ROLE {loader} LOGIN;
        GRANT USAGE ON SCHEMA app TO {reader}, {loader};
        GRANT SELECT ON ALL TABLES IN SCHEMA app TO {reader}, {loader};
        GRANT CREATE ON DATABASE {database.name} TO {loader};
        UPDATE app.customers SET owner = '{reader}' WHERE id <= 2;
        UPDATE app.customers SET owner = '{loader}' WHERE id = 3;
    """)
    yield reader, loader
    for role in (reader, loader):
        database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def run(
    flow: Flow,
    database: Database,
    roles: tuple[str, str],
    query: str,
    connections: dict[str, dict[str, Any]] | None = None,
    **options: Any,
) -> dict[str, Any]:
    connect(flow, database.dsn_as(roles[0]), database.dsn_as(roles[1]))
    made = Across(connections=connections or {})
    made.table("t", {"id": "bigint", "name": "text?"}, schema="dw")
    made.pipeline("p", query, "t", "truncate", **options)
    return made.run(flow)["p"]


def loaded(database: Database) -> list[tuple[Any, ...]]:
    return database.rows("SELECT id, name FROM dw.t ORDER BY id")


def as_reader(database: Database, reader: str, query: str) -> list[tuple[Any, ...]]:
    """What the source's role sees."""
    with psycopg.connect(database.dsn_as(reader)) as connection:
        return connection.execute(f"SELECT * FROM ({query}) AS q ORDER BY id").fetchall()


def test_roles_that_read_alike_stay_in_the_database(database: Database, flow: Flow, roles: tuple[str, str]) -> None:
    report = run(flow, database, roles, QUERY)
    assert (report["path"], report["path_reason"]) == (
        "same_db",
        "source crm and target warehouse are one database (proved)",
    )


def test_a_target_role_that_may_not_read_is_staged_around(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    reader, loader = roles
    database.execute(f"REVOKE SELECT ON app.customers FROM {loader}")
    report = run(flow, database, roles, QUERY)
    assert report["path"] == "staging"
    assert report["path_reason"] == (
        f"crm and warehouse are one database, but the role {loader} may not read the source"
        " (permission denied for table customers)"
    )
    assert loaded(database) == as_reader(database, reader, QUERY)


# A role that is shown a part of the rows, and whose connection says that this part is meant.
SHOWN = {"crm": {"session": {"row_security": "on"}}, "warehouse": {"session": {"row_security": "on"}}}


def test_row_level_security_is_that_of_the_source_role(database: Database, flow: Flow, roles: tuple[str, str]) -> None:
    database.execute("""
        ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON app.customers USING (owner = current_user);
    """)
    report = run(flow, database, roles, QUERY, connections=SHOWN)
    assert report["path"] == "staging"
    assert "may see other rows of customers (row-level security)" in report["path_reason"]
    assert [key for key, _ in loaded(database)] == [1, 2]


def test_row_level_security_behind_a_view_is_that_of_the_source_role(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    database.execute("""
        ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON app.customers USING (owner = current_user);
        CREATE VIEW app.own WITH (security_invoker) AS SELECT id, name FROM app.customers;
        GRANT SELECT ON app.own TO PUBLIC;
    """)
    assert run(flow, database, roles, "app.own", connections=SHOWN)["path"] == "staging"
    assert [key for key, _ in loaded(database)] == [1, 2]


# What asks who reads: each gives the two roles other rows.
WHO = {
    "a query": f"{QUERY} WHERE owner = current_user",
    "a query of the session": f"{QUERY} WHERE owner = session_user",
    "a view": "SELECT id, name FROM app.own",
    "a function": f"{QUERY} WHERE app.mine(owner)",
    "a function that nobody sees through": f"{QUERY} WHERE app.mine_opaquely(owner)",
    "privileges": f"{QUERY} WHERE pg_has_role(owner, 'MEMBER')",
    "the catalogue": "SELECT count(*) AS id, 'tables' AS name FROM information_schema.table_privileges",
    "a schema of its own": "SELECT id, name FROM customers",
}


@pytest.mark.parametrize("who", WHO)
def test_a_query_that_asks_who_reads_is_answered_for_the_source_role(
    who: str, database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    reader, loader = roles
    database.execute(f"""
        DELETE FROM app.customers WHERE owner = 'nobody';
        CREATE VIEW app.own AS SELECT id, name FROM app.customers WHERE owner = current_user;
        GRANT SELECT ON app.own TO {reader}, {loader};
        CREATE FUNCTION app.mine(text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT $1 = current_user';
        CREATE FUNCTION app.mine_opaquely(text) RETURNS boolean LANGUAGE plpgsql STABLE
            AS 'BEGIN RETURN $1 = current_user; END';
        CREATE SCHEMA AUTHORIZATION {reader};
        CREATE SCHEMA AUTHORIZATION {loader};
        CREATE TABLE {reader}.customers AS SELECT id, name FROM app.customers;
        CREATE TABLE {loader}.customers AS SELECT id, 'of the loader' AS name FROM app.customers;
        GRANT USAGE ON SCHEMA {reader} TO {loader};
        GRANT SELECT ON {reader}.customers TO {reader}, {loader};
        GRANT SELECT ON {loader}.customers TO {loader};
    """)
    report = run(flow, database, roles, WHO[who])
    assert loaded(database) == as_reader(database, reader, WHO[who]), report["path_reason"]
    assert report["path"] == "staging", report["path_reason"]


# What a session may hold that changes what a query means, and a query to which it matters.
SETTINGS = {
    "app.tenant": ("acme", "SELECT 1 AS id, current_setting('app.tenant', true) AS name"),
    "extra_float_digits": ("-10", "SELECT 1 AS id, (0.1::float8 / 3)::text AS name"),
    "bytea_output": ("escape", "SELECT 1 AS id, decode('6100ff', 'hex')::text AS name"),
    "default_text_search_config": ("german", "SELECT 1 AS id, to_tsvector('die Hunde')::text AS name"),
    "lc_monetary": ("C", "SELECT 1 AS id, 12.5::numeric::money::text AS name"),
    "TimeZone": ("Asia/Kathmandu", "SELECT 1 AS id, '2024-01-01 00:00+00'::timestamptz::text AS name"),
    "DateStyle": ("German, DMY", "SELECT 1 AS id, '2024-01-02'::date::text AS name"),
    "IntervalStyle": ("iso_8601", "SELECT 1 AS id, '1 day'::interval::text AS name"),
    "search_path": ("app", "SELECT id, name FROM customers WHERE id = 1"),
}


@pytest.mark.parametrize("how", ["role", "dsn"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_query_means_what_the_source_session_makes_of_it(
    name: str, how: str, database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    reader, _ = roles
    setting, query = SETTINGS[name]
    source = database.dsn_as(reader)
    if how == "role":
        database.execute(f"ALTER ROLE {reader} SET {name} = '{setting}'")
    else:
        value = setting.replace(" ", "%5C%20").replace(",", "%2C")
        source += f"&options=-c%20{name}%3D{value}"
    connect(flow, source, database.dsn_as(roles[1]))
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?"}, schema="dw")
    made.pipeline("p", query, "t", "truncate")
    made.run(flow)
    with psycopg.connect(source) as connection:
        assert loaded(database) == connection.execute(query).fetchall()
