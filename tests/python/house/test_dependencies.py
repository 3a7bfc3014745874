"""Every dependency that the workspace names is one of a crate's, and has the same features in tests as in what is built;
whether a crate uses its own, cargo-machete says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def unused(workspace: str, crates: Iterable[str]) -> set[str]:
    """The names below `[workspace.dependencies]` that no crate takes over; all as texts of Cargo.toml."""
    section = re.search(r"^\[workspace\.dependencies\]\n(.*?)(?=^\[|\Z)", workspace, re.MULTILINE | re.DOTALL)
    assert section, "the workspace has dependencies"
    named = set(re.findall(r"^([\w-]+)\s*=", section[1], re.MULTILINE))
    taken = {
        name
        for crate in crates
        for name in re.findall(r"^([\w-]+)(?:\.workspace\s*=|\s*=\s*\{\s*workspace\s*=)\s*true", crate, re.MULTILINE)
    }
    return named - taken


def test_every_dependency_of_the_workspace_is_one_of_a_crate() -> None:
    workspace = (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8")
    crates = [path.read_text(encoding="utf-8") for path in REPOSITORY.glob("crates/*/Cargo.toml")]
    assert unused(workspace, crates) == set()


def test_one_that_no_crate_takes_over_is_named() -> None:
    workspace = (
        '[workspace.dependencies]\nserde = "1"\ntokio = { version = "1" }\nuuid = "1"\n\n[profile.dev]\ndebug = 1\n'
    )
    crates = ["[dependencies]\nserde.workspace = true\n", "[dev-dependencies]\ntokio = { workspace = true }\n"]
    assert unused(workspace, crates) == {"uuid"}
    assert unused(workspace, [*crates, "[dependencies]\nuuid = { workspace = true, optional = true }"]) == set()


def built(edges: str) -> dict[str, str]:
    """The packages of the workspace's tree, each version with its features."""
    words = ["cargo", "tree", "--workspace", "--locked", "--offline", "--no-dedupe", "--prefix", "none"]
    tree = subprocess.run(
        [*words, "-e", edges, "-f", "{p}|{f}"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return dict(line.removesuffix(" (*)").split("|") for line in tree.stdout.splitlines() if line)


def test_what_is_built_has_the_features_that_the_tests_ask_for() -> None:
    """Or what they share is compiled twice: a minute and a half of every run of both."""
    alone, beside_tests = built("normal,build"), built("normal,build,dev")
    assert len(alone) > 200
    assert {
        name: (features, beside_tests[name]) for name, features in alone.items() if beside_tests[name] != features
    } == {}
