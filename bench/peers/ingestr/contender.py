"""ingestr: `ingestr ingest` with the strategies scd2, merge, append and replace."""

from __future__ import annotations

from typing import ClassVar

from cells import Cell
from measure import Command
from peers import Peer, uri

# https://getbruin.com/docs/ingestr/getting-started/incremental-loading.html
WORDS = {
    "append": ("append",),
    "truncate": ("replace",),
    "merge": ("merge", "--primary-key", "customer_id"),
    "scd2": ("scd2", "--primary-key", "customer_id"),
}


class Ingestr(Peer):
    """One command, without progress; its defaults are what its manual calls fast."""

    name, package = "ingestr", "ingestr"
    strategies: ClassVar[dict[str, str]] = {
        "append": "appended",
        "truncate": "replaced",
        "merge": "merged",
        "scd2": "history",
    }

    def prepare(self, cell: Cell) -> None:
        super().prepare(cell)
        self.tries(self.command("ingestr", "--version", HOME=str(self.folder)))

    def run(self, cell: Cell) -> list[Command]:
        return [
            self.command(
                "ingestr",
                "ingest",
                *("--source-uri", uri(self.reads(cell).dsn), "--source-table", cell.table.source),
                *("--dest-uri", uri(self.home.dsn), "--dest-table", self.target(cell)),
                *("--incremental-strategy", *WORDS[cell.strategy]),
                *("--yes", "--progress", "log"),
                DISABLE_TELEMETRY="true",
                INGESTR_DISABLE_TELEMETRY="true",
                HOME=str(self.folder),
            )
        ]


PEER = Ingestr
