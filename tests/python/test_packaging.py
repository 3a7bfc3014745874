"""The archive of a release and the script that installs it, with a made-up release on a server of this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomllib
from flow_binary import flow_binary

ROOT = Path(__file__).parent.parent.parent
PACKAGING = ROOT / "packaging"
TARGET = "x86_64-unknown-linux-gnu"
NAME = f"ematix-flow-{TARGET}"


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs the real one: a debug build would be packed and unpacked for half a minute."""
    path = tmp_path_factory.mktemp("built") / "flow"
    path.write_text(f'#!/bin/sh\nexec {flow_binary()} "$@"\n')
    path.chmod(0o755)
    return path


def pack(binary: Path, target: str, out: Path, *more: str) -> list[Path]:
    command = [sys.executable, PACKAGING / "archive.py", binary, target, out, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def archive(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    [path] = pack(binary, TARGET, tmp_path_factory.mktemp("dist"))
    return path


# ------------------------------------------------------------------------------------------------------ the archive


def test_it_holds_all_pages_all_completions_and_what_schedules_are_copied_from(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        entries = packed.getmembers()
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {(0, 0, "", 315532800)}
    assert {entry.name for entry in entries if entry.mode == 0o755} == {f"{NAME}/bin/flow"}
    names = {entry.name.removeprefix(f"{NAME}/") for entry in entries}
    pages = {name for name in names if name.startswith("share/man/man1/")}
    assert {f"share/man/man1/flow{which}.1" for which in ("", "-run", "-connections-add")} <= pages
    assert {name for name in names - pages if not name.startswith("share/doc/ematix-flow/examples/")} == {
        "bin/flow",
        "share/bash-completion/completions/flow",
        "share/zsh/site-functions/_flow",
        "share/fish/vendor_completions.d/flow.fish",
        "share/elvish/lib/flow.elv",
        "share/powershell/flow.ps1",
        "share/doc/ematix-flow/LICENSE",
        "share/doc/ematix-flow/README.md",
        "share/doc/ematix-flow/CHANGELOG.md",
    }
    assert "share/doc/ematix-flow/examples/systemd/flow-daemon.service" in names


def test_every_page_is_one_that_man_can_draw(archive: Path, tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    pages = sorted((tmp_path / NAME / "share/man/man1").iterdir())
    drawn = subprocess.run(
        ["groff", "-Kutf8", "-man", "-Tutf8", "-ww", *pages], capture_output=True, text=True, check=True
    )
    assert drawn.stderr == ""
    assert drawn.stdout.count("NAME") >= len(pages)


def test_for_windows_it_is_a_zip(binary: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "flow.exe"
    shutil.copy(binary, renamed)
    [path] = pack(renamed, "x86_64-pc-windows-msvc", tmp_path / "dist")
    assert path.name == "ematix-flow-x86_64-pc-windows-msvc.zip"
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        assert "ematix-flow-x86_64-pc-windows-msvc/bin/flow.exe" in packed.namelist()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_debians_package_has_each_file_where_debian_keeps_it(binary: Path, tmp_path: Path) -> None:
    _, path = pack(binary, TARGET, tmp_path / "dist", "--deb")
    assert path.name == "ematix-flow_amd64.deb"

    def told(*words: str) -> str:
        return subprocess.run(["dpkg-deb", *words], capture_output=True, text=True, check=True).stdout

    fields = dict(line.split(": ", 1) for line in told("--field", str(path)).splitlines() if not line.startswith(" "))
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert (fields["Package"], fields["Version"], fields["Architecture"]) == ("ematix-flow", version, "amd64")
    assert "Depends" not in fields
    listed = [line.split() for line in told("--contents", str(path)).splitlines()]
    assert {entry[1] for entry in listed} == {"root/root"}
    files = {entry[5]: entry[0] for entry in listed if not entry[5].endswith("/")}
    assert files["./usr/bin/flow"] == "-rwxr-xr-x"
    assert {
        "./usr/share/man/man1/flow-run.1.gz",
        "./usr/share/zsh/vendor-completions/_flow",
        "./usr/share/doc/ematix-flow/copyright",
    } <= set(files)
    subprocess.run(["dpkg-deb", "--extract", path, tmp_path / "root"], check=True)
    installed = subprocess.run(
        [tmp_path / "root/usr/bin/flow", "--version"], capture_output=True, text=True, check=True
    )
    assert installed.stdout.split()[1] == version
    assert pack(binary, TARGET, tmp_path / "again", "--deb")[1].read_bytes() == path.read_bytes()


def test_cargo_binstall_is_led_to_the_archive_and_to_the_binary_in_it() -> None:
    manifest = tomllib.loads((ROOT / "crates" / "flow-cli" / "Cargo.toml").read_text(encoding="utf-8"))
    told = manifest["package"]["metadata"]["binstall"]

    def filled(text: str, target: str, **more: str) -> str:
        values = {"target": target, "version": "1.2.3", "bin": "flow", "binary-ext": "", **more}
        for name, value in values.items():
            text = text.replace(f"{{ {name} }}", value)
        return text

    address = "https://github.com/OWNER/ematix-flow/releases/download/v1.2.3/"
    assert filled(told["pkg-url"], TARGET) == f"{address}{NAME}.tar.gz"
    assert filled(told["bin-dir"], TARGET) == f"{NAME}/bin/flow"
    assert told["pkg-fmt"] == "tgz"
    # Its own guess for Alpine comes first, and the binary for Linux is for every C library.
    musl = told["overrides"]["x86_64-unknown-linux-musl"]
    assert (filled(musl["pkg-url"], "x"), musl["bin-dir"]) == (f"{address}{NAME}.tar.gz", f"{NAME}/bin/flow")
    windows = told["overrides"]["x86_64-pc-windows-msvc"]
    assert filled(windows["pkg-url"], "x86_64-pc-windows-msvc").endswith("ematix-flow-x86_64-pc-windows-msvc.zip")
    assert windows["pkg-fmt"] == "zip"


# ------------------------------------------------------------------------------------------------------- install.sh


@dataclass
class Release:
    """A server with releases, and a user who installs from them."""

    files: Path
    address: str
    home: Path

    def add(self, version: str, archive: Path, *, sums: str | None = None) -> None:
        for place in (self.files / "download" / f"v{version}", self.files / "latest" / "download"):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(archive, place)
            made = f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
            (place / "SHA256SUMS").write_text(made if sums is None else sums)

    def install(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"EMATIX_FLOW_RELEASES": self.address, "HOME": str(self.home), "PATH": os.environ["PATH"]}
        # Whoever runs the tests may be root, whose prefix is another.
        words = arguments if "--prefix" in arguments else ("--prefix", str(self.prefix), *arguments)
        return subprocess.run(
            ["sh", "-s", "--", *words],
            input=(PACKAGING / "install.sh").read_text(encoding="utf-8"),
            capture_output=True,
            text=True,
            env={**own, **variables},
            timeout=60,
            check=False,
        )

    @property
    def prefix(self) -> Path:
        return self.home / ".local"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    files, home = tmp_path / "releases", tmp_path / "home"
    files.mkdir()
    home.mkdir()
    handler = functools.partial(Quiet, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Release(files, f"http://127.0.0.1:{server.server_port}", home)
        server.shutdown()


def test_it_installs_the_binary_its_pages_and_its_completions(release: Release, archive: Path) -> None:
    release.add("0.1.0", archive)
    done = release.install(PATH=f"{release.prefix}/bin:{os.environ['PATH']}")
    version = subprocess.run([flow_binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{version}: {release.prefix}/bin/flow\n", "")
    installed = release.prefix / "bin" / "flow"
    assert (
        subprocess.run([installed, "--version"], capture_output=True, text=True, check=True).stdout.strip() == version
    )
    with tarfile.open(archive) as packed:
        expected = {entry.name.removeprefix(f"{NAME}/") for entry in packed if entry.isfile()}
    files = [path for path in release.prefix.rglob("*") if path.is_file()]
    assert {str(path.relative_to(release.prefix)) for path in files} == expected
    # A shell takes the completions from there.
    asked = subprocess.run(
        ["bash", "-c", f"source {release.prefix}/share/bash-completion/completions/flow; complete -p flow"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip().endswith("flow")


def test_it_installs_the_version_that_is_asked_for_and_says_what_path_lacks(release: Release, archive: Path) -> None:
    release.add("0.1.0", archive)
    (release.files / "latest" / "download" / "SHA256SUMS").write_text("")
    done = release.install("--version", "0.1.0")
    assert (done.returncode, done.stderr) == (0, f"hint: {release.prefix}/bin is not on PATH\n")
    assert release.install("--version", "v0.1.0").returncode == 0


def test_a_flow_that_runs_keeps_its_file_while_another_is_installed(release: Release, archive: Path) -> None:
    release.add("0.1.0", archive)
    release.install()
    with (release.prefix / "bin" / "flow").open("rb") as running:
        before = os.fstat(running.fileno()).st_ino
        assert release.install().returncode == 0
        assert (release.prefix / "bin" / "flow").stat().st_ino != before
    assert list(release.prefix.rglob("*.new")) == []


@pytest.mark.parametrize(
    ("sums", "told"),
    [
        (
            f"{'0' * 64}  {NAME}.tar.gz\n",
            f"error: {NAME}.tar.gz is not what was released: its SHA-256 is ACTUAL, and SHA256SUMS says {'0' * 64}\n",
        ),
        (f"{'0' * 64}  {NAME}.tar.gz.sig\n", f"error: SHA256SUMS of the release does not name {NAME}.tar.gz\n"),
        ("", f"error: SHA256SUMS of the release does not name {NAME}.tar.gz\n"),
    ],
    ids=["another sum", "another name", "no sums"],
)
def test_what_is_not_the_release_is_not_installed(release: Release, archive: Path, sums: str, told: str) -> None:
    release.add("0.1.0", archive, sums=sums)
    done = release.install()
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told.replace("ACTUAL", actual))
    assert list(release.home.iterdir()) == []


def test_what_cannot_be_downloaded_is_said_with_its_address(release: Release) -> None:
    done = release.install("--version", "9.9.9")
    assert done.returncode == 1
    assert f"error: {release.address}/download/v9.9.9/SHA256SUMS could not be downloaded\n" in done.stderr
    assert list(release.home.iterdir()) == []


def test_a_binary_that_does_not_run_here_is_not_installed(release: Release, tmp_path: Path) -> None:
    made = tmp_path / NAME
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "flow").write_bytes(b"\x7fELF of another processor")
    (made / "bin" / "flow").chmod(0o755)
    with tarfile.open(tmp_path / f"{NAME}.tar.gz", "w:gz") as packed:
        packed.add(made, NAME)
    release.add("0.1.0", tmp_path / f"{NAME}.tar.gz")
    done = release.install()
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"error: the binary for {TARGET} does not run on this machine\nhint: nothing was installed\n"
    )
    assert list(release.home.iterdir()) == []


@pytest.mark.parametrize(
    ("system", "processor", "asked"),
    [
        ("Linux", "x86_64", "x86_64-unknown-linux-gnu"),
        ("Linux", "aarch64", "aarch64-unknown-linux-gnu"),
        ("Darwin", "arm64", "aarch64-apple-darwin"),
        ("Darwin", "x86_64", "x86_64-apple-darwin"),
    ],
)
def test_each_machine_asks_for_its_own_archive(release: Release, system: str, processor: str, asked: str) -> None:
    (release.files / "latest" / "download").mkdir(parents=True)
    (release.files / "latest" / "download" / "SHA256SUMS").write_text("")
    done = release.install(EMATIX_FLOW_SYSTEM=system, EMATIX_FLOW_PROCESSOR=processor)
    assert f"error: {release.address}/latest/download/ematix-flow-{asked}.tar.gz could not be" in done.stderr


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"EMATIX_FLOW_SYSTEM": "MINGW64_NT"}, "error: this script does not install on MINGW64_NT\n"),
        ({"EMATIX_FLOW_PROCESSOR": "riscv64"}, "error: there is no binary for riscv64\n"),
        ({"EMATIX_FLOW_RELEASES": ""}, "error: this copy of install.sh names no releases\n"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_where_it_cannot_install_it_says_what_does(release: Release, variables: dict[str, str], told: str) -> None:
    done = release.install(**variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    assert "hint: " in done.stderr


def test_an_argument_that_it_does_not_know_is_an_error(release: Release) -> None:
    done = release.install("--prefx", "/x")
    assert (done.returncode, done.stderr) == (
        1,
        "error: unknown argument --prefx\nhint: sh install.sh [--version 0.1.0] [--prefix DIRECTORY]\n",
    )
