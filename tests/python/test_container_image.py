"""The Dockerfile, played without Docker: what its last stage copies is put into an empty root and run as it says."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from customers import project
from empty_root import USER, EmptyRoot
from flow_binary import flow_binary
from tls_client import project_of
from tls_server import NAMES, ROOT, TlsServer

REPOSITORY = Path(__file__).parent.parent.parent
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage (-1: the last), each with its arguments."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for line in lines:
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages[stage]


def arguments(stage: int, word: str) -> list[str]:
    return [rest for found, rest in instructions(stage) if found == word]


def copies() -> dict[str, str]:
    """Where each file of the image comes from."""
    found = {}
    for rest in arguments(-1, "COPY"):
        origin, source, target = shlex.split(rest)
        assert origin == "--from=build"
        found[target] = source
    return found


def test_the_image_holds_the_binary_and_certificates_and_nothing_else() -> None:
    assert [word for word, _ in instructions(-1)] == ["FROM", "COPY", "COPY", "USER", "ENTRYPOINT"]
    assert arguments(-1, "FROM") == ["scratch"]
    assert copies() == {BUNDLE: BUNDLE, "/flow": "/target/release/flow"}
    assert arguments(-1, "USER") == [f"{USER}:{USER}"]
    assert [json.loads(entry) for entry in arguments(-1, "ENTRYPOINT")] == [["/flow"]]


def test_the_binary_of_the_image_is_the_one_that_is_tested() -> None:
    [run] = arguments(0, "RUN")
    assert run == "CARGO_TARGET_DIR=/target ./do static"
    assert re.search(r"static\) run_static ;;", (REPOSITORY / "do").read_text())


def test_the_image_runs(tls: TlsServer, empty_root: EmptyRoot) -> None:
    tls.present(ROOT.issue(*NAMES))
    assert {file.name for file in empty_root.directory.iterdir()} == {path.split("/")[1] for path in copies()} - {"etc"}
    empty_root.put(BUNDLE, ROOT.pem())
    text = project("truncate").replace('schema = "analytics"', 'schema = "of_image"')
    empty_root.put("/pipelines.toml", text + project_of({"default": {"dsn": "${env:WAREHOUSE_DSN}"}}))
    # As a Secret has it; characters of the password that a URL uses are written as it wants them.
    secret = "p%23s%2Fs%40w%3Ar%3Fd%25%26%3D%C3%A9%27%5C"
    dsn = f"postgresql://loader:{secret}@localhost:{tls.port}/postgres?sslrootcert=system"
    report = empty_root("run", "customers", "--output", "json", env={"WAREHOUSE_DSN": dsn}).json()
    assert (report["status"], report["rows_in"]) == ("success", 10)
    assert empty_root("version").stdout.startswith("flow ")


# --- what is sent to the builder --------------------------------------------------------------------------------


def is_sent(path: Path) -> bool:
    """Whether a file of the repository is part of the build context: the last pattern that fits it decides."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").strip("/")
        ways = [path, *path.parents]
        if any(fnmatch.fnmatchcase(str(way), pattern) for way in ways if str(way) != "."):
            sent = line.startswith("!")
    return sent


def test_the_builder_is_sent_what_the_binary_is_made_of() -> None:
    listed = flow_binary().with_suffix(".d")
    if not listed.exists():
        pytest.skip("the binary was built elsewhere: the list of its sources is not beside it")
    # Cargo writes `target: source source …`, a blank in a path as `\ `.
    _, _, text = listed.read_text(encoding="utf-8").partition(": ")
    sources = {Path(os.path.normpath(each.replace("\\ ", " "))) for each in re.split(r"(?<!\\)\s+", text.strip())}
    own = {path.relative_to(REPOSITORY) for path in sources if path.is_relative_to(REPOSITORY)}
    assert len(own) > 100
    manifests = {path.relative_to(REPOSITORY) for path in REPOSITORY.glob("crates/*/Cargo.toml")}
    # Cargo wants the files of every member, and its settings decide where chance comes from.
    needed = own | manifests | {Path(name) for name in ("Cargo.toml", "Cargo.lock", ".cargo/config.toml", "do")}
    needed.add(Path("crates/flow-py/src/lib.rs"))
    assert {str(path) for path in needed if not is_sent(path)} == set()


def test_the_builder_is_not_sent_what_is_nobodys_business() -> None:
    for path in (".git/config", "target/debug/flow", "pipelines.toml", ".env", "tests/python/conftest.py", "README.md"):
        assert not is_sent(Path(path)), path
