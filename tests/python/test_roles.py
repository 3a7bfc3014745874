"""What a role may do: little is enough, what is missing is named, and the hint is what mends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from customers import SOURCE, current, project, source
from database import Database
from flow_binary import Finished, Flow

MODES = ["append", "truncate", "merge", "scd2"]


@pytest.fixture
def new_role(database: Database) -> Iterator[Callable[[str], str]]:
    """Makes roles that may log in and nothing else; their names need quotes."""
    made: list[str] = []

    def make(purpose: str) -> str:
        role = f"{purpose} {database.name}"
        database.execute(f'CREATE ROLE "{role}" LOGIN')
        made.append(role)
        return role

    # Whoever is in PUBLIC may create in nothing.
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield make
    for role in made:
        database.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def as_role(database: Database, role: str) -> dict[str, str | None]:
    return {"EMATIX_FLOW_DSN": database.dsn_as(role)}


def schemas_for(database: Database, *roles: str) -> None:
    """What an administrator prepares where roles may not create schemas."""
    database.execute(f"{SOURCE} CREATE SCHEMA ematix_flow; CREATE SCHEMA analytics;")
    for role in roles:
        database.execute(f"""
            GRANT USAGE, CREATE ON SCHEMA ematix_flow, analytics TO "{role}";
            GRANT USAGE ON SCHEMA app TO "{role}";
            GRANT SELECT ON ALL TABLES IN SCHEMA app TO "{role}";
        """)


def denied(finished: Finished) -> str:
    """The hint of a run that was refused a privilege."""
    report = finished.json()
    error = report["error"]
    assert (report["status"], error["code"]) == ("failed", "permission_denied"), finished
    assert error["hint"], finished
    return str(error["hint"])


def statements(hint: str) -> list[str]:
    """The statements in a hint, as somebody would copy them."""
    return re.findall(r"(?:GRANT|CREATE SCHEMA|ALTER TABLE) [^;]+", hint)


def run_as(database: Database, flow: Flow, role: str, config: Any, expect: int | None = 0) -> Finished:
    return flow("run", "customers", "--output", "json", config=config, env=as_role(database, role), expect=expect)


@pytest.mark.parametrize("mode", MODES)
def test_a_role_that_may_create_no_schema_runs_everything(
    database: Database, flow: Flow, new_role: Callable[[str], str], mode: str
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    options = {"handle_deletes": "soft"} if mode in ("merge", "scd2") else {}
    config = flow.project(project(mode, **options))
    assert run_as(database, flow, loader, config).json()["rows_inserted"] == 10
    database.execute("UPDATE app.customers SET revision = 1 WHERE customer_id < 4")
    again = run_as(database, flow, loader, config).json()
    assert (again["status"], again["rows_in"]) == ("success", 10)
    for command in (["plan"], ["dry-run"]):
        flow(*command, "customers", config=config, env=as_role(database, loader))
    flow("history", "customers", config=config, env=as_role(database, loader))


@pytest.mark.parametrize("mode", MODES)
def test_the_hints_of_refused_runs_lead_to_a_run(
    database: Database, flow: Flow, new_role: Callable[[str], str], mode: str
) -> None:
    loader = new_role("loader")
    database.execute(SOURCE)
    config = flow.project(project(mode))
    granted: list[str] = []
    for _ in range(8):
        finished = run_as(database, flow, loader, config, expect=None)
        if finished.code == 0:
            break
        for statement in statements(denied(finished)):
            database.execute(statement)
            granted.append(statement)
    assert finished.code == 0, granted
    assert f'GRANT CREATE ON DATABASE {database.name} TO "{loader}"' in granted
    assert f'GRANT SELECT ON app.customers TO "{loader}"' in granted
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 10


@pytest.mark.parametrize(
    ("mode", "options", "privileges"),
    [
        ("append", {}, ["INSERT"]),
        ("truncate", {}, ["TRUNCATE", "INSERT"]),
        ("truncate", {"replace_method": "delete"}, ["DELETE", "INSERT"]),
        ("truncate", {"replace_method": "diff", "keys": "customer_id"}, ["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("merge", {}, ["SELECT", "INSERT", "UPDATE"]),
        ("merge", {"handle_deletes": "hard"}, ["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("scd2", {}, ["SELECT", "INSERT", "UPDATE"]),
    ],
)
def test_each_missing_privilege_on_a_table_is_named(
    database: Database,
    flow: Flow,
    new_role: Callable[[str], str],
    mode: str,
    options: dict[str, str],
    privileges: list[str],
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    config = flow.project(project(mode, **options))
    flow("run", "customers", config=config)
    database.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ematix_flow TO "{loader}"')
    database.execute("UPDATE app.customers SET revision = 1 WHERE customer_id < 4")
    table = '"analytics"."dim_customers"'
    for left_out in privileges:
        database.execute(f'REVOKE ALL ON {table} FROM "{loader}"')
        for word in privileges:
            if word != left_out:
                database.execute(f'GRANT {word} ON {table} TO "{loader}"')
        hint = denied(run_as(database, flow, loader, config, expect=1))
        assert statements(hint) == [f'GRANT {left_out} ON {table} TO "{loader}"']
    database.execute(hint)
    assert run_as(database, flow, loader, config).json()["rows_in"] == 10


def test_a_role_that_may_only_insert_appends(database: Database, flow: Flow, new_role: Callable[[str], str]) -> None:
    writer = new_role("writer")
    schemas_for(database, writer)
    database.execute(f"""
        REVOKE CREATE ON SCHEMA analytics FROM "{writer}";
        CREATE TABLE analytics.dim_customers (customer_id bigint, name text, revision bigint);
        GRANT INSERT ON analytics.dim_customers TO "{writer}";
    """)
    bare = {"loaded_at_column": False, "batch_id_column": False}
    config = flow.project(project("append", **bare))
    assert run_as(database, flow, writer, config).json()["rows_inserted"] == 10
    config = flow.project(project("append", incremental_column="revision", **bare))
    assert run_as(database, flow, writer, config).json()["rows_inserted"] == 10
    assert run_as(database, flow, writer, config).json()["rows_skipped"] == 10
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 20


def test_a_column_that_only_the_owner_can_add_comes_with_its_statement(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    writer = new_role("writer")
    schemas_for(database, writer)
    database.execute(f"""
        CREATE TABLE analytics.dim_customers (customer_id bigint, name text, revision bigint);
        GRANT INSERT ON analytics.dim_customers TO "{writer}";
    """)
    config = flow.project(project("append"))
    for _ in range(2):
        for statement in statements(denied(run_as(database, flow, writer, config, expect=1))):
            database.execute(statement)
    assert run_as(database, flow, writer, config).json()["rows_inserted"] == 10


def test_two_roles_share_the_metadata_without_further_grants(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    one, two = new_role("one"), new_role("two")
    schemas_for(database, one, two)
    config = flow.project(project())
    other = flow.directory / "other.toml"
    other.write_text(project("merge").replace('"analytics"', '"analytics"\nname = "other"'))
    racing = [
        flow.start("run", "customers", config=path, env=as_role(database, role))
        for path, role in [(config, one), (other, two)] * 3
    ]
    assert [each.finish(None).code for each in racing] == [0] * 6
    assert database.rows("SELECT DISTINCT status FROM ematix_flow.run_history") == [("success",)]
    # The owner of the schema may read what others wrote.
    flow("history", "customers", config=config)
    assert current(database) == source(database)


def test_a_role_that_comes_later_is_told_how_to_share_the_metadata(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    late = new_role("late")
    database.execute(SOURCE)
    config = flow.project(project())
    flow("run", "customers", config=config)
    for command in ("history", "status"):
        finished = flow(command, "customers", "--output", "json", config=config, env=as_role(database, late), expect=1)
        assert f'GRANT USAGE, CREATE ON SCHEMA ematix_flow TO "{late}"' in finished.stdout + finished.stderr
    for statement in statements(denied(run_as(database, flow, late, config, expect=1))):
        database.execute(statement)
    flow("history", "customers", config=config, env=as_role(database, late))


@pytest.mark.parametrize("command", ["run", "plan", "dry-run"])
def test_a_source_table_that_may_not_be_read_is_named_with_its_schema(
    database: Database, flow: Flow, new_role: Callable[[str], str], command: str
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    database.execute('CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.secrets (); CREATE SCHEMA "Vault"')
    database.execute(f"""
        CREATE TABLE "Vault".secrets AS TABLE app.customers;
        GRANT USAGE ON SCHEMA "Vault", elsewhere TO "{loader}"
    """)
    config = flow.project(project(query='SELECT * FROM "Vault".secrets', keys="customer_id"))
    finished = flow(command, "customers", "--output", "json", config=config, env=as_role(database, loader), expect=None)
    grant = f'GRANT SELECT ON "Vault".secrets TO "{loader}"'
    assert grant in finished.stdout.replace('\\"', '"') + finished.stderr, finished
    assert finished.code == 1
    database.execute(grant)
    assert flow(command, "customers", config=config, env=as_role(database, loader)).code == 0


def test_a_sequence_behind_a_column_of_the_target_is_named(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    writer = new_role("writer")
    schemas_for(database, writer)
    database.execute(f"""
        CREATE TABLE analytics.dim_customers (id serial, customer_id bigint, name text, revision bigint);
        GRANT INSERT ON analytics.dim_customers TO "{writer}";
    """)
    config = flow.project(project("append", loaded_at_column=False, batch_id_column=False, on_drift="ignore"))
    hint = denied(run_as(database, flow, writer, config, expect=1))
    assert statements(hint) == [f'GRANT USAGE ON SEQUENCE "analytics"."dim_customers_id_seq" TO "{writer}"']
    database.execute(statements(hint)[0])
    assert run_as(database, flow, writer, config).json()["rows_inserted"] == 10


def test_a_function_that_the_role_may_not_call_comes_with_its_grant(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    database.execute("""
        CREATE FUNCTION app."Shown as"(n bigint, OUT shown text) LANGUAGE sql STABLE AS 'SELECT n::text';
        CREATE FUNCTION app."Shown as"(n text, OUT shown text) LANGUAGE sql STABLE AS 'SELECT n';
        REVOKE EXECUTE ON FUNCTION app."Shown as"(bigint) FROM PUBLIC
    """)
    query = 'SELECT customer_id, app."Shown as"(customer_id) AS name, revision FROM app.customers'
    config = flow.project(project("truncate", query=query))
    finished = run_as(database, flow, loader, config, expect=1)
    [grant] = statements(denied(finished))
    assert grant.startswith('GRANT EXECUTE ON ROUTINE app."Shown as"(') and f'TO "{loader}"' in grant, grant
    database.execute(grant)
    run_as(database, flow, loader, config)
