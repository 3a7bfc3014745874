"""Packs a binary as it is released: with its manual pages, completions and licence, the same bytes for the same inputs.

    python packaging/archive.py BINARY TARGET OUT [--deb]

TARGET is Rust's name of the platform, OUT a directory. The binary is run, for its pages and completions, so this happens
on a machine that can run it. `--deb` adds a package for Debian and Ubuntu. Standard library only; `dpkg-deb` for --deb.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from debian import write_deb

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("LICENSE", "README.md", "CHANGELOG.md")
# Where each shell looks, below a prefix such as ~/.local or /usr.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/flow",
    "zsh": "share/zsh/site-functions/_flow",
    "fish": "share/fish/vendor_completions.d/flow.fish",
    "elvish": "share/elvish/lib/flow.elv",
    "powershell": "share/powershell/flow.ps1",
}


def flow(binary: Path, *arguments: str) -> bytes:
    # Neither a project nor a terminal may change what is printed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EMATIX_FLOW_")}
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run(
            [binary.resolve(), *arguments], cwd=empty, env=environment, stdout=subprocess.PIPE, check=True
        ).stdout


def version_of(binary: Path) -> str:
    return flow(binary, "--version").decode().split()[1]


def contents(binary: Path) -> dict[str, bytes]:
    """What is below the prefix, by its place there."""
    found = {f"bin/flow{binary.suffix}": binary.read_bytes()}
    for shell, place in COMPLETIONS.items():
        found[place] = flow(binary, "completions", shell)
    with tempfile.TemporaryDirectory() as pages:
        flow(binary, "-q", "man", pages)
        for page in sorted(Path(pages).iterdir()):
            found[f"share/man/man1/{page.name}"] = page.read_bytes()
    for name in DOCUMENTS:
        found[f"share/doc/ematix-flow/{name}"] = (ROOT / name).read_bytes()
    for path in sorted((ROOT / "deploy").rglob("*")):
        if path.is_file():
            found[f"share/doc/ematix-flow/examples/{path.relative_to(ROOT / 'deploy').as_posix()}"] = path.read_bytes()
    return found


def mode_of(place: str) -> int:
    return 0o755 if place.startswith("bin/") else 0o644


def tar_gz(files: dict[str, bytes], top: str, seconds: int) -> bytes:
    """The archive; owner, order and times are those of no machine."""
    packed = io.BytesIO()
    # Without a name in its header, and with the one time.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=seconds) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for place, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{top}/{place}")
            entry.size, entry.mode, entry.mtime = len(content), mode_of(place), seconds
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zip_of(files: dict[str, bytes], top: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{top}/{place}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode_of(place) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("target")
    parser.add_argument("out", type=Path)
    parser.add_argument("--deb", action="store_true")
    arguments = parser.parse_args()
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or 315532800)  # 1980, where zip begins
    files = contents(arguments.binary)
    # No version in the name, so that `releases/latest/download/NAME` stays the same.
    top = f"ematix-flow-{arguments.target}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    if "windows" in arguments.target:
        path, packed = arguments.out / f"{top}.zip", zip_of(files, top)
    else:
        path, packed = arguments.out / f"{top}.tar.gz", tar_gz(files, top, seconds)
    path.write_bytes(packed)
    print(path)
    if arguments.deb:
        print(write_deb(files, version_of(arguments.binary), arguments.target, arguments.out, seconds))


if __name__ == "__main__":
    main()
