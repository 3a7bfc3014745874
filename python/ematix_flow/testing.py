"""Tests of your pipelines: a pytest plugin with a database a test, and a way to say what a history should be.

    def test_a_change_opens_a_version(flow_db):
        flow_db.serves("crm", "warehouse")
        flow_db.execute("CREATE TABLE customers (id bigint PRIMARY KEY, status text)")
        flow_db.execute("INSERT INTO customers VALUES (17, 'active')")
        pipeline.run("customers")
        assert_history(flow_db, DimCustomers, key=17, versions=[{"status": "active", "is_current": True}])

The server is that of EMATIX_FLOW_TEST_DSN (its role may create databases), else the private one of `flow dev`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from . import registry
from .connections import Connection
from .errors import SpecError
from .table import table_of
from .targets import as_target

__all__ = ["FlowDatabase", "assert_history", "flow_db", "flow_declarations"]


class FlowDatabase(Connection):
    """A connection to a test's own database. `.dsn` is where it is."""

    def __init__(self, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(dsn=dsn)
        self.dsn = dsn
        self._monkeypatch = monkeypatch

    def serves(self, *names: str) -> None:
        """For this test, connections of these names lead here; `default` does from the start."""
        for name in names:
            variable = "EMATIX_FLOW_DSN" if name == "default" else f"EMATIX_FLOW_DSN_{name.upper()}"
            self._monkeypatch.setenv(variable, self.dsn)


@pytest.fixture
def flow_db(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowDatabase]:
    """A database of the test's own, as a connection; the connection `default` leads there."""
    server = os.environ.get("EMATIX_FLOW_TEST_DSN") or _dev_server()
    name = f"flow_test_{uuid.uuid4().hex[:12]}"
    with Connection(dsn=server) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        database = FlowDatabase(database_dsn(server, name), monkeypatch)
        database.serves("default")
        try:
            yield database
        finally:
            database.close()
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def flow_declarations() -> Iterator[None]:
    """What the test declares is forgotten after it, and what was declared before is out of its sight."""
    with registry.isolated():
        yield


def _dev_server() -> str:
    """The DSN of the private server, started where it does not run."""
    found = ""
    for words in (["dev", "start"], ["dev", "url"]):
        done = subprocess.run(
            [sys.executable, "-m", "ematix_flow.cli", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(
                f"no server: `flow {' '.join(words)}` failed; set EMATIX_FLOW_TEST_DSN\n{done.stderr}", pytrace=False
            )
        found = done.stdout.strip()
    return found


def database_dsn(dsn: str, name: str) -> str:
    """The DSN of another database of the same server.

    >>> database_dsn("postgresql://me@db:5432/postgres?sslmode=require", "x")
    'postgresql://me@db:5432/x?sslmode=require'
    >>> database_dsn("host=/run/pg user=me dbname='a b'", "x")
    "host=/run/pg user=me dbname='a b' dbname=x"
    """
    if "://" not in dsn:
        # Of a word that comes twice, libpq takes the last.
        return f"{dsn} dbname={name}"
    head, question, query = dsn.partition("?")
    scheme, _, rest = head.partition("://")
    query = "&".join(part for part in query.split("&") if not part.startswith("dbname="))
    return f"{scheme}://{rest.partition('/')[0]}/{name}" + (question + query if query else "")


def assert_history(
    conn: Connection,
    target: Any,
    *,
    key: Any,
    versions: Sequence[Mapping[str, Any]],
    effective_from: str = "valid_from",
) -> None:
    """Holds the versions of a key, oldest first, to what is expected; each on the columns that are named.

    Args:
        conn: the target's connection.
        target: the class, or "schema.table".
        key: `17` for a key of one column of a class, else `{"id": 17, "region": "EU"}`.
        versions: `[{"status": "active", "is_current": False}, …]`.
        effective_from: the column in which a version begins.

    Raises:
        AssertionError: with both histories, line by line.
    """
    named = _named_key(target, key)
    table = as_target(target, "assert_history").name
    where = " AND ".join(f"{_quoted(column)} = :key{at}" for at, column in enumerate(named))
    found = conn.query(
        f"SELECT * FROM {_quoted_table(table)} WHERE {where} ORDER BY {_quoted(effective_from)}",
        {f"key{at}": value for at, value in enumerate(named.values())},
    )
    columns = list(dict.fromkeys(name for version in versions for name in version))
    unknown = [name for name in columns if found and name not in found[0]]
    if unknown:
        raise AssertionError(f"{table} has no column {', '.join(unknown)}; it has {', '.join(found[0])}")
    live = [{name: row[name] for name in version} for row, version in zip(found, versions, strict=False)]
    if len(found) != len(versions) or live != [dict(version) for version in versions]:
        keys = ", ".join(f"{name} = {value!r}" for name, value in named.items())
        shown = [{name: row.get(name) for name in columns or row} for row in found]
        raise AssertionError(
            f"history of {table} for {keys}\nexpected {len(versions)} versions:\n{_lines(versions)}"
            f"\nfound {len(found)}:\n{_lines(shown)}"
        )


def _named_key(target: Any, key: Any) -> dict[str, Any]:
    if isinstance(key, Mapping):
        return dict(key)
    table = table_of(target)
    names = (table.natural_key or table.primary_key) if table else []
    if len(names) != 1:
        raise SpecError(
            f"assert_history: which column is {key!r}?", code="missing_keys", hint='say it by name: key={"id": 17}'
        )
    return {names[0]: key}


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"  {dict(row)!r}" for row in rows) or "  none"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted_table(text: str) -> str:
    """`schema.table` as SQL, each part in quotes; double quotes in the text protect a dot."""
    parts = re.findall(r'"(?:[^"]|"")*"|[^."]+', text)
    return ".".join(part if part.startswith('"') else _quoted(part) for part in parts)
