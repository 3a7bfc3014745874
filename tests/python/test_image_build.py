"""The Dockerfile, built by a builder where one is installed, and the image run by it.

No registry is asked: the image that the first stage begins with is made here, of a shell and a static binary that `./do static`
hands over instead of compiling it. test_static_binary.py has what that binary can.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from empty_root import USER, static_binary
from flow_binary import flow_binary

ROOT = Path(__file__).parent.parent.parent
BASE = "docker.io/library/rust:1-bookworm"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"

# Only what is below is about the builder: what the Dockerfile says is held by test_container_image.py, too.
needs_builder = pytest.mark.skipif(
    shutil.which("buildah") is None or shutil.which("busybox") is None or os.getuid() != 0,
    reason="buildah and a static busybox are not installed, or who runs this is not root",
)


@dataclass(frozen=True)
class Builder:
    """buildah with a store of its own, which needs neither a daemon nor a driver of the kernel."""

    store: Path

    def __call__(self, *arguments: str | Path, expect: int = 0) -> str:
        place = ["--root", self.store / "root", "--runroot", self.store / "run", "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *place, *arguments], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == expect, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("store"))
    yield made
    made("rm", "--all")
    made("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def image(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `docker build -t ematix-flow .` makes."""
    base = tmp_path_factory.mktemp("base")
    for name in ("bin", "tmp", BUNDLE.rpartition("/")[0]):
        (base / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, base / "bin" / "busybox")
    for name in ("sh", "mkdir", "cp"):
        (base / "bin" / name).symlink_to("busybox")
    (base / BUNDLE).write_text("certificates\n")
    # Without what debuggers read it is a fifth.
    subprocess.run(["strip", "-o", base / "flow", static_binary()], check=True)
    container = builder("from", "scratch")
    builder("add", "-q", container, base, "/")
    builder("commit", "-q", container, BASE)

    context = tmp_path_factory.mktemp("context")
    for name in ("Dockerfile", ".dockerignore", "Cargo.toml"):
        shutil.copy(ROOT / name, context)
    (context / "do").write_text(
        '#!/bin/sh\n[ "$1" = static ] && mkdir -p "$CARGO_TARGET_DIR/release" && cp /flow "$CARGO_TARGET_DIR/release/flow"\n'
    )
    (context / "do").chmod(0o755)
    builder("build", "--isolation", "chroot", "--pull-never", "-q", "-t", "ematix-flow", context)
    return "localhost/ematix-flow"


@needs_builder
def test_the_image_is_the_binary_and_certificates(builder: Builder, image: str) -> None:
    told = json.loads(builder("inspect", "--type", "image", image))["OCIv1"]["config"]
    assert (told["User"], told["Entrypoint"], told.get("Cmd")) == (f"{USER}:{USER}", ["/flow"], None)
    mounted = Path(builder("mount", builder("from", image)))
    files = {str(path.relative_to(mounted)) for path in mounted.rglob("*") if path.is_file()}
    assert files == {"flow", BUNDLE}


@needs_builder
def test_the_image_runs_as_nobody_in_particular(builder: Builder, image: str, tmp_path: Path) -> None:
    version = subprocess.run([flow_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    container = builder("from", image)

    def run(*words: str) -> str:
        return builder("run", "--isolation", "chroot", "-v", f"{project}:/pipelines.toml:ro", container, "--", *words)

    project = tmp_path / "pipelines.toml"
    project.write_text('[pipelines.a]\nsource = { table = "app.a" }\ntarget = "dw.a"\nmode = "truncate"\n')
    project.chmod(0o644)
    assert run("/flow", "--version") == version.strip()
    assert run("/flow", "validate").splitlines()[0].split() == ["ok", "a"]
