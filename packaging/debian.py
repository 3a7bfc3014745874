"""A package for Debian and Ubuntu of what an archive holds. The binary is static, so it depends on nothing."""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from pathlib import Path

# Debian's names of processors.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

CONTROL = """\
Package: ematix-flow
Version: {version}
Architecture: {architecture}
Maintainer: The maintainers of ematix-flow <maintainers@users.noreply.github.com>
Installed-Size: {kilobytes}
Section: database
Priority: optional
Recommends: ca-certificates
Description: loads tables by declared strategies, and writes only what changed
 Tables and load strategies (append, truncate, merge, slowly changing
 dimensions of type 2) are declared in pipelines.toml; flow plans and runs
 each load in one transaction, inside one Postgres database or between two.
"""


def write_deb(files: dict[str, bytes], version: str, target: str, out: Path, seconds: int) -> Path:
    """Writes it and answers where."""
    architecture = ARCHITECTURES[target.partition("-")[0]]
    path = out / f"ematix-flow_{architecture}.deb"
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "root"
        for place, content in files.items():
            _put(root / "usr" / _place(place), _compressed(place, content, seconds), place.startswith("bin/"))
        licence = files["share/doc/ematix-flow/LICENSE"]
        _put(root / "usr/share/doc/ematix-flow/copyright", licence, False)
        kilobytes = -(-sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) // 1024)
        control = CONTROL.format(version=version, architecture=architecture, kilobytes=kilobytes)
        _put(root / "DEBIAN" / "control", control.encode(), False)
        for directory in (root, *(each for each in root.rglob("*") if each.is_dir())):
            directory.chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", root, path],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return path


def _place(place: str) -> str:
    """Where Debian keeps it: vendors' completions of zsh apart from the administrator's, manual pages compressed."""
    if place.startswith("share/man/"):
        return f"{place}.gz"
    return place.replace("share/zsh/site-functions/", "share/zsh/vendor-completions/")


def _compressed(place: str, content: bytes, seconds: int) -> bytes:
    return gzip.compress(content, mtime=seconds) if place.startswith("share/man/") else content


def _put(path: Path, content: bytes, is_program: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if is_program else 0o644)
