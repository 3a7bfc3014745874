"""What people meet in the repository: templates of issues, hooks of pre-commit, the changelog."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flow_binary import flow_binary

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(sys.executable).parent
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
PROJECT = '[pipelines.a]\nsource = { table = "app.a" }\ntarget = "dw.a"\nmode = "truncate"\n'


def test_the_templates_of_issues_are_of_githubs_schema() -> None:
    forms = sorted(path for path in TEMPLATES.glob("*.yml") if path.name != "config.yml")
    assert [path.name for path in forms] == ["bug.yml", "wish.yml"]
    for schema, files in (("issue-forms", forms), ("issue-config", [TEMPLATES / "config.yml"])):
        command = [PROGRAMS / "check-jsonschema", "--builtin-schema", f"vendor.github-{schema}", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_commands_that_a_template_asks_for_are_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.yml"))
    named = set(re.findall(r"\bflow (\w+)", text)) - {"should"}
    assert {"version", "doctor", "plan", "show", "check"} <= named
    for command in named:
        subprocess.run([flow_binary(), command, "--help"], capture_output=True, check=True)


def git(*words: str, directory: Path) -> str:
    own = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    return subprocess.run(
        ["git", *words], cwd=directory, env={**os.environ, **own}, capture_output=True, text=True, check=True
    ).stdout


def pre_commit(*words: str | Path, directory: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAMS / "pre-commit", *words],
        cwd=directory,
        env={
            "PATH": f"{home / 'bin'}:{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(home),
            "PRE_COMMIT_HOME": str(home / "cache"),
            "PRE_COMMIT_COLOR": "never",
            "EMATIX_FLOW_DSN": "postgresql:///nowhere",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    programs = tmp_path / "home" / "bin"
    programs.mkdir(parents=True)
    (programs / "flow").symlink_to(flow_binary())
    return programs.parent


def test_the_hooks_of_this_repository_are_sound(home: Path) -> None:
    assert pre_commit("validate-config", ".pre-commit-config.yaml", directory=ROOT, home=home).returncode == 0
    assert pre_commit("validate-manifest", ".pre-commit-hooks.yaml", directory=ROOT, home=home).returncode == 0
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert {name for name in programs - {"cargo"} if not (PROGRAMS / name).exists()} == set()


def test_a_users_commit_with_a_mistake_is_stopped(home: Path, tmp_path: Path) -> None:
    hooks, shop = tmp_path / "hooks", tmp_path / "shop"
    for directory in (hooks, shop):
        directory.mkdir()
        git("init", "-q", directory=directory)
    (hooks / ".pre-commit-hooks.yaml").write_bytes((ROOT / ".pre-commit-hooks.yaml").read_bytes())
    git("add", ".", directory=hooks)
    git("commit", "-qm", "hooks", directory=hooks)
    (shop / "pipelines.toml").write_text(PROJECT)
    (shop / "README.md").write_text("")
    git("add", ".", directory=shop)

    def tried() -> subprocess.CompletedProcess[str]:
        return pre_commit("try-repo", hooks, "flow-validate", "--all-files", directory=shop, home=home)

    done = tried()
    assert (done.returncode, "flow validate" in done.stdout, "Passed" in done.stdout) == (0, True, True), done.stdout
    (shop / "pipelines.toml").write_text(PROJECT.replace("truncate", "truncat"))
    done = tried()
    assert done.returncode == 1
    assert "error[invalid_value]: unknown mode `truncat` in pipeline `a`" in done.stdout


def test_the_page_of_ci_shows_the_hook_that_there_is() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```text\n(repos:\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    [repository] = yaml.safe_load(block)["repos"]
    named = {hook["id"] for hook in repository["hooks"]}
    assert named == {
        hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    }


def test_the_changelog_is_one_that_releases_can_be_made_of() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    # One of each kind a version: nobody looks for a second.
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert len(kinds) == len(set(kinds)), kinds


@pytest.mark.parametrize("name", ["CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_it_links_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#\s]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
