"""`password_command`: a program that prints the password, asked for each session, for a while, and never quoted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow
from project import value
from python_package import Interpreter
from tls_client import project_of

pytestmark = pytest.mark.clock

Script = Callable[..., list[str]]

SECRET = "s3cret-of-the-command"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a program of the shell's lines; what it is called with goes behind them. It counts its calls."""

    def make(*lines: str, name: str = "token") -> list[str]:
        path = tmp_path / name
        path.write_text("\n".join(("#!/bin/sh", f'echo "$@" >> {tmp_path}/calls', *lines, "")))
        path.chmod(0o755)
        return [str(path)]

    return make


def calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


def to(database: Database, role: str, command: list[str], **more: object) -> dict[str, object]:
    info = database.shared.info
    host = "127.0.0.1" if info.host.startswith("/") else info.host
    where = {"host": host, "port": info.port, "user": role, "dbname": database.name, "sslmode": "disable"}
    return {**where, "password_command": command, **more}


@pytest.fixture
def own(flow: Flow) -> Flow:
    """Without the variable that goes before every file."""
    flow.variables.pop("EMATIX_FLOW_DSN", None)
    return flow


LOAD = """
[pipelines.{name}]
source = {{ query = "SELECT {query} AS id" }}
target = "public.{name}"
mode = "append"
"""


def test_each_session_asks_anew(own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path) -> None:
    command = [*script("printf 'right\\r\\n'"), "for", "${env:WHOM}", "$HOME; echo wrong", "*"]
    loads = "".join(LOAD.format(name=name, query="pg_backend_pid()") for name in "abc")
    own("run", "--all", config=project_of({"default": to(database, tcp_role, command)}) + loads, env={"WHOM": "us"})
    # No shell has read the words.
    assert set(calls(tmp_path)) == {"for us $HOME; echo wrong *"}
    # The command's sessions are used again by the next pipeline: those that were opened asked, each once.
    few = len(calls(tmp_path))
    assert 2 <= few < 6
    pids = {database.value(f"SELECT id FROM public.{name}") for name in "abc"}
    assert len(pids) == 1
    own("run", "a", env={"WHOM": "us"})
    assert len(calls(tmp_path)) > few


def test_a_session_that_is_opened_again_asks_again(
    own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path
) -> None:
    # The second pipeline ends the idle sessions of the command; a password that has expired would not come in again.
    end = (
        "count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '% history %' AND state = 'idle' AND pid <> pg_backend_pid()"
    )
    loads = LOAD.format(name="a", query="1") + (
        f'[pipelines.k]\nsource = {{ query = "SELECT {end}" }}\ntarget = "public.k"\nmode = "append"\n'
    )
    config = project_of({"default": to(database, tcp_role, script("echo right"))})
    own("run", "a", config=config + loads)
    alone = len(calls(tmp_path))
    own("run", "--all", "--jobs", "1", config=config + loads + LOAD.format(name="z", query="1"), expect={0, 1})
    assert len(calls(tmp_path)) - alone > alone


FAILURES = {
    "wrong": (["printf wrong"], "authentication_failed", "password authentication failed"),
    "nothing": (["true"], "authentication_failed", "printed nothing"),
    "a line": (["echo"], "authentication_failed", "printed nothing"),
    "zero": (["printf 'a\\000b'"], "authentication_failed", "printed a zero byte"),
    "not UTF-8": (["printf '\\377'"], "authentication_failed", "printed something that is not UTF-8"),
    "much": (["head -c 70000 /dev/zero | tr '\\0' x"], "authentication_failed", "printed more than a password"),
    "exit code": ([f"echo {SECRET}; echo {SECRET} >&2; exit 3"], "authentication_failed", "ended with exit code 3"),
    "a signal": (["kill -9 $$"], "authentication_failed", "was killed"),
    "slow": (["sleep 60"], "connect_timeout", "did not answer within 1 s"),
    "open": (["sleep 60 & exit 0"], "authentication_failed", "printed nothing"),
}


def test_an_answer_that_is_none_is_told_without_it(
    own: Flow, database: Database, tcp_role: str, script: Script
) -> None:
    commands = {f"c{n}": script(*lines, name=f"token{n}") for n, (lines, _, _) in enumerate(FAILURES.values())}
    commands |= {"absent": ["/nowhere/token", SECRET], "closed": [str(Path(__file__)), SECRET]}
    expected = list(FAILURES.values())
    expected += [
        ([], "authentication_failed", "was not found"),
        ([], "authentication_failed", "may not be run: permission denied"),
    ]
    Path(__file__).chmod(0o644)
    own.project(project_of({name: to(database, tcp_role, c, connect_timeout=1) for name, c in commands.items()}))
    finished = own("connections", "check", *commands, "--output", "json", expect={1, 6})
    for report, (_, code, words) in zip(finished.json()["connections"], expected, strict=True):
        error = report["error"]
        assert (error["code"], words in error["message"]) == (code, True), error
        assert error["hint"]
        if code != "authentication_failed" or "authentication failed" not in words:
            assert f"password_command `{Path(commands[report['name']][0]).name}` " in error["message"]
    assert SECRET not in str(finished)


def test_what_takes_too_long_ends_with_all_that_it_started(
    own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path
) -> None:
    command = script(f"sleep 300 & echo $! > {tmp_path}/pid", "wait")
    own.project(project_of({"c": to(database, tcp_role, command, connect_timeout=1)}))
    own("connections", "check", "c", expect=6)
    wait_until(lambda: not lives(tmp_path / "pid"), "the child of the command is gone")


def test_what_was_printed_counts_when_the_program_has_ended(
    own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path
) -> None:
    command = script(f"sleep 300 & echo $! > {tmp_path}/pid", "echo right")
    own.project(project_of({"c": to(database, tcp_role, command, connect_timeout=5)}))
    began = time.monotonic()
    assert " ok " in own("connections", "check", "c").stdout
    assert time.monotonic() - began < 4
    wait_until(lambda: not lives(tmp_path / "pid"), "what the command has left behind is gone")


@pytest.mark.parametrize("arguments", [("connections", "check", "c"), ("run", "a")])
def test_ctrl_c_ends_it(
    own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    command = script(f"sleep 300 & echo $! > {tmp_path}/pid", "wait")
    connection = project_of({"c": to(database, tcp_role, command, connect_timeout=60)})
    load = LOAD.format(name="a", query="1") + 'target_connection = "c"\n'
    own.project(connection + load.replace("source = {", 'source = { connection = "c",'))
    running = own.start(*arguments)
    wait_until((tmp_path / "pid").exists, "the command has begun")
    wait_until(lambda: (tmp_path / "pid").read_text().strip(), "its child has")
    began = time.monotonic()
    running.interrupt()
    running.finish(expect=130)
    assert time.monotonic() - began < 5
    wait_until(lambda: not lives(tmp_path / "pid"), "the child of the command is gone")


def lives(pid: Path) -> bool:
    try:
        os.kill(int(pid.read_text()), 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid.read_text().strip()}/stat").read_text().split()[2] != "Z"


def test_two_passwords_are_refused(own: Flow) -> None:
    both = {"host": "h", "user": "u", "password": SECRET, "password_command": ["x", SECRET]}
    told = own("validate", config=project_of({"c": both}), expect=2).stderr
    assert "`password` and `password_command` of connection `c` exclude each other" in told
    dsn = {"dsn": "${env:CRM}", "password_command": ["x", SECRET]}
    env = {"CRM": f"postgresql://u:{SECRET}@h/d"}
    checked = own("connections", "check", "c", config=project_of({"c": dsn}), env=env, expect=2).stderr
    assert "the connection `c` has a password and a `password_command`" in checked
    assert SECRET not in told + checked
    for none in ([], [""]):
        told = own(
            "connections", "check", "c", config=project_of({"c": {"host": "h", "password_command": none}}), expect=2
        )
        assert "`password_command` of connection `c` names no program" in told.stderr


def test_it_goes_with_a_dsn_and_stands_in_environments_and_the_users_file(
    own: Flow, database: Database, tcp_role: str, script: Script, tmp_path: Path
) -> None:
    command = script("echo right")
    dsn = database.dsn_over_tcp(tcp_role, "").replace("&password=", "")
    text = f"dsn = {value(dsn)}\npassword_command = {value(command)}\n"
    own.project(f"[connections.a]\n{text}[connections.b]\nhost = 'h'\n[environments.ci.connections.b]\n{text}")
    user_file = own.home / ".ematix-flow" / "connections.toml"
    user_file.parent.mkdir(parents=True)
    user_file.write_text(f"[connections.u]\n{text}")
    user_file.chmod(0o600)
    finished = own("--env", "ci", "connections", "check", "a", "b", "u")
    assert finished.stdout.count(" ok ") == 3 and finished.stderr == ""
    listed = own("--env", "ci", "connections", "list").stdout
    assert "token" not in listed and "right" not in listed


def test_python_asks_too(database: Database, tcp_role: str, script: Script, tmp_path: Path) -> None:
    home = tmp_path / "home"
    connections = home / ".ematix-flow" / "connections.toml"
    connections.parent.mkdir(parents=True)
    connections.write_text(project_of({"crm": to(database, tcp_role, script("echo right"))}))
    connections.chmod(0o600)
    done = Interpreter(tmp_path, {"HOME": str(home), "EMATIX_FLOW_DSN": database.dsn}).run(
        """
        from ematix_flow import Pipeline, Source, connect, ematix
        print(connect("crm").query("SELECT 1 AS one"))
        with connect("crm").dbapi() as other:
            print(other.execute("SELECT 2").fetchall())

        @ematix.pipeline(target="public.called", mode="append", source_connection="crm", target_connection="default")
        def called(conn):
            return conn.query("SELECT 3 AS three") and Source.postgres_query("crm", "SELECT 3 AS three")

        print(called.run().rows_inserted)
        """
    )
    assert done.stdout.splitlines() == ["[{'one': 1}]", "[(2,)]", "1"], done
    assert len(calls(tmp_path)) >= 4
