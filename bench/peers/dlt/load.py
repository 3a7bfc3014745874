"""Loads raw.customers by dlt: load.py STRATEGY TABLE.

Arrow tables from the source, in pieces of 100,000 rows, since it then skips its normalizer
(https://dlthub.com/docs/dlt-ecosystem/verified-sources/sql_database/configuration#pyarrow), and CSV into Postgres, which it
copies and calls several times faster than its default (https://dlthub.com/docs/dlt-ecosystem/destinations/postgres#fast-loading-with-arrow-tables-and-csv).
"""

from __future__ import annotations

import os
import sys

import dlt
from dlt.sources.sql_database import sql_table
from sqlalchemy import Select, Table, Text, cast, select

strategy, name = sys.argv[1:]


def as_text(query: Select, table: Table) -> Select:
    """jsonb as text, as dlt's own warning advises: Arrow has no type for it."""
    return select(*[cast(c, Text).label(c.name) if c.name == "attrs" else c for c in table.columns])


table = sql_table(
    # The driver that its destination has, too.
    credentials=os.environ["BENCH_SOURCE"].replace("postgresql:", "postgresql+psycopg2:", 1),
    schema="raw",
    table="customers",
    backend="pyarrow",
    chunk_size=100_000,
    query_adapter_callback=as_text,
)
dispositions = {
    "append": "append",
    "truncate": "replace",
    "merge": {"disposition": "merge", "strategy": "upsert"},
    # https://dlthub.com/docs/general-usage/merge-loading#scd2-strategy
    "scd2": {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"},
}
if strategy == "scd2":
    # It hashes rows of dictionaries by itself; Arrow tables are given a column, by its own helper:
    # https://dlthub.com/docs/general-usage/merge-loading#use-your-own-row-hash
    from dlt.sources.helpers.transform import add_row_hash_to_table

    table.add_map(add_row_hash_to_table("row_hash"))
table.apply_hints(table_name=name, write_disposition=dispositions[strategy])
if strategy == "merge":
    table.apply_hints(primary_key="customer_id")
target = os.environ["BENCH_TARGET"]
if "@/" in target:
    # It insists on a host and a password, of which a socket has none: the host in the query is the one that counts.
    target = target.replace("@/", ":none@localhost/", 1)
pipeline = dlt.pipeline(
    "bench",
    destination=dlt.destinations.postgres(target),
    dataset_name=os.environ["BENCH_SCHEMA"],
    pipelines_dir=os.environ["DLT_DATA_DIR"],
)
print(pipeline.run(table, loader_file_format="csv"))
