"""Every code block of PRD §5, §11, §13, §15, §18.1, §18.3 and §18.6, as printed, on a real Postgres. Where a block leaves a name
undefined, or needs a table, the test makes it around the block and says so."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from database import Database
from python_package import Interpreter

RAW = """
CREATE SCHEMA raw;
CREATE TABLE raw.customers (
  customer_id bigint PRIMARY KEY, email varchar(256) NOT NULL, name text, status text, updated_at timestamptz NOT NULL
);
INSERT INTO raw.customers
SELECT n, 'c' || n || '@example.org', 'Customer ' || n, 'active', timestamptz '2026-01-01' + n * interval '1 s'
  FROM generate_series(1, 10) AS n;
"""


@pytest.fixture
def python(database: Database, tmp_path: Path) -> Interpreter:
    database.execute(RAW)
    return Interpreter(
        tmp_path, {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn, "EMATIX_FLOW_DSN": database.dsn, "TZ": "UTC"}
    )


# §5.1, with the query's timestamp cast to the declared one where rows are loaded.
CUSTOMER_DIM = """
from ematix_flow import ManagedTable, Column, Integer, String, Timestamp
class CustomerDim(ManagedTable):
    __tablename__ = "dim_customers"
    __schema__ = "analytics"
    customer_id = Column(Integer, primary_key=True)
    email = Column(String)
    status = Column(String)
    updated_at = Column(Timestamp)
"""

# §5.4; `conn` and `Source` are those of the sections before.
SYNC = """
from ematix_flow import pipeline
pipeline.sync(
    source=Source.postgres_query(conn, "select * from raw.customers"),
    target=CustomerDim,
    mode="scd2",
    keys=["customer_id"],
    compare_columns=["email", "status"],
    incremental_column="updated_at", # optional
)
"""

PIPELINE = """
p = Pipeline(
    name="customers_scd2",
    source=Source.postgres_table(connection=conn, schema="raw", table="customers"),
    target=CustomerDim,
    mode="scd2",
    keys=["customer_id"],
    compare_columns=["email", "status"],
    schedule="0 * * * *", # in v0.1
)
p.run()
"""

# §18.1.
DECORATED = """
from typing import Annotated
from ematix_flow import ematix, pk, natural_key
from ematix_flow.types import BigInt, String, Text, TimestampTZ

@ematix.table(schema="analytics")
class CustomerDim:
    customer_id: Annotated[BigInt, pk()]
    email: Annotated[String[256], natural_key()]
    name: Text | None
    updated_at: TimestampTZ

@ematix.pipeline(
    target=CustomerDim,
    schedule="0 * * * *",
    mode="scd2",
)
def sync_customers(conn):
    return "SELECT customer_id, email, name, updated_at FROM raw.customers"
"""

REST = """
from ematix_flow import Source, Pipeline, connect
conn = connect("warehouse")
"""


def versions(database: Database, table: str) -> Any:
    return database.value(f"SELECT count(*) FROM {table} WHERE is_current")


def test_5_4_a_sync_and_a_pipeline_object(python: Interpreter, database: Database) -> None:
    python.run(CUSTOMER_DIM + REST + SYNC)
    assert versions(database, "analytics.dim_customers") == 10
    database.execute("UPDATE raw.customers SET status = 'gone', updated_at = '2026-02-01' WHERE customer_id = 3")
    python.run(CUSTOMER_DIM + REST + SYNC)
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 11
    python.run(CUSTOMER_DIM + REST + PIPELINE)
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 11
    assert database.rows(
        "SELECT DISTINCT pipeline_name, status FROM ematix_flow.run_history ORDER BY pipeline_name"
    ) == [("analytics.dim_customers", "success"), ("customers_scd2", "success")]


def test_5_2_a_source_by_its_keywords(python: Interpreter) -> None:
    python.run("""
        from ematix_flow import Source, connect
        conn = connect("warehouse")
        Source.postgres_query(connection=conn, query="select 1 as a")
        Source.postgres_table(connection="warehouse", schema="raw", table="customers")
        Source.postgres_query("warehouse", "select 1 as a")
    """)


@pytest.mark.parametrize(
    ("mode", "strategy"),
    [
        ("append", "AppendOnly()"),
        ("truncate", "TruncateReplace()"),
        ("merge", "MergeUpsert(keys=['customer_id'])"),
        ("scd1", "MergeUpsert()"),
        ("scd2", "SCD2(keys=['customer_id'])"),
    ],
)
def test_5_3_a_mode_and_its_class_do_the_same(
    mode: str, strategy: str, python: Interpreter, database: Database
) -> None:
    script = """
from ematix_flow import *
from ematix_flow import pipeline, Source, AppendOnly, TruncateReplace, MergeUpsert, SCD2
source = Source.postgres_query("warehouse", "select * from raw.customers")
{table}
by_mode = pipeline.sync(source=source, target=One, mode="{mode}")
by_class = pipeline.sync(source=source, target=Two, strategy={strategy})
assert by_mode.mode == by_class.mode, (by_mode, by_class)
assert by_mode.rows_inserted == by_class.rows_inserted == 10
"""
    table = "\n".join(
        f"class {name}(ManagedTable):\n"
        f"    __tablename__ = '{name.lower()}'\n"
        "    customer_id = Column(BigInt, primary_key=True)\n    email = Column(String)\n"
        for name in ("One", "Two")
    )
    python.run(script.format(table=table, mode=mode, strategy=strategy))
    assert database.value("SELECT count(*) FROM public.one") == database.value("SELECT count(*) FROM public.two") == 10


# §18.2, but for the helpers across rows.
NORMALISED = """
from typing import Annotated
from ematix_flow import *
from ematix_flow import normalize

@ematix.table(schema="analytics")
class Contacts:
    id: Annotated[BigInt, pk()]
    email: Annotated[String[256] | None, lower(), trim(), empty_to_null()]
    ts: Annotated[TimestampTZ | None, parse_timestamp()] # auto-detect catalogue
    score: Annotated[BigInt, parse_int(on_failure="default", default=0)]
    region: Annotated[String[8], default("US")]
    full_name: Annotated[Text, derive("first_name || ' ' || last_name"), trim()]

@ematix.pipeline(target=Contacts, mode="merge")
def contacts(conn):
    return "SELECT * FROM raw.contacts"
"""


def test_18_2_markers_clean_what_is_loaded(python: Interpreter, database: Database) -> None:
    database.execute("""
        CREATE TABLE raw.contacts (id bigint, email text, ts text, score text, region text, first_name text, last_name text);
        INSERT INTO raw.contacts VALUES (1, ' A@X.org ', '31/01/2026 12:00', '7', NULL, ' Ada', 'Byron'),
                                        (2, ' ', '2026-13-45', 'seven', 'EU', 'Charles', 'Babbage ');
    """)
    python.write("contacts.py", NORMALISED)
    report = python.flow("--module", "contacts", "run", "contacts", "--output", "json").json()
    assert report["parse_failures"] == {"ts": 1, "score": 1}
    assert database.rows(
        "SELECT id, email, ts::text, score, region, full_name FROM analytics.contacts ORDER BY id"
    ) == [
        (1, "a@x.org", "2026-01-31 12:00:00+00", 7, "US", "Ada Byron"),
        (2, None, None, 0, "EU", "Charles Babbage"),
    ]


# §11.
def test_11_a_registry_and_its_commands(python: Interpreter, database: Database) -> None:
    python.write("my_pipelines.py", "from ematix_flow import Pipelines\nflows = Pipelines()\n" + CUSTOMER_DIM + REST)
    with (python.directory / "my_pipelines.py").open("a") as file:
        file.write(PIPELINE.replace("p.run()", ""))
    shown = python.run("from my_pipelines import flows\nprint(list(flows), flows['customers_scd2'].name)")
    assert shown.stdout == "['customers_scd2'] customers_scd2\n"
    listed = python.flow("--module", "my_pipelines", "list")
    assert "customers_scd2" in listed.stdout and "0 * * * *" in listed.stdout
    python.flow("--module", "my_pipelines", "run", "customers_scd2")
    assert versions(database, "analytics.dim_customers") == 10
    # Unless said, its first slot is the next full hour.
    module = python.directory / "my_pipelines.py"
    module.write_text(module.read_text().replace("# in v0.1", "first_run='now'"))
    due = python.flow("--module", "my_pipelines", "run-due", "--output", "json").json()
    assert [run["pipeline"] for run in due["runs"]] == ["customers_scd2"]
    assert python.flow("--module", "my_pipelines", "run-due", "--output", "json").json()["runs"] == []
    columns = "started_at, ended_at, status, error, rows_in, rows_inserted, rows_updated, rows_closed_out"
    database.rows(f"SELECT {columns}, watermark_before, watermark_after FROM ematix_flow.run_history")


# §13 and §15.
def test_13_and_15_every_name_is_there(python: Interpreter) -> None:
    python.run("""
from ematix_flow import (
    Column, Integer, BigInt, SmallInt,
    String, Text, Boolean,
    Float, Double, Numeric,
    Date, Timestamp, TimestampTZ,
    JSON, JSONB, UUID, Bytes,
)
from ematix_flow import (
    ManagedTable, Column,
    Integer, BigInt, String, Text, Boolean, Float, Numeric,
    Date, Timestamp, TimestampTZ, JSON, JSONB, UUID,
    Source,
    Pipeline, pipeline,
    AppendOnly, TruncateReplace, MergeUpsert, SCD2,
)
column = Column(Integer, primary_key=False, nullable=True, default=None, unique=False)
assert (column.primary_key, column.nullable, column.default, column.unique) == (False, True, None, False)
""")


def test_13_every_type_makes_its_column(python: Interpreter, database: Database) -> None:
    python.run("""
from ematix_flow import *
from ematix_flow import pipeline, Source, ManagedTable
class Everything(ManagedTable):
    a = Column(SmallInt, primary_key=True)
    b = Column(Integer); c = Column(BigInt); d = Column(Float); e = Column(Double); f = Column(Numeric)
    g = Column(Numeric(10, 2)); h = Column(String); i = Column(String(20)); j = Column(Text); k = Column(Boolean)
    l = Column(Date); m = Column(Timestamp); n = Column(TimestampTZ); o = Column(JSON); p = Column(JSONB)
    q = Column(UUID); r = Column(Bytes)
    s = Column(Integer, default=7, unique=True)
query = '''SELECT 1::int2 AS a, 1 AS b, 1::int8 AS c, 1::float4 AS d, 1::float8 AS e, 1.5 AS f, 1.5 AS g, 'x'::varchar AS h,
  'x'::varchar AS i, 'x' AS j, true AS k, date '2026-01-01' AS l, timestamp '2026-01-01' AS m, timestamptz '2026-01-01' AS n,
  '1'::json AS o, '1'::jsonb AS p, gen_random_uuid() AS q, ''::bytea AS r'''
pipeline.sync(source=Source.postgres_query("warehouse", query), target=Everything, mode="append")
""")
    types = database.rows(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'public.everything'::regclass AND attnum > 0 ORDER BY attnum"
    )
    names = [name for (name,) in types][:19]
    assert names[:7] == ["smallint", "integer", "bigint", "real", "double precision", "numeric", "numeric(10,2)"]
    assert names[7:11] == ["character varying", "character varying(20)", "text", "boolean"]
    assert names[11:14] == ["date", "timestamp without time zone", "timestamp with time zone"]
    assert names[14:] == ["json", "jsonb", "uuid", "bytea", "integer"]
    assert database.value("SELECT s FROM public.everything") == 7


def test_18_1_the_decorators(python: Interpreter, database: Database) -> None:
    python.run(
        DECORATED
        + """
from ematix_flow import pipeline
name = "sync_customers"
plan = pipeline.preview(name)
assert plan.steps and plan.mode == "scd2" and plan.changes == []
report = pipeline.dry_run(name)
assert (report.dry_run, report.rows_inserted) == (True, 10)
problems = pipeline.validate(name)
assert problems.ok
assert sync_customers.run().rows_inserted == 10
assert sync_customers.run().rows_unchanged == 10
assert sync_customers(None).startswith("SELECT")
"""
    )
    assert versions(database, "analytics.customer_dim") == 10
    not_null = "SELECT attname FROM pg_attribute WHERE attrelid = 'analytics.customer_dim'::regclass AND NOT attnotnull"
    assert [name for (name,) in database.rows(f"{not_null} AND attnum > 0 ORDER BY attnum")] == ["name", "valid_to"]


# §18.2, with the class, the rest of its columns and the pipeline around the two blocks.
def test_18_2_rows_are_cleaned_and_helped(python: Interpreter, database: Database) -> None:
    database.execute("""
        CREATE TABLE raw.people (customer_id bigint, email text, ts text, score text, region text, first_name text,
                                 last_name text, updated_at timestamptz);
        INSERT INTO raw.people
        SELECT n / 2, ' A' || n || '@X.org ', '2026-01-01T00:00:00Z', 'n/a', NULLIF('eu', repeat('eu', n % 5)), 'Ada', n || ' ',
               timestamptz '2026-01-01' + n * interval '1 s'
          FROM generate_series(2, 401) AS n;
    """)
    python.run("""
from typing import Annotated
from ematix_flow import *
from ematix_flow.types import BigInt, String, Text, TimestampTZ

@ematix.table(schema="analytics")
class Customers:
    customer_id: Annotated[BigInt, pk()]
    email: Annotated[String[256] | None, lower(), trim(), empty_to_null()]
    ts: Annotated[TimestampTZ | None, parse_timestamp()] # auto-detect catalogue
    score: Annotated[BigInt, parse_int(on_failure="default", default=0)]
    region: Annotated[String[8], default("US")]
    full_name: Annotated[Text, derive("first_name || ' ' || last_name"), trim()]

@ematix.pipeline(target=Customers, mode="merge", transforms_pre=[
deduplicate_by("customer_id", order_by="updated_at DESC"),
filter_where("region IS NOT NULL"), limit(1000), sample_pct(0.1)])
def customers(conn):
    return "SELECT * FROM raw.people"

report = customers.run()
assert report.rows_deduplicated == 200, report
assert 5 < report.rows_inserted < 40 and report.rows_in == report.rows_inserted + 200, report
assert customers.run().rows_unchanged == report.rows_inserted
tried = customers.dry_run()
assert [layer["layer"] for layer in tried.layers] == ["source", "markers", "deduplicate_by", "filter_where", "limit", "sample_pct"]
assert tried.layers[1]["changed"]["score"] == 400 and [layer["rows"] for layer in tried.layers[:3]] == [400, 400, 200]
""")
    assert database.rows(
        "SELECT DISTINCT email = format('a%s@x.org', 2 * customer_id + 1), ts, score, full_name = format('Ada %s', 2 * customer_id + 1)"
        " FROM analytics.customers"
    ) == [(True, dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), 0, True)]


# §18.6.
def test_18_3_strings_callables_and_references_run_after_the_load(python: Interpreter, database: Database) -> None:
    database.execute("CREATE TABLE raw.marts (said text)")
    module = """
from ematix_flow import Pipeline, Source, ematix

@ematix.transform
def refresh_marts(conn):
    conn.execute("INSERT INTO raw.marts VALUES ('refreshed')")

def count(conn):
    return {"rows": conn.query("SELECT count(*) AS n FROM analytics.loaded")[0]["n"]}

Pipeline(
    name="loaded",
    source=Source.postgres_table("warehouse", "raw", "customers"),
    target="analytics.loaded",
    mode="merge",
    transforms_post=["ANALYZE analytics.loaded", count, ematix.transform_ref("refresh_marts")],
)
"""
    python.write("shop.py", module)
    report = json.loads(python.flow("--module", "shop", "run", "loaded", "--output", "json").stdout)
    assert [(each["status"], each["metrics"]) for each in report["transforms"]] == [
        ("success", {}),
        ("success", {"rows": 10}),
        ("success", {}),
    ]
    # A standalone callable: registered, runnable by its name.
    python.flow("--module", "shop", "transform", "run", "refresh_marts")
    assert database.value("SELECT count(*) FROM raw.marts") == 2


def test_18_6_named_connections(python: Interpreter, database: Database) -> None:
    script = """
from ematix_flow import connect
with connect("{name}") as conn:
    print(conn.query("SELECT count(*) AS n FROM raw.customers"))
"""
    assert python.run(script.format(name="warehouse")).stdout == "[{'n': 10}]\n"
    folder = python.directory / ".ematix-flow"
    folder.mkdir()
    (folder / "connections.toml").write_text(f'[connections.elsewhere]\ndsn = "{database.dsn}"\n')
    assert python.run(script.format(name="elsewhere")).stdout == "[{'n': 10}]\n"


def test_a_source_has_params_and_columns(python: Interpreter, database: Database) -> None:
    script = """
from ematix_flow import *
from ematix_flow import pipeline, Source, connect
some = Source.postgres_query("warehouse", "SELECT * FROM raw.{table} WHERE email = :email -- :no", params={"table": "customers", "email": "c1@example.org"})
two = Source.postgres_table("warehouse", "raw", "customers", ["customer_id", "email"])
assert pipeline.sync(source=some, target="public.one", mode="merge", keys="customer_id").rows_in == 1
assert pipeline.sync(source=two, target="public.two", mode="merge", keys="customer_id").rows_in == 10
@ematix.pipeline(target="public.three", mode="merge", keys="customer_id", source_connection="warehouse")
def called(conn):
    return Source.postgres_query(connect(dsn=DSN), "SELECT customer_id FROM raw.customers WHERE customer_id < :n", params={"n": 3})
assert called.run().rows_in == 2
"""
    python.run(f"DSN = {database.dsn!r}\n{script}")
    assert [
        name
        for (name,) in database.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'public.two'::regclass AND attnum > 0"
        )
    ] == [
        "customer_id",
        "email",
    ]


def test_a_types_spelling_is_what_the_core_makes_of_it(python: Interpreter, database: Database) -> None:
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE EXTENSION citext")
    script = """
import json
from ematix_flow import *
from ematix_flow import pipeline, Source, types
every = [SmallInt, Integer, BigInt, Float, Double, Numeric, Numeric[10, 2], String, String[20], Text, Boolean, Date, Timestamp,
         TimestampTZ, Timestamp[3], TimestampTZ[0], Time, Time[3], Interval, JSON, JSONB, UUID, Bytes, Array[Integer], Array[Text],
         PgType["citext"], Enum["mood", "sad", "glad"]]
named = {name for name, kind in vars(types).items() if isinstance(kind, type) and issubclass(kind, types.ColumnType)}
tried = {kind.__name__ if isinstance(kind, type) else type(kind).__name__ for kind in every}
left_out = {name for name in named if not any(issubclass(kind if isinstance(kind, type) else type(kind), getattr(types, name)) for kind in every)}
assert not left_out, left_out
columns = {f"c{n}": Column(kind) for n, kind in enumerate(every)}
Every = type("Every", (ManagedTable,), {"__tablename__": "every", **columns})
casts = ", ".join(f"NULL::{column.type.sql} AS {name}" for name, column in columns.items())
pipeline.sync(source=Source.postgres_query("warehouse", "SELECT " + casts), target=Every, mode="append")
print(json.dumps({name: column.type.sql for name, column in columns.items()}))
"""
    spelled = python.run(script).json()
    database.execute("CREATE TABLE by_hand (" + ", ".join(f"{name} {sql}" for name, sql in spelled.items()) + ")")
    types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{}'::regclass AND attname ~ '^c[0-9]' ORDER BY 1"
    assert database.rows(types.format("public.every")) == database.rows(types.format("by_hand"))
