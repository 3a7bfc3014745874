"""SQLMesh: SCD_TYPE_2_BY_COLUMN for scd2, INCREMENTAL_BY_UNIQUE_KEY for merge, FULL for a table that is replaced."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from typing import ClassVar

from cells import Cell
from measure import Command
from peers import Peer, parameters

FIRST = datetime(2026, 2, 1, 3)
NO_QUESTIONS = ("--auto-apply", "--no-prompts", "--skip-tests")


class SqlMesh(Peer):
    """`sqlmesh plan` for the first load, `sqlmesh plan --run` after.

    It runs a model once an interval, five minutes at least, and there is nothing to run before the next. So each run is told
    to be a day later than the last, from a day in the past on; what it does is the same.
    """

    name, package = "sqlmesh", "sqlmesh"
    strategies: ClassVar[dict[str, str]] = {"truncate": "replaced", "merge": "merged", "scd2": "history"}
    sources = ("table", "query")

    def prepare(self, cell: Cell) -> None:
        super().prepare(cell)
        self.home.execute(
            "DROP SCHEMA IF EXISTS sqlmesh CASCADE", "DROP SCHEMA IF EXISTS sqlmesh__peer_sqlmesh CASCADE"
        )
        # It reads every model of its folder: only the one that is measured is there.
        shutil.copy(self.configuration / "config.yaml", self.folder)
        models = self.folder / "models"
        models.mkdir()
        model = f"{self.strategies[cell.strategy]}.sql"
        text = (self.configuration / "models" / model).read_text(encoding="utf-8")
        (models / model).write_text(text.replace("raw.customers", self.select(cell)), encoding="utf-8")
        self.runs = 0

    def first(self, cell: Cell) -> list[Command]:
        return [self.sqlmesh("plan", *NO_QUESTIONS, "--execution-time", str(FIRST))]

    def run(self, cell: Cell) -> list[Command]:
        self.runs += 1
        return [
            self.sqlmesh("plan", "--run", *NO_QUESTIONS, "--execution-time", str(FIRST + timedelta(days=self.runs)))
        ]

    def sqlmesh(self, *words: str) -> Command:
        return self.command(
            "sqlmesh",
            *("--paths", self.folder, "--log-file-dir", self.folder / "logs"),
            *words,
            SQLMESH__DISABLE_ANONYMIZED_ANALYTICS="true",
            **parameters(self.home.dsn),
        )

    def target(self, cell: Cell) -> str:
        # The table behind the view that its users read.
        return f"sqlmesh__peer_sqlmesh.peer_sqlmesh__{self.strategies[cell.strategy]}__%"

    def holds(self, cell: Cell) -> str:
        return f"{self.schema}.{self.strategies[cell.strategy]}"


PEER = SqlMesh
