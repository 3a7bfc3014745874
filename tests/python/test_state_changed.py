"""`state:changed --against FILE`: what a pull request touched, whatever it is."""

from __future__ import annotations

import json

import pytest
from flow_binary import Flow

PROJECT = """
[vars]
region = "EU"

[tables.dim]
primary_key = "id"
columns = { id = "bigint", name = "text?" }

[pipelines.table]
source = { query = "SELECT 1::bigint AS id, 'a' AS name" }
target = "dim"
mode = "merge"

[pipelines.regional]
source = { query = "SELECT 1::bigint AS id, :region AS name" }
target = "public.regional"
keys = "id"
mode = "merge"

[pipelines.followed]
source = { query_file = "followed.sql" }
target = "public.followed"
keys = "id"
mode = "merge"
transforms_post = [{ transform_ref = "after" }]

[transforms.after]
sql = "SELECT 1"

[pipelines.plain]
source = { query = "SELECT 1::bigint AS id" }
target = "public.plain"
keys = "id"
mode = "merge"
"""
CHANGED = ("--select", "state:changed", "--against", "before.json")


@pytest.fixture
def project(flow: Flow) -> Flow:
    flow.project(PROJECT)
    (flow.directory / "followed.sql").write_text("SELECT 1::bigint AS id")
    (flow.directory / "before.json").write_text(flow("list", "--output", "json").stdout)
    return flow


def selected(flow: Flow, *more: str) -> list[str]:
    return [one["name"] for one in flow("list", *CHANGED, *more, "--output", "json").json()["pipelines"]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("text?", "string(20)?", ["table"]),
        ('region = "EU"', 'region = "US"', ["regional"]),
        ("SELECT 1::bigint AS id\" }\ntarget = \"public.plain", "SELECT 2::bigint AS id\" }\ntarget = \"public.plain", ["plain"]),
        ('sql = "SELECT 1"', 'sql = "SELECT 2"', ["followed"]),
        ("[pipelines.plain]", "[pipelines.fresh]", ["fresh"]),
        ('target = "public.plain"', 'target = "public.plain"\nschedule = "0 1 * * *"', ["plain"]),
        ("[vars]", "[defaults]\nlock_timeout = '5s'\n[vars]", ["table", "regional", "followed", "plain"]),
        ("[pipelines.plain]", "# A word of explanation.\n[pipelines.plain]", []),
        ("[vars]", "[connections.default]\ndsn = 'postgresql://elsewhere/db'\n[vars]", []),
    ],
)  # fmt: skip
def test_what_is_declared_otherwise_is_selected(project: Flow, old: str, new: str, expected: list[str]) -> None:
    assert PROJECT.count(old) == 1
    project.project(PROJECT.replace(old, new))
    assert selected(project) == expected


def test_the_text_of_a_file_is_part_of_it(project: Flow) -> None:
    assert selected(project) == []
    (project.directory / "followed.sql").write_text("SELECT 2::bigint AS id")
    assert selected(project) == ["followed"]


def test_it_is_narrowed_and_added_to_as_every_selector(project: Flow) -> None:
    project.project(PROJECT.replace('region = "EU"', 'region = "US"').replace("text?", "string(20)?"))
    assert selected(project, "--exclude", "table") == ["regional"]
    assert selected(project, "plain") == ["table", "regional", "plain"]
    narrowed = project("list", "state:changed,target:public.r*", *CHANGED[2:], "--output", "json").json()
    assert [one["name"] for one in narrowed["pipelines"]] == ["regional"]
    rest = project("list", "--exclude", "state:changed", *CHANGED[2:], "--output", "json").json()
    assert [one["name"] for one in rest["pipelines"]] == ["followed", "plain"]


def test_where_nothing_changed_nothing_runs_and_that_is_no_failure(project: Flow) -> None:
    done = project("run", *CHANGED)
    assert done.stderr == "no pipeline is selected\n"
    assert project("run", *CHANGED, "--output", "json").json()["runs"] == []
    assert project("plan", *CHANGED, "--output", "json").json()["pipelines"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["state:changed"], "`state:changed` needs --against FILE"),
        (["plain", "--against", "before.json"], "--against says nothing of what is selected"),
        (["state:new", "--against", "before.json"], "--against says nothing"),
        (["state:changed", "--against", "gone.json"], "gone.json cannot be read"),
        (["state:changed", "--against", "followed.sql"], "is no answer of `flow list`"),
        (["state:changed", "--against", "other.json"], "is no answer of `flow list`"),
    ],
)
def test_what_says_nothing_is_refused(project: Flow, arguments: list[str], said: str) -> None:
    (project.directory / "other.json").write_text(project("validate", "--output", "json").stdout)
    done = project("list", *arguments, expect=2)
    assert said in done.stderr


def test_a_plan_will_do_as_well(project: Flow) -> None:
    (project.directory / "before.json").write_text(project("plan", "--output", "json").stdout)
    assert selected(project) == []
    known = {
        one["pipeline"]: one["declaration"]
        for one in json.loads((project.directory / "before.json").read_text())["pipelines"]
    }
    assert len(set(known.values())) == 4
