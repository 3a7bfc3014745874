"""What is measured: a load strategy, a source, a table and its rows, from the first load to every share of changed rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tables import CUSTOMERS, EVENTS, LARGE, VERY_WIDE, WIDE, Table

STRATEGIES = ("append", "truncate", "replace", "merge", "scd2", "events")
SOURCES = ("table", "query", "across", "across_staged")
# Strategies that write every row of the source whatever has changed.
WHOLE = ("append", "truncate")
# What is measured besides the strategies on `customers`.
SUITES = ("wide", "very_wide", "large", "deletes", "incremental", "growth")


@dataclass(frozen=True)
class Cell:
    """One load, of which first load and changes are measured."""

    strategy: str
    source: str
    table: Table
    # Those of the table, not of `--rows`.
    rows: int
    shares: tuple[float, ...]
    # `soft` or `hard`: rows leave the source instead of being changed.
    deletes: str | None = None
    # Rows come behind those that are there, and only they are read.
    incremental: bool = False
    # One of several sizes of the same.
    grows: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is one of the load strategies as such, of which pictures of the site tell."""
        return self.table in (CUSTOMERS, EVENTS) and not (self.deletes or self.incremental or self.grows)

    @property
    def across(self) -> bool:
        return self.source.startswith("across")

    @property
    def title(self) -> str:
        words = [self.strategy, f"({self.source})"]
        words += [self.table.name] if self.table not in (CUSTOMERS, EVENTS) else []
        words += [f"{self.deletes} deletes"] if self.deletes else []
        words += ["incremental"] if self.incremental else []
        return " ".join(words)

    def step(self, share: float) -> str:
        """What one of its runs is called."""
        if self.strategy in WHOLE and not self.incremental:
            return "again"
        done = "deleted" if self.deletes else "new" if self.incremental else "changed"
        return f"{share:g} % {done}"


def cell(strategy: str, source: str, table: Table, rows: int, shares: Sequence[float], **rest: object) -> Cell:
    """A cell; a strategy that writes everything is run once more, since what has changed makes no difference to it."""
    whole = strategy in WHOLE and not rest.get("incremental")
    table = EVENTS if strategy == "events" else table
    return Cell(strategy, source, table, table.rows_of(rows), (100.0,) if whole else tuple(shares), **rest)  # type: ignore[arg-type]


def chosen(names: Sequence[str], sources: Sequence[str], rows: int, shares: Sequence[float]) -> Iterator[Cell]:
    """The cells of strategies and suites, in the order of their names here."""
    for strategy in STRATEGIES:
        if strategy in names:
            for source in sources:
                if possible(strategy, source):
                    yield cell(strategy, source, CUSTOMERS, rows, shares)
    for table in (WIDE, VERY_WIDE, LARGE):
        if table.name in names:
            for strategy in ("truncate", "merge", "scd2"):
                for source in places(sources):
                    yield cell(strategy, source, table, rows, few(shares))
    if "deletes" in names:
        for strategy, deletes in (("merge", "hard"), ("merge", "soft"), ("scd2", "soft")):
            for source in places(sources):
                gone = [share for share in shares if 0 < share <= 10] or [1.0]
                yield cell(strategy, source, CUSTOMERS, rows, gone, deletes=deletes)
    if "incremental" in names:
        for strategy in ("append", "merge"):
            for source in places(sources):
                come = [share for share in shares if 0 < share <= 10] or [1.0]
                yield cell(strategy, source, CUSTOMERS, rows, come, incremental=True)


def growing(sources: Sequence[str], sizes: Sequence[int]) -> Iterator[Cell]:
    """The same loads at several sizes: what a million rows take should not grow."""
    for strategy in ("merge", "scd2"):
        for source in places(sources):
            for rows in sizes:
                yield cell(strategy, source, CUSTOMERS, rows, (1.0,), grows=True)


def possible(strategy: str, source: str) -> bool:
    """Only scd2 has another way than the stage from one database to another."""
    return source != "across_staged" or strategy in ("scd2", "merge")


def places(sources: Sequence[str]) -> list[str]:
    """One way inside the database, and the one from another."""
    return [source for source in sources if source in ("table", "across")]


def few(shares: Sequence[float]) -> list[float]:
    """A table of few rows has no thousandth."""
    return [share for share in shares if share == 0 or share >= 1]
