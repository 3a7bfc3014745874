"""dlt: `merge` with the strategies scd2 and upsert, `append` and `replace`, by load.py."""

from __future__ import annotations

from typing import ClassVar

from cells import Cell
from measure import Command
from peers import Peer, uri


class Dlt(Peer):
    """A script of dlt, as its users write one."""

    name, package = "dlt", "dlt"
    strategies: ClassVar[dict[str, str]] = {
        "append": "appended",
        "truncate": "replaced",
        "merge": "merged",
        "scd2": "history",
    }

    def forget(self) -> None:
        self.home.execute(
            f"DROP SCHEMA IF EXISTS {self.schema} CASCADE", f"DROP SCHEMA IF EXISTS {self.schema}_staging CASCADE"
        )

    def run(self, cell: Cell) -> list[Command]:
        return [
            self.command(
                "python",
                self.configuration / "load.py",
                cell.strategy,
                self.strategies[cell.strategy],
                BENCH_SOURCE=uri(self.reads(cell).dsn),
                BENCH_TARGET=uri(self.home.dsn),
                BENCH_SCHEMA=self.schema,
                DLT_DATA_DIR=str(self.folder),
                RUNTIME__DLTHUB_TELEMETRY="false",
                RUNTIME__LOG_LEVEL="CRITICAL",
            )
        ]


PEER = Dlt
