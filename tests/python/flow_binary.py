"""Runs the real `flow` binary as a user would, in an environment that holds nothing of the caller's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import standby

TIMEOUT_SECONDS = 120
# Where what is measured is written (`./do coverage`); no caller's setting otherwise.
INSTRUMENTS = ("LLVM_PROFILE_FILE", "COVERAGE_PROCESS_CONFIG")


@dataclass(frozen=True)
class Finished:
    """What one invocation left: exit code (negative: the signal that ended it) and both outputs."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The one JSON document on stdout."""
        try:
            return json.loads(self.stdout)
        except json.JSONDecodeError as error:
            raise AssertionError(f"stdout is not one JSON document: {error}\n{self}") from None

    def __str__(self) -> str:
        command = " ".join(("flow", *self.arguments))
        return f"$ {command}\nexit {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass
class Running:
    """A `flow` that has been started and not yet waited for."""

    arguments: tuple[str, ...]
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def finish(self, expect: int | Collection[int] | None = 0, timeout: float = TIMEOUT_SECONDS) -> Finished:
        """Waits for its end. `expect` is the exit code, or several that will do, or None for any."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            finished = Finished(self.arguments, self.process.returncode, stdout, stderr)
            raise AssertionError(f"still running after {timeout} s\n{finished}") from None
        finished = Finished(self.arguments, self.process.returncode, stdout, stderr)
        expected = {expect} if isinstance(expect, int) else expect
        if expected is not None and finished.code not in expected:
            # Printed too, so that it is seen whole even where the assertion's text is cut.
            print(finished)
            raise AssertionError(f"exit code {finished.code}, expected {expect}\n{finished}")
        return finished

    def finish_and_measure(self, timeout: float = TIMEOUT_SECONDS) -> tuple[float, Finished]:
        """Waits for its end; the highest resident memory that it had, in megabytes, beside what it left."""
        status = Path(f"/proc/{self.pid}/status")
        kilobytes = 0
        # The kernel keeps the peak; what is read last is right.
        while self.process.poll() is None:
            if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
                kilobytes = int(found[1])
            time.sleep(0.02)
        return kilobytes / 1024, self.finish(timeout=timeout)

    def kill(self) -> None:
        """kill -9: the process gets no chance to tidy up."""
        self.process.kill()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        self.process.terminate()


@dataclass
class Flow:
    """`flow("run", "customers")` in a directory of the test's own, on the test's own database.

    The environment is PATH, a HOME of its own, `variables`, and what a call adds; a value of None takes one away.
    """

    binary: Path
    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list, repr=False)

    def __call__(
        self,
        *arguments: str,
        config: str | Path | None = None,
        env: Mapping[str, str | None] | None = None,
        expect: int | Collection[int] | None = 0,
        timeout: float = TIMEOUT_SECONDS,
        stdin: str | None = None,
    ) -> Finished:
        """Runs it to its end. `config` is a file's path, or the text of a pipelines.toml; `stdin` is what it may read."""
        return self.start(*arguments, config=config, env=env, stdin=stdin).finish(expect, timeout)

    def start(
        self,
        *arguments: str,
        config: str | Path | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
    ) -> Running:
        """Starts it and returns at once; what still runs when the test ends is killed."""
        if isinstance(config, str) and "\n" in config:
            config = self.project(config)
        if config is not None:
            arguments = ("--config", str(config), *arguments)
        standby.wait_until_it_has_followed()
        process = subprocess.Popen(
            [self.binary, *arguments],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            cwd=self.directory,
            env=self.environment(env or {}),
        )
        if process.stdin is not None and stdin is not None:
            # It may have ended without reading.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(stdin)
                process.stdin.close()
            process.stdin = None
        running = Running(arguments, process)
        self._running.append(running)
        return running

    def project(self, text: str) -> Path:
        """Writes pipelines.toml, which `flow` finds in its current directory."""
        path = self.directory / "pipelines.toml"
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def home(self) -> Path:
        """The home directory of whoever runs it."""
        return self.directory / "home"

    def environment(self, additions: Mapping[str, str | None]) -> dict[str, str]:
        self.home.mkdir(exist_ok=True)
        chosen: dict[str, str | None] = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home)}
        chosen |= {name: os.environ[name] for name in INSTRUMENTS if name in os.environ}
        chosen |= self.variables
        chosen |= additions
        return {name: value for name, value in chosen.items() if value is not None}

    def stop_all(self) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.process.kill()
            with running.process:
                pass  # closes its pipes and waits for it


def flow_binary() -> Path:
    """The binary under test: EMATIX_FLOW_BIN, else the one a dev build puts into the target directory."""
    if chosen := os.environ.get("EMATIX_FLOW_BIN"):
        return Path(chosen).absolute()
    return target_directory() / "debug" / "flow"


def target_directory() -> Path:
    if chosen := os.environ.get("CARGO_TARGET_DIR"):
        return Path(chosen).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ematix-flow" / "target"
