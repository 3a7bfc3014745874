"""Certificates for tests of TLS: authorities, servers, and the faults that a server's certificate can have."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
# `version 3` of a certificate, which version 1 lacks: [0] EXPLICIT INTEGER 2.
VERSION_3 = bytes.fromhex("a003020102")


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, and the certificates between it and its authority's."""

    certificate: bytes
    key: Key
    between: tuple[bytes, ...] = ()

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.certificate)

    def pem(self) -> str:
        """The certificate and those between, as a server sends them."""
        return "".join(pem(each) for each in (self.certificate, *self.between))

    def key_pem(
        self,
        passphrase: str | None = None,
        form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    ) -> str:
        """The key; encrypted where there is a passphrase."""
        encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()

    def key_der(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def files(self, directory: Path, name: str, **of_key: Any) -> dict[str, str]:
        """`sslcert` and `sslkey` of this certificate, in files that nobody else may read."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_text(self.pem(), encoding="ascii")
        key.write_text(self.key_pem(**of_key), encoding="ascii")
        key.chmod(0o600)
        return {"sslcert": str(certificate), "sslkey": str(key)}

    def revokes(self, *revoked: Identity, until: datetime.datetime = NOW + DAY) -> str:
        """This authority's revocation list, in PEM form."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.parsed.subject)
        builder = builder.last_update(NOW - 2 * DAY).next_update(until).add_extension(x509.CRLNumber(1), False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
        )
        for each in revoked:
            number = x509.RevokedCertificateBuilder().serial_number(each.parsed.serial_number)
            builder = builder.add_revoked_certificate(number.revocation_date(NOW - DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def write(self, path: Path) -> Path:
        """The certificate in a file of its own, as `sslrootcert` takes it."""
        path.write_text(pem(self.certificate), encoding="ascii")
        return path

    def issue(
        self,
        *names: str,
        key: Key | None = None,
        authority: bool = False,
        between: tuple[bytes, ...] = (),
        valid: tuple[datetime.datetime, datetime.datetime] = (NOW - DAY, NOW + DAY),
        common_name: str = "server",
    ) -> Identity:
        """A certificate for DNS names and IP addresses, signed by this one."""
        return issued(names, common_name, issuer=self, key=key, authority=authority, between=between, valid=valid)


def authority(name: str) -> Identity:
    """A root."""
    return issued((), common_name=name, authority=True)


def issued(
    names: Collection[str],
    common_name: str = "server",
    issuer: Identity | None = None,
    key: Key | None = None,
    authority: bool = False,
    between: tuple[bytes, ...] = (),
    valid: tuple[datetime.datetime, datetime.datetime] = (NOW - DAY, NOW + DAY),
) -> Identity:
    """A certificate; without an issuer it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.parsed.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), False)
    signer = issuer.key if issuer else key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signer, digest).public_bytes(serialization.Encoding.DER)
    return Identity(certificate, key, between)


def of_version_1(identity: Identity, issuer: Identity) -> Identity:
    """The same certificate as `openssl x509 -req` makes it without extensions: of X.509 version 1."""
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(identity.parsed.subject)
        .issuer_name(issuer.parsed.subject)
        .public_key(identity.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    version_3 = builder.sign(issuer.key, hashes.SHA256())
    content = version_3.tbs_certificate_bytes
    content = content[content.index(VERSION_3) + len(VERSION_3) :]
    to_sign = der(0x30, content)
    # SEQUENCE { OID ecdsa-with-SHA256 }
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = der(0x03, b"\0" + issuer.key.sign(to_sign, ec.ECDSA(hashes.SHA256())))
    return Identity(der(0x30, to_sign + algorithm + signature), identity.key)


def der(tag: int, content: bytes) -> bytes:
    """A value in DER."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem(certificate: bytes) -> str:
    return x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM).decode()
