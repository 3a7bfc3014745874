"""Helpers: steps over all rows of the source before the load (`transforms_pre`).

>>> from ematix_flow import deduplicate_by, filter_where
>>> helpers = [deduplicate_by("customer_id", order_by="updated_at DESC"), filter_where("region IS NOT NULL")]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.errors import SpecError
from ..ground.values import Names, names, plain


class PreHelper:
    """A step over all rows of the source, in the database, before they are compared with the target."""

    def __init__(self, name: str, arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def export(self) -> dict[str, Any]:
        """The helper as pipelines.toml has it."""
        return {self.name: self.arguments}

    def __repr__(self) -> str:
        return f"{self.name}({self.arguments!r})"


def deduplicate_by(keys: Names, *, order_by: str) -> PreHelper:
    """Keeps the first row of each key by `order_by`; the others are counted in `.rows_deduplicated`.

    NULL comes last unless said otherwise. Of rows that come together always the same one stays. Rows without a key are
    no duplicates of each other.
    """
    found = names(keys, "deduplicate_by")
    if not found:
        raise SpecError(
            "deduplicate_by: the keys are an empty list", code="invalid_value", hint="name the columns of the key"
        )
    said = found[0] if len(found) == 1 else found
    return PreHelper("deduplicate_by", {"keys": said, "order_by": _text("deduplicate_by", order_by)})


def filter_where(condition: str) -> PreHelper:
    """Keeps the rows that meet an SQL condition over the source's columns; a row for which it is NULL goes.

    >>> filter_where("region IS NOT NULL").export()
    {'filter_where': 'region IS NOT NULL'}
    """
    return PreHelper("filter_where", _text("filter_where", condition))


def limit(rows: int) -> PreHelper:
    """Keeps so many rows at most; which ones, nobody says.

    >>> limit(1000).export()
    {'limit': 1000}
    """
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
        raise SpecError(f"limit: {rows!r} is not a number of rows", code="invalid_value", hint="write limit(1000)")
    return PreHelper("limit", rows)


def sample_pct(fraction: float, *, seed: int = 0) -> PreHelper:
    """Keeps a fraction of the rows, above 0 and up to 1: 0.1 keeps one row in ten.

    By the key (without keys: the row's hash) and the seed, so runs agree on the rows.

    >>> sample_pct(0.1)
    sample_pct(0.1)
    """
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise SpecError(
            f"sample_pct: {fraction!r} is not a fraction from 0 to 1",
            code="invalid_value",
            hint="10 percent is sample_pct(0.1)",
        )
    return PreHelper("sample_pct", {"fraction": fraction, "seed": seed} if seed else fraction)


def rename(**new_old: str) -> PreHelper:
    """Gives columns of the source new names: `rename(customer_id="cust_no")`."""
    if not new_old:
        raise SpecError("rename() without columns", code="missing_option", hint='write rename(new="old")')
    return PreHelper("rename", {new: _text("rename", old) for new, old in new_old.items()})


def select(*columns: str) -> PreHelper:
    """Keeps these columns in sight; later helpers, the watermark and `order_by` can still name the others.

    >>> select("customer_id", "email").export()
    {'select': ['customer_id', 'email']}
    """
    if not columns:
        raise SpecError("select() without columns", code="missing_option", hint='write select("customer_id", "email")')
    return PreHelper("select", names(columns, "select"))


def with_column(name: str, expression: str) -> PreHelper:
    """Adds a column from an SQL expression over the source's, or puts it in the place of one of that name.

    >>> with_column("total", "price * quantity").export()
    {'with_column': {'name': 'total', 'expression': 'price * quantity'}}
    """
    return PreHelper("with_column", {"name": name, "expression": _text("with_column", expression)})


def explode(column: str, *, into: str | None = None, keep_empty: bool = False) -> PreHelper:
    """A row for every element of a list: of a JSON array, or of an array of Postgres.

    Args:
        into: the column of the elements; the list's own unless said.
        keep_empty: whether a row whose list is NULL or empty stays, with NULL.
    """
    said: dict[str, Any] = {"column": _text("explode", column)}
    if into is not None:
        said["into"] = _text("explode", into)
    if keep_empty:
        said["keep_empty"] = True
    return PreHelper("explode", said if len(said) > 1 else said["column"])


def flatten(column: str, into: Mapping[str, Any]) -> PreHelper:
    """Columns out of a JSON object, by a list of their paths in it; NULL where it has none there.

    >>> flatten("payload", {"city": "address.city", "zip": {"path": "address.zip", "type": "bigint"}}).arguments["into"]
    {'city': 'address.city', 'zip': {'path': 'address.zip', 'type': 'bigint'}}
    """
    if not isinstance(into, Mapping) or not into:
        raise SpecError(
            "flatten() without columns",
            code="missing_option",
            hint='write flatten("payload", {"city": "address.city"})',
        )
    return PreHelper(
        "flatten", {"column": _text("flatten", column), "into": {name: plain(into[name]) for name in into}}
    )


def _text(owner: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"{owner}: {text!r} is not SQL text", code="invalid_value", hint="give SQL as text")
    return text
