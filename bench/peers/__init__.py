"""The peers: each in a venv of its own (requirements.txt), set up as its own manual says for speed, in its folder here."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg
from cells import Cell
from contenders import Contender, Refused
from databases import Database
from installed import Environment, NotInstalled
from measure import Command, CommandFailed, run
from tables import CUSTOMERS

NAMES = ("dbt", "sqlmesh", "dlt", "sling", "ingestr")
HERE = Path(__file__).resolve().parent


def peer(name: str, home: Database, elsewhere: Database, folder: Path) -> Contender:
    """The contender of a peer."""
    return import_module(f"peers.{name}.contender").PEER(home, elsewhere, folder)


class Peer:
    """What peers have in common. What one does is in its folder."""

    name: ClassVar[str]
    # What it is called on PyPI.
    package: ClassVar[str]
    # The strategies it has, and what each is called there; others are refused.
    strategies: ClassVar[dict[str, str]]
    sources: ClassVar[tuple[str, ...]] = ("table", "across")

    def __init__(self, home: Database, elsewhere: Database, folder: Path) -> None:
        self.home, self.elsewhere = home, elsewhere
        self.environment = Environment(self.name)
        # What it keeps between runs: its state is a user's, so it is kept from the first load on.
        self.folder = folder / self.name
        self.configuration = HERE / self.name

    def version(self) -> str:
        return f"{self.package} {self.environment.version(self.package)}"

    def prepare(self, cell: Cell) -> None:
        if reason := self.refuses(cell):
            raise Refused(reason)
        try:
            self.environment.make()
        except NotInstalled as reason:
            raise Refused(str(reason)) from None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.forget()

    def tries(self, command: Command) -> None:
        """Refuses where the program does not answer: some packages on PyPI fetch it when it is first run."""
        try:
            run(command)
        except CommandFailed as reason:
            raise Refused(f"could not be installed: {reason}") from None

    def first(self, cell: Cell) -> list[Command]:
        return self.run(cell)

    def run(self, cell: Cell) -> list[Command]:
        raise NotImplementedError

    def refuses(self, cell: Cell) -> str | None:
        """Why it does not do a cell; None if it does."""
        if cell.strategy not in self.strategies:
            return f"it has no load strategy for {cell.strategy}"
        if cell.across and "across" not in self.sources:
            return "it reads only the database that it writes"
        if cell.source == "across_staged":
            return "it has one way from another database, which `across` measures"
        if cell.source not in self.sources:
            return f"it is not set up for {cell.source}"
        if cell.table is not CUSTOMERS or cell.deletes or cell.incremental:
            return "it is not set up for this cell"
        return None

    def forget(self) -> None:
        """Takes away what it has in the database."""
        self.home.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE", f"CREATE SCHEMA {self.schema}")

    @property
    def schema(self) -> str:
        return f"peer_{self.name}"

    def reads(self, cell: Cell) -> Database:
        return self.elsewhere if cell.across else self.home

    def select(self, cell: Cell) -> str:
        """What it reads, as a name of a table or a query in parentheses."""
        return "(SELECT c.* FROM raw.customers c WHERE true)" if cell.source == "query" else cell.table.source

    def target(self, cell: Cell) -> str:
        return f"{self.schema}.{self.strategies[cell.strategy]}"

    def holds(self, cell: Cell) -> str:
        return self.target(cell)

    def command(self, *words: object, **environment: str) -> Command:
        """A program of its venv, without news of it to anybody."""
        program, *others = map(str, words)
        return Command([str(self.environment.path / "bin" / program), *others], environment, self.folder)


def parameters(dsn: str) -> dict[str, str]:
    """What a peer's configuration wants of a DSN, as variables of the environment."""
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    defaults = {
        "host": "127.0.0.1",
        "port": "5432",
        "user": os.environ.get("USER", "postgres"),
        "password": "",
        "dbname": "postgres",
    }
    return {f"BENCH_{name.upper()}": str(given.get(name) or value) for name, value in defaults.items()}


def uri(dsn: str) -> str:
    """A DSN as the URI that other drivers read: a socket's directory as a parameter."""
    given = parameters(dsn)
    host, port = given["BENCH_HOST"], given["BENCH_PORT"]
    secret = f":{quote(given['BENCH_PASSWORD'], safe='')}" if given["BENCH_PASSWORD"] else ""
    who = quote(given["BENCH_USER"], safe="") + secret
    if host.startswith("/"):
        return f"postgresql://{who}@/{given['BENCH_DBNAME']}?host={quote(host, safe='')}&port={port}"
    return f"postgresql://{who}@{host}:{port}/{given['BENCH_DBNAME']}"
