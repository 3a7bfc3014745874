"""`flow copy`: one load without a file, by the engine that runs pipelines, and with passwords that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from database import Database
from flow_binary import Flow
from project import counts
from psycopg.conninfo import conninfo_to_dict

PASSWORD = "s3cr3t/ñ&x"


@pytest.fixture
def source(database: Database) -> Database:
    database.execute(
        "CREATE SCHEMA app;"
        "CREATE TABLE app.people (id integer PRIMARY KEY, name varchar(20) NOT NULL, born date);"
        "INSERT INTO app.people VALUES (1, 'Ada', '1815-12-10'), (2, 'Bob', NULL)"
    )
    return database


def copy(flow: Flow, source: str, target: str, *arguments: str, **options: Any) -> dict[str, Any]:
    report = flow("copy", "--from", source, "--to", target, "--output", "json", *arguments, **options).json()
    assert report["schema"] == "ematix.run.v1"
    return report


def shape(database: Database, table: str) -> list[tuple[Any, ...]]:
    return database.rows(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        [table],
    )


def everything_stored(database: Database) -> str:
    """All rows of the metadata as one text."""
    tables = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'ematix_flow'")
    assert tables
    rows = [database.rows(f'SELECT t::text FROM ematix_flow."{name}" AS t') for (name,) in tables]
    return str(rows)


def test_a_table_is_copied_with_its_columns_and_keys(source: Database, flow: Flow) -> None:
    table = ("--source-table", "app.people", "--table", "mirror.people", "--mode", "merge")
    report = copy(flow, source.dsn, source.dsn, *table)
    assert counts(report) == {"in": 2, "inserted": 2}
    assert (report["pipeline"], report["target"], report["mode"]) == ("mirror.people", "mirror.people", "merge")
    assert (report["status"], report["path"]) == ("success", "same_db")
    assert report["source_connection"] == report["target_connection"]
    assert shape(source, "mirror.people") == [
        ("id", "integer", True),
        ("name", "character varying(20)", True),
        ("born", "date", False),
    ]
    source.execute("UPDATE app.people SET name = 'Adele' WHERE id = 1; INSERT INTO app.people VALUES (3, 'Cy', NULL)")
    assert counts(copy(flow, source.dsn, source.dsn, *table)) == {"in": 3, "inserted": 1, "updated": 1, "unchanged": 1}
    assert source.rows("SELECT * FROM mirror.people ORDER BY id") == source.rows("SELECT * FROM app.people ORDER BY id")
    assert (
        source.rows("SELECT pipeline_name, status, started_by FROM ematix_flow.run_history")
        == [("mirror.people", "success", "copy")] * 2
    )


@pytest.mark.parametrize("mode", ("append", "truncate", "merge", "scd1", "scd2"))
def test_a_query_is_copied_by_every_mode(mode: str, source: Database, flow: Flow) -> None:
    keys = ["--keys", "id"] if mode in ("merge", "scd1", "scd2") else []
    query = ("--query", "SELECT id, upper(name) AS name FROM app.people", "--table", "dw.people", "--mode", mode)
    report = copy(flow, "default", "default", *query, *keys)
    assert report["mode"] == ("merge" if mode == "scd1" else mode)
    assert source.rows("SELECT id, name FROM dw.people ORDER BY id") == [(1, "ADA"), (2, "BOB")]
    assert counts(copy(flow, "default", "default", *query, *keys))["in"] == 2
    assert source.value("SELECT count(*) FROM dw.people") == (4 if mode == "append" else 2)


def test_options_of_a_mode_are_flags(source: Database, flow: Flow) -> None:
    query = "SELECT p.*, 1 AS n FROM app.people AS p, generate_series(1, 2)"
    arguments = ("--query", query, "--table", "dw.people", "--mode", "scd2", "--keys", "id,name")
    report = copy(flow, "default", "default", *arguments, expect=4)
    assert report["error"]["code"] == "duplicate_source_key"
    latest = ("--on-duplicate", "latest", "--order-by", "born", "--first-valid-from", "epoch")
    deletes = ("--compare-columns", "born", "--handle-deletes", "soft", "--max-delete-fraction", "1")
    report = copy(flow, "default", "default", *arguments, *latest, *deletes)
    assert counts(report) == {"in": 4, "inserted": 2, "deduplicated": 2}
    assert source.value("SELECT min(extract(epoch FROM valid_from)) FROM dw.people") == 0
    source.execute("DELETE FROM app.people WHERE id = 1")
    report = copy(flow, "default", "default", *arguments, *latest, *deletes)
    assert (report["rows_deleted"], report["rows_closed_out"]) == (1, 1)


def test_a_dry_run_leaves_nothing(source: Database, flow: Flow) -> None:
    arguments = ("--source-table", "app.people", "--table", "mirror.people", "--mode", "truncate", "--dry-run")
    report = copy(flow, source.dsn, source.dsn, *arguments)
    assert (report["dry_run"], report["committed"], counts(report)) == (True, False, {"in": 2, "inserted": 2})
    assert source.value("SELECT to_regnamespace('mirror')") is None


def test_a_run_is_told_like_any_other(source: Database, flow: Flow) -> None:
    arguments = ("--source-table", "app.people", "--table", "mirror.people", "--mode", "truncate")
    finished = flow("copy", "--from", source.dsn, "--to", source.dsn, *arguments, "--name", "people, once")
    assert finished.stdout == ""
    assert finished.stderr.startswith("success  people, once  2 in  2 inserted  ")
    assert source.value("SELECT pipeline_name FROM ematix_flow.run_history") == "people, once"


@pytest.fixture
def reader(source: Database) -> Iterator[str]:
    """A DSN over TCP of a role that needs its password."""
    role = f"copier_{source.name[-12:]}"
    source.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';"
        f'GRANT CREATE ON DATABASE "{source.name}" TO {role};'
        f"GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT ON app.people TO {role}"
    )
    place = conninfo_to_dict(source.dsn_over_tcp(role, PASSWORD))
    yield f"postgresql://{role}:{quote(PASSWORD, safe='')}@{place['host']}:{place['port']}/{source.name}"
    source.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


TABLE = ("--source-table", "app.people", "--table", "mirror.people", "--mode", "merge")
PIECES = ("s3cr3t", "%2F%C3%B1", "ñ&x")


def shows_no_password(text: str) -> None:
    assert not [piece for piece in PIECES if piece in text], text


def test_no_password_is_printed_or_stored(source: Database, flow: Flow, reader: str) -> None:
    finished = flow("copy", "--from", reader, "--to", reader, *TABLE, "--output", "json", "-vv")
    report = finished.json()
    role = reader.split("://")[1].split(":")[0]
    assert report["source_connection"] == report["target_connection"]
    assert report["source_connection"].startswith(f"{role}@127.0.0.1:")
    assert report["source_connection"].endswith(f"/{source.name}")
    shows_no_password(finished.stdout + finished.stderr)
    shows_no_password(everything_stored(source))
    shows_no_password(str(source.rows("SELECT application_name FROM pg_stat_activity")))
    for arguments in (
        ("--log-format", "json", "--statement-timeout", "1h"),
        ("--force-path", "staging"),
        ("--dry-run", "--lookback", "3"),
    ):
        finished = flow("copy", "--from", reader, "--to", reader, *TABLE, *arguments, expect=None)
        shows_no_password(finished.stdout + finished.stderr)


def test_no_password_is_in_an_error(source: Database, flow: Flow, reader: str) -> None:
    wrong = [
        (reader.replace("s3cr3t", "s3cr3tx"), "authentication_failed", 6),
        (reader.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1"), None, None),
        (reader.replace(source.name, "nowhere"), "unknown_database", 6),
        (reader.replace("postgresql:", "oracle:"), "invalid_value", 2),
        (reader + "?sslmod=off", "unknown_option", 2),
        (reader.replace("%2F", "/"), "invalid_value", 2),
    ]
    for dsn, code, exit_code in wrong:
        for ends in ((dsn, source.dsn), (source.dsn, dsn), (dsn, dsn)):
            finished = flow("copy", "--from", ends[0], "--to", ends[1], *TABLE, expect=exit_code)
            shows_no_password(finished.stdout + finished.stderr)
            assert code is None or f"error[{code}]" in finished.stderr, finished
    keywords = f"host=db user=me password={PASSWORD}"
    for arguments in (("copy", reader), ("copy", "--from", reader, reader), ("copy", "--mode", keywords), (reader,)):
        finished = flow(*arguments, expect=2)
        shows_no_password(finished.stderr)
        assert "<DSN>" in finished.stderr


def test_a_dsn_may_leave_its_password_to_the_environment(source: Database, flow: Flow, reader: str) -> None:
    hidden = reader.replace(reader.split("@")[0].split(":")[2], "${env:PW}")
    role = reader.split("://")[1].split(":")[0]
    # A value of ${…} stands in the DSN as it is: a password in a URL is encoded there, too.
    report = copy(flow, hidden, hidden, *TABLE, env={"PW": "s3cr3t%2F%C3%B1%26x"})
    assert (report["status"], report["source_connection"].split("@")[0]) == ("success", role)
    finished = flow("copy", "--from", hidden, "--to", hidden, *TABLE, expect=2)
    assert finished.stderr == (
        "error[missing_variable]: the environment variable `PW` is not set; `dsn` of connection `--from` asks for it\n"
        "  connection `--from`\nhint: set it, or name a connection\n"
    )


def test_two_ways_to_one_database_are_proved_to_be_one(source: Database, flow: Flow, reader: str) -> None:
    report = copy(flow, reader, source.dsn, *TABLE)
    assert report["path"] == "same_db"
    assert report["source_connection"] != report["target_connection"]
    assert report["path_reason"].endswith("are one database (proved)")
    other_parameters = source.dsn + ("&" if "?" in source.dsn else "?") + "application_name=other"
    report = copy(flow, source.dsn, other_parameters, *TABLE)
    assert report["target_connection"] == f"{report['source_connection']} (2)"
    assert report["path"] == "same_db"


def test_connections_of_a_project_have_their_names(source: Database, flow: Flow) -> None:
    flow.project(
        f'[connections.crm]\ndsn = "{source.dsn}"\nread_only = true\n'
        f'[connections.warehouse]\ndsn = "{source.dsn}"\n'
        '[tables.people]\nschema = "mirror"\ncolumns = { other = "text" }\n'
        '[pipelines.people]\nsource = { connection = "crm", table = "app.people" }\ntarget = "people"\n'
        'target_connection = "warehouse"\nmode = "append"\n'
    )
    report = copy(flow, "crm", "warehouse", *TABLE)
    assert (report["source_connection"], report["target_connection"]) == ("crm", "warehouse")
    assert [name for name, _, _ in shape(source, "mirror.people")] == ["id", "name", "born"]
    assert flow("copy", "--from", "warehouse", "--to", "crm", *TABLE, expect=2).stderr.startswith(
        "error[read_only_target]"
    )
    nearly = flow("copy", "--from", "crn", "--to", "warehouse", *TABLE, expect=2).stderr
    assert nearly.startswith("error[unknown_connection]") and "did you mean `crm`?" in nearly
    taken = flow("copy", "--from", "crm", "--to", "warehouse", *TABLE, "--name", "people", expect=2).stderr
    assert taken.startswith("error[duplicate_name]") and "--> pipelines.toml:9:1" in taken
    # Where no name is used, the file may be what it likes.
    flow.project("mode = \n")
    copy(flow, source.dsn, source.dsn, *TABLE)
    flow("copy", "--from", "crm", "--to", "warehouse", *TABLE, expect=2)
    flow("--config", "nowhere.toml", "copy", "--from", source.dsn, "--to", source.dsn, *TABLE, expect=2)


def test_what_is_typed_wrong_is_refused_before_anything_runs(source: Database, flow: Flow) -> None:
    target = ("--from", "default", "--to", "default", "--table", "dw.t")
    cases = [
        ((*target, "--mode", "append"), "required arguments were not provided"),
        ((*target, "--mode", "append", "--query", "SELECT 1", "--source-table", "a.b"), "cannot be used with"),
        ((*target, "--mode", "upsert", "--query", "SELECT 1"), "invalid value 'upsert'"),
        ((*target, "--query", "SELECT 1 AS id"), "--mode <MODE>"),
        ((*target, "--mode", "append", "--query", "DELETE FROM app.people"), "error[query_writes]"),
        ((*target, "--mode", "append", "--source-table", "people"), "hint: --source-table public.people"),
        ((*target, "--mode", "append", "--query", "SELECT 1", "--keys", "id", "--migrate"), None),
        (
            (*target, "--mode", "append", "--query", "SELECT 1", "--handle-deletes", "soft"),
            "error[option_not_for_mode]",
        ),
        ((*target, "--mode", "scd2", "--query", "SELECT 1 AS id", "--handle-deletes", "hard"), "conflicting_options"),
    ]
    for arguments, expected in cases:
        if expected is not None:
            assert expected in flow("copy", *arguments, expect=2).stderr
    bare = flow("copy", *target[:-1], "t", "--mode", "append", "--query", "SELECT 1", expect=2).stderr
    assert bare == (
        "error[invalid_value]: `--table t` does not say in which schema\n"
        "hint: --table public.t, or the schema it lives in\n"
    )
    missing = flow("copy", *target, "--mode", "merge", "--query", "SELECT 1 AS id", expect=2).stderr
    assert "error[missing_keys]" in missing
    assert source.value("SELECT to_regnamespace('dw')") is None


@pytest.mark.parametrize("form", ("github", "markdown"))
def test_a_copy_has_no_page(form: str, source: Database, flow: Flow) -> None:
    flow("copy", "--from", "default", "--to", "default", *TABLE, "--dry-run", "--output", form, expect=2)


def test_a_table_is_copied_into_another_database(source: Database, flow: Flow, new_database: Any) -> None:
    target: Database = new_database()
    report = copy(flow, source.dsn, target.dsn, *TABLE)
    assert (report["status"], report["path"], counts(report)) == ("success", "staging", {"in": 2, "inserted": 2})
    assert target.rows("SELECT * FROM mirror.people ORDER BY id") == source.rows("SELECT * FROM app.people ORDER BY id")
    assert shape(target, "mirror.people") == shape(source, "app.people")
    source.execute("UPDATE app.people SET name = 'Adele' WHERE id = 1")
    assert counts(copy(flow, source.dsn, target.dsn, *TABLE)) == {"in": 2, "updated": 1, "unchanged": 1}
    assert source.value("SELECT to_regnamespace('ematix_flow')") is None
