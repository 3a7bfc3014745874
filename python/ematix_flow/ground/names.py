"""Names of tables and columns: how a class is called in the database, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable


def snake_case(name: str) -> str:
    """The table's name for a class.

    >>> snake_case("CustomerDim"), snake_case("HTTPLog"), snake_case("Dim2024Customers")
    ('customer_dim', 'http_log', 'dim2024_customers')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return spaced.lower()


def a(kind: type) -> str:
    """A type with its article.

    >>> a(int), a(str)
    ('an int', 'a str')
    """
    return f"{'an' if kind.__name__[0] in 'aeiouAEIOU' else 'a'} {kind.__name__}"


def qualified(schema: str, name: str) -> str:
    """`schema.name`, with double quotes around a part that holds a dot or a quote; the core reads it back.

    >>> qualified("raw", "a.b")
    'raw."a.b"'
    """
    return f"{_part(schema)}.{_part(name)}"


def _part(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name


def distance(one: str, other: str) -> int:
    """How many letters to add, drop, change or swap with their neighbour until one is the other.

    >>> distance("compare_colums", "compare_columns"), distance("kesy", "keys")
    (1, 1)
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, other_letter in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == other_letter:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, by the rule of the core; None where none is close.

    >>> nearest("custmer_id", ["customer_id", "email"])
    'customer_id'
    >>> nearest("weight", ["customer_id", "email"]) is None
    True
    """
    best: tuple[int, str] | None = None
    for name in names:
        cost = distance(word.lower(), name.lower())
        if cost <= 1 + min(len(name), len(word)) // 4 and (best is None or cost < best[0]):
            best = (cost, name)
    return best[1] if best else None


def did_you_mean(word: str, names: Iterable[str], otherwise: str) -> str:
    """A hint: the nearest name, or the words for when there is none."""
    near = nearest(word, names)
    return f"did you mean `{near}`?" if near else otherwise
