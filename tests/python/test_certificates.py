"""Certificates and the files that hold them: what is accepted, and what is said of one that is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import DAY, NOW, authority, issued, of_version_1
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flow_binary import Flow
from tls_client import NO_FILE, Outcome, libpq, login, logins
from tls_server import NAMES, ROOT, TlsServer

TLS = Outcome("TLS")


def connection(tls: TlsServer, mode: str, root: Path | str | None = None, **more: str) -> dict[str, str]:
    trusted = {"sslrootcert": str(root)} if root else {}
    return {**tls.connection, "host": "localhost", "sslmode": mode, **trusted, **more}


# --- the certificate of the server ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["ECDSA P-384", "RSA 2048", "Ed25519"],
)
def test_servers_have_keys_of_every_kind(tls: TlsServer, flow: Flow, root: Path, make: Callable) -> None:
    tls.present(ROOT.issue(*NAMES, key=make()))
    assert login(flow, connection(tls, "verify-full", root)) == TLS


def test_tls_1_2_is_enough(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(*NAMES), ssl_max_protocol_version="TLSv1.2")
    assert login(flow, connection(tls, "verify-full", root)) == TLS
    assert login(flow, connection(tls, "require")) == TLS


def test_certificates_between_are_the_servers_to_send(tls: TlsServer, flow: Flow, root: Path) -> None:
    between = ROOT.issue(authority=True)
    tls.present(between.issue(*NAMES, between=(between.certificate,)))
    assert login(flow, connection(tls, "verify-full", root)) == TLS
    tls.present(between.issue(*NAMES))
    refused = login(flow, connection(tls, "verify-full", root))
    assert refused.state == "tls_failed" and "is not signed by an authority in sslrootcert" in refused.message
    assert "have the server send the certificates between them" in refused.hint


def test_another_name_is_told_with_those_that_the_certificate_has(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue("elsewhere.example", "*.example.org", "10.1.2.3"))
    refused = login(flow, connection(tls, "verify-full", root))
    place = f"loader@localhost:{tls.port}/postgres"
    assert refused == Outcome(
        "tls_failed",
        f"{place}: the server's certificate is not valid for `localhost`\n"
        "it is valid for elsewhere.example, *.example.org, 10.1.2.3",
        'set host to one of its names, and hostaddr to the address; sslmode = "verify-ca" asks for no name',
    )
    renamed = {"host": "one.example.org", "hostaddr": "127.0.0.1"}
    assert login(flow, connection(tls, "verify-full", root, **renamed)) == TLS


def test_an_address_alone_is_a_name_that_the_certificate_may_have(tls: TlsServer, flow: Flow, root: Path) -> None:
    by_address = {**tls.connection, "hostaddr": "127.0.0.1", "sslrootcert": str(root), "sslmode": "verify-full"}
    tls.present(ROOT.issue("127.0.0.1"))
    assert login(flow, by_address) == TLS
    tls.present(ROOT.issue("localhost"))
    assert login(flow, by_address).state == "tls_failed"
    # Without a name to check none is needed.
    assert login(flow, {**by_address, "sslmode": "verify-ca"}) == TLS
    assert login(flow, {**tls.connection, "hostaddr": "127.0.0.1", "sslmode": "require"}) == TLS


@pytest.mark.parametrize("is_authority", [True, False])
def test_a_self_signed_certificate_may_be_its_own_root(
    tls: TlsServer, flow: Flow, tmp_path: Path, is_authority: bool
) -> None:
    identity = issued(NAMES, authority=is_authority)
    tls.present(identity)
    root = identity.write(tmp_path / "server.crt")
    for mode in ("require", "verify-ca", "verify-full"):
        assert login(flow, connection(tls, mode, root)) == TLS
        assert libpq(connection(tls, mode, root)) == "TLS"
    elsewhere = connection(tls, "verify-full", root, host="elsewhere.example", hostaddr="127.0.0.1")
    assert "is not valid for `elsewhere.example`" in login(flow, elsewhere).message
    assert libpq(elsewhere) == "refused"


def test_a_self_signed_certificate_that_is_trusted_expires_too(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    for valid, words in (((NOW - 2 * DAY, NOW - DAY), "expired on"), ((NOW + DAY, NOW + 2 * DAY), "valid only from")):
        identity = issued(NAMES, authority=True, valid=valid)
        tls.present(identity)
        refused = login(flow, connection(tls, "verify-ca", identity.write(tmp_path / "server.crt")))
        assert refused.state == "tls_failed" and words in refused.message
        assert "renew it on the server; here it is " in refused.hint


def test_a_self_signed_certificate_with_the_name_of_a_trusted_one_is_not_it(
    tls: TlsServer, flow: Flow, tmp_path: Path
) -> None:
    trusted = issued(NAMES, authority=True).write(tmp_path / "server.crt")
    tls.present(issued(NAMES, authority=True))
    for mode in ("require", "verify-ca", "verify-full"):
        assert login(flow, connection(tls, mode, trusted)).state == "tls_failed"


def test_a_certificate_without_names_is_refused_with_a_remedy(tls: TlsServer, flow: Flow, root: Path) -> None:
    # libpq reads the name in the subject, which webpki and every browser ignore.
    tls.present(ROOT.issue())
    refused = login(flow, connection(tls, "verify-full", root))
    assert refused.state == "tls_failed" and "is not valid for `localhost`" in refused.message
    assert "subjectAltName = DNS:…" in refused.hint
    assert refused.message.endswith("\nit has no subjectAltName, and a name in its subject (CN) is not read")
    assert login(flow, connection(tls, "verify-ca", root)) == TLS


def test_a_certificate_of_version_1_encrypts_and_cannot_be_checked(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(of_version_1(ROOT.issue(), ROOT))
    for mode in ("allow", "prefer", "require"):
        outcome = login(flow, connection(tls, mode))
        assert outcome.state == libpq(connection(tls, mode)), mode
    refused = login(flow, connection(tls, "verify-ca", root))
    assert refused.state == "tls_failed" and "is of X.509 version 1" in refused.message
    assert "have it made anew with a subjectAltName" in refused.hint


# --- sslrootcert ------------------------------------------------------------------------------------------------


def test_a_root_file_that_says_nothing_is_an_error(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    tls.present(ROOT.issue(*NAMES))
    begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
    files = {
        "missing": (None, "cannot be read: no such file or directory"),
        "empty": (b"", "holds no certificate"),
        "words": (b"my root certificate\n", "holds no certificate"),
        "der": (ROOT.certificate, "holds no certificate"),
        "key": (ROOT.key_pem().encode(), "holds no certificate"),
        "not base64": (f"{begin}???\n{end}".encode(), "cannot be read: "),
        "cut": (f"{begin}MIIB".encode(), "cannot be read: "),
        "not a certificate": (f"{begin}AAAA\n{end}".encode(), "holds no certificate"),
    }
    connections = {}
    for name, (content, _) in files.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        connections[f"c{len(connections)}"] = connection(tls, "verify-full", path)
    outcomes = logins(flow, connections)
    for (name, (_, words)), outcome in zip(files.items(), outcomes.values(), strict=True):
        assert outcome.state == "tls_failed", name
        assert outcome.message.startswith(f"sslrootcert `{tmp_path / name}` {words}"), outcome
        assert "in PEM form (-----BEGIN CERTIFICATE-----)" in outcome.hint


def test_a_root_file_that_cannot_be_opened_is_an_error(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    outcome = login(flow, connection(tls, "require", tmp_path / "directory"))
    assert outcome.state == "tls_failed" and "cannot be read: is a directory" in outcome.message
    if os.geteuid() == 0:
        return  # root may read everything
    closed = ROOT.write(tmp_path / "closed.crt")
    closed.chmod(0)
    outcome = login(flow, connection(tls, "require", closed))
    assert outcome.state == "tls_failed" and "cannot be read: permission denied" in outcome.message


def test_a_root_file_may_hold_several_certificates_and_words_between(
    tls: TlsServer, flow: Flow, tmp_path: Path
) -> None:
    other = authority("another authority")
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(f"the others\n{other.pem()}\nand ours\n{ROOT.pem()}")
    tls.present(ROOT.issue(*NAMES))
    assert login(flow, connection(tls, "verify-full", bundle)) == TLS


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_check_needs_somebody_to_trust(tls: TlsServer, flow: Flow, mode: str) -> None:
    tls.present(ROOT.issue(*NAMES))
    refused = login(flow, connection(tls, mode))
    assert (refused.state, refused.message) == (
        "tls_failed",
        "sslmode verify-ca and verify-full need certificates to trust",
    )
    assert "set sslrootcert" in refused.hint


def test_as_libpq_the_file_in_the_home_directory_is_trusted(tls: TlsServer, flow: Flow, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".postgresql").mkdir(parents=True)
    ROOT.write(home / ".postgresql" / "root.crt")
    tls.present(ROOT.issue(*NAMES))
    assert login(flow, connection(tls, "verify-full")) == TLS
    tls.present(authority("another authority").issue(*NAMES))
    # `require` checks too where there is such a file.
    for mode in ("require", "verify-ca", "verify-full"):
        assert f"in sslrootcert `{home}/.postgresql/root.crt`" in login(flow, connection(tls, mode)).message
    assert login(flow, connection(tls, "prefer")) == TLS


def test_the_systems_certificates_are_trusted_where_it_has_any(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(*NAMES))
    system = {**tls.connection, "host": "localhost", "sslrootcert": "system"}
    assert login(flow, system, SSL_CERT_FILE=str(root)) == TLS
    nowhere = {"SSL_CERT_FILE": "/nonexistent/file", "SSL_CERT_DIR": "/nonexistent/directory"}
    refused = login(flow, system, **nowhere)
    assert refused.state == "tls_failed"
    message = 'sslrootcert is "system", and this machine has no certificates to trust'
    assert refused.message.splitlines()[0] == message and "/nonexistent/file" in refused.message
    assert "install ca-certificates" in refused.hint
    tls.present(authority("another authority").issue(*NAMES))
    refused = login(flow, system, SSL_CERT_FILE=str(root))
    assert refused.message.endswith("is not signed by an authority of this machine (sslrootcert=system)")


def test_a_socket_needs_no_certificates(tls: TlsServer, flow: Flow) -> None:
    by_socket = {**tls.connection, "host": str(tls.server.sockets)}
    for mode in ("require", "verify-full"):
        assert login(flow, {**by_socket, "sslmode": mode, "sslrootcert": NO_FILE}) == Outcome("clear")


# --- revocation lists -------------------------------------------------------------------------------------------


def test_a_revoked_certificate_is_refused(tls: TlsServer, flow: Flow, root: Path, tmp_path: Path) -> None:
    server, other = ROOT.issue(*NAMES), ROOT.issue(*NAMES)
    tls.present(server)
    lists = {name: tmp_path / f"{name}.crl" for name in ("good", "bad", "late", "others", "words")}
    lists["good"].write_text(ROOT.revokes(other))
    lists["bad"].write_text(ROOT.revokes(other, server))
    lists["late"].write_text(ROOT.revokes(other, until=NOW - DAY))
    lists["others"].write_text(authority("another authority").revokes(other))
    lists["words"].write_text("none is revoked\n")
    for mode in ("require", "verify-ca", "verify-full"):
        good = connection(tls, mode, root, sslcrl=str(lists["good"]))
        assert login(flow, good) == TLS and libpq(good) == "TLS"
        bad = connection(tls, mode, root, sslcrl=str(lists["bad"]))
        refused = login(flow, bad)
        assert refused.state == "tls_failed" and "is revoked by its authority" in refused.message, refused
        assert libpq(bad) == "refused"
    cases = {
        "late": f"a revocation list is out of date since {NOW - DAY:%Y-%m-%d %H:%M} UTC: sslcrl `{lists['late']}`",
        "others": f"no revocation list is from an authority of the server's certificate: sslcrl `{lists['others']}`",
        "words": f"sslcrl `{lists['words']}` holds no revocation list",
    }
    for name, words in cases.items():
        refused = login(flow, connection(tls, "verify-full", root, sslcrl=str(lists[name])))
        assert refused.state == "tls_failed" and words in refused.message, refused
    # The name is still what verify-full asks for besides.
    elsewhere = {"host": "elsewhere.example", "hostaddr": "127.0.0.1", "sslcrl": str(lists["good"])}
    assert "is not valid for `elsewhere" in login(flow, connection(tls, "verify-full", root, **elsewhere)).message
    assert login(flow, connection(tls, "verify-ca", root, **elsewhere)) == TLS


def test_revocation_lists_are_found_in_a_directory_and_at_home(
    tls: TlsServer, flow: Flow, root: Path, tmp_path: Path
) -> None:
    server = ROOT.issue(*NAMES)
    tls.present(server)
    directory = tmp_path / "lists"
    directory.mkdir()
    by_directory = connection(tls, "verify-full", root, sslcrldir=str(directory))
    assert f"sslcrldir `{directory}` holds no revocation list" in login(flow, by_directory).message
    (directory / "README").write_text(ROOT.revokes(server))
    (directory / "0123abcd.r0").write_text(ROOT.revokes())
    assert login(flow, by_directory) == TLS
    (directory / "0123abcd.r0").write_text(ROOT.revokes(server))
    assert "is revoked" in login(flow, by_directory).message
    home = tmp_path / "home" / ".postgresql"
    home.mkdir(parents=True)
    (home / "root.crl").write_text(ROOT.revokes(server))
    assert "is revoked" in login(flow, connection(tls, "verify-full", root)).message
    assert login(flow, connection(tls, "require")) == TLS


# --- how the encryption begins ----------------------------------------------------------------------------------


def test_encryption_may_begin_without_asking(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(*NAMES))
    direct = connection(tls, "verify-full", root, sslnegotiation="direct")
    outcome = login(flow, direct)
    if tls.version >= 17:
        assert outcome == TLS
    else:
        assert outcome.state == "tls_failed" and "understood by Postgres 17 and later" in outcome.hint, outcome
    for mode in ("disable", "allow", "prefer"):
        refused = login(flow, connection(tls, mode, sslnegotiation="direct"))
        assert refused.state == "invalid_value", refused
        assert f'sslnegotiation is "direct", and the weak sslmode "{mode}" may go on in the clear' in refused.message


def test_versions_of_tls_are_bounded(tls: TlsServer, flow: Flow, root: Path) -> None:
    tls.present(ROOT.issue(*NAMES), ssl_max_protocol_version="TLSv1.2")
    only_1_3 = login(flow, connection(tls, "require", ssl_min_protocol_version="TLSv1.3"))
    assert only_1_3.state == "tls_failed" and "have no TLS in common" in only_1_3.message, only_1_3
    assert login(flow, connection(tls, "require", ssl_min_protocol_version="TLSv1")) == TLS
    tls.present(ROOT.issue(*NAMES), ssl_min_protocol_version="TLSv1.3")
    only_1_2 = login(flow, connection(tls, "require", ssl_max_protocol_version="tlsv1.2"))
    assert only_1_2.state == "tls_failed" and "have no TLS in common" in only_1_2.message, only_1_2
    none = {"ssl_min_protocol_version": "TLSv1.3", "ssl_max_protocol_version": "TLSv1.2"}
    assert "no version of TLS lies between" in login(flow, connection(tls, "require", **none)).message
    flow.project('[connections.c]\nhost = "h"\nssl_max_protocol_version = "TLSv1.1"\n')
    old = flow("validate", expect=2).stderr
    assert "asks for a TLS that is broken: versions before 1.2 are not spoken" in old, old


def test_a_login_may_have_to_be_bound_to_the_certificate(tls: TlsServer, flow: Flow, root: Path) -> None:
    required = {"channel_binding": "require"}
    tls.present(ROOT.issue(*NAMES))
    assert login(flow, connection(tls, "require", **required)) == TLS
    assert login(flow, connection(tls, "require", channel_binding="disable")) == TLS
    words = 'the login is not bound to the server\'s certificate, and channel_binding is "require"'
    for method, mode in (("trust", "require"), ("password", "require"), ("scram-sha-256", "disable")):
        tls.present(ROOT.issue(*NAMES), method=method)
        refused = login(flow, connection(tls, mode, **required))
        assert refused.state == "authentication_failed" and words in refused.message, (method, refused)
        assert libpq(connection(tls, mode, **required)) == "refused"


def test_older_words_of_libpq_mean_what_they_did(tls: TlsServer, flow: Flow) -> None:
    tls.present(None)
    dsn = f"host=localhost port={tls.port} user={tls.connection['user']} dbname=postgres password=x"
    assert "the server has no TLS" in login(flow, {"dsn": f"{dsn} requiressl=1"}).message
    assert login(flow, {"dsn": f"{dsn} requiressl=0"}).state == "authentication_failed"
    tls.present(ROOT.issue(*NAMES))
    assert login(flow, {"dsn": f"{dsn} sslcompression=1 sslmode=require"}).state == "authentication_failed"


def test_the_keys_of_a_connection_are_written_where_somebody_asks_for_them(
    tls: TlsServer, flow: Flow, tmp_path: Path
) -> None:
    tls.present(ROOT.issue(*NAMES))
    log = tmp_path / "keys"
    assert login(flow, connection(tls, "require", sslkeylogfile=str(log))) == TLS
    assert "CLIENT_TRAFFIC_SECRET_0 " in log.read_text() and log.stat().st_mode & 0o777 == 0o600
    refused = login(flow, connection(tls, "require", sslkeylogfile=str(tmp_path)))
    assert refused.state == "tls_failed" and f"sslkeylogfile `{tmp_path}` cannot be written" in refused.message
