"""The harness itself: server, databases, the runner of the binary, and a scenario played by a stand-in for it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import server
from database import Database
from flow_binary import Flow
from scenario import parse
from scenario_ground import on_postgres
from scenario_run import Played, play

# What the runner can be asked, and one report in the shape of `flow run --output json`.
STAND_IN = """\
#!/bin/sh
case $1 in
environment) env | sort ;;
arguments) shift; printf '%s\\n' "$@" ;;
both) echo out; echo err >&2; exit 7 ;;
wait) exec sleep 60 ;;
run)
    echo 'a note' >&2
    echo '{"schema":"ematix.run.v1","status":"success","rows_in":1,"rows_inserted":1,"rows_updated":0,"error":null}' ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Flow:
    binary = tmp_path / "stand-in"
    binary.write_text(STAND_IN)
    binary.chmod(0o755)
    return Flow(binary, tmp_path, {"EMATIX_FLOW_DSN": "postgresql:///x"})


def test_a_database_is_empty_and_speaks_utf8(database: Database) -> None:
    assert database.value("SHOW server_encoding") == "UTF8"
    assert database.rows("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1") == [
        ("information_schema",),
        ("public",),
    ]


def test_a_database_runs_several_statements_and_other_connections_see_them(database: Database) -> None:
    database.execute("CREATE TABLE a (id int, name text); INSERT INTO a VALUES (1, 'x'), (2, NULL)")
    assert database.rows("SELECT id, name FROM a ORDER BY id") == [(1, "x"), (2, None)]
    with database.connect() as other:
        assert other.autocommit
        assert other.execute("SELECT count(*) FROM a").fetchall() == [(2,)]


def test_databases_of_one_test_are_apart(new_database: Callable[[], Database]) -> None:
    one, two = new_database(), new_database()
    one.execute("CREATE TABLE a ()")
    assert one.name != two.name
    assert two.value("SELECT to_regclass('a')") is None


def test_a_database_is_dropped_even_with_a_connection_left_open(database: Database) -> None:
    from database import temporary_database

    with temporary_database() as other:
        left_open = other.connect()
        name = other.name
    assert database.rows("SELECT 1 FROM pg_database WHERE datname = %s", [name]) == []
    left_open.close()


def test_a_database_is_reached_over_tcp_with_a_password(database: Database) -> None:
    role = f"tcp_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    try:
        with psycopg.connect(database.dsn_over_tcp(role, "right")) as connection:
            assert connection.execute("SELECT current_user::text").fetchall() == [(role,)]
        if "/flow-test." in database.dsn:  # a server of ours; another may trust everybody
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(database.dsn_over_tcp(role, "wrong"))
    finally:
        database.execute(f"DROP ROLE {role}")


def test_the_server_command_starts_and_stops_a_server(tmp_path: Path) -> None:
    directory = server.new_directory()
    command = [sys.executable, server.__file__]
    started = subprocess.run([*command, "start", str(directory)], capture_output=True, text=True, check=True)
    try:
        with psycopg.connect(started.stdout.strip()) as connection:
            assert connection.execute("SELECT current_user::text").fetchall() == [("postgres",)]
        again = subprocess.run([*command, "start", str(directory)], capture_output=True, text=True, check=False)
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr == f"error: {directory} is not empty\nhint: name a directory that does not exist\n"
    finally:
        stopped = subprocess.run([*command, "stop", str(directory)], capture_output=True, text=True, check=True)
    assert (stopped.stdout, stopped.stderr, directory.exists()) == ("", "", False)


def test_flow_runs_in_a_directory_and_an_environment_of_its_own(stand_in: Flow) -> None:
    finished = stand_in("environment", env={"A": "1"})
    variables = dict(line.split("=", 1) for line in finished.stdout.splitlines())
    assert {
        name: value for name, value in variables.items() if name not in ("PATH", "PWD", "_", "SHLVL", "OLDPWD")
    } == {
        "A": "1",
        "EMATIX_FLOW_DSN": "postgresql:///x",
        "HOME": str(stand_in.directory / "home"),
    }
    assert variables["PWD"] == str(stand_in.directory)
    assert "EMATIX_FLOW_DSN" not in stand_in("environment", env={"EMATIX_FLOW_DSN": None}).stdout


def test_flow_takes_a_configuration_as_text_or_as_a_path(stand_in: Flow) -> None:
    text = "[pipelines.a]\n"
    path = stand_in.directory / "pipelines.toml"
    assert stand_in("a", config=text).arguments == ("--config", str(path), "a")
    assert path.read_text() == text
    assert stand_in("a", config="other.toml").arguments == ("--config", "other.toml", "a")
    assert stand_in.project("x = 1\n") == path


def test_flow_shows_both_outputs_where_the_exit_code_is_not_the_expected(stand_in: Flow) -> None:
    assert stand_in("both", expect=7).stderr == "err\n"
    assert stand_in("both", expect=(1, 7)).stdout == "out\n"
    assert stand_in("both", expect=None).code == 7
    with pytest.raises(AssertionError) as raised:
        stand_in("both")
    assert str(raised.value) == ("exit code 7, expected 0\n$ flow both\nexit 7\n--- stdout\nout\n\n--- stderr\nerr\n")


def test_a_started_flow_can_be_killed_and_none_outlives_its_test(stand_in: Flow) -> None:
    killed, left = stand_in.start("wait"), stand_in.start("wait")
    killed.kill()
    assert killed.finish(expect=None).code == -9
    stand_in.stop_all()
    assert left.process.returncode == -9


SCENARIO = """\
# One row

## sql
CREATE TABLE a (id int, at timestamptz, ok boolean);
INSERT INTO a VALUES (1, '2024-05-06 07:08+00', true), (2, clock_timestamp(), false), (3, 'infinity', NULL);

## pipelines.toml
x = 1

## run a
status success
rows_in 1
rows_inserted 1
mentions a note

## flow both exit 7
mentions err

## table SELECT * FROM a ORDER BY id
id | at                     | ok
1  | 2024-05-06 07:08:00+00 | true
2  | t1                     | false
3  | infinity               | ∅
"""


def played(text: str, database: Database, flow: Flow) -> Played:
    with on_postgres(database) as ground:
        return play(parse("one.flow", text), ground, flow)


def test_a_scenario_that_goes_as_it_says_has_no_difference(stand_in: Flow, database: Database) -> None:
    went = played(SCENARIO, database, stand_in)
    assert went.difference().rstrip() == ""
    assert went.as_expected
    assert (stand_in.directory / "pipelines.toml").read_text() == "x = 1\n"


def test_a_scenario_that_goes_otherwise_shows_a_diff_and_can_be_rewritten(stand_in: Flow, database: Database) -> None:
    wrong = (
        SCENARIO.replace("rows_in 1\n", "rows_in 2\n")
        .replace("## flow both exit 7", "## flow both")
        .replace("| infinity               | ∅", "| t2 |")
    )
    went = played(wrong, database, stand_in)
    assert not went.as_expected
    assert went.actual.text() == SCENARIO
    diff, _, outputs = went.difference().partition("\n\n$ flow run a")
    assert "exit 7\n--- stdout\nout" in outputs
    changed = [line for line in diff.splitlines() if line[:1] in ("+", "-")]
    assert changed == [
        "--- one.flow as expected",
        "+++ one.flow as it went",
        "-rows_in 2",
        "+rows_in 1",
        "-## flow both",
        "+## flow both exit 7",
        "-3  | t2                     |",
        "+3  | infinity               | ∅",
    ]


def test_statements_that_fail_stand_in_the_diff_and_are_not_written_down(stand_in: Flow, database: Database) -> None:
    text = "# t\n\n## sql\nINSERT INTO nowhere VALUES (1);\n"
    went = played(text, database, stand_in)
    assert (went.as_expected, went.given_statements_ran) == (False, False)
    assert '+-- (failed: relation "nowhere" does not exist)' in went.difference().splitlines()


def test_a_table_that_cannot_be_read_says_why(stand_in: Flow, database: Database) -> None:
    text = textwrap.dedent("""\
        # No table

        ## table SELECT * FROM nowhere
        (no table: relation "nowhere" does not exist)

        ## table SELECT 1 AS one
        one
        1
        """)
    went = played(text, database, stand_in)
    assert went.difference().rstrip() == ""
