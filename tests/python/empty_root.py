"""A root that holds a static binary and what a test puts beside it: no shell, no /etc, no /dev, no /proc.

The binary is EMATIX_FLOW_STATIC_BIN, which `./do test` makes, else one that it made before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
from flow_binary import Finished, Running, target_directory

# Nobody in particular, as in an image.
USER = "65532"
CHROOT = shutil.which("chroot", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin") or "chroot"


def static_binary() -> Path:
    """The static binary; without one its tests are skipped, but for where `./do test` said that there is one."""
    if chosen := os.environ.get("EMATIX_FLOW_STATIC_BIN"):
        return Path(chosen).absolute()
    for profile in ("release", "debug"):
        made = target_directory() / profile / "flow-static"
        if made.exists():
            return made
    pytest.skip("no static binary: `./do test` makes one, or `./do static` and EMATIX_FLOW_STATIC_BIN")


def way_in() -> list[str]:
    """What runs a command with another root: as root chroot, else in a user namespace where the system allows one."""
    if os.geteuid() == 0:
        return [CHROOT, f"--userspec={USER}:{USER}"]
    alone = ["unshare", "--user", "--map-root-user"]
    if shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        return [*alone, CHROOT]
    pytest.skip("another root needs root, or user namespaces, which this system does not allow")


@dataclass
class EmptyRoot:
    """`root("run", "customers", expect=0)`: the binary as /flow, in the root, in an environment of nothing."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> EmptyRoot:
        """The root must be below a directory that everybody may enter."""
        directory.mkdir(mode=0o755)
        root = cls(directory)
        binary = static_binary()
        try:
            # 50 MB in the dev profile: not one copy for each test, where it can be had without.
            os.link(binary, directory / "flow")
        except OSError:
            shutil.copy(binary, directory / "flow")
        return root

    def put(self, path: str, text: str) -> None:
        """Writes a file."""
        file = self.directory / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> Running:
        process = subprocess.Popen(
            [*way_in(), str(self.directory), "/flow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            cwd="/",
            # chroot and unshare are found by this process; the binary sees no PATH.
            env=env or {},
        )
        return Running(arguments, process)

    def __call__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        expect: int | Collection[int] | None = 0,
        timeout: float = 60,
    ) -> Finished:
        return self.start(*arguments, env=env).finish(expect, timeout)
