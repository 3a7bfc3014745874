"""Without a word about TLS a host that is not this machine gets all of it; one that is, what psql does.

0.0.0.0 is a host that is not this machine by its name, and leads to its loopback address.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import authority
from flow_binary import Flow
from tls_client import Outcome, login, logins, project_of
from tls_server import NAMES, ROOT, TlsServer

ELSEWHERE = "0.0.0.0"
TLS = Outcome("TLS")
REMEDIES = (
    "set sslrootcert to the file with the certificate of the server's authority; or sslmode=prefer, as psql has it: "
    "whoever is on the way may then pretend to be the server, and read along where it has no TLS"
)
UNSAID = "sslmode is not set: a host that is not this machine then gets verify-full"


def elsewhere(tls: TlsServer, **more: str) -> dict[str, str]:
    return {**tls.connection, "host": ELSEWHERE, **more}


def test_a_server_without_tls_is_refused_with_both_remedies(tls: TlsServer, flow: Flow) -> None:
    tls.present(None)
    assert login(flow, elsewhere(tls)) == Outcome(
        "tls_failed", f"loader@{ELSEWHERE}:{tls.port}/postgres: the server has no TLS\n{UNSAID}", REMEDIES
    )
    for mode in ("prefer", "allow", "disable"):
        assert login(flow, elsewhere(tls, sslmode=mode)) == Outcome("clear")
    # In a variable it is said, too.
    assert login(flow, elsewhere(tls), PGSSLMODE="prefer") == Outcome("clear")
    # What was asked for is not explained as ours.
    asked = login(flow, elsewhere(tls, sslmode="verify-full", sslrootcert="system"))
    assert asked.state == "tls_failed" and UNSAID not in asked.message and "sslmode asks for it" in asked.message


def test_what_a_server_elsewhere_shows_must_be_trusted(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(ELSEWHERE, *NAMES))
    refused = login(flow, elsewhere(tls))
    assert refused.state == "tls_failed" and refused.hint == REMEDIES
    assert "is not signed by an authority of this machine (sslrootcert=system)" in refused.message
    assert refused.message.endswith(UNSAID)
    assert login(flow, elsewhere(tls, sslrootcert=str(root))) == TLS
    assert login(flow, elsewhere(tls), SSL_CERT_FILE=str(root)) == TLS
    own = flow.directory / "home" / ".postgresql" / "root.crt"
    own.parent.mkdir(parents=True)
    own.write_bytes(root.read_bytes())
    assert login(flow, elsewhere(tls)) == TLS
    authority("another authority").write(own)
    assert UNSAID in login(flow, elsewhere(tls)).message
    tls.present(ROOT.issue(*NAMES))
    refused = login(flow, elsewhere(tls, sslrootcert=str(root)))
    assert f"is not valid for `{ELSEWHERE}`" in refused.message and refused.hint == REMEDIES


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "db.localhost", "LOCALHOST"])
def test_this_machine_is_reached_as_by_psql(tls: TlsServer, flow: Flow, host: str) -> None:
    tls.present(None)
    assert login(flow, {**tls.connection, "host": host}) == Outcome("clear")
    tls.present(authority("another authority").issue("elsewhere.example"))
    assert login(flow, {**tls.connection, "host": host}) == TLS


def test_each_host_of_a_list_gets_its_own(tls: TlsServer, flow: Flow) -> None:
    tls.present(None)
    both = logins(
        flow,
        {
            "near": {**tls.connection, "host": f"localhost,{ELSEWHERE}"},
            "far": {**tls.connection, "host": f"{ELSEWHERE},localhost"},
            "address": {**tls.connection, "host": "db.example", "hostaddr": "127.0.0.1"},
            "name": {**tls.connection, "host": "localhost", "hostaddr": ELSEWHERE},
        },
    )
    assert {name: outcome.state for name, outcome in both.items()} == {
        "near": "clear",
        # As libpq: who refuses is not passed over for the next.
        "far": "tls_failed",
        # It is where the bytes go that counts.
        "address": "clear",
        "name": "tls_failed",
    }


def test_a_list_of_connections_shows_what_holds(tls: TlsServer, flow: Flow) -> None:
    connections = {
        "far": {"host": "db.example", "user": "ann", "dbname": "d"},
        "near": {"host": "localhost", "user": "ann", "dbname": "d"},
        "said": {"host": "db.example", "user": "ann", "dbname": "d", "sslmode": "require"},
    }
    flow.project(project_of(connections))
    listed = flow("connections", "list", "--output", "json", env={"EMATIX_FLOW_DSN": None}).json()["connections"]
    assert {each["name"]: each["sslmode"] for each in listed} == {
        "far": "verify-full",
        "near": "prefer",
        "said": "require",
    }
    shown = flow("connections", "list", env={"EMATIX_FLOW_DSN": None}).stdout
    assert shown.splitlines()[1].split() == ["far", "ann@db.example:5432/d", "verify-full", "pipelines.toml"]
