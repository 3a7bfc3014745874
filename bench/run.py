"""Measures the load strategies against the same work by hand and against peers, in turns, on one server.

A figure is always a ratio to the floor of the same run: absolute times say more about the machine than about us. The server is
`EMATIX_FLOW_BENCH_DSN`, else a private one that is started and removed.

    ./do bench                       # every strategy, a million rows, in one database and from another; what is fixed
    ./do bench --only scd2,merge --rows 100000 --against floor,dbt,sqlmesh,dlt,sling,ingestr
    ./do bench scd2 --shares 0,1 --source across --json out.json --chart out.svg
    ./do bench wide very_wide large  # 100 and 1,000 columns, values of a megabyte
    ./do bench deletes incremental   # rows that leave, soft and hard; rows that come, and only they are read
    ./do bench micro                 # rows encoded, decoded and hashed, projects read, plans made, by divan
    ./do bench growth                # seconds for a million rows at 100,000, 1 and 5 million
    ./do bench expectations          # a load with five expectations beside the same load without
    ./do bench cleaning              # text cleaned and read on its way, beside the same expressions by hand
    ./do bench parallel              # a table of another database, read by one session and by several
    ./do bench diff                  # two tables compared, on one server and across, beside what servers sum by themselves
    ./do bench frames                # frames and files beside their peers and COPY
    ./do bench engines               # Postgres and DuckDB, both ways, and loads inside one file of DuckDB
    ./do bench features              # training sets and lookups beside SQL by hand; with --against feast beside Feast
    ./do bench --before old/flow     # another binary beside it, in a database of its own
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cells
import chart
import report
from contenders import Contender, Floor, Flow, flow_binary
from databases import HERE, Database, bench_server, new_database
from installed import Environment, NotInstalled
from peers import NAMES, peer
from race import Result, race
from turns import compare

# What is measured by seconds alone, in modules of their own.
OTHERS = (
    "micro",
    "startup",
    "fixed",
    "many",
    "expectations",
    "cleaning",
    "diff",
    "parallel",
    "late",
    "features",
    "frames",
    "engines",
)
WHAT = (*cells.STRATEGIES, *cells.SUITES, *OTHERS)
ALL = ("startup", "fixed", *cells.STRATEGIES)
CONTENDERS = ("floor", *NAMES, "feast")
SIZES = (100_000, 1_000_000, 5_000_000)


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[float]:
    return [float(word) for word in words(text)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="./do bench [WHAT…] [OPTIONS]"
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(WHAT)}; unless said {', '.join(ALL)}")
    parser.add_argument("--only", type=words, default=[], metavar="WHAT,…", help="the same, in one word")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken; 3 unless said")
    parser.add_argument("--against", type=words, default=["floor"], metavar="NAME,…", help=", ".join(CONTENDERS))
    parser.add_argument(
        "--source", action="append", type=words, metavar="SOURCE,…", help=f"{', '.join(cells.SOURCES)}; all unless said"
    )
    parser.add_argument(
        "--shares", "--share", type=numbers, action="append", metavar="PERCENT,…", help="changed rows; 0,0.1,1,10,100"
    )
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), metavar="ROWS,…", help="of growth")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="a picture, as FILE.svg and FILE.png")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="charts for docs/measured.json, entered there")
    parser.add_argument("--before", type=Path, metavar="BINARY", help="another flow, measured beside this one")
    chosen = parser.parse_args()
    chosen.what = [*chosen.what, *chosen.only] or list(ALL)
    chosen.source = [word for said in chosen.source or [] for word in said] or list(cells.SOURCES)
    chosen.shares = [share for said in chosen.shares or [] for share in said] or [0, 0.1, 1, 10, 100]
    for said, known in ((chosen.what, WHAT), (chosen.against, CONTENDERS), (chosen.source, cells.SOURCES)):
        if unknown := [word for word in said if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def main() -> None:
    chosen = arguments()
    # A private server outlives nobody: whoever ends us ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if chosen.what != ["micro"] and not flow_binary().exists():
        raise SystemExit(f"no {flow_binary()}\nhint: cargo build --release -p ematix-flow-cli, or set EMATIX_FLOW_BIN")
    print(f"{flow_binary()}, {chosen.rows:,} rows, medians of {chosen.rounds}", flush=True)
    if "micro" in chosen.what:
        micro()
    if "startup" in chosen.what:
        import startup

        startup.startup(200)
    if {"micro", "startup"} >= set(chosen.what):
        return
    with bench_server() as server, tempfile.TemporaryDirectory() as folder:
        fixed = by_seconds(chosen, server, Path(folder))
        measured = list(cells.chosen(chosen.what, chosen.source, chosen.rows, chosen.shares))
        if "growth" in chosen.what:
            measured += cells.growing(chosen.source, [int(size) for size in chosen.sizes])
        home = Database(new_database(server, "ematix_bench_flow"))
        elsewhere = Database(new_database(server, "ematix_bench_source"))
        contenders = entered(chosen, server, home, elsewhere, Path(folder))
        results = raced(measured, contenders, elsewhere, chosen.rounds)
        if "growth" in chosen.what:
            print("\n".join(report.growth(results)))
        if chosen.json:
            versions = {each.name: each.version() for each in contenders}
            report.write(chosen.json, report.document(results, chosen.rounds, versions, home.settings(), fixed))
    if chosen.chart and (reason := chart.write(chosen.chart, results, chosen.rounds)):
        print(reason, file=sys.stderr)
    if chosen.measured:
        print(f"{chosen.measured}: {', '.join(chart.enter(chosen.measured, results, chosen.rounds))}")


def entered(
    chosen: argparse.Namespace, server: str, home: Database, elsewhere: Database, folder: Path
) -> list[Contender]:
    """The floor, `flow`, another `flow` and the peers that were asked for, in this order."""
    found: list[Contender] = [Floor(home, elsewhere), Flow("flow", flow_binary(), home, elsewhere, folder)]
    if chosen.before:
        before = Database(new_database(server, "ematix_bench_before"))
        found.append(Flow("before", chosen.before, before, elsewhere, folder))
    return [*found, *(peer(name, home, elsewhere, folder) for name in NAMES if name in chosen.against)]


def raced(measured: list[cells.Cell], contenders: list[Contender], elsewhere: Database, rounds: int) -> list[Result]:
    """The results of all cells, each step printed as it is there."""
    results: list[Result] = []
    if measured:
        print(report.heading(), flush=True)
    for cell in measured:
        said: set[str] = set()
        for step in race(cell, contenders, elsewhere, rounds):
            # Why somebody is out is said once, and stands at every step of the JSON.
            print(report.step([each for each in step if not each.failed or each.contender not in said]), flush=True)
            said.update(each.contender for each in step if each.failed)
            results += step
    return results


def by_seconds(chosen: argparse.Namespace, server: str, folder: Path) -> list[dict[str, Any]]:
    """What modules of their own measure and print; the figures of fixed costs."""

    def database(name: str) -> Database:
        return Database(new_database(server, f"ematix_bench_{name}"))

    found: list[dict[str, Any]] = []
    if "fixed" in chosen.what:
        import fixed

        found = fixed.costs(database("fixed"), max(chosen.rounds, 20))
    if "many" in chosen.what:
        import many

        many.many(database("many").dsn, max(chosen.rounds, 5))
    if {"late", "events"} & set(chosen.what):
        import events

        events.measure(database("events").dsn, flow_binary(), chosen.rows, chosen.rounds, compare)
    if "features" in chosen.what:
        features(chosen, server, database("features"))
    if "frames" in chosen.what:
        import frames

        frames.measure(database("frames").dsn, chosen.rows, chosen.rounds)
    if "engines" in chosen.what:
        import engines

        engines.measure(database("engines").dsn, chosen.rows, chosen.rounds)
    if {"expectations", "cleaning"} & set(chosen.what):
        import loads

        bench = loads.Bench(database("loads"), database("landing"), chosen.rows, folder)
        for name, sources in (("expectations", ("query", "across_staged")), ("cleaning", ("table", "across"))):
            for source in sources if name in chosen.what else ():
                getattr(loads, name)(bench, source, chosen.rounds)
    if "parallel" in chosen.what:
        import parallel

        parallel.parallel(database("one"), database("other"), chosen.rows, chosen.rounds, folder)
    if "diff" in chosen.what:
        import diff

        diff.diff(database("one"), database("other"), chosen.rows, chosen.rounds, folder)
    return found


def micro() -> None:
    """What needs no server: crates/*/benches."""
    subprocess.run(
        ["cargo", "bench", "--locked", "-p", "ematix-flow-core", "-p", "ematix-flow-arrow", "--benches"],
        cwd=HERE.parent,
        check=True,
    )


def features(chosen: argparse.Namespace, server: str, home: Database) -> None:
    """In this interpreter, or in the one that has Feast."""
    if "feast" not in chosen.against:
        import features

        features.measure(home.dsn, chosen.rows, chosen.rounds, compare)
        return
    try:
        python = Environment("feast").python()
    except NotInstalled as reason:
        raise SystemExit(str(reason)) from None
    again = [str(python), str(HERE / "run.py"), "features", "--rows", str(chosen.rows), "--rounds", str(chosen.rounds)]
    subprocess.run(again, check=True, env={**os.environ, "EMATIX_FLOW_BENCH_DSN": server})


if __name__ == "__main__":
    main()
