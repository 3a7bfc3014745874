"""dbt: a snapshot for scd2, an incremental model for merge, tables for the rest."""

from __future__ import annotations

from typing import ClassVar

from cells import Cell
from measure import Command, run
from peers import Peer, parameters


class Dbt(Peer):
    """`dbt snapshot` and `dbt run` of one node; the project is parsed once before, as between two runs of a user."""

    name, package = "dbt", "dbt-core"
    strategies: ClassVar[dict[str, str]] = {
        "append": "appended",
        "truncate": "replaced",
        "merge": "merged",
        "scd2": "history",
    }
    sources = ("table", "query")

    def prepare(self, cell: Cell) -> None:
        super().prepare(cell)
        run(self.dbt(cell, "parse"))

    def run(self, cell: Cell) -> list[Command]:
        return [
            self.dbt(cell, "snapshot" if cell.strategy == "scd2" else "run", "--select", self.strategies[cell.strategy])
        ]

    def dbt(self, cell: Cell, *words: str) -> Command:
        return self.command(
            "dbt",
            *words,
            *("--project-dir", self.configuration, "--profiles-dir", self.configuration),
            *("--target-path", self.folder / "target", "--log-path", self.folder),
            BENCH_SELECT=self.select(cell),
            BENCH_SCHEMA=self.schema,
            DBT_SEND_ANONYMOUS_USAGE_STATS="false",
            DBT_VERSION_CHECK="false",
            DBT_LOG_LEVEL_FILE="none",
            **parameters(self.home.dsn),
        )


PEER = Dbt
