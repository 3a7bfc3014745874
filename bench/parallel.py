"""A large table of another database, read by one session and by several: over a link that bounds each connection, and over none."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from contenders import flow_binary
from databases import HERE, Database
from proxy import Proxy
from tables import CUSTOMERS
from turns import compare

# 160 Mbit/s a connection: what one stream has of a long way, where several have more together.
BYTES_A_SECOND = 20_000_000
SESSIONS = (1, 2, 4)
PROJECT = """\
[connections.crm]
dsn = "${env:CRM}"

[pipelines.load]
source = { connection = "crm", table = "raw.customers" }
target = "bench.customers"
target_connection = "default"
mode = "truncate"
"""


def parallel(home: Database, elsewhere: Database, rows: int, rounds: int, folder: Path) -> None:
    """The floor is psql's pipe of COPY into an empty table, over the same link."""
    elsewhere.psql(HERE / "gen_source.sql", n=rows)
    home.execute("CREATE SCHEMA IF NOT EXISTS bench")
    (folder / "pipelines.toml").write_text(PROJECT, encoding="utf-8")

    def rest() -> None:
        home.execute("DROP TABLE IF EXISTS bench.customers")
        home.settle()

    def piped(source: str) -> float:
        home.execute("DROP TABLE IF EXISTS bench.piped")
        home.execute(f"CREATE TABLE bench.piped ({CUSTOMERS.definition()})")
        started = time.perf_counter()
        read = subprocess.Popen(
            ["psql", "-q", "-X", source, "-c", "COPY raw.customers TO STDOUT (FORMAT binary)"], stdout=subprocess.PIPE
        )
        write = ["psql", "-q", "-X", home.dsn, "-c", "COPY bench.piped FROM STDIN (FORMAT binary)"]
        subprocess.run(write, stdin=read.stdout, check=True)
        read.wait()
        return time.perf_counter() - started

    def loaded(source: str, sessions: int) -> float:
        command = [str(flow_binary()), "run", "load", "--parallel", str(sessions)]
        environment = {**os.environ, "CRM": source, "EMATIX_FLOW_DSN": home.dsn}
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        if home.value("SELECT count(*) FROM bench.customers") != rows:
            raise SystemExit("parallel: not every row came once")
        return seconds

    def contest(title: str, source: str) -> None:
        players = {"floor": (rest, lambda: piped(source))}
        for sessions in SESSIONS:
            players[f"flow, {sessions}"] = (rest, lambda sessions=sessions: loaded(source, sessions))
        compare(title, rounds, players)

    contest("parallel, beside each other", elsewhere.dsn)
    slow = Proxy(elsewhere.dsn, folder, bytes_a_second=BYTES_A_SECOND)
    contest(f"parallel, {BYTES_A_SECOND * 8 // 1_000_000} Mbit/s a connection", slow.dsn)
    slow.close()
