"""What travels: encrypted where that was asked for, in the clear only where it was allowed, never the password."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from certificates import Identity, authority
from customers import project, wait_until
from flow_binary import Flow
from relay import SSL_REQUEST, relay
from tls_client import Outcome, libpq, login, project_of
from tls_server import NAMES, PASSWORD, ROOT, TlsServer

# Number of the message that asks the server to cancel.
CANCEL = bytes.fromhex("04d2162e")


def connection(tls: TlsServer, mode: str, root: Path | None = None, **more: str) -> dict[str, str]:
    trusted = {"sslrootcert": str(root)} if root else {}
    return {**tls.connection, "host": "localhost", "sslmode": mode, **trusted, **more}


@pytest.mark.parametrize(("mode", "encrypted"), [("disable", False), ("prefer", True), ("require", True)])
def test_a_run_is_encrypted_or_not_as_a_whole(tls: TlsServer, flow: Flow, mode: str, encrypted: bool) -> None:
    tls.present(ROOT.issue(*NAMES))
    schema = f"of_{mode}"
    query = (
        "SELECT row_number() OVER () AS customer_id, ssl::text AS name, 1::bigint AS revision"
        " FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE application_name LIKE 'ematix-flow%' AND client_port > 0"
    )
    text = project("truncate", query=query).replace('schema = "analytics"', f'schema = "{schema}"')
    flow(
        "run", "customers", config=text + project_of({"default": connection(tls, mode)}), env={"EMATIX_FLOW_DSN": None}
    )
    sessions = tls.value(f"SELECT array_agg(name) FROM {schema}.dim_customers")
    # The load's own, and that of the history.
    assert sessions == [str(encrypted).lower()] * 2


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_nothing_but_the_wish_for_tls_goes_to_a_server_without(
    tls: TlsServer, flow: Flow, root: Path, mode: str
) -> None:
    tls.present(None)
    with relay(tls.port) as between:
        assert login(flow, connection(tls, mode, root, port=str(between.port))).state == "tls_failed"
    assert [bytes(sent) for sent in between.sent] == [SSL_REQUEST]


@pytest.mark.parametrize(("sslsni", "tells"), [("1", True), ("0", False)])
def test_the_name_of_a_server_is_told_before_the_encryption_unless_forbidden(
    tls: TlsServer, flow: Flow, sslsni: str, tells: bool
) -> None:
    tls.present(ROOT.issue(*NAMES))
    named = {"host": "db.example", "hostaddr": "127.0.0.1", "sslsni": sslsni}
    with relay(tls.port) as between:
        assert login(flow, connection(tls, "require", port=str(between.port), **named)) == Outcome("TLS")
    [sent] = between.sent
    assert (b"db.example" in sent) == tells


def test_nothing_but_a_handshake_goes_to_a_server_that_is_not_the_right_one(
    tls: TlsServer, flow: Flow, root: Path
) -> None:
    tls.present(authority("another authority").issue(*NAMES))
    with relay(tls.port) as between:
        assert login(flow, connection(tls, "verify-ca", root, port=str(between.port))).state == "tls_failed"
    [sent] = between.sent
    assert b"loader" not in sent and b"SCRAM" not in sent


def test_prefer_goes_on_in_the_clear_only_where_the_server_wants_that(tls: TlsServer, flow: Flow) -> None:
    tls.present(ROOT.issue(*NAMES), rule="hostnossl")
    preferring = connection(tls, "prefer")
    assert login(flow, preferring) == Outcome("clear")
    assert libpq(preferring) == "clear"
    refused = login(flow, connection(tls, "require"))
    assert refused.state == "authentication_failed" and "pg_hba.conf" in refused.message


def test_a_password_that_was_refused_is_not_shown_again_in_the_clear(tls: TlsServer, flow: Flow) -> None:
    tls.present(ROOT.issue(*NAMES))
    with relay(tls.port) as between:
        wrong = connection(tls, "prefer", port=str(between.port), password="wrong")
        refused = login(flow, wrong)
    assert (refused.state, refused.sqlstate) == ("authentication_failed", "28P01")
    assert len(between.sent) == 1


def test_allow_tells_of_the_way_that_the_server_wants(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    allowing = connection(tls, "allow")
    tls.present(None)
    # A role that is not there is the matter, not that the server has no TLS.
    assert login(flow, {**allowing, "password": "wrong"}).state == "authentication_failed"
    tls.present(ROOT.issue(*NAMES), rule="hostssl")
    assert login(flow, {**allowing, "password": "wrong"}).sqlstate == "28P01"
    other = authority("another authority").write(tmp_path / "other.crt")
    assert login(flow, {**allowing, "sslrootcert": str(other)}).state == "tls_failed"


def test_what_localhost_says_is_told_and_not_that_its_second_address_is_silent(tls: TlsServer, flow: Flow) -> None:
    tls.present(None)
    # The server listens on 127.0.0.1 only, and localhost is ::1 too.
    assert login(flow, connection(tls, "disable", password="wrong")).sqlstate == "28P01"


# --- channel binding --------------------------------------------------------------------------------------------


def middleman(identity: Identity, directory: Path) -> ssl.SSLContext:
    (directory / "middle.crt").write_text(identity.pem())
    (directory / "middle.key").write_text(identity.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "middle.crt", directory / "middle.key")
    return context


def test_a_man_in_the_middle_is_noticed_even_where_no_certificate_is_checked(
    tls: TlsServer, flow: Flow, tmp_path: Path
) -> None:
    identity = ROOT.issue(*NAMES)
    tls.present(identity)
    # The same certificate: nobody could tell, and this shows that the relay works.
    with relay(tls.port, middleman(identity, tmp_path)) as between:
        assert login(flow, connection(tls, "require", port=str(between.port))) == Outcome("TLS")
    with relay(tls.port, middleman(ROOT.issue(*NAMES), tmp_path)) as between:
        there = connection(tls, "require", port=str(between.port))
        refused = login(flow, there)
        assert libpq(there) == "refused"
    assert refused.state == "authentication_failed" and "SCRAM channel binding check failed" in refused.message


# --- cancelling -------------------------------------------------------------------------------------------------


def test_a_cancel_goes_encrypted_too(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(*NAMES), rule="hostssl")
    query = "SELECT customer_id, name, revision FROM app.customers, pg_sleep(600)"
    text = project("truncate", query=query).replace('schema = "analytics"', 'schema = "cancelled"')
    with relay(tls.port) as between:
        config = text + project_of({"default": connection(tls, "verify-full", root, port=str(between.port))})
        running = flow.start("run", "customers", config=config, env={"EMATIX_FLOW_DSN": None})
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
        wait_until(lambda: tls.value(sleeping) == 1, "the query sleeps")
        before = len(between.sent)
        began = time.monotonic()
        running.interrupt()
        finished = running.finish(130)
        assert time.monotonic() - began < 3
        assert PASSWORD not in finished.stdout + finished.stderr
        assert tls.value(sleeping) == 0
    cancels = between.sent[before:]
    assert cancels and all(sent.startswith(SSL_REQUEST) for sent in cancels)
    assert not any(CANCEL in sent for sent in cancels)
