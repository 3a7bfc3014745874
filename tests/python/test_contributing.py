"""The page for contributors: what it names is there, what it quotes stands so in its file, and its change compiles."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "contributing.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
QUOTED = [block for block in BLOCKS if block.startswith("// ")]
CHANGE = "".join(block for block in BLOCKS if block.startswith("--- a/"))
# What the page is about, by its headings.
SECTIONS = ["A marker", "A load strategy", "A source", "An engine"]


def test_it_has_a_worked_example_of_each_kind() -> None:
    assert re.findall(r"^## (.*)$", TEXT, re.MULTILINE) == SECTIONS
    assert (len(QUOTED), CHANGE.count("--- a/")) == (11, 5)
    assert "docs/contributing.md" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", QUOTED, ids=lambda block: block.splitlines()[0].removeprefix("// "))
def test_what_it_quotes_stands_so_in_the_file(block: str) -> None:
    head, _, quoted = block.partition("\n")
    file = (ROOT / head.removeprefix("// ")).read_text(encoding="utf-8")
    at = 0
    for piece in quoted.split("…\n"):
        at = file.find(piece, at)
        assert at >= 0, piece
        assert at == 0 or file[at - 1] == "\n"


def test_what_it_names_is_there() -> None:
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    paths = {word for word in re.findall(r"`([\w./-]+/[\w./-]*)`", prose) if "NAME" not in word}
    assert len(paths) > 15
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "crates").rglob("src/**/*.rs"))
    named = {"modes!", "options!", "LoadStrategy", "BatchSource", "SourceSpec", "is_brought", "Foreign", "Capabilities"}
    assert all(f"`{word}`" in prose for word in named)
    for word in named:
        kind = r"macro_rules! " if word.endswith("!") else r"(?:trait|struct|enum|fn) "
        assert re.search(rf"\b{kind}{word.rstrip('!')}\b", sources), word


@pytest.mark.long
def test_its_change_is_one_that_compiles(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    patch = tmp_path / "change.diff"
    patch.write_text(CHANGE, encoding="utf-8")
    # Outside of a repository, where it may not be taken for a part of one.
    subprocess.run(["git", "apply", "--verbose", patch], cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": "/"}, check=True)
    done = subprocess.run(
        ["cargo", "check", "--quiet", "-p", "ematix-flow-core", "--locked"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    python = "from ematix_flow import normalize; print(normalize.pad(10), 'pad' in normalize.__all__)"
    done = subprocess.run(
        [sys.executable, "-c", python],
        # The native half is not of the change.
        env={"PYTHONPATH": f"{tmp_path / 'python'}:{ROOT / 'python'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "pad(10) True\n", done.stderr
