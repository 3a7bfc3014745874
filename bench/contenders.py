"""Who does the work of a cell: SQL by hand (the floor), `flow`, and what a peer has to be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Protocol

from cells import Cell
from databases import HERE, Database, psql_command
from measure import Command, run


class Refused(Exception):
    """A contender cannot do a cell; the message says why."""


class Contender(Protocol):
    """One way to do the work. What it is told to do is timed from the start of its processes to their end."""

    name: str
    # Where it writes; sources of the same database are read there.
    home: Database

    def version(self) -> str:
        """What was measured."""
        ...

    def prepare(self, cell: Cell) -> None:
        """Forgets whatever it has of the cell's target, and gets ready. Not timed. `Refused` if it cannot do the cell."""
        ...

    def first(self, cell: Cell) -> list[Command]:
        """The first load."""
        ...

    def run(self, cell: Cell) -> list[Command]:
        """A load into what the last one left."""
        ...

    def target(self, cell: Cell) -> str:
        """The table that holds the rows, `schema.table`; `%` stands for any words."""
        ...

    def holds(self, cell: Cell) -> str:
        """The table or view in which its users read the rows, or the versions."""
        ...


def flow_binary() -> Path:
    """The binary of `EMATIX_FLOW_BIN`, else the release build, else the dev build."""
    if named := os.environ.get("EMATIX_FLOW_BIN"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    release = target / "release" / "flow"
    return release if release.exists() else target / "debug" / "flow"


class Floor:
    """The best SQL by hand that is known (floor/), by psql; from another database through a pipe."""

    name = "floor"
    TABLES: ClassVar[dict[str, str]] = {
        "append": "log",
        "truncate": "rep",
        "replace": "tgt",
        "merge": "tgt",
        "scd2": "dim",
        "events": "h",
    }
    FILES: ClassVar[dict[str, tuple[str, str]]] = {
        "append": ("append.sql", "append.sql"),
        "truncate": ("truncate.sql", "truncate.sql"),
        "replace": ("merge_init.sql", "merge_run.sql"),
        "merge": ("merge_init.sql", "merge_run.sql"),
        "scd2": ("scd2_init.sql", "scd2_run.sql"),
        "events": ("events_init.sql", "events_run.sql"),
    }

    def __init__(self, home: Database, source: Database) -> None:
        self.home, self.source = home, source

    def version(self) -> str:
        return f"Postgres {self.home.value('SHOW server_version')}"

    def prepare(self, cell: Cell) -> None:
        self.home.execute(f"DROP TABLE IF EXISTS {self.target(cell)}, fl.stage")

    def first(self, cell: Cell) -> list[Command]:
        read = "raw.events_before" if cell.strategy == "events" else cell.table.source
        return self.commands(cell, self.FILES[cell.strategy][0], read, "")

    def run(self, cell: Cell) -> list[Command]:
        since = ""
        if cell.incremental:
            # By hand one asks the target how far it is.
            last = self.home.value(f"SELECT max({cell.table.key}) FROM {self.target(cell)}")
            since = f" WHERE {cell.table.key} > {last}"
        return self.commands(cell, self.FILES[cell.strategy][1], cell.table.source, since)

    def commands(self, cell: Cell, file: str, read: str, since: str) -> list[Command]:
        query = f"SELECT * FROM {read}{since}"
        source = "fl.stage" if cell.across else f"({query})" if since else read
        variables: dict[str, object] = {"src": source}
        if cell.strategy not in ("append", "events"):
            variables |= cell.table.variables()
        deletes = "hard" if cell.strategy == "replace" else cell.deletes
        if deletes:
            variables[deletes] = 1
        work = psql_command(self.home.dsn, HERE / "floor" / file, **variables)
        if not cell.across:
            return [Command(work)]
        # One session of the target creates the stage, takes the rows from the pipe, and does the work.
        pipe = [HERE / "floor" / "pipe.sh", self.source.dsn, self.home.dsn, cell.table.definition(), query]
        return [Command([*map(str, pipe), *work[work.index(self.home.dsn) + 1 :]])]

    def target(self, cell: Cell) -> str:
        return f"fl.{self.TABLES[cell.strategy]}"

    def holds(self, cell: Cell) -> str:
        return self.target(cell)


PROJECT = """
[connections.default]
dsn = "${{env:BENCH_DSN}}"
[connections.elsewhere]
dsn = "${{env:BENCH_SOURCE_DSN}}"
[defaults]
target_connection = "default"
[tables.{strategy}]
schema = "bench"
{keys}
columns = {columns}
[pipelines.load]
source = {source}
target = "{strategy}"
{options}
"""
# The first load of a history by event time reads another table than the others.
BEFORE = """[pipelines.first]
source = {source}
target = "{strategy}"
{options}
"""


class Flow:
    """`flow run`, of a project of one table."""

    MODES: ClassVar[dict[str, str]] = {"replace": "truncate", "events": "scd2"}

    def __init__(self, name: str, binary: Path, home: Database, source: Database, folder: Path) -> None:
        self.name, self.binary, self.home, self.source = name, binary, home, source
        self.project = folder / f"{name}.toml"

    def version(self) -> str:
        return os.popen(f"'{self.binary}' --version").read().strip()

    def prepare(self, cell: Cell) -> None:
        self.home.execute(f"DROP TABLE IF EXISTS {self.target(cell)}, {self.target(cell)}_superseded CASCADE")
        table, options = cell.table, "\n".join(self.options(cell))
        keyed = cell.strategy not in ("append", "events")
        text = PROJECT.format(
            strategy=cell.strategy,
            keys=f'primary_key = ["{table.key}"]' if keyed else "",
            columns=table.declared(),
            source=self.reads(cell, table.source),
            options=options,
        )
        if cell.strategy == "events":
            before = self.reads(cell, "raw.events_before")
            text += BEFORE.format(source=before, strategy=cell.strategy, options=options)
        self.project.write_text(text)
        if cell.incremental:
            run(self.command("watermark", "reset", "load", "--yes"))

    def reads(self, cell: Cell, table: str) -> str:
        if cell.across:
            return f'{{ connection = "elsewhere", table = "{table}" }}'
        if cell.source == "query":
            return f'{{ query = "SELECT c.* FROM {table} c WHERE true" }}'
        return f'{{ table = "{table}" }}'

    def options(self, cell: Cell) -> list[str]:
        said = [f'mode = "{self.MODES.get(cell.strategy, cell.strategy)}"']
        if cell.strategy == "replace":
            said.append('replace_method = "diff"')
        if cell.strategy == "scd2":
            said.append(f"compare_columns = {cell.table.compared}".replace("'", '"'))
        if cell.strategy == "events":
            said += ['keys = "k"', 'event_timestamp_column = "at"']
        if cell.deletes:
            said.append(f'handle_deletes = "{cell.deletes}"')
        if cell.incremental:
            said.append(f'incremental_column = "{cell.table.key}"')
        if cell.source == "across_staged":
            said.append('force_path = "staging"')
        return said

    def first(self, cell: Cell) -> list[Command]:
        return [self.command("run", "first" if cell.strategy == "events" else "load")]

    def run(self, cell: Cell) -> list[Command]:
        return [self.command("run", "load")]

    def command(self, *words: str) -> Command:
        environment = {"BENCH_DSN": self.home.dsn, "BENCH_SOURCE_DSN": self.source.dsn}
        return Command([str(self.binary), "--config", str(self.project), "--quiet", *words], environment)

    def target(self, cell: Cell) -> str:
        return f"bench.{cell.strategy}"

    def holds(self, cell: Cell) -> str:
        return self.target(cell)
