"""PgBouncer in transaction mode in front of the test server: every statement may reach another session."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import server
from server import ServerError

# Fewer than the processes that the tests let loose.
POOL_SIZE = 4

CONFIGURATION = """
[databases]
* = host={host} port={server_port} user=postgres
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 400
query_wait_timeout = 20
logfile = {directory}/log
"""


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer that runs."""

    directory: Path
    port: int
    dbname: str
    process: subprocess.Popen[bytes]

    @property
    def dsn(self) -> str:
        """The way through it to the database in front of which it was started."""
        return server.url(
            {"host": str(self.directory), "port": str(self.port), "dbname": self.dbname, "user": "postgres"}
        )

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


def start(parameters: dict[str, str], pool_size: int) -> Pooler:
    """In front of the server of these parameters; each of its databases gets so many sessions.

    Raises ServerError where there is no PgBouncer.
    """
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise ServerError("pgbouncer is not installed: apt-get install pgbouncer")
    account = server.server_account()
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    directory = server.new_directory()
    port = server.free_port()
    place = {"host": parameters["host"], "server_port": parameters["port"]}
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(**place, port=port, directory=directory, pool_size=pool_size), encoding="utf-8"
    )
    if account:
        os.chown(directory, account.uid, account.gid)
        os.chown(configuration, account.uid, account.gid)
    process = subprocess.Popen(
        [binary, "-q", configuration],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **identity,
    )
    deadline = time.monotonic() + 15
    while not (directory / f".s.PGSQL.{port}").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"pgbouncer does not listen: exit {process.poll()}")
        time.sleep(0.01)
    return Pooler(directory, port, parameters["dbname"], process)
