"""sling: an upsert for merge, and a whole load for what is appended or replaced."""

from __future__ import annotations

from typing import ClassVar

from cells import Cell
from measure import Command
from peers import Peer, uri

# Packages whose only content is the program.
BINARIES = "lib/python3*/site-packages/sling_*/bin/sling*"


class Sling(Peer):
    """`sling run` of a replication. Where PyPI has no binary for the platform, its package fetches one when it is first run."""

    name, package = "sling", "sling"
    strategies: ClassVar[dict[str, str]] = {"append": "appended", "truncate": "replaced", "merge": "merged"}

    def prepare(self, cell: Cell) -> None:
        super().prepare(cell)
        self.tries(self.sling("--version"))

    def run(self, cell: Cell) -> list[Command]:
        return [
            self.sling(
                *("run", "-r", self.configuration / f"{self.strategies[cell.strategy]}.yaml"),
                BENCH_SOURCE=uri(self.reads(cell).dsn),
                BENCH_TARGET=uri(self.home.dsn),
            )
        ]

    def sling(self, *words: object, **environment: str) -> Command:
        binary = next(self.environment.path.glob(BINARIES), None)
        found = {"SLING_BINARY": str(binary)} if binary else {}
        private = {"SLING_HOME_DIR": str(self.folder), "SLING_DISABLE_TELEMETRY": "true"}
        return self.command("sling", *words, **found, **private, **environment)


PEER = Sling
