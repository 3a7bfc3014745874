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
from itertools import zip_longest
from typing import Any

import pytest

from .declare import registry
from .declare.table import table_of
from .declare.targets import as_target
from .ground.errors import FlowError, SpecError
from .ground.secret import masked
from .run.connections import Connection, close_named

__all__ = ["FlowDatabase", "assert_history", "flow_db", "flow_declarations", "flow_server"]


class FlowDatabase(Connection):
    """A connection to a test's own database. `.dsn` is where it is."""

    def __init__(self, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(dsn=dsn)
        self._monkeypatch = monkeypatch

    @property
    def dsn(self) -> str:
        """Where it is, as psql takes it."""
        assert self._dsn is not None, "it was made from a DSN"
        return self._dsn.reveal()

    def serves(self, *names: str) -> None:
        """For this test, connections of these names lead here, whatever a file says; `default` does from the start."""
        for name in names:
            suffix = "" if name == "default" else "_" + re.sub("[^A-Za-z0-9]", "_", name).upper()
            self._monkeypatch.setenv("EMATIX_FLOW_DSN" + suffix, self.dsn)
        # Of the test before, or of the import of a module: they lead elsewhere.
        close_named()


@pytest.fixture(scope="session")
def flow_server() -> str:
    """The DSN of the server that `flow_db` makes databases on."""
    return os.environ.get("EMATIX_FLOW_TEST_DSN") or _dev_server()


@pytest.fixture
def flow_db(flow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowDatabase]:
    """A database of the test's own, as a connection; the connection `default` leads there."""
    name = f"flow_test_{uuid.uuid4().hex[:12]}"
    with Connection(dsn=flow_server) as admin:
        try:
            # template1 may be in use, when several tests make their databases at once.
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        except FlowError as error:
            pytest.fail(f"flow_db: no database of the test's own on {masked(flow_server)}: {error}", False)
        database = FlowDatabase(database_dsn(flow_server, name), monkeypatch)
        database.serves("default")
        try:
            yield database
        finally:
            database.close()
            close_named()
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
    __tracebackhide__ = True
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
    compared = list(zip_longest(versions, found))
    if not all(_agree(version, row) for version, row in compared):
        keys = ", ".join(f"{name} = {value!r}" for name, value in named.items())
        lines = [line for at, pair in enumerate(compared, 1) for line in _told(at, *pair, columns)]
        counted = f"{len(versions)} version{'s' * (len(versions) != 1)}"
        raise AssertionError("\n".join([f"{table}, {keys}: expected {counted}, found {len(found)}", *lines]))


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


def _agree(version: Mapping[str, Any] | None, row: Mapping[str, Any] | None) -> bool:
    return version is not None and row is not None and all(row[name] == value for name, value in version.items())


def _told(at: int, version: Mapping[str, Any] | None, row: Mapping[str, Any] | None, columns: list[str]) -> list[str]:
    """The lines of a failure about one version; of a row no more than the columns that are asked for."""
    if version is None:
        shown = {name: value for name, value in (row or {}).items() if not columns or name in columns}
        return [f"  {at}  not expected  {shown!r}"]
    if row is None:
        return [f"  {at}  missing       {dict(version)!r}"]
    if _agree(version, row):
        return [f"  {at}  as expected   {dict(version)!r}"]
    found = {name: row[name] for name in version}
    return [f"  {at}  expected      {dict(version)!r}", f"     found         {found!r}"]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted_table(text: str) -> str:
    """`schema.table` as SQL, each part in quotes; double quotes in the text protect a dot."""
    parts = re.findall(r'"(?:[^"]|"")*"|[^."]+', text)
    return ".".join(part if part.startswith('"') else _quoted(part) for part in parts)
