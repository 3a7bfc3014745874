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
