"""A Postgres with TLS, whose certificate and rules a test chooses; it is asked for a password on TCP."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from certificates import Identity, authority
from customers import SOURCE, wait_until
from psycopg.conninfo import conninfo_to_dict
from server import Server, binary_directories, new_directory, server_account, with_reachable_binaries

# Whom the tests trust, and what a server that is as it should be is called.
ROOT = authority("the authority")
NAMES = ("localhost", "db.example", "127.0.0.1")

USER = "loader"
# Characters that end a part of a URL or mean something in one.
PASSWORD = "p#s/s@w:r?d%&=é'\\"


@dataclass
class TlsServer:
    """A server that `present` equips; `connection` is what a client must say to log in by TCP."""

    server: Server
    superuser: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def port(self) -> int:
        return int(conninfo_to_dict(self.superuser)["port"])

    @property
    def connection(self) -> dict[str, str]:
        return {"port": str(self.port), "user": USER, "password": PASSWORD, "dbname": "postgres"}

    @property
    def version(self) -> int:
        return int(self.value("SHOW server_version_num")) // 10000

    def present(
        self,
        identity: Identity | None,
        rule: str = "host",
        method: str = "scram-sha-256",
        clients: Identity | None = None,
        **settings: str,
    ) -> None:
        """From now on: this certificate (None: no TLS), this kind of rule and method in pg_hba.conf for TCP, and this
        authority of the certificates that clients show."""
        number = next(self._numbers)
        mark = str(self.server.data / f"server-{number}.crt")
        if identity:
            self._write(f"server-{number}.crt", identity.pem())
            self._write(f"server-{number}.key", identity.key_pem())
        if clients:
            self._write(f"clients-{number}.crt", clients.pem())
        self._write(
            "pg_hba.conf",
            f"local all all trust\n{rule} all {USER} 127.0.0.1/32 {method}\nhost all postgres all scram-sha-256\n",
        )
        chosen = {"ssl_max_protocol_version": "", **settings}
        chosen |= {"ssl": "on" if identity else "off", "ssl_cert_file": mark, "ssl_key_file": mark[:-3] + "key"}
        chosen["ssl_ca_file"] = str(self.server.data / f"clients-{number}.crt") if clients else ""
        with psycopg.connect(self.superuser, autocommit=True) as admin:
            for name, value in chosen.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            admin.execute("SELECT pg_reload_conf()")
        # The parent reads it when it finds the time; a new session shows what the parent has.
        wait_until(lambda: self.value("SHOW ssl_cert_file") == mark, "the server took over its settings")

    def value(self, query: str) -> Any:
        with psycopg.connect(self.superuser, autocommit=True) as admin:
            [(value,)] = admin.execute(query).fetchall()
        return value

    def _write(self, name: str, text: str) -> None:
        path = self.server.data / name
        path.write_text(text, encoding="utf-8")
        # Postgres takes no key that others can read.
        path.chmod(0o600)
        if self.server.account:
            os.chown(path, self.server.account.uid, self.server.account.gid)


@contextmanager
def tls_server() -> Iterator[TlsServer | None]:
    """A running server, or None where no Postgres of this machine has TLS."""
    binaries = next((path for path in binary_directories() if has_tls(path)), None)
    if binaries is None:
        yield None
        return
    directory = new_directory()
    server = Server(directory, binaries, server_account())
    server.make_directory(directory)
    server = with_reachable_binaries(server)
    server.make_cluster()
    try:
        running = TlsServer(server, server.start())
        with psycopg.connect(running.superuser, autocommit=True) as admin:
            literal = PASSWORD.replace("'", "''")
            admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{literal}'; GRANT CREATE ON DATABASE postgres TO {USER}")
            admin.execute(SOURCE)
            admin.execute(f"GRANT USAGE ON SCHEMA app TO {USER}; GRANT SELECT ON app.customers TO {USER}")
        yield running
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def has_tls(binaries: Path) -> bool:
    """Whether this Postgres was built with TLS: it then names OpenSSL's library, wherever that is."""
    postgres = binaries / "postgres"
    return postgres.exists() and b"libssl" in postgres.read_bytes()
