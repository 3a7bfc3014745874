"""Of a primary and its standby the one that `target_session_attrs` wants, as libpq chooses it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from package_client import REFUSED, ask
from psycopg.conninfo import conninfo_to_dict
from server import new_directory
from tls_server import TlsServer

WANTED = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]


@dataclass(frozen=True)
class Two:
    """Where a primary and its standby are: directory of the socket, and port."""

    primary: tuple[str, str]
    standby: tuple[str, str]


@pytest.fixture
def two(tls: TlsServer) -> Iterator[Two]:
    tls.present(None, rule="local replication all trust\nhost")
    first = conninfo_to_dict(tls.superuser)
    directory = new_directory()
    standby = replace(tls.server, directory=directory)
    try:
        standby.make_directory(directory)
        standby.make_directory(standby.sockets)
        standby.must(
            "pg_basebackup", "--pgdata", standby.data, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync",
            "--host", first["host"], "--port", first["port"], "--username", "postgres",
        )  # fmt: skip
        second = conninfo_to_dict(standby.start())
        yield Two((first["host"], first["port"]), (second["host"], second["port"]))
    finally:
        standby.stop()
        shutil.rmtree(directory, ignore_errors=True)


def test_of_several_servers_the_one_that_is_wanted(two: Two, tmp_path: Path) -> None:
    orders = [(two.primary, two.standby), (two.standby, two.primary), (two.primary,), (two.standby,)]
    dsns = [
        f"host={','.join(host for host, _ in order)} port={','.join(port for _, port in order)} user=postgres"
        f" dbname=postgres target_session_attrs={wanted}"
        for order in orders
        for wanted in WANTED
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ours = ask(dsns, "SELECT current_setting('port')", tmp_path / "ask", environment)
    found = dict(zip(dsns, (our.split(":")[0] for our in ours), strict=True))
    assert found == {dsn: libpq(dsn) for dsn in dsns}
    # Both, and neither, come of it.
    assert {two.primary[1], two.standby[1], REFUSED} == set(found.values())


def libpq(dsn: str) -> str:
    try:
        with psycopg.connect(dsn) as there:
            [(port,)] = there.execute("SELECT current_setting('port')").fetchall()
            return str(port)
    except psycopg.OperationalError as error:
        assert "session is" in str(error) or "hot standby" in str(error)
        return REFUSED
