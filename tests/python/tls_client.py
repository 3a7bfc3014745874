"""Logins to a server with TLS, by the binary and by libpq."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from flow_binary import Flow
from project import value
from tls_server import PASSWORD

Connection = Mapping[str, str | int]

# Beside this file, since any place outside the project may have come to be.
NO_FILE = str(Path(__file__).with_name("absent.crt"))


@dataclass(frozen=True)
class Outcome:
    """How a login went: "TLS", "clear", or the code of its error, with all that was said."""

    state: str
    message: str = ""
    hint: str = ""
    sqlstate: str | None = None


def project_of(connections: Mapping[str, Connection]) -> str:
    """A pipelines.toml with these connections."""
    sections = [
        f"[connections.{name}]\n" + "".join(f"{key} = {value(each)}\n" for key, each in connection.items())
        for name, connection in connections.items()
    ]
    return "\n".join(sections)


def logins(flow: Flow, connections: Mapping[str, Connection], **env: str) -> dict[str, Outcome]:
    """Logs in to each; where one is refused, the password is nowhere."""
    flow.project(project_of(connections))
    finished = flow("connections", "check", *connections, "--output", "json", env=env, expect=None)
    assert PASSWORD not in finished.stdout + finished.stderr
    assert value(PASSWORD)[1:-1] not in finished.stdout + finished.stderr
    outcomes = {report["name"]: outcome(report) for report in finished.json()["connections"]}
    # What is wrong with the words of a connection is for its file; everything else is a login that failed.
    codes = {2 if each.state == "invalid_value" else 6 for each in outcomes.values() if each.message}
    assert finished.code == (codes.pop() if codes else 0), finished
    return outcomes


def login(flow: Flow, connection: Connection, **env: str) -> Outcome:
    return logins(flow, {"c": connection}, **env)["c"]


def outcome(report: dict) -> Outcome:
    error = report["error"]
    if error is None:
        return Outcome("TLS" if report["encrypted"] else "clear")
    assert error["hint"], error
    return Outcome(error["code"], error["message"], error["hint"], error.get("sqlstate"))


def libpq(connection: Connection) -> str:
    """What libpq does with the same parameters: "TLS", "clear" or "refused"."""
    # A file that is not there stands for none: else libpq looks into the home directory.
    parameters = {"sslrootcert": NO_FILE, "gssencmode": "disable", **connection}
    try:
        with psycopg.connect(**parameters) as connected:
            return "TLS" if connected.pgconn.ssl_in_use else "clear"
    except psycopg.OperationalError:
        return "refused"
