"""Measures the load strategies against the same work by hand, alternating, on one server.

A figure is always a ratio to the floor of the same run: absolute times say more about the machine than
about us. The server is `EMATIX_FLOW_BENCH_DSN`, else a private one that is started and removed.

    ./do bench                      # scd2 and merge, a million rows, in one database and from another
    ./do bench --rows 100000 --rounds 5 scd2
    ./do bench expectations         # a load with five expectations beside the same load without
    ./do bench cleaning             # text cleaned and read on its way, beside the same expressions by hand
    ./do bench diff                 # two tables compared, on one server and across, beside what servers sum by themselves
    ./do bench frames               # frames and files beside their peers and COPY
    ./do bench engines              # Postgres and DuckDB, both ways, and loads inside one file of DuckDB
    ./do bench features             # training sets and lookups beside SQL by hand; --rows 5000000 for five million events
    ./do bench --before old/flow    # another binary beside it, each in a database of its own
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "python"))

import server as test_server

PROJECT = """
[connections.default]
dsn = "${{env:BENCH_DSN}}"
[connections.elsewhere]
dsn = "${{env:BENCH_SOURCE_DSN}}"
[defaults]
target_connection = "default"
[tables.dim]
schema = "bench"
primary_key = ["customer_id"]
columns = {columns}
[tables.tgt]
schema = "bench"
primary_key = ["customer_id"]
columns = {columns}
[pipelines.scd2]
source = {source}
target = "dim"
mode = "scd2"
{path}
compare_columns = ["age", "attrs", "balance", "email", "is_vip", "name", "signup_date", "status"]
{expect}
[pipelines.merge]
source = {source}
target = "tgt"
mode = "merge"
{path}
{expect}
[tables.clean]
schema = "bench"
primary_key = ["customer_id"]
[tables.clean.columns]
customer_id = "bigint"
name = {{ type = "text?", normalize = ["trim", "lower", "empty_to_null"] }}
updated_at = {{ type = "timestamptz?", normalize = ["parse_timestamp"] }}
age = {{ type = "bigint?", normalize = ["parse_int"] }}
[pipelines.cleaning]
source = {landing}
target = "clean"
mode = "truncate"
{path}
"""
# What somebody writes by hand, who knows how the text is written: one pattern, and a cast of what has it.
CLEANED = (
    "SELECT customer_id, NULLIF(lower(btrim(name)), '') AS name,"
    " CASE WHEN updated_at ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'"
    " THEN updated_at::timestamptz END AS updated_at,"
    " CASE WHEN age ~ '^[+-]?[0-9]{1,18}$' THEN age::bigint END AS age FROM raw.landing"
)
# One of each common kind; every row of the workload meets them. `unique` of the key takes the count of the key's guard,
# of another column it counts itself.
EXPECTATIONS = """expect = [
  {{ not_null = "email" }}, {{ unique = "{unique}" }}, {{ in_range = {{ column = "age", min = 0, max = 150 }} }},
  {{ accepted_values = {{ column = "is_vip", values = [true, false] }} }},
  {{ matches = {{ column = "email", pattern = "@" }} }},
]"""
COLUMNS = (
    '{ customer_id = "bigint", email = "text?", name = "text?", status = "text?", age = "integer?", '
    'balance = "numeric(12,2)?", is_vip = "boolean?", signup_date = "date?", updated_at = "timestamptz?", '
    'attrs = "jsonb?" }'
)
SOURCES = {
    "table": '{ table = "raw.customers" }',
    "query": '{ query = "SELECT c.* FROM raw.customers c WHERE true" }',
    # From another database: the floor is psql's pipe into a stage and the same SQL from there.
    "across": '{ connection = "elsewhere", table = "raw.customers" }',
    "across_staged": '{ connection = "elsewhere", table = "raw.customers" }',
}
PATHS = {"across_staged": 'force_path = "staging"'}


def flow_binary() -> Path:
    """The binary of `EMATIX_FLOW_BIN`, else the release build, else the dev build."""
    if named := os.environ.get("EMATIX_FLOW_BIN"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    release = target / "release" / "flow"
    return release if release.exists() else target / "debug" / "flow"


@contextmanager
def bench_server() -> Iterator[str]:
    """A DSN of a server with settings as they come."""
    if dsn := os.environ.get("EMATIX_FLOW_BENCH_DSN"):
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="ematix-flow-bench-", ignore_cleanup_errors=True) as base:
        dsn = test_server.start(Path(base))
        try:
            yield dsn
        finally:
            test_server.stop(Path(base))


class Bench:
    """One database with the workload, the binary that works on it, and the ways to do the same by hand."""

    def __init__(self, binary: Path, dsn: str, source_dsn: str, rows: int, folder: Path) -> None:
        self.binary, self.dsn, self.source_dsn, self.rows, self.folder = binary, dsn, source_dsn, rows, folder
        self.peak = 0

    def psql(self, file: Path, dsn: str | None = None, **variables: object) -> float:
        """Runs an SQL file; the seconds it took."""
        settings = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        started = time.perf_counter()
        subprocess.run(
            ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn or self.dsn, *settings, "-f", str(file)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - started

    def floor(self, file: Path, source: str) -> float:
        """The work by hand: psql's pipe first where the source is in another database."""
        if not source.startswith("across"):
            return self.psql(file, src="raw.customers")
        started = time.perf_counter()
        subprocess.run([HERE / "floor" / "pipe.sh", self.source_dsn, self.dsn], check=True)
        self.psql(file, src="fl.stage")
        return time.perf_counter() - started

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql)

    def flow(self, pipeline: str, source: str, expect: str = "") -> float:
        """Runs a pipeline; the seconds it took."""
        config = self.folder / f"{source}.toml"
        path = PATHS.get(source, "")
        landing = SOURCES[source].replace("raw.customers", "raw.landing")
        config.write_text(
            PROJECT.format(columns=COLUMNS, source=SOURCES[source], landing=landing, path=path, expect=expect)
        )
        environment = {**os.environ, "BENCH_DSN": self.dsn, "BENCH_SOURCE_DSN": self.source_dsn}
        command = [str(self.binary), "--config", str(config), "--output", "json", "run", pipeline]
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        report = json.loads(output)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"{pipeline} failed: {report['error']}")
        self.peak = max(self.peak, usage.ru_maxrss)
        return seconds


def settle(bench: Bench) -> None:
    """What the last measurement left to be written is not charged to the next."""
    bench.execute("CHECKPOINT")


def compare(title: str, rounds: int, players: dict[str, tuple[Callable[[], None], Callable[[], float]]]) -> None:
    """Alternates the players, each after its preparation, and prints medians and their ratios to the floor."""
    times: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(rounds):
        for name, (prepare, play) in players.items():
            prepare()
            times[name].append(play())
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    line = f"{title:<34} floor {medians['floor']:7.2f} s"
    for name in list(players)[1:]:
        line += f"   {name} {medians[name]:7.2f} s   ratio {medians[name] / medians['floor']:5.2f}"
    print(line, flush=True)


def measure(benches: dict[str, Bench], strategy: str, source: str, rounds: int, shares: list[float]) -> None:
    """First load, then a run at each share of changed rows. The floor works in the database of `flow`."""
    floor_init = HERE / "floor" / f"{strategy}_init.sql"
    floor_run = HERE / "floor" / f"{strategy}_run.sql"
    target = {"scd2": "bench.dim", "merge": "bench.tgt"}[strategy]
    seed = 0
    ours = benches["flow"]
    across = source.startswith("across")
    homes = {bench.source_dsn if across else bench.dsn for bench in benches.values()}
    for bench in benches.values():
        bench.peak = 0
    for home in homes:
        ours.psql(HERE / "gen_source.sql", home, n=ours.rows)

    def forget(bench: Bench) -> None:
        bench.execute(f"DROP TABLE IF EXISTS {target}")
        settle(bench)

    label = f"{strategy} ({source})"
    first = {"floor": (lambda: forget(ours), lambda: ours.floor(floor_init, source))}
    for name, bench in benches.items():
        first[name] = (lambda bench=bench: forget(bench), lambda bench=bench: bench.flow(strategy, source))
    compare(f"{label} first load", rounds, first)
    for share in shares:
        pending: set[str] = set()

        def change(bench: Bench, share: float = share, pending: set[str] = pending) -> None:
            nonlocal seed
            # Each change of the source is met once by each.
            if not pending and share > 0:
                seed += 7919
                for home in homes:
                    ours.psql(HERE / "gen_change.sql", home, pct=share, seed=seed)
                pending.update(["floor", *benches])
            settle(bench)

        def by_hand(pending: set[str] = pending) -> float:
            pending.discard("floor")
            return ours.floor(floor_run, source)

        def by_flow(name: str, bench: Bench, pending: set[str] = pending) -> float:
            pending.discard(name)
            return bench.flow(strategy, source)

        runs = {"floor": (lambda change=change: change(ours), by_hand)}
        for name, bench in benches.items():
            runs[name] = (
                lambda bench=bench, change=change: change(bench),
                lambda name=name, bench=bench, by_flow=by_flow: by_flow(name, bench),
            )
        compare(f"{label} {share:g} % changed", rounds, runs)
    for name, bench in benches.items():
        print(f"{label} peak memory of {name} {bench.peak / 1024:.0f} MB", flush=True)


def expectations(bench: Bench, source: str, rounds: int) -> None:
    """A first load, and one of rows of which a hundredth changed, with five expectations; the floor is without."""
    across = source.startswith("across")
    home = bench.source_dsn if across else bench.dsn
    bench.psql(HERE / "gen_source.sql", home, n=bench.rows)
    seed = 0

    def forget() -> None:
        bench.execute("DROP TABLE IF EXISTS bench.tgt")
        settle(bench)

    def change() -> None:
        nonlocal seed
        seed += 7919
        bench.psql(HERE / "gen_change.sql", home, pct=1, seed=seed)
        settle(bench)

    def expecting(unique: str) -> Callable[[], float]:
        return lambda: bench.flow("merge", source, EXPECTATIONS.format(unique=unique))

    for title, prepare in (("first load", forget), ("1 % changed", change)):
        compare(
            f"expectations ({source}) {title}",
            rounds,
            {
                "floor": (prepare, lambda: bench.flow("merge", source)),
                "flow": (prepare, expecting("customer_id")),
                "unique text": (prepare, expecting("email")),
            },
        )


def cleaning(bench: Bench, source: str, rounds: int) -> None:
    """A whole table of text is cleaned, read, and put in the place of the last: by `flow`, and by hand from a stage."""
    across = source.startswith("across")
    home = bench.source_dsn if across else bench.dsn
    bench.psql(HERE / "gen_source.sql", home, n=bench.rows)
    bench.psql(HERE / "gen_landing.sql", home)
    bench.execute("DROP TABLE IF EXISTS bench.clean")
    bench.flow("cleaning", source)
    stage = "CREATE UNLOGGED TABLE fl.cleaned"
    bench.execute("CREATE SCHEMA IF NOT EXISTS fl")

    def by_hand() -> float:
        started = time.perf_counter()
        if across:
            bench.execute(f"{stage} (customer_id bigint, name text, updated_at timestamptz, age bigint)")
            pipe = 'psql -q "$1" -c "COPY ($3) TO STDOUT" | psql -q "$2" -c "COPY fl.cleaned FROM STDIN"'
            subprocess.run(["sh", "-c", pipe, "sh", bench.source_dsn, bench.dsn, CLEANED], check=True)
        else:
            bench.execute(f"{stage} AS {CLEANED}")
        bench.execute(
            "BEGIN; TRUNCATE bench.clean; INSERT INTO bench.clean SELECT * FROM fl.cleaned; DROP TABLE fl.cleaned; COMMIT"
        )
        return time.perf_counter() - started

    players = {
        "floor": (lambda: settle(bench), by_hand),
        "flow": (lambda: settle(bench), lambda: bench.flow("cleaning", source)),
    }
    compare(f"cleaning ({source})", rounds, players)


# What somebody writes who compares two tables of two servers by hand, and the quickest that a server has.
SUMS = {
    "md5": "SELECT count(*), sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint) FROM raw.customers AS t",
    "hash": "SELECT count(*), sum(hash_record_extended(t.*, 1)) FROM raw.customers AS t",
}


def diff(bench: Bench, rounds: int) -> None:
    """Two tables that are equal, and of which a hundredth differs: in two databases, then in one.

    The floor of equal tables is the sum of md5 over each row, by both servers at once (`hash`: by the server's own hash
    of a row, which takes 1 and 1.0 of jsonb for one). Of tables that differ it is what the comparison in the client would
    read: both tables, whole, by binary COPY. In one database it is the join by hand.
    """
    homes = (bench.dsn, bench.source_dsn)
    for home in homes:
        bench.psql(HERE / "gen_source.sql", home, n=bench.rows)
    bench.peak = 0

    def both(command: str) -> float:
        started = time.perf_counter()
        asked = [
            subprocess.Popen(["psql", "-q", "-v", "ON_ERROR_STOP=1", home, "-c", command], stdout=subprocess.DEVNULL)
            for home in homes
        ]
        if any(each.wait() != 0 for each in asked):
            raise SystemExit(f"failed: {command}")
        return time.perf_counter() - started

    def compared(*words: str, differing: int) -> float:
        command = [str(bench.binary), "diff", "--output", "json", *words]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=bench.folder)
        assert process.stdout is not None
        output = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        report = json.loads(output)
        if report.get("rows_differing") != differing:
            raise SystemExit(f"diff found {output.decode()}")
        bench.peak = max(bench.peak, usage.ru_maxrss)
        return seconds

    def rest() -> None:
        settle(bench)

    across = ("raw.customers", "--from", homes[0], "--to", homes[1])
    players = {f"{name}": (rest, lambda sql=sql: both(sql)) for name, sql in SUMS.items()}
    players = {"floor": players.pop("md5"), **players, "flow": (rest, lambda: compared(*across, differing=0))}
    compare("diff (across) equal", rounds, players)
    bench.psql(HERE / "gen_change.sql", bench.source_dsn, pct=1, seed=7919)
    with psycopg.connect(bench.source_dsn) as connection:
        [(changed,)] = connection.execute("SELECT count(*) FROM raw.customers WHERE status LIKE '%*'").fetchall()
    copy = "COPY (SELECT * FROM raw.customers) TO STDOUT (FORMAT binary)"
    players = {
        "floor": (rest, lambda: both(copy)),
        "flow": (rest, lambda: compared(*across, differing=changed)),
    }
    compare("diff (across) 1 % changed", rounds, players)
    bench.execute("DROP TABLE IF EXISTS raw.changed; CREATE TABLE raw.changed (LIKE raw.customers INCLUDING ALL)")
    bench.execute(
        "INSERT INTO raw.changed SELECT customer_id, email, name, CASE WHEN customer_id % 100 = 0 THEN status || '*' ELSE"
        " status END, age, balance, is_vip, signup_date, updated_at, attrs FROM raw.customers; ANALYZE raw.changed"
    )
    within = ("raw.customers", "raw.changed", "--from", bench.dsn)
    players = {
        "floor": (rest, lambda: bench.psql(HERE / "floor" / "diff_join.sql")),
        "flow": (rest, lambda: compared(*within, differing=bench.rows // 100)),
    }
    compare("diff (one database) 1 % changed", rounds, players)
    print(f"diff peak memory of flow {bench.peak / 1024:.0f} MB", flush=True)


def startup(rounds: int) -> None:
    """`flow --version` beside a program that does nothing, and `import` of the package beside a bare interpreter."""
    binary = str(flow_binary())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bare.c"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run(["cc", "-O2", "-o", f"{folder}/bare", str(source)], check=True)

        def median(command: list[str], environment: dict[str, str] | None = None) -> float:
            times = []
            # The first is not counted: it may write what the others read.
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
            for _ in range(rounds):
                started = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
                times.append(time.perf_counter() - started)
            return statistics.median(times) * 1000

        bare, ours = median([f"{folder}/bare"]), median([binary, "--version"])
        python = [sys.executable, "-S", "-c"]
        nothing = median([*python, "pass"])
        with_path = {**os.environ, "PYTHONPATH": str(HERE.parent / "python")}
        imports = {
            module: median([*python, f"import {module}"], with_path)
            for module in ("ematix_flow", "ematix_flow._core", "ematix_flow.cli")
        }
    print(f"flow --version {ours:.2f} ms, a bare C program {bare:.2f} ms: {ours - bare:+.2f} ms", flush=True)
    for module, took in imports.items():
        print(
            f"import {module} {took:.1f} ms, a bare interpreter {nothing:.1f} ms: {took - nothing:+.1f} ms", flush=True
        )


# What is due once a year, so that nothing is due while it is measured.
SCHEDULED = """
[pipelines.p{n}]
source = {{ query = "SELECT {n}::bigint AS id" }}
target = "public.t{n}"
schedule = "{minute} {hour} 29 2 *"
"""

# Each loads a table of its own, whose columns are declared: a plan can be made without a database.
DECLARED = """
[tables.t{n}]
schema = "analytics"
primary_key = "id"
columns = {{ id = "bigint", name = "text?", email = {{ type = "text?", normalize = ["trim", "lower"] }},
  balance = "numeric(12,2)?", updated_at = "timestamptz" }}
[pipelines.p{n}]
source = {{ connection = "crm", query = "SELECT id, name, email, balance, updated_at FROM app.t{n}" }}
target = "t{n}"
mode = "{mode}"
schedule = "{minute} {hour} * * *"
"""
# The same by classes, with fewer words than a module would have: what Python itself takes for it is part of the figure.
DECLARED_IN_PYTHON = """
from typing import Annotated
from ematix_flow import BigInt, Numeric, Pipeline, Source, Text, TimestampTZ, ematix, natural_key

COLUMNS = {{"id": Annotated[BigInt, natural_key()], "name": Text | None, "balance": Numeric(12, 2) | None,
           "updated_at": TimestampTZ}}
for n in range(10_000):
    table = ematix.table(schema="analytics", name=f"t{{n}}")(type(f"T{{n}}", (), {{"__annotations__": COLUMNS}}))
    query = f"SELECT id, name, balance, updated_at FROM app.t{{n}}"
    Pipeline(name=f"p{{n}}", source=Source.postgres_query("crm", query), target=table,
             target_connection="warehouse", mode={modes}[n % 4], schedule=f"{{n % 60}} {{n // 60 % 24}} * * *")
"""
MODES = ("scd2", "merge", "append", "truncate")


def many(dsn: str, rounds: int) -> None:
    """A look at many schedules of which none is due, and what reads all files, less the start of the process."""
    binary = str(flow_binary())

    def median(*words: str, cwd: str) -> float:
        times = []
        # The first enters what was never seen.
        for _ in range(rounds + 1):
            started = time.perf_counter()
            subprocess.run([binary, *words], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - started)
        return statistics.median(times[1:])

    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            text = f'[connections.default]\ndsn = "{dsn}"\n[defaults]\nmode = "merge"\nkeys = "id"\n'
            pipelines = (SCHEDULED.format(n=n, minute=n % 60, hour=n % 24) for n in range(count))
            (Path(folder) / "pipelines.toml").write_text(text + "".join(pipelines))
            start = median("--version", cwd=folder)
            for words in (["run-due"], ["list"], ["validate"]):
                took = median(*words, cwd=folder) - start
                print(f"{count:,} pipelines: flow {' '.join(words)} {1000 * took:.0f} ms", flush=True)
    connections = f'[connections.crm]\ndsn = "{dsn}"\n[connections.warehouse]\ndsn = "{dsn}"\n'
    declared = "".join(
        DECLARED.format(n=n, minute=n % 60, hour=n // 60 % 24, mode=MODES[n % len(MODES)]) for n in range(10_000)
    )
    projects = {
        "in TOML": connections + '[defaults]\ntarget_connection = "warehouse"\n' + declared,
        "in Python": 'python = ["many"]\n' + connections,
    }
    for where, text in projects.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "pipelines.toml").write_text(text)
            (Path(folder) / "many.py").write_text(DECLARED_IN_PYTHON.format(modes=MODES))
            for words in (["list"], ["validate"], ["preview", "--output", "json"]):
                took, cpu, peak = spent([binary, *words], folder)
                figures = f"{took:.2f} s, {cpu:.2f} s of CPU, {peak:.0f} MB"
                print(f"10,000 declared {where}: flow {' '.join(words)} {figures}", flush=True)


def spent(command: list[str], folder: str) -> tuple[float, float, float]:
    """Seconds, seconds of CPU with those of its children, and the largest memory in MB of a command."""
    paths = [folder, str(HERE.parent / "python")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "EMATIX_FLOW_PYTHON": sys.executable}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "what",
        nargs="*",
        default=["startup", "scd2", "merge"],
        help="startup, many, scd2, merge, expectations, cleaning, diff, events, features, frames, engines",
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--source",
        choices=sorted(SOURCES),
        action="append",
        help="table, query, across, across_staged; all unless said",
    )
    parser.add_argument("--share", type=float, action="append", help="percent of changed rows: 0, 1, 10 unless said")
    parser.add_argument("--before", type=Path, metavar="BINARY", help="another flow, measured beside this one")
    chosen = parser.parse_args()
    print(f"{flow_binary()}, {chosen.rows:,} rows, medians of {chosen.rounds}", flush=True)
    if "startup" in chosen.what:
        startup(200)
    strategies = [name for name in chosen.what if name in ("scd2", "merge")]
    if not strategies and not {
        "many",
        "expectations",
        "cleaning",
        "diff",
        "events",
        "features",
        "frames",
        "engines",
    } & set(chosen.what):
        return
    binaries = {"flow": flow_binary()} | ({"before": chosen.before} if chosen.before else {})
    with bench_server() as server_dsn, tempfile.TemporaryDirectory() as folder:

        def new_database(name: str) -> str:
            with psycopg.connect(server_dsn, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name}")
            return psycopg.conninfo.make_conninfo(server_dsn, dbname=name)

        if "many" in chosen.what:
            many(new_database("ematix_bench_many"), max(chosen.rounds, 5))
        if "events" in chosen.what:
            import events

            events.measure(new_database("ematix_bench_events"), flow_binary(), chosen.rows, chosen.rounds, compare)
        if "features" in chosen.what:
            import features

            features.measure(new_database("ematix_bench_features"), chosen.rows, chosen.rounds, compare)
        if "frames" in chosen.what:
            import frames

            frames.measure(new_database("ematix_bench_frames"), chosen.rows, chosen.rounds)
        if "engines" in chosen.what:
            import engines

            engines.measure(new_database("ematix_bench_engines"), chosen.rows, chosen.rounds)
        if not {"expectations", "cleaning", "diff", *strategies} & set(chosen.what):
            return
        source_dsn = new_database("ematix_bench_source")
        benches = {
            name: Bench(binary, new_database(f"ematix_bench_{name}"), source_dsn, chosen.rows, Path(folder))
            for name, binary in binaries.items()
        }
        for strategy in strategies:
            for source in chosen.source or list(SOURCES):
                measure(benches, strategy, source, chosen.rounds, chosen.share or [0, 1, 10])
        if "expectations" in chosen.what:
            for source in chosen.source or ["query", "across_staged"]:
                expectations(benches["flow"], source, chosen.rounds)
        if "cleaning" in chosen.what:
            for source in chosen.source or ["table", "across"]:
                cleaning(benches["flow"], source, chosen.rounds)
        if "diff" in chosen.what:
            diff(benches["flow"], chosen.rounds)


if __name__ == "__main__":
    main()
