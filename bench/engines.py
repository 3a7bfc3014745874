"""Rows between Postgres and a file of DuckDB beside their peers, and loads inside one file beside the best SQL by hand.

`run.py engines` calls it. The package is that of this repository: build it in release mode before. The floor is DuckDB's own
extension for Postgres, which exists for one version of DuckDB at a time (`pip install duckdb==1.5.5
duckdb-extension-postgres-scanner`); peers are those that the interpreter has: adbc-driver-postgresql, dlt.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import duckdb
import frames
import psycopg

HERE = Path(__file__).resolve().parent
# What a file of DuckDB keeps of the workload.
COLUMNS = "customer_id, email, name, status, age, balance, is_vip, signup_date, updated_at, attrs"
TEXTS = f"SELECT {COLUMNS}::text FROM raw.customers"

OURS = "import duckdb\nfrom ematix_flow import Source, connect, pipeline\npg = connect(dsn=dsn)\nfile = connect('duckdb:' + str(work / 'out.duckdb'))\n"
EXTENSION = (
    "import duckdb, duckdb_extension_postgres_scanner as found\nfrom importlib.resources import files\n"
    "connection = duckdb.connect(str(work / 'out.duckdb'))\n"
    "path = next(p for p in Path(found.__file__).parent.rglob('*.duckdb_extension'))\n"
    "connection.execute(f\"LOAD '{path}'; ATTACH '{uri}' AS pg (TYPE postgres)\")\n"
)
ADBC = "import duckdb, adbc_driver_postgresql.dbapi as adbc\nconn = adbc.connect(uri)\ncursor = conn.cursor()\nconnection = duckdb.connect(str(work / 'out.duckdb'))\n"
# It has no decimals: they go as the nearest double.
READER = ADBC.replace("out.duckdb", "in.duckdb") + (
    "reader = connection.execute('SELECT * REPLACE (CAST(balance AS DOUBLE) AS balance) FROM customers').fetch_record_batch()\n"
)
FLOOR = "DuckDB's extension"

OUT = {
    FLOOR: (
        "duckdb_extension_postgres_scanner",
        EXTENSION + 'connection.execute("CREATE TABLE t AS SELECT * FROM pg.raw.customers")\nconnection.close()',
    ),
    "ours": (
        "ematix_flow",
        OURS
        + "pipeline.sync(source=Source.postgres_table(pg, 'raw', 'customers'), target='main.customers', target_connection=file, mode='truncate')",
    ),
    "adbc": (
        "adbc_driver_postgresql",
        ADBC
        + f"cursor.execute({TEXTS!r})\nreader = cursor.fetch_record_batch()\nconnection.execute('CREATE TABLE t AS SELECT * FROM reader')\nconnection.close()",
    ),
    "dlt, pyarrow": (
        "dlt",
        (
            "import dlt, os\nfrom dlt.sources.sql_database import sql_table\n"
            "os.environ['RUNTIME__DLTHUB_TELEMETRY'] = 'false'\n"
            "table = sql_table(credentials=uri, schema='raw', table='customers', backend='pyarrow', chunk_size=100000)\n"
            "loads = dlt.pipeline('bench', destination=dlt.destinations.duckdb(str(work / 'out.duckdb')), pipelines_dir=str(work / 'dlt'))\n"
            "loads.run(table, write_disposition='replace')"
        ),
    ),
}
BACK = {
    FLOOR: (
        "duckdb_extension_postgres_scanner",
        EXTENSION.replace("out.duckdb", "in.duckdb")
        + 'connection.execute("INSERT INTO pg.bench.landed SELECT * FROM customers")',
    ),
    "ours": (
        "ematix_flow",
        OURS.replace("out.duckdb", "in.duckdb")
        + "pipeline.sync(source=Source.query(file, 'SELECT * FROM customers'), target='bench.landed', target_connection=pg,"
        " mode='append', loaded_at_column=False, batch_id_column=False)",
    ),
    "ours, truncate": (
        "ematix_flow",
        OURS.replace("out.duckdb", "in.duckdb")
        + "pipeline.sync(source=Source.table(file, 'main.customers'), target='bench.landed', target_connection=pg, mode='truncate')",
    ),
    "adbc, into the table": (
        "adbc_driver_postgresql",
        f"{READER}cursor.adbc_ingest('bench_stage', reader, mode='create')\n{frames.INTO_THE_TABLE}",
    ),
    "adbc, jsonb as text": (
        "adbc_driver_postgresql",
        f"{READER}cursor.adbc_ingest('landed_adbc', reader, mode='create')\nconn.commit()",
    ),
}

PROJECT = """
[connections.file]
dsn = "duckdb:load.duckdb"
[defaults]
target_connection = "file"
keys = ["customer_id"]
[pipelines.merge]
source = {{ connection = "file", table = "raw.customers" }}
target = "main.merged"
mode = "merge"
[pipelines.scd2]
source = {{ connection = "file", table = "raw.customers" }}
target = "main.history"
mode = "scd2"
"""


def cases(title: str, at: tuple[str, str], work: Path, wanted: dict[str, tuple[str, str]], rounds: int) -> None:
    """Every case, alternating; the median of each, its ratio to the floor, and its memory."""
    there = {name: code for name, (needs, code) in wanted.items() if needs == "ematix_flow" or find_spec(needs)}
    times: dict[str, list[float]] = {name: [] for name in there}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        for name in list(there):
            (work / "out.duckdb").unlink(missing_ok=True)
            try:
                took, peak = frames.run(*at, work, there[name])
            except RuntimeError as error:
                print(f"  {name:26} fails: {error}")
                del there[name], times[name]
                continue
            times[name].append(took)
            peaks[name] = max(peak, peaks.get(name, 0.0))
    print(title, flush=True)
    floor = statistics.median(times[FLOOR]) if times.get(FLOOR) else None
    for name, of in times.items():
        took = statistics.median(of)
        ratio = f"{took / floor:5.2f} of the extension" if floor else ""
        print(f"  {name:26} {took:6.2f} s   {ratio}   {peaks[name]:6.0f} MB", flush=True)


def within(file: Path, work: Path, rounds: int) -> None:
    """Merge and scd2 inside one file, on copies of it: nothing changed, and 1 and 10 %."""
    (work / "pipelines.toml").write_text(PROJECT.format(), encoding="utf-8")
    load = work / "load.duckdb"

    def flow(name: str) -> float:
        started = time.perf_counter()
        subprocess.run(
            [frames.sys.executable, "-m", "ematix_flow.cli", "run", name, "--quiet"],
            cwd=work,
            env={**frames.os.environ, "PYTHONPATH": str(frames.PACKAGE)},
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - started

    def by_hand(name: str) -> float:
        # A process of its own, as flow is: it starts Python and opens the file, too.
        started = time.perf_counter()
        program = "import duckdb, sys\nduckdb.connect(sys.argv[1]).execute(open(sys.argv[2]).read())"
        command = [frames.sys.executable, "-c", program, str(load), str(HERE / "floor" / f"duckdb_{name}.sql")]
        subprocess.run(command, check=True)
        return time.perf_counter() - started

    def prepared(play: Callable[[str], float], name: str) -> None:
        shutil.copy(file, load)
        play(name)
        shutil.copy(load, work / f"{play.__name__}_{name}.duckdb")

    for name in ("merge", "scd2"):
        for play in (flow, by_hand):
            prepared(play, name)
        for percent in (0, 1, 10):
            times: dict[str, list[float]] = {"flow": [], "by_hand": []}
            for _ in range(rounds):
                for play in (flow, by_hand):
                    shutil.copy(work / f"{play.__name__}_{name}.duckdb", load)
                    with duckdb.connect(str(load)) as connection:
                        connection.execute(
                            "UPDATE raw.customers SET status = status || '*' WHERE hash(customer_id) % 100 < ?",
                            [percent],
                        )
                    times[play.__name__].append(play(name))
            floor, ours = (statistics.median(times[who]) for who in ("by_hand", "flow"))
            print(
                f"{name}, {percent:2} % changed, in one file   by hand {floor:.2f} s   flow {ours:.2f} s   ratio {ours / floor:.2f}",
                flush=True,
            )


def measure(dsn: str, rows: int, rounds: int) -> None:
    """Out of Postgres, back into it, and inside one file."""
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn, "-v", f"n={rows}", "-f", str(HERE / "gen_source.sql")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        work = Path(directory)
        at = (dsn, frames.uri_of(dsn))
        cases(f"{rows:,} rows of Postgres into a file of DuckDB", at, work, OUT, rounds)
        made = OURS.replace("out.duckdb", "in.duckdb") + (
            "pipeline.sync(source=Source.postgres_table(pg, 'raw', 'customers'), target='main.customers', target_connection=file, mode='truncate')"
        )
        frames.run(*at, work, made)
        cases(f"{rows:,} rows of DuckDB into Postgres", at, work, BACK, rounds)
        inside = work / "inside.duckdb"
        with duckdb.connect(str(work / "in.duckdb")) as connection:
            connection.execute(f"ATTACH '{inside}' AS inside; CREATE SCHEMA inside.raw")
            connection.execute(f"CREATE TABLE inside.raw.customers AS SELECT {COLUMNS} FROM main.customers")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("DROP SCHEMA raw CASCADE")
        within(inside, work, rounds)
