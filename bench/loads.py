"""What a merge with expectations costs beside the same without, and text that is cleaned on its way beside SQL by hand."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from contenders import flow_binary
from databases import HERE, Database
from measure import Command, run
from tables import CUSTOMERS
from turns import compare

PROJECT = """
[connections.default]
dsn = "${{env:BENCH_DSN}}"
[connections.elsewhere]
dsn = "${{env:BENCH_SOURCE_DSN}}"
[defaults]
target_connection = "default"
[tables.tgt]
schema = "bench"
primary_key = ["customer_id"]
columns = {columns}
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
SOURCES = {
    "table": '{ table = "raw.customers" }',
    "query": '{ query = "SELECT c.* FROM raw.customers c WHERE true" }',
    "across": '{ connection = "elsewhere", table = "raw.customers" }',
    "across_staged": '{ connection = "elsewhere", table = "raw.customers" }',
}
PATHS = {"across_staged": 'force_path = "staging"'}


class Bench:
    """A target and a source with the workload, and `flow` between them."""

    def __init__(self, home: Database, elsewhere: Database, rows: int, folder: Path) -> None:
        self.home, self.elsewhere, self.rows, self.folder = home, elsewhere, rows, folder

    def source(self, name: str) -> Database:
        return self.elsewhere if name.startswith("across") else self.home

    def flow(self, pipeline: str, source: str, expect: str = "") -> float:
        """Runs a pipeline; the seconds it took."""
        config = self.folder / f"{source}.toml"
        landing = SOURCES[source].replace("raw.customers", "raw.landing")
        told = {"columns": CUSTOMERS.declared(), "source": SOURCES[source], "landing": landing}
        config.write_text(PROJECT.format(**told, path=PATHS.get(source, ""), expect=expect))
        environment = {"BENCH_DSN": self.home.dsn, "BENCH_SOURCE_DSN": self.elsewhere.dsn}
        started = time.perf_counter()
        run(Command([str(flow_binary()), "--config", str(config), "--quiet", "run", pipeline], environment))
        return time.perf_counter() - started


def expectations(bench: Bench, source: str, rounds: int) -> None:
    """A first load, and one of rows of which a hundredth changed, with five expectations; the floor is without."""
    bench.source(source).psql(HERE / "gen_source.sql", n=bench.rows)
    seed = 0

    def forget() -> None:
        bench.home.execute("DROP TABLE IF EXISTS bench.tgt")
        bench.home.settle()

    def change() -> None:
        nonlocal seed
        seed += 7919
        bench.source(source).psql(HERE / "gen_change.sql", pct=1, seed=seed)
        bench.home.settle()

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
    bench.source(source).psql(HERE / "gen_source.sql", n=bench.rows)
    bench.source(source).psql(HERE / "gen_landing.sql")
    bench.home.execute("DROP TABLE IF EXISTS bench.clean")
    bench.flow("cleaning", source)
    stage = "CREATE UNLOGGED TABLE fl.cleaned"
    bench.home.execute("CREATE SCHEMA IF NOT EXISTS fl")

    def by_hand() -> float:
        started = time.perf_counter()
        if across:
            bench.home.execute(f"{stage} (customer_id bigint, name text, updated_at timestamptz, age bigint)")
            pipe = 'psql -q "$1" -c "COPY ($3) TO STDOUT" | psql -q "$2" -c "COPY fl.cleaned FROM STDIN"'
            subprocess.run(["sh", "-c", pipe, "sh", bench.elsewhere.dsn, bench.home.dsn, CLEANED], check=True)
        else:
            bench.home.execute(f"{stage} AS {CLEANED}")
        bench.home.execute(
            "BEGIN; TRUNCATE bench.clean; INSERT INTO bench.clean SELECT * FROM fl.cleaned; DROP TABLE fl.cleaned; COMMIT"
        )
        return time.perf_counter() - started

    players = {
        "floor": (lambda: bench.home.settle(), by_hand),
        "flow": (lambda: bench.home.settle(), lambda: bench.flow("cleaning", source)),
    }
    compare(f"cleaning ({source})", rounds, players)
