"""What GitHub runs for us and for users: of GitHub's schema, without what an attacker would use, each script sound.

Steps that need no container, no other platform and no account are run here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_binary import flow_binary
from github_runner import Runner

ROOT = Path(__file__).parent.parent.parent
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
THEIRS = [*sorted((ROOT / "examples" / "github").glob("*.yml")), *sorted((ROOT / "deploy" / "github").glob("*.yml"))]
ACTION = ROOT / "action.yml"
DEPENDABOT = ROOT / ".github" / "dependabot.yml"
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
PROGRAMS = Path(sys.executable).parent
TARGET = "x86_64-unknown-linux-gnu"


def run(program: str, *arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=ROOT,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        # What a tool asks of the network it must do without.
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )


def loaded(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return loaded(path)["jobs"]  # type: ignore[no-any-return]


def scripts() -> Iterator[tuple[str, str, str]]:
    """Every script of a step: where it stands, its shell, its text."""
    for path in (*OURS, *THEIRS):
        for name, job in jobs(path).items():
            for step in job["steps"]:
                if "run" in step:
                    yield f"{path.name}: {name}: {step['name']}", step.get("shell", "bash"), step["run"]
    for step in loaded(ACTION)["runs"]["steps"]:
        yield f"{ACTION.name}: {step['name']}", step["shell"], step["run"]


def test_they_are_of_githubs_schema() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *OURS, *THEIRS)
    assert done.returncode == 0, done.stdout
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION)
    assert done.returncode == 0, done.stdout
    done = run("check-jsonschema", "--builtin-schema", "custom.github-workflows-require-timeout", *OURS)
    assert done.returncode == 0, done.stdout
    done = run("check-jsonschema", "--builtin-schema", "vendor.dependabot", DEPENDABOT)
    assert done.returncode == 0, done.stdout


def test_they_give_an_attacker_nothing() -> None:
    config = ROOT / ".github" / "zizmor.yml"
    done = run("zizmor", "--offline", "--no-progress", "--config", config, *OURS, *THEIRS, ACTION, DEPENDABOT)
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout + done.stderr


def test_an_attackers_way_would_be_found(tmp_path: Path) -> None:
    text = RELEASE.read_text(encoding="utf-8").replace('"$GITHUB_REF_NAME" >>', "${{ github.ref_name }} >>")
    (tmp_path / "release.yml").write_text(text, encoding="utf-8")
    done = run(
        "zizmor", "--offline", "--no-progress", "--config", ROOT / ".github" / "zizmor.yml", tmp_path / "release.yml"
    )
    assert done.returncode != 0
    assert "error[template-injection]" in done.stdout


@pytest.mark.parametrize(("shell", "text"), [step[1:] for step in scripts()], ids=[step[0] for step in scripts()])
def test_every_step_is_a_sound_script(shell: str, text: str) -> None:
    # GitHub starts it with -e.
    done = run("shellcheck", "--shell", shell, "-", text=f"set -e\n{text}")
    assert done.stdout == ""


def test_every_script_of_the_repository_is_sound() -> None:
    files = [ROOT / "do", ROOT / ".ci" / "run", *sorted((ROOT / "packaging").rglob("*.sh"))]
    assert len(files) >= 4
    assert run("shellcheck", *files).stdout == ""


def test_what_a_step_names_is_there() -> None:
    text = "\n".join(step[2] for step in scripts())
    named = set(re.findall(r"(?<![\w.])(?:/source/|\.\./)?(packaging/[\w./-]+\.\w+)", text))
    assert {"packaging/build-wheels.sh", "packaging/smoke.py", "packaging/archive.py"} <= named
    assert {path for path in named if not (ROOT / path).is_file()} == set()
    commands = re.findall(r"\./do (\w+)", text)
    assert {"static", "docs"} <= set(commands)
    listed = set(re.findall(r"^\./do (\w+)", (ROOT / "do").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(commands) <= listed
    pinned = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8")
    for name in re.findall(r"grep '\^([\w-]+)=='", text):
        assert re.search(rf"^{name}==", pinned, re.MULTILINE), name


# ------------------------------------------------------------------------------------------- what a release is made of


def uploads(job: dict[str, Any]) -> str:
    return "".join(step["with"]["name"] for step in job["steps"] if "upload-artifact" in step.get("uses", ""))


def test_nothing_reaches_pypi_that_was_not_tried() -> None:
    made = {name: job for name, job in jobs(RELEASE).items() if uploads(job).startswith("pypi-")}
    assert set(made) == {"sources", "wheels-linux", "wheels"}
    assert set(made) <= set(jobs(RELEASE)["pypi"]["needs"])
    for name, job in made.items():
        steps = [step.get("run", "") + step.get("uses", "") for step in job["steps"]]
        tried = [at for at, text in enumerate(steps) if "smoke.py" in text]
        assert tried and max(tried) < len(steps) - 1, name
    files = {name for name, job in jobs(RELEASE).items() if uploads(job).startswith("binaries-")}
    assert files == {"binaries", "bill-of-materials"}
    assert files <= set(jobs(RELEASE)["github"]["needs"])


def test_a_release_is_for_every_platform() -> None:
    linux = jobs(RELEASE)["wheels-linux"]["strategy"]["matrix"]
    assert linux == {"processor": ["x86_64", "aarch64"], "library": ["manylinux_2_28", "musllinux_1_2"]}
    assert jobs(RELEASE)["wheels"]["strategy"]["matrix"]["runner"] == ["macos-15", "macos-15-intel", "windows-2025"]
    binaries = jobs(RELEASE)["binaries"]["strategy"]["matrix"]["include"]
    assert [each["target"] for each in binaries] == [
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "x86_64-apple-darwin",
        "aarch64-apple-darwin",
        "x86_64-pc-windows-msvc",
    ]


def test_only_what_publishes_may_write_and_only_for_a_tag() -> None:
    for path in OURS:
        assert loaded(path)["permissions"] == {"contents": "read"}, path.name
    writes = {
        name: sorted(what for what, how in job["permissions"].items() if how == "write")
        for name, job in jobs(RELEASE).items()
        if "permissions" in job
    }
    assert writes == {
        "github": ["attestations", "contents", "id-token"],
        "pypi": ["id-token"],
        "image": ["packages"],
        "image-of-both": ["packages"],
    }
    for name in writes:
        job = jobs(RELEASE)[name]
        assert job.get("if") == "github.ref_type == 'tag'" or job["needs"] == "image", name
    assert "secrets." not in RELEASE.read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------- what can be run here


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A machine with a checkout of what a release is made from, tagged as its version."""
    checkout = tmp_path / "checkout"
    for name in ("packaging", "deploy"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "Cargo.toml"):
        shutil.copy(ROOT / name, checkout)
    version = flow_version()
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [{}] - 2026-01-31\n\n### Added\n\n- Histories.\n\n## [0.0.1] - 2025-01-01\n\n- Old.\n"
    (checkout / "CHANGELOG.md").write_text(changelog.format(version), encoding="utf-8")
    (tmp_path / "home").mkdir()
    environment = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=checkout, env=environment, check=True)
    return Runner(checkout, tmp_path / "runner", environment, tag=f"v{version}")


def flow_version() -> str:
    return subprocess.run([flow_binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def test_the_notes_of_a_release_are_its_section(runner: Runner) -> None:
    assert not runner.job(RELEASE, "version").failed
    assert runner.summary == "### Added\n\n- Histories.\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("tag", "v9.9.9"), "error: the tag is v9.9.9, Cargo.toml says"),
        (("CHANGELOG.md", "2026-01-31"), "error: CHANGELOG.md has no entry of"),
    ],
)
def test_a_release_that_does_not_fit_its_sources_is_not_built(
    runner: Runner, change: tuple[str, str], told: str
) -> None:
    what, text = change
    if what == "tag":
        runner.tag = text
    else:
        path = runner.checkout / what
        path.write_text(path.read_text().replace(text, "soon"))
    done = runner.job(RELEASE, "version")
    assert done.failed
    assert done.log("Notes of the release").startswith(told)


def test_a_binary_is_packed_tried_and_published_with_its_checksum(runner: Runner) -> None:
    built = runner.checkout / "target" / "release" / "flow"
    built.parent.mkdir(parents=True)
    # Its own file would be packed and unpacked for half a minute.
    built.write_text(f'#!/bin/sh\nexec {flow_binary()} "$@"\n')
    built.chmod(0o755)
    shutil.copytree(ROOT / "sample", runner.checkout / "sample")
    matrix = {"runner": "ubuntu-24.04", "target": TARGET, "more": ""}
    done = runner.job(RELEASE, "binaries", only=["Pack it", "Try the archive"], matrix=matrix)
    assert [(step.name, step.code) for step in done.steps] == [("Pack it", 0), ("Try the archive", 0)], done.steps
    archive = runner.checkout / "dist" / f"ematix-flow-{TARGET}.tar.gz"
    packed = archive.read_bytes()
    archive.unlink()
    runner.job(RELEASE, "binaries", only=["Pack it"], matrix=matrix)
    assert archive.read_bytes() == packed, "the same inputs, the same bytes"

    # The others are not to be had here.
    for target in ("aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"):
        archive.with_name(f"ematix-flow-{target}.tar.gz").write_text(target)
    done = runner.job(RELEASE, "github", only=["Checksums, the script that installs, the formula"])
    assert not done.failed, done.steps
    dist = archive.parent
    sums = dict(line.split()[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in dist.iterdir()
        if path.name not in ("SHA256SUMS", "ematix-flow.rb")
    }
    assert {archive.name, "install.sh"} <= set(sums)
    assert "RELEASES=https://github.com/ada/shop/releases\n" in (dist / "install.sh").read_text()
    formula = (dist / "ematix-flow.rb").read_text()
    assert "@" not in formula
    assert f'sha256 "{sums[archive.name]}"' in formula
    address = f"https://github.com/ada/shop/releases/download/{runner.tag}/{archive.name}"
    assert f'url "{address}"' in formula


def test_a_release_without_one_of_its_archives_has_no_formula(runner: Runner) -> None:
    (runner.checkout / "dist").mkdir()
    (runner.checkout / "dist" / f"ematix-flow-{TARGET}.tar.gz").write_text("it")
    done = runner.job(RELEASE, "github", only=["Checksums, the script that installs, the formula"])
    assert done.failed
    assert "SHA256SUMS does not name ematix-flow-aarch64-apple-darwin.tar.gz" in done.steps[-1].log


def test_the_oldest_rust_is_read_from_the_manifest(runner: Runner) -> None:
    asked = runner.temporary / "asked"
    for name in ("rustup", "cargo"):
        program = runner.temporary / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{asked}\n')
        program.chmod(0o755)
    runner.environment = {**runner.environment, "PATH": f"{runner.temporary}/bin:/usr/bin:/bin"}
    assert not runner.job(ROOT / ".github" / "workflows" / "ci.yml", "oldest-rust").failed
    [version] = re.findall(r'^rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert asked.read_text().splitlines() == [
        f"rustup toolchain install {version} --profile minimal",
        f"cargo +{version} check --workspace --all-targets --locked",
    ]


def test_the_bill_of_materials_is_of_both_crates_that_are_published() -> None:
    [step] = (step for step in jobs(RELEASE)["bill-of-materials"]["steps"] if "run" in step)
    manifests = re.findall(r"--manifest-path (\S+)", step["run"])
    assert manifests == ["crates/flow-cli/Cargo.toml", "crates/flow-py/Cargo.toml"]
    assert all((ROOT / manifest).is_file() for manifest in manifests)
    assert json.dumps(step).count("ematix-flow.cdx.json") == 1
