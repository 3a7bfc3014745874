"""The `flow` of the package for tests with many commands: one interpreter imports the package, and a fork of it runs each.

A fork is as a process of its own: nothing of DuckDB is open in the one that it comes from.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow_binary import TIMEOUT_SECONDS, Finished
from python_package import Interpreter

SERVER = """
import atexit, json, os, sys
import duckdb
from ematix_flow import _core, cli

def command(asked):
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["variables"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["flow", *asked["arguments"]]
    try:
        code = cli.main()
    except SystemExit as error:
        code = error.code
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code

asking, answering = sys.stdin, sys.stdout
while line := asking.readline():
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = command(json.loads(line))
        finally:
            os._exit(code)
    print(child, file=answering, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), file=answering, flush=True)
"""


@dataclass
class Begun:
    """A command that a fork runs."""

    arguments: tuple[str, ...]
    pid: int
    server: subprocess.Popen[str]
    outputs: tuple[Path, Path]

    def kill(self) -> None:
        """kill -9: the process gets no chance to tidy up."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def finish(self, expect: int | Collection[int] | None = 0) -> Finished:
        """Waits for its end."""
        code = int(answer_of(self.server, " ".join(self.arguments)))
        finished = Finished(self.arguments, code, *(each.read_text(errors="backslashreplace") for each in self.outputs))
        expected = {expect} if isinstance(expect, int) else expect
        assert expected is None or finished.code in expected, f"expected {expect}\n{finished}"
        return finished


@dataclass
class WarmPackage:
    """`flow("run", "customers", expect=0)` in a directory, as `Flow` of the binary; one command at a time."""

    directory: Path
    process: subprocess.Popen[str]
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, expect: int | Collection[int] | None = 0
    ) -> Finished:
        return self.start(*arguments, env=env).finish(expect)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Begun:
        """Starts it and returns at once."""
        outputs = (self.directory / ".stdout", self.directory / ".stderr")
        asked: dict[str, Any] = {"arguments": arguments, "directory": str(self.directory)}
        asked |= {"stdout": str(outputs[0]), "stderr": str(outputs[1])}
        asked["variables"] = Interpreter(self.directory, self.variables).variables(**(env or {}))
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Begun(arguments, int(answer_of(self.process, "to fork")), self.process, outputs)

    def project(self, text: str) -> Path:
        """Writes pipelines.toml, which `flow` finds in its current directory."""
        path = self.directory / "pipelines.toml"
        path.write_text(text, encoding="utf-8")
        return path


def answer_of(process: subprocess.Popen[str], what: str) -> str:
    """The next line that it says."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], TIMEOUT_SECONDS)
    if not ready:
        process.kill()
        raise AssertionError(f"{what}: no end after {TIMEOUT_SECONDS} s")
    return process.stdout.readline()


@contextmanager
def warm_package(directory: Path, **variables: str) -> Iterator[WarmPackage]:
    """An interpreter that has imported the package; commands run in the directory, with these variables."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=directory,
        env={**Interpreter(directory).variables(), "PATH": os.environ.get("PATH", os.defpath)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield WarmPackage(directory, process, variables)
    finally:
        process.kill()
        process.communicate()
