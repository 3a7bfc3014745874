"""Ways not to connect: each has a code of its own, exit 6, an answer in time, and no secret in any output."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import server
from customers import SOURCE, project
from database import Database
from flow_binary import Finished, Flow
from tls_client import project_of
from tls_server import ROOT

pytestmark = pytest.mark.clock

# Characters that end a part of a URL or mean something in one.
SECRET = "p#s/s@w:r?d%&=é'\\"


@pytest.fixture
def tcp_role(database: Database) -> Iterator[str]:
    """A role that comes in by TCP with SECRET."""
    role = f"tcp_{database.name}"
    literal = SECRET.replace("'", "''")
    database.execute(f"{SOURCE} CREATE ROLE {role} LOGIN PASSWORD '{literal}'")
    database.execute(f"GRANT ALL ON DATABASE {database.name} TO {role}; GRANT USAGE ON SCHEMA app TO {role}")
    database.execute(f"GRANT SELECT ON app.customers TO {role}")
    yield role
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.fixture
def listener() -> Iterator[Callable[[bool], int]]:
    """Ports behind which nobody speaks: one accepts connections, the other does not even that."""
    with ExitStack() as stack:

        def listen(accepts: bool) -> int:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64 if accepts else 0))
            port = int(listening.getsockname()[1])
            for _ in range(0 if accepts else 3):
                # They fill the queue; the kernel answers no further one.
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
            return port

        yield listen


def run(flow: Flow, dsn: str, expect: int = 6) -> Finished:
    return flow("run", "customers", "--output", "json", config=project(), env={"EMATIX_FLOW_DSN": dsn}, expect=expect)


def code(finished: Finished) -> str:
    report = finished.json()
    assert report["status"] == "failed" and report["committed"] is False
    assert report["error"]["hint"]
    return str(report["error"]["code"])


def says_no_secret(finished: Finished, *secrets: str) -> None:
    said = finished.stdout + finished.stderr
    for secret in secrets:
        for form in {
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        }:
            assert form not in said, finished


def tcp(database: Database, role: str, secret: str, **more: str) -> str:
    """A URL with the password where a user would type it, nothing encoded but what must be."""
    port = database.parameters["port"]
    options = "&".join(f"{name}={value}" for name, value in more.items())
    return f"postgresql://{role}:{secret}@127.0.0.1:{port}/{database.name}?{options}"


def test_a_password_may_have_any_character(database: Database, flow: Flow, tcp_role: str) -> None:
    for dsn in (
        tcp(database, tcp_role, quote(SECRET, safe="")),
        server.url(
            {"host": "127.0.0.1", "port": database.parameters["port"], "user": tcp_role, "password": SECRET}
        ).replace("postgresql:///", f"postgresql:///{database.name}"),
        f"host=127.0.0.1 port={database.parameters['port']} user={tcp_role} dbname={database.name} password='"
        + SECRET.replace("\\", "\\\\").replace("'", "\\'")
        + "'",
    ):
        says_no_secret(run(flow, dsn, expect=0), SECRET)


@pytest.mark.parametrize(
    "secret", ["wr#ng-secret", "wr/ng-secret", "wr@ng-secret", "wr:ng-secret", "wrong-secret", "%zz-secret"]
)
@pytest.mark.parametrize("place", ["user", "parameter"])
def test_a_wrong_password_is_refused_and_never_shown(
    database: Database, flow: Flow, tcp_role: str, secret: str, place: str
) -> None:
    if place == "user":
        dsn = tcp(database, tcp_role, secret)
    else:
        port = database.parameters["port"]
        dsn = f"postgresql://{tcp_role}@127.0.0.1:{port}/{database.name}?password={secret}"
    # A mark that a URL uses may make the file's fault of it (exit 2); it is said without the secret all the same.
    finished = flow("run", "customers", config=project(), env={"EMATIX_FLOW_DSN": dsn}, expect={2, 6})
    says_no_secret(finished, secret, "secret")
    checked = flow("connections", "check", config=project(), env={"EMATIX_FLOW_DSN": dsn}, expect=None)
    assert checked.code != 0
    says_no_secret(checked, secret, "-secret")
    listed = flow("connections", "list", config=project(), env={"EMATIX_FLOW_DSN": dsn}, expect=None)
    says_no_secret(listed, secret, "-secret")


def test_a_wrong_password_is_an_authentication_failure(database: Database, flow: Flow, tcp_role: str) -> None:
    finished = run(flow, tcp(database, tcp_role, "wrong-secret"))
    assert code(finished) == "authentication_failed"
    assert finished.json()["error"]["sqlstate"] == "28P01"
    says_no_secret(finished, "wrong-secret")


def test_no_password_is_an_authentication_failure(database: Database, flow: Flow, tcp_role: str) -> None:
    port = database.parameters["port"]
    finished = run(flow, f"postgresql://{tcp_role}@127.0.0.1:{port}/{database.name}")
    assert code(finished) == "authentication_failed"


def test_an_unknown_role_is_an_authentication_failure(database: Database, flow: Flow) -> None:
    assert code(run(flow, database.dsn_as("nobody_of_that_name"))) in ("authentication_failed", "connect_failed")
    assert code(run(flow, database.dsn_as("nobody_of_that_name"))) == "authentication_failed"


def test_an_unknown_database_is_named(database: Database, flow: Flow) -> None:
    finished = run(flow, server.url({**database.parameters, "dbname": "no such database"}))
    assert code(finished) == "unknown_database"
    assert "no such database" in finished.json()["error"]["message"]


def test_a_closed_port_is_a_failure_to_connect(flow: Flow) -> None:
    began = time.monotonic()
    finished = run(flow, f"postgresql://u:secret@127.0.0.1:{server.free_port()}/d")
    assert code(finished) == "connect_failed"
    assert time.monotonic() - began < 6
    says_no_secret(finished, "secret")


def test_a_missing_socket_is_a_failure_to_connect(flow: Flow) -> None:
    assert code(run(flow, "postgresql:///d?host=/nowhere&user=u")) == "connect_failed"


def test_a_name_that_nobody_knows_is_a_failure_to_connect(flow: Flow) -> None:
    assert code(run(flow, "postgresql://u@no-such-host.invalid/d")) == "connect_failed"


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("command", [["run"], ["plan"]])
def test_a_host_that_never_answers_is_given_up_in_time(
    flow: Flow, listener: Callable[[bool], int], accepts: bool, command: list[str]
) -> None:
    dsn = f"postgresql://u:secret@127.0.0.1:{listener(accepts)}/d?connect_timeout=1"
    began = time.monotonic()
    finished = flow(*command, "customers", config=project(), env={"EMATIX_FLOW_DSN": dsn}, expect=6)
    assert 0.9 < time.monotonic() - began < 2.5
    said = finished.stdout + finished.stderr
    assert "[connect_timeout]" in said and "within 1 s" in said, finished
    says_no_secret(finished, "secret")


def test_the_second_of_two_hosts_is_tried_when_the_first_never_answers(
    database: Database, flow: Flow, tcp_role: str, listener: Callable[[bool], int]
) -> None:
    ports = f"127.0.0.1:{listener(True)},127.0.0.1:{database.parameters['port']}"
    dsn = f"postgresql://{tcp_role}:{quote(SECRET, safe='')}@{ports}/{database.name}?connect_timeout=1"
    run(flow, dsn, expect=0)


def test_a_signal_ends_the_wait_for_a_host_that_never_answers(flow: Flow, listener: Callable[[bool], int]) -> None:
    dsn = f"postgresql://u@127.0.0.1:{listener(True)}/d"
    running = flow.start("run", "customers", config=project(), env={"EMATIX_FLOW_DSN": dsn})
    time.sleep(0.3)
    began = time.monotonic()
    running.interrupt()
    running.finish(130)
    assert time.monotonic() - began < 1


def test_the_wait_for_a_host_that_never_answers_is_ten_seconds_unless_told(
    flow: Flow, listener: Callable[[bool], int]
) -> None:
    began = time.monotonic()
    finished = run(flow, f"postgresql://u@127.0.0.1:{listener(True)}/d")
    assert code(finished) == "connect_timeout"
    assert 9.5 < time.monotonic() - began < 12
    assert "10 s" in finished.json()["error"]["message"]


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_without_tls_is_not_answered_in_the_clear(
    database: Database, flow: Flow, tcp_role: str, mode: str
) -> None:
    finished = run(flow, tcp(database, tcp_role, quote(SECRET, safe=""), sslmode=mode))
    assert code(finished) == "tls_failed"
    says_no_secret(finished, SECRET)
    run(flow, tcp(database, tcp_role, quote(SECRET, safe=""), sslmode="prefer"), expect=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_without_a_free_connection_says_so(database: Database, flow: Flow, tcp_role: str, host: str) -> None:
    database.execute(f"ALTER ROLE {tcp_role} CONNECTION LIMIT 1")
    # Of localhost, ::1 is tried too: nobody listens there, which is not the matter.
    finished = run(flow, tcp(database, tcp_role, quote(SECRET, safe="")).replace("127.0.0.1", host))
    assert code(finished) == "connect_failed"
    assert finished.json()["error"]["sqlstate"] == "53300"


def test_what_is_no_plain_file_is_refused_at_once(
    flow: Flow, database: Database, tcp_role: str, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # As a secret that Kubernetes mounts.
    (tmp_path / "mounted").write_text(SECRET)
    link = tmp_path / "password"
    link.symlink_to(tmp_path / "mounted")
    where = {"host": "127.0.0.1", "port": database.shared.info.port, "user": tcp_role, "dbname": database.name}
    encrypted = {**where, "sslmode": "require"}
    crl = {**encrypted, "sslmode": "verify-ca", "sslrootcert": str(ROOT.write(tmp_path / "root.crt"))}
    files: dict[str, dict[str, object]] = {
        "sslrootcert": {**encrypted, "sslmode": "verify-full"},
        "sslcrl": crl,
        "sslcert": {**encrypted, "sslkey": str(link)},
        "sslkeylogfile": encrypted,
        "servicefile": {**where, "service": "s"},
    }
    connections = {}
    for name, rest in files.items():
        for kind, path in (("pipe", str(pipe)), ("endless", "/dev/zero")):
            connections[f"{name}_{kind}"] = {**rest, name: path}
    for kind, path in (("pipe", str(pipe)), ("endless", "/dev/zero")):
        connections[f"password_{kind}"] = {**where, "sslmode": "disable", "password": f"${{file:{path}}}"}
    connections["link"] = {**where, "sslmode": "disable", "password": f"${{file:{link}}}"}
    flow.variables.pop("EMATIX_FLOW_DSN", None)
    began = time.monotonic()
    checked = flow(
        "connections", "check", "--output", "json", config=project_of(connections), expect={1, 6}, timeout=60
    )
    assert time.monotonic() - began < 20
    for report in checked.json()["connections"]:
        error = report["error"]
        if report["name"] == "link":
            assert error is None
        else:
            said = "no plain file" in error["message"] or "is not a file" in error["message"]
            assert said and error["hint"], error
