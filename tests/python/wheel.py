"""The package as one wheel, and fresh environments with nothing but it.

The wheel is EMATIX_FLOW_WHEEL, else one that the test session builds: by `./do wheel dev`, since an optimised one takes
minutes. Where cargo has built the workspace before, that is a matter of seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from once_a_session import shared_by_workers
from python_package import ROOT, TIMEOUT_SECONDS, Script

BUILD_TIMEOUT_SECONDS = 900


def session_wheel(factory: pytest.TempPathFactory) -> Path:
    """The wheel under test, built once a session."""
    if chosen := os.environ.get("EMATIX_FLOW_WHEEL"):
        return Path(chosen).absolute()
    with shared_by_workers(factory, "wheel") as shared:
        if not (built := list(shared.glob("*.whl"))):
            # Another session may build the next one in its place.
            built = [Path(shutil.copy(_build(), shared))]
    return built[0]


def _build() -> Path:
    done = subprocess.run(
        [ROOT / "do", "wheel", "dev"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[0])


@dataclass(frozen=True)
class Environment:
    """A venv of a user, with a home that was empty and a directory that is not the repository's."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Environment:
        # Without pip of its own, which takes seconds to unpack: ours installs into it.
        venv.create(directory / "venv", with_pip=False, symlinks=True)
        made = cls(directory)
        for path in (made.home, made.project):
            path.mkdir()
        return made

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def project(self) -> Path:
        return self.directory / "shop"

    @property
    def programs(self) -> Path:
        return self.directory / "venv" / "bin"

    @property
    def packages(self) -> Path:
        [path] = (self.directory / "venv" / "lib").glob("python*/site-packages")
        return path

    def pip(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.programs / "python", *arguments]
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "-q"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def run(self, program: str, *arguments: str, expect: int = 0, **variables: str) -> Script:
        """Runs a program of the venv by its path, as cron does: nothing is activated."""
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.project,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Script(done.returncode, done.stdout, done.stderr)

    def files(self) -> set[str]:
        """What is installed: neither bytecode nor directories."""
        below = [path for path in (self.directory / "venv").rglob("*") if path.is_file()]
        return {str(path.relative_to(self.directory)) for path in below if path.suffix != ".pyc"}
