"""The certificate that a client shows: where it is found, what is refused of it, and what the server says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import DAY, NOW, Identity, authority, of_version_1
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from flow_binary import Flow
from tls_client import Outcome, libpq, login, logins
from tls_server import NAMES, ROOT, USER, TlsServer

TLS = Outcome("TLS")
CLIENTS = authority("the authority of clients")
OWN = CLIENTS.issue(common_name=USER)
PASSPHRASE = "open, sesame % 'ä'"


def asking(tls: TlsServer, method: str = "cert") -> None:
    tls.present(ROOT.issue(*NAMES), rule="hostssl", method=method, clients=CLIENTS)


def connection(tls: TlsServer, root: Path, files: dict[str, str], **more: str) -> dict[str, str]:
    to = {**tls.connection, "host": "localhost", "sslmode": "verify-full", "sslrootcert": str(root)}
    return {**to, **files, **more}


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["ECDSA P-384", "RSA", "Ed25519"],
)
def test_a_server_that_asks_is_shown_a_certificate(
    tls: TlsServer, flow: Flow, root: Path, tmp_path: Path, key: object
) -> None:
    asking(tls)
    own = CLIENTS.issue(common_name=USER, key=key)
    forms = [PrivateFormat.PKCS8] + (
        [] if isinstance(key, ed25519.Ed25519PrivateKey) else [PrivateFormat.TraditionalOpenSSL]
    )
    for form in forms:
        shown = connection(tls, root, own.files(tmp_path, "own", form=form))
        assert login(flow, shown) == TLS
        assert libpq(shown) == "TLS"
    (tmp_path / "own.key").write_bytes(own.key_der())
    assert login(flow, shown) == TLS
    asking(tls, "scram-sha-256 clientcert=verify-full")
    assert login(flow, shown) == TLS


def test_certificates_between_and_old_ones_are_shown_too(
    tls: TlsServer, flow: Flow, root: Path, tmp_path: Path
) -> None:
    asking(tls)
    between = CLIENTS.issue(authority=True, common_name="between")
    own = between.issue(common_name=USER, between=(between.certificate,))
    assert login(flow, connection(tls, root, own.files(tmp_path, "own"))) == TLS
    # As `openssl x509 -req` makes it.
    old = of_version_1(CLIENTS.issue(common_name=USER), CLIENTS)
    assert login(flow, connection(tls, root, old.files(tmp_path, "old"))) == TLS


def test_encrypted_keys_are_opened(tls: TlsServer, flow: Flow, root: Path, tmp_path: Path) -> None:
    asking(tls)
    files = OWN.files(tmp_path, "own", passphrase=PASSPHRASE)
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    good = {"sslpassword": PASSPHRASE}
    assert login(flow, connection(tls, root, files, **good)) == TLS
    assert libpq(connection(tls, root, files, **good)) == "TLS"
    from_file = {"sslpassword": "${file:" + str(tmp_path / "passphrase") + "}"}
    assert login(flow, connection(tls, root, files, **from_file)) == TLS
    key = files["sslkey"]
    wrong = login(flow, connection(tls, root, files, sslpassword="close, sesame"))
    assert (
        wrong.state == "tls_failed" and wrong.message == f"the passphrase in sslpassword does not open sslkey `{key}`"
    )
    without = login(flow, connection(tls, root, files))
    assert (without.state, without.message) == (
        "tls_failed",
        f"sslkey `{key}` is encrypted, and there is no passphrase",
    )
    old = OWN.files(tmp_path, "old", passphrase=PASSPHRASE, form=PrivateFormat.TraditionalOpenSSL)
    refused = login(flow, connection(tls, root, old, **good))
    assert refused.state == "tls_failed" and "is encrypted in OpenSSL's old form" in refused.message
    assert "openssl pkcs8 -topk8 -in " in refused.hint


def test_what_the_server_says_of_a_certificate_is_told(tls: TlsServer, flow: Flow, root: Path, tmp_path: Path) -> None:
    asking(tls)
    missing = login(flow, connection(tls, root, {}))
    assert missing.state == "authentication_failed" and missing.hint.startswith("set sslcert and sslkey"), missing
    others = authority("another authority").issue(common_name=USER).files(tmp_path, "others")
    wrong = login(flow, connection(tls, root, others))
    assert wrong.state == "tls_failed", wrong
    assert f"the server refuses the certificate in sslcert `{others['sslcert']}`: it does not know" in wrong.message
    late = CLIENTS.issue(common_name=USER, valid=(NOW - 2 * DAY, NOW - DAY)).files(tmp_path, "late")
    expired = login(flow, connection(tls, root, late))
    assert expired.state == "tls_failed" and "it has expired, or is not valid yet" in expired.message, expired
    somebody = CLIENTS.issue(common_name="somebody").files(tmp_path, "somebody")
    assert login(flow, connection(tls, root, somebody)).state == "authentication_failed"


def test_files_that_do_not_do_are_refused_before_anything_is_opened(flow: Flow, tmp_path: Path) -> None:
    files, other = OWN.files(tmp_path, "own"), CLIENTS.issue(common_name=USER).files(tmp_path, "other")
    cert, key = files["sslcert"], files["sslkey"]
    open_key, empty = tmp_path / "open.key", tmp_path / "empty"
    open_key.write_text(OWN.key_pem())
    open_key.chmod(0o644)
    empty.touch(0o600)
    small = tmp_path / "small.key"
    small.write_text(Identity(b"", rsa.generate_private_key(65537, 1024)).key_pem())
    small.chmod(0o600)
    cases = {
        "key of another": ({**files, "sslkey": other["sslkey"]}, f"the key of sslkey `{other['sslkey']}` does not fit"),
        "no key": ({"sslcert": cert}, f"sslcert `{cert}` has no key"),
        "missing certificate": ({**files, "sslcert": "/nowhere"}, "sslcert `/nowhere` cannot be read: no such file"),
        "missing key": ({**files, "sslkey": "/nowhere"}, "sslkey `/nowhere` cannot be read: no such file"),
        "no certificate in it": ({**files, "sslcert": key}, f"sslcert `{key}` holds no certificate"),
        "no key in it": ({**files, "sslkey": str(empty)}, f"sslkey `{empty}` holds no key"),
        "a directory": ({**files, "sslkey": str(tmp_path)}, f"sslkey `{tmp_path}` is not a file"),
        "open to others": (
            {**files, "sslkey": str(open_key)},
            f"sslkey `{open_key}` can be read by others: its mode is 0644",
        ),
        "too small": ({**files, "sslkey": str(small)}, f"the key in sslkey `{small}` is none that can sign here"),
        "none to show": ({"sslcertmode": "require"}, 'sslcertmode is "require", and there is no certificate to show'),
    }
    nowhere = {"host": "127.0.0.1", "port": "1", "user": USER, "dbname": "d", "sslmode": "require"}
    outcomes = logins(flow, {f"c{number}": {**nowhere, **case} for number, (case, _) in enumerate(cases.values())})
    for (name, (_, words)), outcome in zip(cases.items(), outcomes.values(), strict=True):
        assert outcome.state == "tls_failed" and words in outcome.message, (name, outcome)


def test_as_libpq_the_files_in_the_home_directory_are_shown(
    tls: TlsServer, flow: Flow, root: Path, tmp_path: Path
) -> None:
    asking(tls)
    home = tmp_path / "home" / ".postgresql"
    home.mkdir(parents=True)
    OWN.files(home, "postgresql")
    assert login(flow, connection(tls, root, {})) == TLS
    assert login(flow, connection(tls, root, {}, sslcertmode="require")) == TLS
    never = login(flow, connection(tls, root, {}, sslcertmode="disable"))
    assert never.state == "authentication_failed", never


def test_a_server_that_must_ask_and_does_not_is_refused(tls: TlsServer, flow: Flow, root: Path, tmp_path: Path) -> None:
    required = {**OWN.files(tmp_path, "own"), "sslcertmode": "require"}
    tls.present(ROOT.issue(*NAMES))
    refused = login(flow, connection(tls, root, required))
    assert refused.state == "tls_failed" and "the server did not ask for a certificate" in refused.message
    asking(tls, "scram-sha-256")
    assert login(flow, connection(tls, root, required)) == TLS
    clear = connection(tls, root, required, sslmode="disable")
    assert login(flow, clear).state in ("tls_failed", "authentication_failed")
