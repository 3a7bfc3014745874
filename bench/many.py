"""Thousands of pipelines: a look at schedules of which none is due, and what lists, checks and previews them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contenders import flow_binary
from databases import HERE

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
