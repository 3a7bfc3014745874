"""action.yml and examples/github/flow.yml, their steps run by bash in an environment like GitHub's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from database import Database
from documentation import clean_environment
from flow_binary import flow_binary
from github_runner import Runner
from pull_request import Annotation, Page, annotation
from server import find_binaries

ROOT = Path(__file__).parent.parent.parent
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "examples" / "github" / "flow.yml"

PROJECT = """\
[tables.orders]
schema = "dw"
primary_key = "id"
columns = { id = "integer", status = "text" }

[pipelines.orders]
source = { table = "app.orders" }
target = "orders"
mode = "merge"

[pipelines."other orders"]
source = { table = "app.orders" }
target = "dw.others"
mode = "append"
"""
SOURCE = "CREATE SCHEMA app; CREATE TABLE app.orders (id integer PRIMARY KEY, status text NOT NULL);"

# What `gh api` does with comments, for as much of it as the action asks: the comments are a file.
GH = """\
#!/usr/bin/env python3
import json, os, pathlib, sys

if os.environ["GH_TOKEN"] != "token-of-the-job":
    sys.exit("HTTP 403: Resource not accessible by integration")
store = pathlib.Path(os.environ["COMMENTS"])
comments = json.loads(store.read_text())
arguments = sys.argv[1:]
method = arguments[arguments.index("--method") + 1] if "--method" in arguments else "GET"
[path] = [argument for argument in arguments if argument.startswith("repos/ada/shop/issues/")]
if method == "GET":
    assert path.endswith("/issues/7/comments"), path
    assert arguments[arguments.index("--jq") + 1] == ".[] | select(.body | startswith(env.MARKER)) | .id"
    print(*(number for number, body in comments.items() if body.startswith(os.environ["MARKER"])), sep="\\n")
else:
    name, file = arguments[arguments.index("--field") + 1].split("=@")
    number = str(len(comments) + 1) if method == "POST" else path.rsplit("/", 1)[1]
    comments[number] = pathlib.Path(file).read_text()
    store.write_text(json.dumps(comments))
"""


@pytest.fixture
def runner(database: Database, tmp_path: Path) -> Callable[..., Runner]:
    """A machine with a checkout of the project, `flow` and psql on PATH, and pull request 7 as the event."""
    checkout = tmp_path / "shop"
    checkout.mkdir()
    (checkout / "pipelines.toml").write_text(PROJECT)
    (checkout / "schema.sql").write_text(SOURCE)
    (tmp_path / "home").mkdir()
    environment = {**clean_environment(flow_binary(), tmp_path), "EMATIX_FLOW_DSN": database.dsn}
    environment["PATH"] += f":{find_binaries()}"
    environment["HOME"] = str(tmp_path / "home")
    gh = tmp_path / "bin" / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    comments = tmp_path / "comments.json"
    comments.write_text(json.dumps({"1": "LGTM"}))
    environment["COMMENTS"] = str(comments)
    runs = iter(range(100))

    def new(**event: Any) -> Runner:
        return Runner(checkout, tmp_path / f"runner{next(runs)}", environment, event)

    return new


PULL_REQUEST: dict[str, Any] = {"pull_request": {"number": 7}}


def commands(log: str) -> list[Annotation]:
    """The annotations among the lines of a log."""
    return [annotation(line) for line in log.splitlines() if line.startswith("::")]


def page_of(runner: Runner) -> Page:
    return Page(runner.summary)


def test_the_action_annotates_and_draws_the_plan(runner: Callable[..., Runner], database: Database) -> None:
    database.execute(SOURCE)
    done = runner().action(ACTION, {})
    assert [(step.name, step.code) for step in done.steps] == [
        ("Find flow", 0),
        ("flow validate", 0),
        ("flow plan", 0),
    ]
    assert "2 pipelines: all valid" in done.log("flow validate")
    assert [(each.level, each.line, each.title) for each in commands(done.log("flow plan"))] == [
        ("notice", 6, "orders: + dw.orders"),
        ("notice", 11, "other orders: + dw.others"),
    ]
    page = page_of(done)
    assert page.title == "flow plan: 2 to create, 0 to change, 0 drifted"
    assert page.rows[2] == ["orders", "+", "table dw.orders", "new"]
    assert done.outputs["page"]["changed"] == "true"
    assert Path(done.outputs["page"]["page"]).read_text() == done.summary
    assert database.value("SELECT to_regnamespace('dw')") is None


def test_the_action_fails_on_a_change_where_that_is_asked(runner: Callable[..., Runner], database: Database) -> None:
    database.execute(SOURCE)
    done = runner().action(ACTION, {"fail-on-change": "true"})
    assert [step.code for step in done.steps] == [0, 0, 3]
    database.execute("CREATE SCHEMA dw; CREATE TABLE dw.orders (id integer PRIMARY KEY, status text NOT NULL)")
    done = runner().action(ACTION, {"fail-on-change": "true", "select": "orders\n"})
    assert [step.code for step in done.steps] == [0, 0, 0]
    assert done.outputs["page"]["changed"] == "false"
    assert page_of(done).paragraphs == ["1 pipeline without a mark: a run would only move rows."]


def test_the_action_hands_over_what_it_is_given(runner: Callable[..., Runner], database: Database) -> None:
    database.execute(SOURCE)
    made = runner()
    (made.checkout / "etl").mkdir()
    (made.checkout / "pipelines.toml").rename(made.checkout / "etl" / "its own.toml")
    inputs = {"directory": "etl", "config": "its own.toml", "binary": str(flow_binary())}
    done = made.action(ACTION, {**inputs, "select": "other orders\norders", "exclude": "orders", "command": "preview"})
    [found] = commands(done.log("flow plan"))
    assert (found.file, found.title) == ("etl/its own.toml", "other orders: missing_option")
    assert page_of(done).marker == "<!-- ematix-flow preview etl/its own.toml -->"
    assert page_of(done).paragraphs == []
    done = runner().action(ACTION, {**inputs, "command": "dry-run"})
    assert page_of(done).title == "flow dry-run: 2 success"
    done = runner().action(ACTION, {**inputs, "command": "run"})
    assert done.steps[-1].code == 2
    assert database.value("SELECT to_regnamespace('dw')") is None


def test_mistakes_fail_the_action_and_are_drawn_all_the_same(runner: Callable[..., Runner]) -> None:
    made = runner()
    (made.checkout / "pipelines.toml").write_text(PROJECT.replace('"merge"', '"upsert"'))
    done = made.action(ACTION, {"connect": "false"})
    assert [(step.name, step.code) for step in done.steps] == [
        ("Find flow", 0),
        ("flow validate", 2),
        ("flow plan", 2),
    ]
    [found] = commands(done.log("flow validate"))
    assert (found.level, found.file, found.line, found.title) == ("error", "pipelines.toml", 9, "invalid_value")
    assert page_of(done).rows[1][:2] == ["pipelines.toml:9", "invalid_value"]


def test_the_comment_is_written_once_and_then_kept_up_to_date(
    runner: Callable[..., Runner], database: Database, tmp_path: Path
) -> None:
    database.execute(SOURCE)
    stored = tmp_path / "comments.json"
    assert [step.name for step in runner().action(ACTION, {"comment": "true"}).steps][-1] == "flow plan"
    first = runner(**PULL_REQUEST).action(ACTION, {"comment": "true"})
    assert (first.steps[-1].name, first.steps[-1].code) == ("Comment", 0)
    assert json.loads(stored.read_text()) == {"1": "LGTM", "2": first.summary}
    database.execute("CREATE SCHEMA dw; CREATE TABLE dw.orders (id integer PRIMARY KEY, status text NOT NULL)")
    second = runner(**PULL_REQUEST).action(ACTION, {"comment": "true"})
    assert second.summary != first.summary
    assert json.loads(stored.read_text()) == {"1": "LGTM", "2": second.summary}
    other = runner(**PULL_REQUEST).action(ACTION, {"comment": "true", "command": "dry-run"})
    assert list(json.loads(stored.read_text())) == ["1", "2", "3"]
    assert not other.failed


def test_a_fork_that_may_not_comment_gets_a_warning(runner: Callable[..., Runner], database: Database) -> None:
    database.execute(SOURCE)
    done = runner(**PULL_REQUEST).action(ACTION, {"comment": "true", "github-token": "only-reads"})
    assert not done.failed
    [warning] = commands(done.log("Comment"))
    assert warning.message == "the comment could not be written; the page is in the summary"


def test_the_example_workflow_runs(runner: Callable[..., Runner], database: Database) -> None:
    files = runner().job(WORKFLOW, "files")
    assert [(step.name, step.code) for step in files.steps] == [("Install flow", 0), ("Are the files right?", 0)]
    rehearsal = runner().job(WORKFLOW, "rehearsal")
    assert not rehearsal.failed, rehearsal.steps
    assert page_of(rehearsal).title == "flow dry-run: 2 success"
    assert page_of(rehearsal).rows[1] == ["orders", "success", "0 in, 0 inserted, 0 updated, 0 unchanged"]
    assert database.value("SELECT to_regnamespace('dw')") is None
    (files.checkout / "pipelines.toml").write_text(PROJECT.replace('"id"', '"ident"'))
    files = runner().job(WORKFLOW, "files")
    assert files.steps[-1].code == 2
    assert [each.line for each in commands(files.log("Are the files right?"))] == [3]


def test_examples_give_the_action_inputs_that_it_has() -> None:
    inputs = yaml.safe_load(ACTION.read_text())["inputs"]
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    blocks = re.findall(r"^```text\n(- uses: .*?)^```", page, re.MULTILINE | re.DOTALL)
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    steps = [step for block in blocks for step in yaml.safe_load(block)]
    steps += [step for job in jobs for step in job["steps"]]
    given = [step.get("with", {}) for step in steps if step.get("uses", "").startswith("OWNER/ematix-flow")]
    assert len(given) >= 2
    assert {name for each in given for name in each} <= set(inputs)
    documented = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert documented == list(inputs)
