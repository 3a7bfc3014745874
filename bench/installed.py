"""Environments of their own for what is measured beside `flow`, made when they are asked for.

Each is a venv below the cache (`XDG_CACHE_HOME`, else ~/.cache) in ematix-flow/bench/NAME, from peers/NAME/requirements.txt,
whose versions are exact. Another file makes it anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 900


class NotInstalled(Exception):
    """An environment could not be made; the message says why."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ematix-flow" / "bench"


class Environment:
    """The venv of peers/NAME."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requirements = HERE / "peers" / name / "requirements.txt"
        self.path = cache() / name

    def program(self, name: str) -> Path:
        """A program of it; the environment is made if it is not there."""
        self.make()
        return self.path / "bin" / name

    def python(self) -> Path:
        return self.program("python")

    def version(self, package: str) -> str:
        """The version that is to be had of a package."""
        for line in self.requirements.read_text(encoding="utf-8").splitlines():
            name, _, version = line.partition("==")
            if name.split("[")[0].strip() == package:
                return version.strip()
        raise KeyError(package)

    def make(self) -> None:
        stamp = self.path / "requirements.txt"
        wanted = self.requirements.read_text(encoding="utf-8") + f"# Python {sys.version.split()[0]}\n"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        print(f"==> a venv of {self.name} in {self.path}", file=sys.stderr, flush=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self.must([sys.executable, "-m", "venv", str(self.path)])
        pip = [
            str(self.path / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--no-input",
            "--disable-pip-version-check",
        ]
        self.must([*pip, "-r", str(self.requirements)])
        stamp.write_text(wanted, encoding="utf-8")

    def must(self, words: list[str]) -> None:
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(f"{self.name} could not be installed: {error}") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"{words[0]} failed"]
            said = next((line for line in lines if "error" in line.lower()), lines[0])
            raise NotInstalled(f"{self.name} could not be installed: {said.strip()}")
