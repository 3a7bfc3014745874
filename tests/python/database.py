"""A database of its own for every test, on the server named by EMATIX_FLOW_TEST_DSN."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from server import url


@dataclass
class Database:
    """One database, addressed by its superuser.

    `execute` and `rows` share one autocommit connection, opened when first needed; `connect` opens another.
    """

    parameters: dict[str, str]
    _shared: psycopg.Connection[Any] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.parameters["dbname"]

    @property
    def dsn(self) -> str:
        """The way in for `flow`: with `--behind-pooler` through PgBouncer, for whoever says nothing else."""
        through = conninfo_to_dict(os.environ.get(POOLER, ""))
        is_ours = all(self.parameters[each] == admin_parameters()[each] for each in ("host", "port"))
        return url({**self.parameters, **({**through, "dbname": self.name} if through and is_ours else {})})

    def dsn_over_tcp(self, user: str, password: str) -> str:
        """The same database by host and port; on the test server TCP asks for the password."""
        info = self.shared.info
        host = "127.0.0.1" if info.host.startswith("/") else info.host
        own = {"host": host, "port": str(info.port), "user": user, "password": password, "dbname": self.name}
        return url(own)

    def dsn_as(self, user: str) -> str:
        """The same way in, as another role (which the test server asks no password on the socket)."""
        return url({**self.parameters, "user": user})

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A new connection, autocommit unless said otherwise; used as a context manager it closes."""
        return psycopg.connect(url(self.parameters), **{"autocommit": True, **options})

    @property
    def shared(self) -> psycopg.Connection[Any]:
        if self._shared is None or self._shared.closed:
            self._shared = self.connect()
        return self._shared

    def execute(self, statements: str) -> None:
        """Runs one statement or several separated by `;`."""
        self.shared.execute(statements)

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.shared.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: Any = None) -> Any:
        """The only value of a query's only row."""
        [(value,)] = self.rows(query, parameters)
        return value

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()


# The variable that holds the DSN of a PgBouncer.
POOLER = "EMATIX_FLOW_TEST_POOLER"

# Copying files costs the server half as much as writing 900 pages to the WAL, since here nothing is synced.
CREATE = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY FILE_COPY")


@contextmanager
def temporary_database() -> Iterator[Database]:
    """Creates a database that nobody else uses, and drops it with whoever is still connected."""
    # Workers and sessions may share one server: the name must be unique without asking anybody.
    name = f"flow_test_{uuid.uuid4().hex[:20]}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server_dsn(), autocommit=True) as admin:
        admin.execute(CREATE.format(identifier, sql.Identifier(template())))
        database = Database({**admin_parameters(), "dbname": name})
        try:
            yield database
        finally:
            database.close()
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))


@cache
def template() -> str:
    """An empty database that was opened once: its copies have the catalogue's cache, and open in two thirds of the time.

    Made when this process first needs it; `drop_template` drops it at the end.
    """
    name = f"flow_template_{uuid.uuid4().hex[:20]}"
    with psycopg.connect(server_dsn(), autocommit=True) as admin:
        admin.execute(CREATE.format(sql.Identifier(name), sql.Identifier("template0")))
        with psycopg.connect(url({**admin_parameters(), "dbname": name})) as once:
            once.execute("SELECT FROM pg_class, pg_attribute LIMIT 1")
        # Nobody may be in it while it is copied.
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    return name


def drop_template() -> None:
    if template.cache_info().currsize:
        with psycopg.connect(server_dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(template())))
        template.cache_clear()


def admin_parameters() -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(server_dsn()).items()}


def server_dsn() -> str:
    return os.environ["EMATIX_FLOW_TEST_DSN"]
