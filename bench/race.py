"""Races: contenders do the work of a cell in turns, A B A B, each after the same change of the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cells import Cell
from contenders import Contender, Refused
from databases import HERE, Database
from measure import CommandFailed, Cost, measured, middle
from tables import EVENTS


@dataclass(frozen=True)
class Result:
    """What one contender took for one step of a cell, or why it has no figures."""

    cell: Cell
    step: str
    # None for a first load.
    share: float | None
    contender: str
    costs: tuple[Cost, ...] = ()
    failed: str | None = None
    # Of the floor, in the same step.
    floor_seconds: float = 0.0

    @property
    def cost(self) -> Cost | None:
        return middle(self.costs) if self.costs else None

    @property
    def ratio(self) -> float | None:
        """Times the floor."""
        return self.cost.seconds / self.floor_seconds if self.cost else None

    @property
    def rows_per_second(self) -> float | None:
        """Rows of the source, not of what had changed in it."""
        return self.rows / self.cost.seconds if self.cost else None

    @property
    def rows(self) -> int:
        """Those that the source has; the first load of a history by event time reads every event of each key."""
        many = self.cell.strategy == "events" and self.share is None
        return self.cell.rows * (self.cell.table.weight if many else 1)


class Source:
    """The tables that all read, in every database where somebody reads them."""

    def __init__(self, cell: Cell, homes: Sequence[Database]) -> None:
        self.cell, self.homes, self.seed = cell, homes, 0

    def make(self) -> None:
        table = self.cell.table
        for home in self.homes:
            if table is EVENTS:
                home.psql(HERE / table.generator, n=self.cell.rows * table.weight, late=0)
                home.psql(HERE / "gen_newest.sql")
            else:
                home.psql(HERE / table.generator, **table.generated(self.cell.rows))

    def change(self, share: float) -> None:
        """Changes other rows than the last time."""
        if share <= 0:
            return
        self.seed += 7919
        cell, table = self.cell, self.cell.table
        variables: dict[str, object] = {"pct": share, "seed": self.seed, "table": table.source, "key": table.key}
        file = table.changer
        if cell.deletes:
            file = "gen_delete.sql"
        elif cell.incremental:
            file, variables["n"] = "gen_more.sql", cell.rows
        else:
            variables["change"] = table.change
        for home in self.homes:
            home.psql(HERE / file, **variables)


def race(cell: Cell, contenders: Sequence[Contender], elsewhere: Database, rounds: int) -> Iterator[list[Result]]:
    """The results of each step: the first load, and a run at each share. The first contender is the floor.

    Who cannot do the cell, or fails in it, has the reason in its place and is not asked again.
    """
    homes = [elsewhere] if cell.across else list({each.home: None for each in contenders})
    source = Source(cell, homes)
    source.make()
    out: dict[str, str] = {}

    def step(title: str, share: float | None) -> list[Result]:
        costs: dict[str, list[Cost]] = {each.name: [] for each in contenders}
        for _ in range(rounds):
            if share is not None:
                source.change(share)
            for contender in contenders:
                if contender.name in out:
                    continue
                try:
                    if share is None:
                        contender.prepare(cell)
                    work = contender.first if share is None else contender.run
                    contender.home.settle()
                    costs[contender.name].append(
                        measured(work(cell), contender.home.dsn, contender.target(cell).replace("_", r"\_"))
                    )
                    check(cell, contender, contenders[0])
                except (Refused, CommandFailed) as reason:
                    if contender is contenders[0]:
                        raise SystemExit(f"{cell.title}: the floor failed: {reason}") from None
                    out[contender.name] = str(reason)
        floor = middle(costs[contenders[0].name]).seconds
        return [
            Result(
                cell,
                title,
                share,
                each.name,
                () if each.name in out else tuple(costs[each.name]),
                out.get(each.name),
                floor,
            )
            for each in contenders
        ]

    yield step("first load", None)
    for share in cell.shares:
        yield step(cell.step(share), share)


def check(cell: Cell, contender: Contender, floor: Contender) -> None:
    """The same rows as the floor has, which did the same work a moment ago: else its figure is of something else."""
    if contender is floor:
        return
    witness = f"SELECT count(*), sum(hashtextextended({cell.table.witness}::text, 0)) FROM"
    held = contender.home.row(f"{witness} {contender.holds(cell)}")
    expected = floor.home.row(f"{witness} {floor.holds(cell)}")
    if held != expected:
        raise CommandFailed(f"it holds {held[0]:,} rows, the floor {expected[0]:,}, or others")
