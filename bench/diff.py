"""Two tables compared by `flow diff`, beside what servers sum by themselves and the join by hand."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from contenders import flow_binary
from databases import HERE, Database
from turns import compare

# What somebody writes who compares two tables of two servers by hand, and the quickest that a server has.
SUMS = {
    "md5": "SELECT count(*), sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint) FROM raw.customers AS t",
    "hash": "SELECT count(*), sum(hash_record_extended(t.*, 1)) FROM raw.customers AS t",
}


def diff(home: Database, elsewhere: Database, rows: int, rounds: int, folder: Path) -> None:
    """Two tables that are equal, and of which a hundredth differs: in two databases, then in one.

    The floor of equal tables is the sum of md5 over each row, by both servers at once (`hash`: by the server's own hash
    of a row, which takes 1 and 1.0 of jsonb for one). Of tables that differ it is what the comparison in the client would
    read: both tables, whole, by binary COPY. In one database it is the join by hand.
    """
    homes = (home.dsn, elsewhere.dsn)
    for each in (home, elsewhere):
        each.psql(HERE / "gen_source.sql", n=rows)
    peak = 0

    def both(command: str) -> float:
        started = time.perf_counter()
        asked = [
            subprocess.Popen(["psql", "-q", "-v", "ON_ERROR_STOP=1", each, "-c", command], stdout=subprocess.DEVNULL)
            for each in homes
        ]
        if any(each.wait() != 0 for each in asked):
            raise SystemExit(f"failed: {command}")
        return time.perf_counter() - started

    def compared(*words: str, differing: int) -> float:
        nonlocal peak
        command = [str(flow_binary()), "diff", "--output", "json", *words]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
        assert process.stdout is not None
        output = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        report = json.loads(output)
        if report.get("rows_differing") != differing:
            raise SystemExit(f"diff found {output.decode()}")
        peak = max(peak, usage.ru_maxrss)
        return seconds

    def join() -> float:
        started = time.perf_counter()
        home.psql(HERE / "floor" / "diff_join.sql")
        return time.perf_counter() - started

    def rest() -> None:
        home.settle()

    across = ("raw.customers", "--from", homes[0], "--to", homes[1])
    players = {f"{name}": (rest, lambda sql=sql: both(sql)) for name, sql in SUMS.items()}
    players = {"floor": players.pop("md5"), **players, "flow": (rest, lambda: compared(*across, differing=0))}
    compare("diff (across) equal", rounds, players)
    elsewhere.psql(HERE / "gen_change.sql", pct=1, seed=7919)
    changed = elsewhere.value("SELECT count(*) FROM raw.customers WHERE status LIKE '%*'")
    copy = "COPY (SELECT * FROM raw.customers) TO STDOUT (FORMAT binary)"
    players = {
        "floor": (rest, lambda: both(copy)),
        "flow": (rest, lambda: compared(*across, differing=changed)),
    }
    compare("diff (across) 1 % changed", rounds, players)
    home.execute("DROP TABLE IF EXISTS raw.changed; CREATE TABLE raw.changed (LIKE raw.customers INCLUDING ALL)")
    home.execute(
        "INSERT INTO raw.changed SELECT customer_id, email, name, CASE WHEN customer_id % 100 = 0 THEN status || '*' ELSE"
        " status END, age, balance, is_vip, signup_date, updated_at, attrs FROM raw.customers; ANALYZE raw.changed"
    )
    within = ("raw.customers", "raw.changed", "--from", home.dsn)
    players = {
        "floor": (rest, join),
        "flow": (rest, lambda: compared(*within, differing=rows // 100)),
    }
    compare("diff (one database) 1 % changed", rounds, players)
    print(f"diff peak memory of flow {peak / 1024:.0f} MB", flush=True)
