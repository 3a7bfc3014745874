"""Training sets and serving beside the best SQL by hand, and beside Feast where this interpreter has it.

`run.py features` calls it. The package is that of this repository: build it in release mode before.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import psycopg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

SPINE_ROWS = 100_000
LOOKUPS = 5_000
CALLERS = 16
START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
COLUMNS = ["score", "visits", "plan", "seen"]
# What somebody writes by hand who serves by SQL.
LOOKUP = (
    "SELECT score, visits, plan, seen FROM features.users_v1__online"
    " WHERE user_id = $1 AND (valid_to IS NULL OR now() < valid_to)"
)


def views() -> Any:
    from ematix_flow import BigInt, FeatureView, Integer, Numeric, Text, TimestampTZ, ematix, pk

    @ematix.feature_view(schema="features", name="users", event_timestamp_column="seen", online=True)
    class Users(FeatureView):
        user_id: Annotated[BigInt, pk()]
        score: Numeric[10, 2] | None
        visits: Integer | None
        plan: Text | None
        seen: TimestampTZ

    return Users


def spine(rows: int, entities: int) -> list[tuple[int, dt.datetime]]:
    """Entities and instants in no order; some lie before the first event."""
    chance = random.Random(7)
    return [
        (chance.randrange(entities), START + dt.timedelta(microseconds=chance.randrange(-1, 15) * 3_600_000_000 + 1))
        for _ in range(rows)
    ]


def measure(dsn: str, rows: int, rounds: int, compare: Callable[..., None]) -> None:
    """Fills the view as its users do; training sets, then lookups."""
    from ematix_flow import Source, connect, pipeline

    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn, "-v", f"n={rows}", "-f", str(HERE / "gen_features.sql")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    conn = connect(dsn=dsn)
    filled = pipeline.sync(
        source=Source.postgres_table(conn, "raw", "user_events"),
        target=views(),
        name="users",
        mode="scd2",
        target_connection=conn,
    )
    assert filled.rows_inserted == rows
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE features.users_v1")
    training(dsn, rows, rounds, compare)
    serving(dsn, rows)


def training(dsn: str, rows: int, rounds: int, compare: Callable[..., None]) -> None:
    """100,000 rows of a spine joined. By hand: the spine by binary COPY, the answer by binary COPY, nothing decoded."""
    from ematix_flow import connect, ematix

    rows_of_spine = spine(SPINE_ROWS, rows // 10)
    Users = views()
    conn = connect(dsn=dsn)
    floor = (HERE / "floor" / "features.sql").read_text(encoding="utf-8")
    copied = binary(rows_of_spine)
    found: dict[str, int] = {}

    def by_hand() -> float:
        started = time.perf_counter()
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TEMP TABLE spine (user_id bigint, as_of timestamptz, n bigint) ON COMMIT DROP")
            cursor = connection.cursor()
            with cursor.copy("COPY pg_temp.spine FROM STDIN (FORMAT binary)") as copy:
                copy.write(copied)
            with cursor.copy(f"COPY ({floor}) TO STDOUT (FORMAT binary)") as copy:
                found["by hand"] = sum(len(data) for data in copy)
        return time.perf_counter() - started

    def arrow() -> Any:
        import pyarrow

        users, times = zip(*rows_of_spine, strict=True)
        return pyarrow.table(
            {"user_id": pyarrow.array(users), "as_of": pyarrow.array(times, pyarrow.timestamp("us", "UTC"))}
        )

    given = arrow()

    def ours(**more: Any) -> Callable[[], float]:
        def play() -> float:
            started = time.perf_counter()
            made = ematix.training_set(conn, spine=given, feature_views=[Users], prefer="arrow", **more)
            seconds = time.perf_counter() - started
            assert len(made) == SPINE_ROWS
            return seconds

        return play

    def nothing() -> None:
        return None

    players = {"floor": (nothing, by_hand), "flow": (nothing, ours())}
    if find_spec("feast") is not None:
        players["feast"] = (nothing, feast_training(dsn, rows_of_spine))
    compare(f"training set on {rows:,} events", rounds, players)


def binary(rows: list[tuple[int, dt.datetime]]) -> bytes:
    """The spine as binary COPY, with each row's place."""
    epoch = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)
    out = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"]
    for n, (user, time_) in enumerate(rows):
        microseconds = (time_ - epoch) // dt.timedelta(microseconds=1)
        out.append(struct.pack("!hiqiqiq", 3, 8, user, 8, microseconds, 8, n))
    return b"".join([*out, b"\xff\xff"])


def serving(dsn: str, rows: int) -> None:
    """One entity after the other, then by 16 callers. By hand: a bare prepared SELECT by the same driver, in Rust."""
    from ematix_flow import connect

    Users = views()
    conn = connect(dsn=dsn)
    chance = random.Random(11)
    keys = [chance.randrange(rows // 10) for _ in range(LOOKUPS)]

    def ask(key: int) -> float:
        started = time.perf_counter()
        found = Users.online_features(conn, entity_keys={"user_id": key}, columns=COLUMNS)
        assert found is not None
        return time.perf_counter() - started

    [ask(key) for key in keys[:500]]
    bare = bare_lookup(dsn, rows // 10)
    alone = [ask(key) for key in keys]
    print(
        f"online lookup{'':<21} floor p50 {bare:6.1f} µs   flow {told(alone)}   ratio {p50(alone) / bare:.2f}",
        flush=True,
    )
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(ask, keys[:1000]))
        started = time.perf_counter()
        together = list(pool.map(ask, keys * 2))
        seconds = time.perf_counter() - started
    print(
        f"online lookup, {CALLERS} callers{'':<9} {told(together)}   {len(together) / seconds:,.0f} a second",
        flush=True,
    )
    if find_spec("feast") is not None:
        print(f"online lookup, Feast{'':<14} {told(feast_serving(dsn, keys))}", flush=True)


def bare_lookup(dsn: str, entities: int) -> float:
    """The median of the driver alone, in microseconds."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    program = target / "release" / "examples" / "bare_lookup"
    if not program.exists():
        raise SystemExit("build it: cargo build --release --workspace --example bare_lookup")
    answered = subprocess.run(
        [str(program), dsn, LOOKUP, str(entities), str(LOOKUPS)], check=True, capture_output=True, text=True
    )
    return float(answered.stdout)


def p50(times: list[float]) -> float:
    return statistics.median(times) * 1e6


def told(times: list[float]) -> str:
    p99 = statistics.quantiles(times, n=100)[98] * 1e6
    return f"p50 {p50(times):6.1f} µs, p99 {p99:7.1f} µs"


# --- Feast ----------------------------------------------------------------------------------------------------------

REPOSITORY = """
project: bench
provider: local
registry: {folder}/registry.db
entity_key_serialization_version: 3
offline_store: {{type: postgres, host: "{host}", port: {port}, database: {dbname}, db_schema: public, user: {user}, password: "{password}"}}
online_store: {{type: postgres, host: "{host}", port: {port}, database: {dbname}, db_schema: feast_online, user: {user}, password: "{password}"}}
"""


def feast_store(dsn: str) -> Any:
    """A store of Feast over the same table."""
    from feast import Entity, FeatureStore, FeatureView, Field
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Float64, Int64, String

    folder = tempfile.mkdtemp(prefix="ematix-flow-feast-")
    said: dict[str, Any] = {"host": "localhost", "port": 5432, "password": "", **psycopg.conninfo.conninfo_to_dict(dsn)}
    (Path(folder) / "feature_store.yaml").write_text(REPOSITORY.format(folder=folder, **said))
    store = FeatureStore(folder)
    entity = Entity(name="user", join_keys=["user_id"])
    source = PostgreSQLSource(
        name="users",
        query="SELECT user_id, score::float8 AS score, visits::bigint AS visits, plan, seen FROM features.users_v1",
        timestamp_field="seen",
    )
    fields = [Field(name="score", dtype=Float64), Field(name="visits", dtype=Int64), Field(name="plan", dtype=String)]
    view = FeatureView(name="users", entities=[entity], ttl=dt.timedelta(days=30), schema=fields, source=source)
    store.apply([entity, view])
    return store


FEATURES = ["users:score", "users:visits", "users:plan"]


def feast_training(dsn: str, rows: list[tuple[int, dt.datetime]]) -> Callable[[], float]:
    import pandas

    store = feast_store(dsn)
    frame = pandas.DataFrame(rows, columns=["user_id", "event_timestamp"])

    def play() -> float:
        started = time.perf_counter()
        made = store.get_historical_features(entity_df=frame, features=FEATURES).to_df()
        seconds = time.perf_counter() - started
        assert len(made) == SPINE_ROWS
        return seconds

    return play


def feast_serving(dsn: str, keys: list[int]) -> list[float]:
    store = feast_store(dsn)
    store.materialize(START - dt.timedelta(days=1), START + dt.timedelta(days=2))
    times = []
    for key in keys[:1000]:
        started = time.perf_counter()
        store.get_online_features(features=FEATURES, entity_rows=[{"user_id": key}]).to_dict()
        times.append(time.perf_counter() - started)
    return times
