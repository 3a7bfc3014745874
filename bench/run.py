"""Measures the load strategies against the same work by hand, alternating, on one server.

A figure is always a ratio to the floor of the same run: absolute times say more about the machine than
about us. The server is `EMATIX_FLOW_BENCH_DSN`, else a private one that is started and removed.

    ./do bench                      # scd2 and merge, a million rows, in one database and from another
    ./do bench --rows 100000 --rounds 5 scd2
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
[pipelines.merge]
source = {source}
target = "tgt"
mode = "merge"
{path}
"""
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
    """One database with the workload, and the ways to work on it."""

    def __init__(self, dsn: str, source_dsn: str, rows: int, folder: Path) -> None:
        self.dsn, self.source_dsn, self.rows, self.folder = dsn, source_dsn, rows, folder

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

    def flow(self, pipeline: str, source: str) -> tuple[float, int, dict[str, object]]:
        """Runs a pipeline; seconds, peak resident kilobytes, and the report."""
        config = self.folder / f"{source}.toml"
        config.write_text(PROJECT.format(columns=COLUMNS, source=SOURCES[source], path=PATHS.get(source, "")))
        environment = {**os.environ, "BENCH_DSN": self.dsn, "BENCH_SOURCE_DSN": self.source_dsn}
        command = [str(flow_binary()), "--config", str(config), "--output", "json", "run", pipeline]
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        report = json.loads(output)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"{pipeline} failed: {report['error']}")
        return seconds, usage.ru_maxrss, report


def settle(bench: Bench) -> None:
    """What the last measurement left to be written is not charged to the next."""
    bench.execute("CHECKPOINT")


def compare(
    title: str, rounds: int, prepare: Callable[[], None], floor: Callable[[], float], ours: Callable[[], float]
) -> float:
    """Alternates the two, and prints medians and their ratio."""
    floors: list[float] = []
    times: list[float] = []
    for _ in range(rounds):
        prepare()
        floors.append(floor())
        prepare()
        times.append(ours())
    ratio = statistics.median(times) / statistics.median(floors)
    print(
        f"{title:<34} floor {statistics.median(floors):7.2f} s   flow {statistics.median(times):7.2f} s   "
        f"ratio {ratio:5.2f}",
        flush=True,
    )
    return ratio


def measure(bench: Bench, strategy: str, source: str, rounds: int, shares: list[float]) -> None:
    """First load, then a run at each share of changed rows."""
    floor_init = HERE / "floor" / f"{strategy}_init.sql"
    floor_run = HERE / "floor" / f"{strategy}_run.sql"
    target = {"scd2": "bench.dim", "merge": "bench.tgt"}[strategy]
    peak = 0
    seed = 0

    def ours() -> float:
        nonlocal peak
        seconds, kilobytes, _ = bench.flow(strategy, source)
        peak = max(peak, kilobytes)
        return seconds

    def forget() -> None:
        bench.execute(f"DROP TABLE IF EXISTS {target}")
        settle(bench)

    home = bench.source_dsn if source.startswith("across") else bench.dsn
    bench.psql(HERE / "gen_source.sql", home, n=bench.rows)
    label = f"{strategy} ({source})"
    compare(f"{label} first load", rounds, forget, lambda: bench.floor(floor_init, source), ours)
    for share in shares:
        pending = {"floor": False, "flow": False}

        def change(share: float = share, pending: dict[str, bool] = pending) -> None:
            nonlocal seed
            # Each change of the source is met once by the floor and once by us.
            if not any(pending.values()) and share > 0:
                seed += 7919
                bench.psql(HERE / "gen_change.sql", home, pct=share, seed=seed)
                pending.update(floor=True, flow=True)
            settle(bench)

        def run_floor(pending: dict[str, bool] = pending) -> float:
            pending["floor"] = False
            return bench.floor(floor_run, source)

        def run_ours(pending: dict[str, bool] = pending) -> float:
            pending["flow"] = False
            return ours()

        compare(f"{label} {share:g} % changed", rounds, change, run_floor, run_ours)
    print(f"{label} peak memory of flow {peak / 1024:.0f} MB", flush=True)


def startup(rounds: int) -> None:
    """`flow --version` beside a program that does nothing."""
    binary = str(flow_binary())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bare.c"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run(["cc", "-O2", "-o", f"{folder}/bare", str(source)], check=True)

        def median(command: list[str]) -> float:
            times = []
            for _ in range(rounds):
                started = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                times.append(time.perf_counter() - started)
            return statistics.median(times) * 1000

        bare, ours = median([f"{folder}/bare"]), median([binary, "--version"])
    print(f"flow --version {ours:.2f} ms, a bare C program {bare:.2f} ms: {ours - bare:+.2f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", default=["startup", "scd2", "merge"], help="startup, scd2, merge")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--source",
        choices=sorted(SOURCES),
        action="append",
        help="table, query, across, across_staged; all unless said",
    )
    parser.add_argument("--share", type=float, action="append", help="percent of changed rows: 0, 1, 10 unless said")
    chosen = parser.parse_args()
    print(f"{flow_binary()}, {chosen.rows:,} rows, medians of {chosen.rounds}", flush=True)
    if "startup" in chosen.what:
        startup(200)
    strategies = [name for name in chosen.what if name in ("scd2", "merge")]
    if not strategies:
        return
    with bench_server() as server_dsn, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            for name in ("ematix_bench", "ematix_bench_source"):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name}")
        dsn, source_dsn = (
            psycopg.conninfo.make_conninfo(server_dsn, dbname=name) for name in ("ematix_bench", "ematix_bench_source")
        )
        bench = Bench(dsn, source_dsn, chosen.rows, Path(folder))
        for strategy in strategies:
            for source in chosen.source or list(SOURCES):
                measure(bench, strategy, source, chosen.rounds, chosen.share or [0, 1, 10])


if __name__ == "__main__":
    main()
