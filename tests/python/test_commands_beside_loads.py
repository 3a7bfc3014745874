"""The commands that load nothing: manual pages, and the private server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow_binary import Flow, flow_binary
from server import find_binaries, new_directory


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    """`flow` without a database."""
    runner = Flow(flow_binary(), tmp_path)
    yield runner
    runner.stop_all()


def subcommands(flow: Flow) -> list[str]:
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", flow("--help").stdout, re.MULTILINE)
    assert listed is not None
    return re.findall(r"^  (\w[\w-]*)  ", listed[1], re.MULTILINE)


def test_every_command_has_a_manual_page(flow: Flow, tmp_path: Path) -> None:
    page = flow("man").stdout
    assert re.search(r"^\.TH flow 1 ", page, re.MULTILINE)
    written = flow("man", str(tmp_path / "man"))
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "man").iterdir()}
    assert written.stderr == f"{len(pages)} pages written to {tmp_path / 'man'}\n"
    assert pages["flow.1"] == page
    assert {f"flow-{name}.1" for name in subcommands(flow)} | {"flow-watermark-set.1"} <= pages.keys()
    assert [name for name, text in pages.items() if f".TH {name.removesuffix('.1')} 1 " not in text] == []


def test_the_private_server_starts_answers_and_stops(flow: Flow) -> None:
    # Below /tmp: a socket's path has 107 bytes, and the server's user cannot enter root's directories.
    directory = new_directory()
    flow.variables |= {"EMATIX_FLOW_DEV_DIR": str(directory / "dev"), "EMATIX_FLOW_PG_BIN": str(find_binaries())}
    directory.chmod(0o755)
    try:
        assert flow("dev", "status").stdout.splitlines()[0] == "never started"
        url = flow("dev", "start").stdout.strip()
        status = flow("dev", "status", "--output", "json").json()
        assert (status["running"], status["url"]) == (True, url)
        if shutil.which("psql"):
            assert flow("dev", "psql", "--", "-XAtc", "SELECT 40 + 2").stdout == "42\n"
            assert "`a?b` is no plain name" in flow("dev", "psql", "a?b", expect=2).stderr
        assert flow("dev", "stop").stderr == "stopped; its data stays\n"
        assert flow("dev", "stop").stderr == "it was not running\n"
        assert flow("dev", "status").stdout.splitlines()[0] == "not running"
    finally:
        flow("dev", "reset")
        shutil.rmtree(directory, ignore_errors=True)
