"""Whether what was installed works: run by the Python that it was installed into, from anywhere but the sources.

    python smoke.py [--free-threaded] [--demo ENGINE]

Standard library only. Without --demo nothing but the package is needed, and no server.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """\
[tables.dim_customers]
schema = "analytics"
natural_key = "customer_id"
columns = { customer_id = "bigint", email = "text" }

[pipelines.customers]
source = { table = "app.customers" }
target = "dim_customers"
mode = "scd2"
"""
DECLARED = """\
from ematix_flow import Source, ematix

@ematix.pipeline(name="customers", target="analytics.dim_customers", mode="scd2", keys="customer_id")
def customers():
    return Source.postgres_query("default", "SELECT * FROM app.customers")
"""


def flow(*arguments: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ematix_flow.cli", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        sys.exit(f"flow {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def same(actual: object, expected: object) -> None:
    if actual != expected:
        sys.exit(f"expected {expected!r}, got {actual!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--free-threaded", action="store_true", help="this Python must still be without its lock")
    parser.add_argument("--demo", choices=["duckdb", "postgres"], help="run `flow demo` on this engine")
    arguments = parser.parse_args()

    import ematix_flow

    version = importlib.metadata.version("ematix-flow")
    same(ematix_flow.__version__, version)
    if arguments.free_threaded:
        # An extension that is not made for it switches the lock on again.
        same(getattr(sys, "_is_gil_enabled", lambda: True)(), False)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        same(flow("--version", directory=directory).split()[:2], ["flow", version])
        (directory / "pipelines.toml").write_text(PROJECT, encoding="utf-8")
        same(flow("validate", directory=directory).splitlines()[0].split(), ["ok", "customers"])
        (directory / "pipelines.toml").unlink()
        (directory / "shop.py").write_text(DECLARED, encoding="utf-8")
        same(flow("validate", "--module", "shop", directory=directory).splitlines()[0].split(), ["ok", "customers"])
        if arguments.demo:
            flow("demo", "--engine", arguments.demo, directory=directory)
    words = [
        f"ematix-flow {version}",
        f"Python {sys.version.split()[0]}",
        *([arguments.demo] if arguments.demo else []),
    ]
    print(f"works: {', '.join(words)}")


if __name__ == "__main__":
    main()
