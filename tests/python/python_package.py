"""The Python package as users have it: scripts of theirs in an interpreter of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow_binary import INSTRUMENTS

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "python"
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Script:
    """What one script left."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Its last line of output."""
        return json.loads(self.stdout.splitlines()[-1])


@dataclass
class Interpreter:
    """Starts scripts in a directory, with the variables of a user."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self, **more: str) -> dict[str, str]:
        path = os.environ.get("PATH", "/usr/bin:/bin")
        own = {"PATH": path, "HOME": str(self.directory), "PYTHONPATH": str(PACKAGE), "PYTHONSAFEPATH": ""}
        measured = {name: os.environ[name] for name in INSTRUMENTS if name in os.environ}
        return {**own, **measured, **self.environment, **more}

    def write(self, name: str, text: str) -> Path:
        file = self.directory / name
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def start(self, text: str, *, name: str = "script.py") -> subprocess.Popen[str]:
        file = self.write(name, text)
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(file)],
            cwd=self.directory,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str, *, expect: int = 0, name: str = "script.py") -> Script:
        process = self.start(text, name=name)
        stdout, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == expect, f"exit {process.returncode}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        return Script(process.returncode, stdout, stderr)

    def flow(self, *arguments: str, expect: int = 0, env: Mapping[str, str] | None = None) -> Script:
        """The `flow` of the package."""
        done = subprocess.run(
            [sys.executable, "-m", "ematix_flow.cli", *arguments],
            cwd=self.directory,
            env=self.variables(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Script(done.returncode, done.stdout, done.stderr)
