"""Helpers with rows that reach them and rows that leave them, worked out by hand: one table for every path and mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]

# The rows of every case, as `app.orders`.
TABLE = """
    CREATE SCHEMA app;
    CREATE TABLE app.orders (
      id bigint, region text, amount numeric, updated_at timestamptz, tags jsonb, parts text[], payload json
    );
    INSERT INTO app.orders VALUES
      (1, 'EU', 10.5, '2026-01-01 00:00Z', '["a", "b"]', '{x,y}', '{"city": "Rome", "at": {"zip": "00100"}}'),
      (1, 'EU', 11.5, '2026-01-03 00:00Z', '["c"]', '{}', '{"city": null, "at": {"zip": "7"}}'),
      (1, 'US', 12.5, NULL, '[]', NULL, '{}'),
      (2, 'US', 20, '2026-01-02 00:00Z', NULL, '{z}', '{"city": "Bonn", "at": 5, "list": [1]}'),
      (3, NULL, 30, '2026-01-02 00:00Z', '5', '{v,v}', NULL);
"""


@dataclass(frozen=True)
class Case:
    """What helpers make of the rows: the columns of the target, its rows, and how many were dropped as duplicates."""

    helpers: Sequence[dict[str, Any]]
    columns: dict[str, str]
    rows: Sequence[Row]
    deduplicated: int = 0


LATEST = {"deduplicate_by": {"keys": "id", "order_by": "updated_at DESC"}}
ORDER = {"id": "bigint", "region": "text?", "amount": "numeric?"}

CASES: dict[str, Case] = {
    "deduplicate_by": Case([LATEST], ORDER, [(1, "EU", "11.5"), (2, "US", "20"), (3, None, "30")], 2),
    "deduplicate_by_nulls_first": Case(
        [{"deduplicate_by": {"keys": ["id"], "order_by": "updated_at DESC NULLS FIRST"}}],
        ORDER,
        [(1, "US", "12.5"), (2, "US", "20"), (3, None, "30")],
        2,
    ),
    "deduplicate_by_ascending": Case(
        [{"deduplicate_by": {"keys": "id", "order_by": "updated_at"}}],
        ORDER,
        [(1, "EU", "10.5"), (2, "US", "20"), (3, None, "30")],
        2,
    ),
    "deduplicate_by_several": Case(
        [{"deduplicate_by": {"keys": ["id", "region"], "order_by": "updated_at DESC"}}],
        ORDER,
        [(1, "EU", "11.5"), (1, "US", "12.5"), (2, "US", "20"), (3, None, "30")],
        1,
    ),
    # What a later helper leaves out was dropped all the same.
    "deduplicate_by_then_filter": Case(
        [LATEST, {"filter_where": "region = 'US'"}], ORDER, [(2, "US", "20")], 2
    ),
    "filter_then_deduplicate_by": Case(
        [{"filter_where": "region = 'US' -- of old"}, LATEST], ORDER, [(1, "US", "12.5"), (2, "US", "20")]
    ),
    "deduplicate_by_to_nothing": Case([LATEST, {"filter_where": "false"}], ORDER, [], 2),
    "deduplicate_by_twice": Case(
        [LATEST, {"deduplicate_by": {"keys": "updated_at", "order_by": "id"}}],
        ORDER,
        [(1, "EU", "11.5"), (2, "US", "20")],
        3,
    ),
    "filter_where": Case(
        [{"filter_where": "amount > 11 AND region IS NOT NULL"}],
        ORDER,
        [(1, "EU", "11.5"), (1, "US", "12.5"), (2, "US", "20")],
    ),
    "filter_where_twice": Case(
        [{"filter_where": "amount > 11"}, {"filter_where": {"condition": "amount < 15 OR (amount) = 30"}}],
        ORDER,
        [(1, "EU", "11.5"), (1, "US", "12.5"), (3, None, "30")],
    ),
    "limit": Case([{"filter_where": "id = 2"}, {"limit": 1}], ORDER, [(2, "US", "20")]),
    "limit_to_nothing": Case([{"limit": 0}], ORDER, []),
    "sample_pct_of_all": Case([{"sample_pct": 1}, {"filter_where": "id > 1"}], ORDER, [(2, "US", "20"), (3, None, "30")]),
    "rename": Case(
        [{"filter_where": "id > 1"}, {"rename": {"order_id": "id", "id": "amount"}}],
        {"order_id": "bigint", "id": "numeric"},
        [(2, "20"), (3, "30")],
    ),
    "rename_for_later": Case(
        [{"rename": {"place": "region"}}, {"filter_where": "place = 'EU' AND amount > 11"}],
        {"id": "bigint", "place": "text"},
        [(1, "EU")],
    ),
    # What is out of sight can still be said.
    "select": Case([{"select": ["id", "amount"]}, {"filter_where": "region = 'EU'"}], {"id": "bigint", "amount": "numeric"},
                   [(1, "10.5"), (1, "11.5")]),
    "with_column": Case(
        [{"with_column": {"name": "double", "expression": "amount * 2"}}, {"filter_where": "double > 30"}],
        {"id": "bigint", "double": "numeric"},
        [(2, "40"), (3, "60")],
    ),
    "with_column_in_place": Case(
        [{"with_column": {"name": "amount", "expression": "round(amount)::int -- whole"}}, {"filter_where": "id > 1"}],
        {"id": "bigint", "amount": "integer"},
        [(2, "20"), (3, "30")],
    ),
    "explode": Case(
        [{"explode": "tags"}],
        {"id": "bigint", "amount": "numeric", "tags": "jsonb"},
        [(1, "10.5", '"a"'), (1, "10.5", '"b"'), (1, "11.5", '"c"'), (3, "30", "5")],
    ),
    "explode_array": Case(
        [{"explode": {"column": "parts", "into": "part"}}],
        {"id": "bigint", "amount": "numeric", "part": "text"},
        [(1, "10.5", "x"), (1, "10.5", "y"), (2, "20", "z"), (3, "30", "v"), (3, "30", "v")],
    ),
    "explode_keeping_rows": Case(
        [{"explode": {"column": "parts", "into": "part", "keep_empty": True}}, {"filter_where": "id = 1"}],
        {"id": "bigint", "amount": "numeric", "part": "text?"},
        [(1, "10.5", "x"), (1, "10.5", "y"), (1, "11.5", None), (1, "12.5", None)],
    ),
    "explode_and_deduplicate_by": Case(
        [{"explode": {"column": "parts", "into": "part"}}, {"deduplicate_by": {"keys": "part", "order_by": "id"}}],
        {"id": "bigint", "part": "text"},
        [(1, "x"), (1, "y"), (2, "z"), (3, "v")],
        1,
    ),
    "flatten": Case(
        [{"flatten": {"column": "payload", "into": {
            "city": "city", "zip": {"path": "at.zip", "type": "integer"}, "list": {"type": "json"}}}}],
        {"id": "bigint", "amount": "numeric", "city": "text?", "zip": "integer?", "list": "json?"},
        [(1, "10.5", "Rome", "100", None), (1, "11.5", None, "7", None), (1, "12.5", None, None, None),
         (2, "20", "Bonn", None, "[1]"), (3, "30", None, None, None)],
    ),
}  # fmt: skip
