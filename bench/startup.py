"""How long it takes to begin: `flow --version` and `import` of the package."""

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
