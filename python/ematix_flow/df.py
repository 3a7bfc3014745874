"""Frames: `conn.read_df(…)`, `conn.read_batches(…)`, `conn.write_df(…)`, and `write_partitions`.

The methods are there without this import: it says that a script needs frames, and
`pip install "ematix-flow[df]"` brings polars, pandas and pyarrow for it.

>>> import ematix_flow.df
>>> from ematix_flow import connect
>>> with connect("crm") as conn:  # on a server
...     conn.read_df("SELECT customer_id, plan FROM app.customers WHERE plan = :plan", {"plan": "team"})
shape: (1, 2)
┌─────────────┬──────┐
│ customer_id ┆ plan │
│ ---         ┆ ---  │
│ i64         ┆ str  │
╞═════════════╪══════╡
│ 42          ┆ team │
└─────────────┴──────┘
"""

from __future__ import annotations

from .run.partitions import write_partitions

__all__ = ["write_partitions"]
