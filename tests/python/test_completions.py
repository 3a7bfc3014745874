"""What a shell offers behind the words that are there, as its own script asks for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flow_binary import Flow

PROJECT = """
[connections.crm]
dsn = "${env:CRM_DSN}"
[pipelines.customers]
source = { connection = "crm", query = "SELECT 1 AS id" }
target = "dim.customers"
keys = "id"
mode = "merge"
tags = ["daily", "crm"]
[pipelines.orders]
source = { query = "SELECT 1 AS id" }
target = "dim.orders"
keys = "id"
mode = "merge"
transforms_post = [{ transform_ref = "refresh" }]
[transforms.refresh]
connection = "crm"
sql = "SELECT 1"
"""

# Readline's part: the words as Bash splits them at its word breaks, of which the colon is one.
ASK = """
source /dev/stdin <<<"$(flow completions bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
cur=${COMP_WORDS[COMP_CWORD]}; [ "$cur" != : ] || cur=
_clap_complete_flow flow "$cur" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(flow: Flow, tmp_path: Path) -> Flow:
    """`flow` on the PATH, in the directory of a project."""
    flow.project(PROJECT)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "flow").symlink_to(flow.binary)
    flow.variables["PATH"] = f"{commands}:{os.environ['PATH']}"
    return flow


def offered(shell: Flow, *words: str) -> set[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", "flow", *words],
        cwd=shell.directory,
        env=shell.environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return {word for word in done.stdout.splitlines() if word and not word.startswith("-")}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", ""], {"customers", "orders"}),
        (["run", "cu"], {"customers"}),
        (["run", "customers", "o"], {"orders"}),
        (["plan", "--exclude", "or"], {"orders"}),
        (["list", "--select", "c"], {"customers"}),
        (["run", "orders,cu"], {"orders,customers"}),
        (["run", "+cu"], {"+customers"}),
        (["run", "orders,+cu"], {"orders,+customers"}),
        (["run", "t"], {"tag:", "target:"}),
        (["run", "tag", ":"], {"crm", "daily"}),
        (["run", "tag", ":", "d"], {"daily"}),
        (["run", "source", ":", ""], {"crm", "default"}),
        (["run", "target", ":", "dim.o"], {"dim.orders"}),
        (["show", "o"], {"orders"}),
        (["watermark", "reset", "cu"], {"customers"}),
        (["transform", "run", ""], {"refresh"}),
        (["connections", "check", ""], {"crm"}),
        (["explain", "dri"], {"drift"}),
        (["ru"], {"run", "run-due"}),
        (["run", "nothing"], set()),
    ],
    ids=lambda words: " ".join(sorted(words)) if isinstance(words, set) else " ".join(words),
)
def test_bash_is_offered_what_may_follow(shell: Flow, words: list[str], expected: set[str]) -> None:
    assert offered(shell, *words) == expected


def test_of_another_file_its_names_are_offered(shell: Flow, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(PROJECT.replace("pipelines.orders", "pipelines.offers"))
    assert offered(shell, "--config", "other.toml", "run", "o") == {"offers"}
    assert offered(shell, "run", "--config=other.toml", "o") == {"offers"}


def test_a_mistake_in_the_file_offers_less_and_says_nothing(shell: Flow) -> None:
    (shell.directory / "pipelines.toml").write_text(PROJECT + "[pipelines.broken]\nmode = 'mrge'\n")
    assert offered(shell, "run", "") == {"customers", "orders"}
    (shell.directory / "pipelines.toml").write_text("[[[")
    assert offered(shell, "run", "") == set()
    (shell.directory / "pipelines.toml").unlink()
    assert offered(shell, "run", "") == set()


def test_bash_completes_commands_and_flags(shell: Flow) -> None:
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", shell("--help").stdout, re.MULTILINE)
    assert listed is not None
    assert set(re.findall(r"^  (\w[\w-]*)  ", listed[1], re.MULTILINE)) <= offered(shell, "")
    answer = shell("--", "flow", "run", "--full", env={"COMPLETE": "bash", "_CLAP_COMPLETE_INDEX": "2"}).stdout
    assert answer.split() == ["--full-scan"]


def test_what_a_shell_would_take_for_more_than_a_name_is_not_offered(shell: Flow) -> None:
    """Names may come from tables that others made; what is offered stands on the command line as it is."""
    odd = ["$(touch pwn)", "a b", "`id`", "c;d", "e'f", "g*"]
    pipelines = "".join(
        PROJECT[PROJECT.index("[pipelines.customers]") : PROJECT.index("[pipelines.orders]")].replace(
            "pipelines.customers", f'pipelines."{name}"'
        )
        for name in odd
    )
    shell.project(pipelines + "[pipelines.customers]" + PROJECT.split("[pipelines.customers]")[1])
    assert offered(shell, "run", "") == {"customers", "orders"}


@pytest.mark.parametrize("name", ["zsh", "fish", "elvish", "powershell"])
def test_every_shell_has_a_script_that_asks(name: str, flow: Flow, shell: Flow) -> None:
    script = flow("completions", name).stdout
    assert "COMPLETE" in script and "flow" in script
    answer = shell("--", "flow", "run", "cu", env={"COMPLETE": name, "_CLAP_COMPLETE_INDEX": "2"}).stdout
    assert "customers" in answer and "orders" not in answer


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish on this machine")
def test_fish_is_offered_names(shell: Flow) -> None:
    done = subprocess.run(
        ["fish", "--no-config", "-c", "flow completions fish | source; complete -C 'flow run cu'"],
        cwd=shell.directory,
        env=shell.environment({"HOME": str(shell.directory)}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["customers"]
