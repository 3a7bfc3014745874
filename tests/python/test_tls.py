"""TLS as libpq means it: what each sslmode accepts of each kind of server, and what it says where it does not.

The matrix is checked twice: against the table that is written here, and against libpq on the same server.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import DAY, NOW, authority, issued
from flow_binary import Flow
from tls_client import libpq, logins
from tls_server import NAMES, ROOT, TlsServer

SERVERS = {
    "without TLS": None,
    "good": ROOT.issue(*NAMES),
    "TLS required": ROOT.issue(*NAMES),
    "of another authority": authority("another authority").issue(*NAMES),
    "for another name": ROOT.issue("elsewhere.example", "10.1.2.3"),
    "expired": ROOT.issue(*NAMES, valid=(NOW - 2 * DAY, NOW - DAY)),
    "not valid yet": ROOT.issue(*NAMES, valid=(NOW + DAY, NOW + 2 * DAY)),
    "self-signed": issued(NAMES, authority=True),
    "not an authority, self-signed": issued(NAMES),
}

# sslmode, and whether sslrootcert is set.
MODES = {
    "disable": ("disable", False),
    "allow": ("allow", False),
    "prefer": ("prefer", False),
    "require": ("require", False),
    "require, with a root": ("require", True),
    "verify-ca": ("verify-ca", True),
    "verify-full": ("verify-full", True),
}

NO_TLS = "the server has no TLS, and sslmode asks for it"
UNKNOWN = "the server's certificate is not signed by an authority in sslrootcert `{root}`"
AUTHORITY = "the server's certificate is that of an authority, and sslrootcert does not list it"
NAME = "the server's certificate is not valid for `{host}`"
EXPIRED = f"the server's certificate expired on {NOW - DAY:%Y-%m-%d %H:%M} UTC"
EARLY = f"the server's certificate is valid only from {NOW + DAY:%Y-%m-%d %H:%M} UTC"

# In the order of MODES; besides "TLS" and "clear" it is what the message says.
EXPECTED = {
    "without TLS": ("clear", "clear", "clear", NO_TLS, NO_TLS, NO_TLS, NO_TLS),
    "good": ("clear", "clear", "TLS", "TLS", "TLS", "TLS", "TLS"),
    "TLS required": ("no pg_hba.conf entry", "TLS", "TLS", "TLS", "TLS", "TLS", "TLS"),
    "of another authority": ("clear", "clear", "TLS", "TLS", UNKNOWN, UNKNOWN, UNKNOWN),
    "for another name": ("clear", "clear", "TLS", "TLS", "TLS", "TLS", NAME),
    "expired": ("clear", "clear", "TLS", "TLS", EXPIRED, EXPIRED, EXPIRED),
    "not valid yet": ("clear", "clear", "TLS", "TLS", EARLY, EARLY, EARLY),
    "self-signed": ("clear", "clear", "TLS", "TLS", AUTHORITY, AUTHORITY, AUTHORITY),
    "not an authority, self-signed": ("clear", "clear", "TLS", "TLS", UNKNOWN, UNKNOWN, UNKNOWN),
}

WAYS = {
    "by name": {"host": "localhost"},
    "by address": {"host": "127.0.0.1"},
    "by name and address": {"host": "db.example", "hostaddr": "127.0.0.1"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SERVERS)
def test_every_mode_accepts_what_libpq_accepts(tls: TlsServer, flow: Flow, root: Path, kind: str, way: str) -> None:
    tls.present(SERVERS[kind], rule="hostssl" if kind == "TLS required" else "host")
    connections = {
        f"c{number}": {
            **tls.connection,
            **WAYS[way],
            "sslmode": mode,
            **({"sslrootcert": str(root)} if with_root else {}),
        }
        for number, (mode, with_root) in enumerate(MODES.values())
    }
    outcomes = list(logins(flow, connections).values())
    words = {"root": str(root), "host": WAYS[way]["host"]}
    for mode, outcome, expected in zip(MODES, outcomes, EXPECTED[kind], strict=True):
        if expected in ("TLS", "clear"):
            assert outcome.state == expected, (mode, outcome)
        else:
            assert outcome.state == ("authentication_failed" if "pg_hba" in expected else "tls_failed"), (mode, outcome)
            assert expected.format(**words) in outcome.message, mode
    theirs = [libpq(connection) for connection in connections.values()]
    ours = [outcome.state if outcome.state in ("TLS", "clear") else "refused" for outcome in outcomes]
    assert dict(zip(MODES, ours, strict=True)) == dict(zip(MODES, theirs, strict=True))
