"""`role` on a connection: every session takes it, in everything it does, and nothing of it stays behind a pooler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from across import connection
from customers import SOURCE, project
from database import Database
from flow_binary import Flow
from pooler import Pooler

MODES = ["append", "truncate", "merge", "scd2"]


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str]]:
    """A user who may log in and nothing else, and a role that may do everything and not log in; the name needs quotes."""
    user, role = f"user_{database.name}", f'the "loader"; of {database.name}'
    quoted = '"' + role.replace('"', '""') + '"'
    database.execute(f"""
        {SOURCE}
        CREATE ROLE {user} LOGIN NOINHERIT;
        CREATE ROLE {quoted};
        GRANT USAGE ON SCHEMA app TO {quoted}; GRANT SELECT ON app.customers TO {quoted};
        GRANT CREATE ON DATABASE {database.name} TO {quoted};
        GRANT {quoted} TO {user};
    """)
    yield user, role
    database.execute(f"DROP OWNED BY {quoted}, {user} CASCADE; DROP ROLE {quoted}; DROP ROLE {user}")


def with_role(mode: str, dsn: str, role: str, **options: object) -> str:
    text = project(mode, **options).replace('source = { table = "app.customers" }', TAKEN)
    return text + connection("warehouse", {"dsn": dsn, "role": role})


TAKEN = 'source = { connection = "warehouse", table = "app.customers" }'


def owners(database: Database) -> set[str]:
    """Who owns what was made."""
    return {
        owner
        for (owner,) in database.rows(
            "SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('analytics', 'ematix_flow') AND c.relkind = 'r'"
            " UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname IN ('analytics', 'ematix_flow')"
        )
    }


@pytest.mark.parametrize("way", ["directly", "behind a pooler"])
@pytest.mark.parametrize("mode", MODES)
def test_everything_is_done_in_the_role(
    way: str, mode: str, database: Database, flow: Flow, roles: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    user, role = roles
    dsn = database.dsn_as(user)
    if way == "behind a pooler":
        # It logs in to the server as the superuser, whatever a client is called.
        dsn = request.getfixturevalue("pooler").dsn
    config = flow.project(with_role(mode, dsn, role))
    report = flow("run", "customers", "--output", "json", config=config).json()
    assert report["rows_inserted"] == 10
    database.execute("UPDATE app.customers SET revision = 1 WHERE customer_id < 4")
    for command in ("plan", "dry-run", "run", "status", "history", "check", "diff"):
        if command in ("check", "diff") and mode == "append":
            continue
        flow(command, "customers", config=config, expect=None if command == "diff" else 0)
    assert owners(database) == {role}
    if way == "behind a pooler":
        pooled: Pooler = request.getfixturevalue("pooler")
        with database.connect(host=str(pooled.directory), port=pooled.port) as client:
            # Sessions are somebody else's when a transaction is over.
            for _ in range(8):
                assert client.execute("SELECT current_user = session_user").fetchone() == (True,)


def test_the_stage_is_filled_in_the_role(database: Database, flow: Flow, roles: tuple[str, str]) -> None:
    user, role = roles
    text = with_role("scd2", database.dsn_as(user), role, force_path="staging")
    config = flow.project(text)
    assert flow("run", "customers", "--output", "json", config=config).json()["rows_inserted"] == 10


def test_several_pipelines_share_sessions_of_one_role_only(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    user, role = roles
    text = with_role("merge", database.dsn_as(user), role)
    other = """
        [pipelines.others]
        source = { connection = "plain", query = "SELECT 1 AS id, current_user::text AS who" }
        target = "public.others"
        mode = "truncate"
    """
    database.execute(f"GRANT CREATE ON SCHEMA public TO {user}; GRANT CREATE ON DATABASE {database.name} TO {user}")
    flow.project(text)
    flow("run", "--all", "--jobs", "1", config=flow.project(text))
    database.execute(f"GRANT USAGE, CREATE ON SCHEMA ematix_flow TO {user}")
    database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA ematix_flow TO {user}")
    config = flow.project(text + other + connection("plain", {"dsn": database.dsn_as(user)}))
    flow("run", "--all", "--jobs", "1", config=config)
    assert database.value("SELECT who FROM public.others") == user


def test_a_role_that_may_not_be_taken_is_told_with_its_grant(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    user, role = roles
    quoted = '"' + role.replace('"', '""') + '"'
    database.execute(f"REVOKE {quoted} FROM {user}")
    config = flow.project(with_role("scd2", database.dsn_as(user), role))
    for command in (["run", "customers"], ["plan", "customers"], ["connections", "check", "warehouse"]):
        finished = flow(*command, config=config, expect=6)
        said = finished.stdout + finished.stderr
        assert "error[authentication_failed]" in said, finished
        assert f'GRANT {quoted} TO "{user}"' in said, finished
    database.execute(f'GRANT {quoted} TO "{user}"')
    flow("run", "customers", config=config)


def test_a_role_that_is_not_there_is_told(database: Database, flow: Flow, roles: tuple[str, str]) -> None:
    user, _ = roles
    config = flow.project(with_role("scd2", database.dsn_as(user), "nobody at all"))
    finished = flow("run", "customers", config=config, expect=6)
    assert 'CREATE ROLE "nobody at all"' in finished.stderr, finished


def test_an_environment_says_another_role_or_none(database: Database, flow: Flow, roles: tuple[str, str]) -> None:
    user, role = roles
    text = with_role("scd2", database.dsn_as(user), "nobody at all")
    text += f"\n[environments.ci.connections.warehouse]\nrole = '''{role}'''\n"
    text += '\n[environments.bare.connections.warehouse]\nrole = "none"\n'
    config = flow.project(text)
    flow("run", "customers", "--env", "ci", config=config)
    assert owners(database) == {role}
    finished = flow("run", "customers", "--env", "bare", config=config, expect=1)
    assert "error[permission_denied]" in finished.stderr, finished


def test_a_variable_moves_a_connection_and_leaves_its_role(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    user, role = roles
    flow.variables["EMATIX_FLOW_DSN_WAREHOUSE"] = database.dsn_as(user)
    flow("run", "customers", config=flow.project(with_role("scd2", "postgresql://nowhere.invalid/x", role)))
    assert owners(database) == {role}


def test_a_statement_outside_of_any_transaction_has_no_role_to_take(
    database: Database, flow: Flow, roles: tuple[str, str]
) -> None:
    user, role = roles
    text = with_role("scd2", database.dsn_as(user), role, transforms_post=[{"transform_ref": "vacuum"}])
    text += """
        [transforms.vacuum]
        connection = "warehouse"
        sql = "VACUUM analytics.dim_customers"
        transaction = false
    """
    finished = flow("run", "customers", config=flow.project(text), expect=1)
    assert "nowhere to take the role of its connection" in finished.stderr, finished


def test_duckdb_has_no_roles(flow: Flow) -> None:
    text = project() + connection("local", {"dsn": "duckdb:local.duckdb", "role": "loader"})
    finished = flow("validate", config=flow.project(text), expect=2)
    assert "DuckDB knows no roles" in finished.stderr, finished
