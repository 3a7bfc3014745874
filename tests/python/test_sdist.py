"""The sources as PyPI gets them: whole, and what is built from them works. And what others say of the wheel's name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import pytest
from flow_binary import flow_binary
from python_package import ROOT
from wheel import Environment, session_wheel

PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_wheel(tmp_path_factory)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sources")
    command = [PROGRAMS / "maturin", "sdist", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = out.iterdir()
    return path


def test_they_have_every_file_that_the_program_is_made_of(sources: Path) -> None:
    with tarfile.open(sources) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    listed = flow_binary().with_suffix(".d")
    if not listed.exists():
        pytest.skip("the binary was built elsewhere: the list of its sources is not beside it")
    # Cargo writes `target: source source …`, a blank in a path as `\\ `.
    _, _, text = listed.read_text(encoding="utf-8").partition(": ")
    made_of = {Path(os.path.normpath(each.replace("\\ ", " "))) for each in re.split(r"(?<!\\)\s+", text.strip())}
    own = {str(path.relative_to(ROOT)) for path in made_of if path.is_relative_to(ROOT)}
    assert len(own) > 100
    settings = {
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    }
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "python").rglob("*.py")}
    assert (own | settings | package) - names == set()


def test_they_hold_nothing_else(sources: Path) -> None:
    with tarfile.open(sources) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()} - {"PKG-INFO"}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    new = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert names - set(tracked.splitlines()) - set(new.splitlines()) == set()


@pytest.mark.long
def test_pypi_would_take_both_and_draw_the_page(sources: Path, wheel: Path) -> None:
    done = subprocess.run(
        [PROGRAMS / "twine", "check", "--strict", sources, wheel],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len(re.findall(r": PASSED", done.stdout)) == 2, done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_auditwheel_finds_the_wheel_to_be_what_its_name_says(wheel: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", wheel], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    found = re.search(r'is consistent with the following platform tag: "(\w+)"', words)
    assert found is not None, done.stdout
    assert found[1] in wheel.name
    # Nothing but the C library and what comes with the compiler.
    libraries = set(re.findall(r"\b(lib[\w+-]+\.so\.\d+)\b", words))
    assert libraries <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2"}


def interpreters() -> list[str]:
    """The Pythons of this machine that the wheel is for, other than ours."""
    found = []
    for minor in range(10, 20):
        ask = ["-c", "import sys, venv; print('.'.join(map(str, sys.version_info[:2])))"]
        name = f"python3.{minor}"
        try:
            done = subprocess.run([name, *ask], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            continue
        if done.stdout.strip() == f"3.{minor}" and sys.version_info[:2] != (3, minor):
            found.append(name)
    return found


def test_it_works_on_every_python_that_is_there(wheel: Path, tmp_path: Path) -> None:
    others = interpreters()
    if not others:
        pytest.skip("there is no other Python on this machine")
    for name in others:
        user = tmp_path / name
        subprocess.run([name, "-m", "venv", "--without-pip", user], check=True)
        install = ["-m", "pip", "--python", user / "bin" / "python", "install", "-q", "--no-index", "--no-deps", wheel]
        subprocess.run([sys.executable, *install], check=True)
        done = subprocess.run(
            [user / "bin" / "python", ROOT / "packaging" / "smoke.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("works: ematix-flow"), (name, done.stderr)


@pytest.mark.slow
def test_what_is_built_from_them_loads_a_history(sources: Path, tmp_path: Path) -> None:
    """As `pip install ematix-flow-….tar.gz` does it, but that the build tool is ours and nothing is optimised."""
    with tarfile.open(sources) as packed:
        packed.extractall(tmp_path, filter="data")
    [unpacked] = (path for path in tmp_path.iterdir() if path.is_dir())
    words = [
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "--wheel-dir",
        tmp_path / "made",
        unpacked,
    ]
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "MATURIN_PEP517_ARGS": "--profile dev", "PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [made] = (tmp_path / "made").iterdir()
    user = Environment.make(tmp_path)
    user.pip("install", "--no-index", "--no-deps", made)
    # DuckDB is lent by the environment of the tests.
    (user.packages / "lent.pth").write_text(f"{Path(duckdb.__file__).parents[1]}\n")
    smoke = str(ROOT / "packaging" / "smoke.py")
    assert user.run("python", smoke, "--demo", "duckdb").stdout.startswith("works: ematix-flow")
