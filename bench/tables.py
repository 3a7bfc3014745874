"""The tables of the workload: what each has, how it is made and changed, and what its floor has to know of it.

`customers` is made by gen_source.sql; the others show what width and size cost, and have fewer rows of the same cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

# How a value of a type is brought into the form that is hashed (the encoding of the row hash), and how it is changed.
NORMAL = {"integer": "{}::int8", "numeric(12,2)": "trim_scale({})"}


@dataclass(frozen=True)
class Column:
    """A column, and the expression over a row's number `g` that fills it."""

    name: str
    type: str
    filled: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the source: `raw.NAME`, its key first."""

    name: str
    key: str
    columns: tuple[Column, ...]
    # One row of it stands for so many of `customers`.
    weight: int
    # What a change of a row sets.
    change: str
    # A column that every change changes: by it, tables are held to have the same rows.
    witness: str
    # What is not compared: a change of it alone is none.
    not_compared: frozenset[str] = frozenset()
    generator: str = "gen_table.sql"
    changer: str = "gen_table_change.sql"

    @property
    def source(self) -> str:
        return f"raw.{self.name}"

    def rows_of(self, rows: int) -> int:
        return max(rows // self.weight, 1)

    @cached_property
    def compared(self) -> list[str]:
        """What a history compares, in the order of its hash."""
        return sorted(column.name for column in self.columns if column.name not in self.not_compared)

    def declared(self) -> str:
        """The columns as a project declares them."""
        pairs = [f'{self.key} = "bigint"', *(f'{column.name} = "{column.type}?"' for column in self.columns)]
        return "{ " + ", ".join(pairs) + " }"

    def definition(self) -> str:
        """The columns of a table that is to hold its rows."""
        return ", ".join([f"{self.key} bigint", *(f"{column.name} {column.type}" for column in self.columns)])

    def variables(self) -> dict[str, str]:
        """What the floor's SQL has to know of it, as psql's variables."""
        names = [column.name for column in self.columns]
        types = {column.name: column.type for column in self.columns}
        normal = (NORMAL.get(types[name], "{}").format(name) for name in self.compared)
        return {
            "key": self.key,
            "columns": ", ".join(names),
            "set": ", ".join(f"{name} = c.{name}" for name in names),
            "differs": differs(sorted(names)),
            "compared": differs(self.compared),
            "hash": f"sha256(record_send(ROW({', '.join(normal)})))",
        }

    def generated(self, rows: int) -> dict[str, object]:
        """The variables of what makes it."""
        filled = ", ".join(f"({column.filled})::{column.type} AS {column.name}" for column in self.columns)
        return {"n": rows, "table": self.source, "key": self.key, "definition": filled, "change": self.change}


def differs(names: list[str]) -> str:
    return " OR ".join(f"s.{name} IS DISTINCT FROM t.{name}" for name in names)


def wide(count: int) -> Iterator[Column]:
    """Numbers, short texts, flags and days, as a wide table of a warehouse has them; a row fits a page."""
    kinds = [
        ("integer", "g * {n} % 1000003"),
        ("text", "'v' || (g + {n}) % 1009"),
        ("integer", "g % {n}"),
        ("boolean", "(g + {n}) % 3 = 0"),
        ("date", "DATE '2020-01-01' + ((g + {n}) % 2000)::int"),
    ]
    for number in range(1, count):
        kind, filled = kinds[number % len(kinds)]
        yield Column(f"c{number:04}", kind, filled.format(n=number))


CUSTOMERS = Table(
    "customers",
    "customer_id",
    (
        Column("email", "text"),
        Column("name", "text"),
        Column("status", "text"),
        Column("age", "integer"),
        Column("balance", "numeric(12,2)"),
        Column("is_vip", "boolean"),
        Column("signup_date", "date"),
        Column("updated_at", "timestamptz"),
        Column("attrs", "jsonb"),
    ),
    weight=1,
    change="",
    witness="email",
    not_compared=frozenset({"updated_at"}),
    generator="gen_source.sql",
    changer="gen_change.sql",
)
# The newest event of each of its keys: gen_events.sql makes ten events of a key before it.
EVENTS = Table(
    "events",
    "k",
    (Column("at", "timestamptz"), Column("price", "numeric(10,2)"), Column("label", "text")),
    weight=10,
    change="",
    witness="price",
    generator="gen_events.sql",
    changer="gen_events_change.sql",
)
WIDE = Table(
    "wide", "id", tuple(wide(100)), weight=10, change="c0005 = c0005 + 1, c0001 = c0001 || '*'", witness="c0001"
)
VERY_WIDE = Table(
    "very_wide", "id", tuple(wide(1000)), weight=100, change="c0005 = c0005 + 1, c0001 = c0001 || '*'", witness="c0001"
)
# A megabyte that does not compress to nothing: 32,768 hashes of 32 digits.
LARGE = Table(
    "large",
    "id",
    (
        Column("title", "text", "'document ' || g"),
        Column("body", "text", "SELECT string_agg(md5((g * 40000 + i)::text), '') FROM generate_series(1, 32768) AS i"),
    ),
    weight=10_000,
    witness="title",
    change="body = reverse(body), title = title || '*'",
)
TABLES = {table.name: table for table in (CUSTOMERS, WIDE, VERY_WIDE, LARGE, EVENTS)}
