"""What psql of Postgres 15 does not know yet, or only several servers show: checked against the libpq of psycopg."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from database import Database
from flow_binary import Flow
from relay import relay
from server import free_port
from tls_client import Outcome, login, logins
from tls_server import NAMES, PASSWORD, ROOT, USER, TlsServer

METHODS = ["password", "md5", "scram-sha-256", "trust"]
REQUIRED = [
    "password",
    "md5",
    "scram-sha-256",
    "none",
    "!password",
    "!md5",
    "!scram-sha-256",
    "!none",
    "md5,scram-sha-256",
    "!password,!md5",
    "gss,sspi",
    "none,password",
]


def asks_by(method: str) -> str:
    """A rule that stands before the one of the server."""
    return f"host all {USER} 127.0.0.1/32 {method}\nhost"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sslmode", ["disable", "prefer", "require"])
def test_who_asks_otherwise_than_allowed_gets_no_answer(tls: TlsServer, flow: Flow, method: str, sslmode: str) -> None:
    tls.present(ROOT.issue(*NAMES) if sslmode == "require" else None, rule=asks_by(method))
    connection = {**tls.connection, "host": "127.0.0.1", "sslmode": sslmode}
    connections = {f"c{number}": {**connection, "require_auth": text} for number, text in enumerate(REQUIRED)}
    ours = {
        text: outcome.state == ("TLS" if sslmode == "require" else "clear")
        for text, outcome in zip(REQUIRED, logins(flow, connections).values(), strict=True)
    }
    assert ours == {text: libpq_logs_in({**connection, "require_auth": text}) for text in REQUIRED}


def libpq_logs_in(connection: dict[str, str]) -> bool:
    if psycopg.pq.version() < 160000:
        pytest.skip("this libpq does not know require_auth")
    try:
        with psycopg.connect(**connection, gssencmode="disable"):
            return True
    except psycopg.OperationalError as error:
        assert "authentication method requirement" in str(error)
        return False


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
def test_a_password_is_not_sent_to_whom_it_is_not_allowed(tls: TlsServer, flow: Flow, sslmode: str) -> None:
    tls.present(None, rule=asks_by("password"))
    connection = {**tls.connection, "host": "127.0.0.1", "sslmode": sslmode}
    with relay(tls.port) as between:
        asked = {**connection, "port": str(between.port), "require_auth": "scram-sha-256"}
        refused = login(flow, asked)
    assert refused.state == "authentication_failed"
    assert "the server asks by password, and require_auth=`scram-sha-256` does not allow that" in refused.message
    assert not any(PASSWORD.encode() in sent for sent in between.sent)
    # The relay would have seen it.
    with relay(tls.port) as between:
        assert login(flow, {**connection, "port": str(between.port)}) == Outcome("clear")
    assert any(PASSWORD.encode() in sent for sent in between.sent)


def test_passwords_of_a_file_are_those_of_each_host(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    tls.present(None)
    file = tmp_path / "passwords"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    connection = {name: text for name, text in tls.connection.items() if name != "password"}
    there = {**connection, "passfile": str(file), "host": "127.0.0.1,127.0.0.1", "port": f"1,{tls.port}"}
    file.write_text(f"127.0.0.1:1:*:*:wrong\n127.0.0.1:{tls.port}:postgres:{USER}:{escaped}\n")
    file.chmod(0o600)
    assert login(flow, there) == Outcome("clear")
    file.write_text(f"127.0.0.1:1:*:*:{escaped}\n127.0.0.1:{tls.port}:*:*:wrong-secret\n")
    refused = login(flow, there)
    assert refused.sqlstate == "28P01" and "wrong-secret" not in refused.message
    assert refused.message.endswith(f"the password comes from the password file `{file}`")
    file.chmod(0o640)
    refused = login(flow, there)
    assert refused.state == "authentication_failed"
    assert refused.message.endswith(f"the password file `{file}` was not read, since others may read it: chmod 0600 it")


def test_a_file_of_passwords_is_read_for_each_session(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    tls.present(None)
    home = flow.directory / "home"
    home.mkdir(exist_ok=True)
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    connection = {name: text for name, text in tls.connection.items() if name != "password"}
    assert login(flow, {**connection, "host": "localhost"}).state == "authentication_failed"
    (home / ".pgpass").write_text(f"localhost:*:*:{USER}:{escaped}")
    (home / ".pgpass").chmod(0o400)
    assert login(flow, {**connection, "host": "localhost"}) == Outcome("clear")


@contextmanager
def abstract_socket(name: str, to: str) -> Iterator[None]:
    """Passes on what comes by a socket that lies in no directory."""

    def serve(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(to)
            other = {client: server, server: client}
            while True:
                for ready in select.select([*other], [], [])[0]:
                    if not (data := ready.recv(65536)):
                        return
                    other[ready].sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        yield
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def test_a_socket_may_lie_in_no_directory(database: Database, flow: Flow) -> None:
    info = database.shared.info
    real = f"{info.host}/.s.PGSQL.{info.port}"
    with abstract_socket(f"{database.name}/.s.PGSQL.7", real):
        there = {"host": f"@{database.name}", "port": "7", "user": info.user, "dbname": database.name}
        assert login(flow, there) == Outcome("clear")
        # Who listens there is this test.
        refused = login(flow, {**there, "requirepeer": "nobody"})
        assert refused.state == "authentication_failed" and "requirepeer names somebody else" in refused.message
        assert login(flow, {**there, "requirepeer": Path(f"/proc/{os.getpid()}").owner()}) == Outcome("clear")


def test_a_section_of_the_file_has_libpqs_words_too(database: Database, flow: Flow, tmp_path: Path) -> None:
    info = database.shared.info
    services = tmp_path / "services"
    services.write_text(f"[here]\nhost={info.host}\nport={info.port}\nuser=nobody\n")
    there = {"service": "here", "servicefile": str(services), "user": info.user, "dbname": database.name}
    words = {
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 10000,
        "connect_timeout": -1,
        "target_session_attrs": "primary",
        "fallback_application_name": "mine",
        "gssencmode": "disable",
    }
    assert login(flow, {**there, **words}) == Outcome("clear")
    listed = flow("connections", "list", "--output", "json").json()["connections"]
    [found_in] = [each["found_in"] for each in listed if each["name"] == "c"]
    assert found_in == f"pipelines.toml, service here of {services}"


def test_of_several_hosts_each_is_told(flow: Flow) -> None:
    ports = [str(free_port()), str(free_port())]
    refused = login(flow, {"host": "127.0.0.1,localhost", "port": ",".join(ports), "user": "u", "dbname": "d"})
    assert refused.state == "connect_failed"
    first, second = refused.message.split("\n")
    assert first.startswith(f"u@127.0.0.1:{ports[0]},localhost:{ports[1]}/d cannot be reached: connection refused")
    assert second.startswith(f"127.0.0.1:{ports[0]} cannot be reached: connection refused")
