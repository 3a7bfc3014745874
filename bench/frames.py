"""Frames and files beside their peers and beside COPY: what is read, what is written, and what of Parquet reaches Postgres.

`run.py frames` calls it. The package is that of this repository: build it in release mode before. Peers are those that the
interpreter has: adbc-driver-postgresql, connectorx, SQLAlchemy with psycopg2, polars, dlt. Each case runs in a process of its
own, whose peak of memory is told beside its time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "python"

# The floor: binary COPY that nobody decodes, and that was encoded before.
READ_FLOOR = """
with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
    with cursor.copy("COPY raw.customers TO STDOUT (FORMAT binary)") as copy:
        for data in copy:
            pass
"""
WRITE_FLOOR = """
with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
    with cursor.copy("COPY bench.landed FROM STDIN (FORMAT binary)") as copy, open(work / "customers.bin", "rb") as file:
        while data := file.read(1 << 17):
            copy.write(data)
"""
# The same as truncate does it: what is read keeps its rows until the new ones are there.
TRUNCATE_FLOOR = """
with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
    cursor.execute("CREATE UNLOGGED TABLE bench.stage (LIKE bench.landed)")
    with cursor.copy("COPY bench.stage FROM STDIN (FORMAT binary)") as copy, open(work / "customers.bin", "rb") as file:
        while data := file.read(1 << 17):
            copy.write(data)
    cursor.execute("TRUNCATE bench.landed")
    cursor.execute("INSERT INTO bench.landed SELECT * FROM bench.stage")
    cursor.execute("DROP TABLE bench.stage")
"""
OURS = "from ematix_flow import Source, connect, pipeline\nconn = connect(dsn=dsn)\n"
# No peer knows jsonb: they read its text.
TEXTS = "SELECT customer_id, email, name, status, age, balance, is_vip, signup_date, updated_at, attrs::text FROM raw.customers"
# Peers load text where the table has jsonb: what brings it into the table as it is declared belongs to the same work.
INTO_THE_TABLE = (
    "cursor.execute('INSERT INTO bench.landed SELECT customer_id, email, name, status, age, balance, is_vip, signup_date,"
    " updated_at, attrs::jsonb FROM bench_stage')\ncursor.execute('DROP TABLE bench_stage')\nconn.commit()"
)
ADBC = "import adbc_driver_postgresql.dbapi as adbc\nconn = adbc.connect(uri)\ncursor = conn.cursor()\n"

# The same by the program that most people have, whole: it takes a row at a time.
PSQL = "import subprocess\nsubprocess.run(['psql', '-qX', dsn, '-c', 'COPY raw.customers TO STDOUT (FORMAT binary)'], stdout=subprocess.DEVNULL, check=True)"

READS = {
    "COPY": ("", READ_FLOOR),
    "COPY by psql": ("", PSQL),
    "ours, Arrow": ("ematix_flow", OURS + 'found = conn.read_df("raw.customers", prefer="arrow")'),
    "ours, polars": (
        "ematix_flow",
        "import polars, polars.convert\n" + OURS + 'found = conn.read_df("raw.customers", prefer="polars")',
    ),
    "ours, pandas": (
        "ematix_flow",
        "import pandas\n" + OURS + 'found = conn.read_df("raw.customers", prefer="pandas")',
    ),
    "ours, batches": ("ematix_flow", OURS + 'for batch in conn.read_batches("raw.customers"): pass'),
    "adbc, Arrow": ("adbc_driver_postgresql", ADBC + f"cursor.execute({TEXTS!r})\nfound = cursor.fetch_arrow_table()"),
    "adbc, polars": (
        "adbc_driver_postgresql",
        f"import polars\nfound = polars.read_database_uri({TEXTS!r}, uri, engine='adbc')",
    ),
    "connectorx, polars": (
        "connectorx",
        f"import connectorx\nfound = connectorx.read_sql(uri, {TEXTS!r}, return_type='polars')",
    ),
    "connectorx, pandas": (
        "connectorx",
        f"import connectorx\nfound = connectorx.read_sql(uri, {TEXTS!r}, return_type='pandas')",
    ),
    "pandas, SQLAlchemy": (
        "sqlalchemy",
        f"import pandas, sqlalchemy\nfound = pandas.read_sql({TEXTS!r}, sqlalchemy.create_engine(uri))",
    ),
}
FRAME = 'import polars\nframe = polars.read_parquet(work / "customers.parquet")\n'
WRITES = {
    "COPY": ("", WRITE_FLOOR),
    "ours, append": (
        "ematix_flow",
        OURS
        + FRAME
        + 'conn.write_df(frame, "bench.landed", mode="append", loaded_at_column=False, batch_id_column=False)',
    ),
    "COPY, truncate by hand": ("", TRUNCATE_FLOOR),
    "ours, truncate": ("ematix_flow", OURS + FRAME + 'conn.write_df(frame, "bench.landed", mode="truncate")'),
    "adbc, into the table": (
        "adbc_driver_postgresql",
        FRAME + ADBC + f'cursor.adbc_ingest("bench_stage", frame.to_arrow(), mode="create")\n{INTO_THE_TABLE}',
    ),
    "adbc, jsonb as text": (
        "adbc_driver_postgresql",
        FRAME + ADBC + 'cursor.adbc_ingest("landed_adbc", frame.to_arrow(), mode="create")\nconn.commit()',
    ),
    "polars, jsonb as text": (
        "adbc_driver_postgresql",
        FRAME + 'frame.write_database("landed_polars", uri, engine="adbc", if_table_exists="replace")',
    ),
}
BATCHES = (
    "import pyarrow.parquet\nimport pyarrow\n"
    + ADBC
    + 'file = pyarrow.parquet.ParquetFile(work / "customers.parquet")\n'
    + "reader = pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())\n"
)
FILES = {
    "COPY": ("", WRITE_FLOOR),
    "ours": (
        "ematix_flow",
        OURS
        + 'pipeline.sync(source=Source.parquet(str(work / "customers.parquet")), target="bench.landed", target_connection=conn,'
        + ' mode="append", loaded_at_column=False, batch_id_column=False)',
    ),
    "adbc, into the table": (
        "adbc_driver_postgresql",
        f'{BATCHES}cursor.adbc_ingest("bench_stage", reader, mode="create")\n{INTO_THE_TABLE}',
    ),
    "adbc, jsonb as text": (
        "adbc_driver_postgresql",
        f'{BATCHES}cursor.adbc_ingest("landed_files", reader, mode="create")\nconn.commit()',
    ),
    "polars, jsonb as text": (
        "adbc_driver_postgresql",
        FRAME + 'frame.write_database("landed_polars", uri, engine="adbc", if_table_exists="replace")',
    ),
    "dlt": (
        "dlt",
        textwrap.dedent(
            """
            import dlt, os, pyarrow.parquet
            os.environ["DESTINATION__POSTGRES__CREDENTIALS"] = uri
            os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
            loads = dlt.pipeline("bench", destination="postgres", dataset_name="landed_dlt", pipelines_dir=str(work / "dlt"))
            file = pyarrow.parquet.ParquetFile(work / "customers.parquet")
            loads.run(file.iter_batches(), table_name="customers", write_disposition="replace")
            """
        ),
    ),
}
# What an append of ours makes beside the rows is left out, as the floor leaves it out.
BEFORE = """
DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench; CREATE TABLE bench.landed (LIKE raw.customers);
DROP SCHEMA IF EXISTS landed_dlt CASCADE; DROP SCHEMA IF EXISTS landed_dlt_staging CASCADE;
DROP TABLE IF EXISTS landed_adbc, landed_polars, landed_files, bench_stage;
"""


# A case is timed without its imports and the reading of the frame that it writes; its memory is what comes on top of them.
PROGRAM = r"""
import re, sys, time
from pathlib import Path
import psycopg

def memory(what):
    return int(re.search(what + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])

dsn, uri, work = sys.argv[1], sys.argv[2], Path(sys.argv[3])
lines = sys.argv[4].splitlines()
first = [line for line in lines if line.startswith(("import ", "from ", "frame = "))]
code = compile("\n".join(line for line in lines if line not in first), "case", "exec")
exec("\n".join(first))
before = memory("VmRSS")
started = time.perf_counter()
exec(code)
print(time.perf_counter() - started, (memory("VmHWM") - before) / 1024)
"""


def uri_of(dsn: str) -> str:
    """Where peers come in: not all of them know a socket of a file, so they come by TCP, with a password of this server."""
    value = psycopg.conninfo.conninfo_to_dict(dsn)
    if not value["host"].startswith("/"):
        return dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS peer")
        connection.execute("CREATE ROLE peer SUPERUSER LOGIN PASSWORD 'peer'")
    return f"postgresql://peer:peer@127.0.0.1:{value['port']}/{value['dbname']}"


def run(dsn: str, uri: str, work: Path, code: str) -> tuple[float, float]:
    """How long a case takes in a process that has its imports, and the peak of its memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "EMATIX_FLOW_NO_PROGRESS": "1"}
    subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn], input=BEFORE, check=True, text=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, dsn, uri, str(work), code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    took, peak = done.stdout.splitlines()[-1].split()
    return float(took), float(peak)


def cases(title: str, at: tuple[str, str], work: Path, wanted: dict[str, tuple[str, str]], rounds: int) -> None:
    """Every case, alternating; the median of each and its ratio to the first."""
    there = {
        name: code for name, (needs, code) in wanted.items() if not needs or needs == "ematix_flow" or find_spec(needs)
    }
    times: dict[str, list[float]] = {name: [] for name in there}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        for name in list(there):
            try:
                took, peak = run(*at, work, there[name])
            except RuntimeError as error:
                print(f"  {name:26} fails: {error}")
                del there[name], times[name]
                continue
            times[name].append(took)
            peaks[name] = max(peak, peaks.get(name, 0.0))
    print(title)
    floor = statistics.median(times["COPY"])
    for name, of in times.items():
        took = statistics.median(of)
        print(f"  {name:26} {took:6.2f} s   {took / floor:5.2f} of COPY   {peaks[name]:6.0f} MB")


def measure(dsn: str, rows: int, rounds: int) -> None:
    """Reads, writes, and Parquet into Postgres."""
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn, "-v", f"n={rows}", "-f", str(HERE / "gen_source.sql")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        work = Path(directory)
        subprocess.run(
            ["psql", "-q", dsn, "-c", f"\\copy raw.customers to '{work}/customers.bin' (format binary)"], check=True
        )
        made = OURS + 'conn.read_df("raw.customers", prefer="polars").write_parquet(work / "customers.parquet")'
        at = (dsn, uri_of(dsn))
        run(*at, work, made)
        cases(f"read {rows:,} rows", at, work, READS, rounds)
        cases(f"write {rows:,} rows, the frame read from Parquet", at, work, WRITES, rounds)
        cases(f"{rows:,} rows of Parquet into Postgres", at, work, FILES, rounds)
