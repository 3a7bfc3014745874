"""The server of a measurement, its databases, and SQL in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests" / "python"))

import server as test_server


@contextmanager
def bench_server() -> Iterator[str]:
    """A DSN of a server with settings as they come: that of `EMATIX_FLOW_BENCH_DSN`, else a private one."""
    if dsn := os.environ.get("EMATIX_FLOW_BENCH_DSN"):
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="ematix-flow-bench-", ignore_cleanup_errors=True) as base:
        dsn = test_server.start(Path(base))
        try:
            yield dsn
        finally:
            test_server.stop(Path(base))


def new_database(server_dsn: str, name: str) -> str:
    """An empty database; one of this name that is there is dropped."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return psycopg.conninfo.make_conninfo(server_dsn, dbname=name)


@dataclass(frozen=True)
class Database:
    """One database of the server, by its DSN."""

    dsn: str

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row that a query answers."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            [row] = connection.execute(query).fetchall()
        return row

    def value(self, query: str) -> Any:
        """The one value that a query answers."""
        return self.row(query)[0]

    def psql(self, file: Path, **variables: object) -> None:
        command = psql_command(self.dsn, file, **variables)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{file.name} failed: {done.stderr}")

    def settle(self) -> None:
        """What the last measurement left to be written is not charged to the next."""
        self.execute("CHECKPOINT")

    def settings(self) -> dict[str, str]:
        """The server's version, and what was set in its files or by its start."""
        with psycopg.connect(self.dsn) as connection:
            said = connection.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('server_version', 'shared_buffers',"
                " 'work_mem', 'maintenance_work_mem', 'max_wal_size', 'wal_level', 'fsync', 'synchronous_commit',"
                " 'full_page_writes', 'max_parallel_workers_per_gather', 'autovacuum', 'jit') ORDER BY name"
            )
            return dict(said.fetchall())


def psql_command(dsn: str, file: Path, **variables: object) -> list[str]:
    """psql on a file, ending at its first error."""
    said = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    return ["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", dsn, *said, "-f", str(file)]
