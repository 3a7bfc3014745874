"""Nothing runs back: each module uses only those above it in its crate's lib.rs, and the crates one another in order."""

from __future__ import annotations

import doctest
from functools import cache
from pathlib import Path

import layers
import pytest
import rust_source
from layers import Breach, breaches, circles

REPOSITORY = Path(__file__).parents[3]

# Uses that run back and will not for long: in these crates, from this module to that one. Only what is needed stands
# here; a test asks.
EXCEPTIONS: dict[str, set[tuple[str, str]]] = {}

CRATES = sorted(path.parent.parent.name for path in REPOSITORY.glob("crates/*/src/lib.rs"))


@cache
def uses_of(crate: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    source = REPOSITORY / "crates" / crate / "src"
    files = {path.relative_to(source): path.read_text(encoding="utf-8") for path in source.rglob("*.rs")}
    order = layers.modules(source)
    return order, layers.module_uses(files, order)


@pytest.mark.parametrize("crate", CRATES)
def test_modules_stand_in_the_order_in_which_they_use_each_other(crate: str) -> None:
    order, uses = uses_of(crate)
    known = EXCEPTIONS.get(crate, set())
    found = breaches(order, uses)
    assert [str(breach) for breach in found if (breach.user, breach.used) not in known] == []
    # What is mended leaves the list.
    assert known == {(breach.user, breach.used) for breach in found}
    assert circles(layers.without(uses, known)) == []


def test_the_maps_are_read_whole() -> None:
    sizes = {crate: uses_of(crate) for crate in CRATES}
    assert {"flow-core", "flow-cli", "flow-py"} <= sizes.keys()
    assert EXCEPTIONS.keys() <= sizes.keys()
    # A module without a file, or a core whose modules use nothing, has been read wrongly.
    for crate, (order, uses) in sizes.items():
        source = REPOSITORY / "crates" / crate / "src"
        assert [
            name for name in order[:-1] if not list(source.glob(f"{name}.rs")) + list(source.glob(f"{name}/*.rs"))
        ] == []
        assert sum(len(used) for used in uses.values()) >= len(order) // 2, crate
    assert "plan" in uses_of("flow-core")[1]["planner"]


def test_the_picture_of_the_modules_is_drawn_from_the_code() -> None:
    page = (REPOSITORY / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    drawn: dict[str, list[str]] = {}
    for line in page.split("## The modules")[1].split("```")[1].splitlines()[1:]:
        crate, *modules = [line[:16].strip(), *line[16:].split()]
        drawn.setdefault(crate or list(drawn)[-1], []).extend(modules)
    orders = {crate: uses_of(crate)[0] for crate in CRATES}
    # The native module itself is no layer.
    assert drawn == {
        crate: [name for name in order if name not in ("_core", layers.ROOT)] for crate, order in orders.items()
    }


def test_crates_depend_on_those_before_them() -> None:
    manifests = [path.read_text(encoding="utf-8") for path in REPOSITORY.glob("crates/*/Cargo.toml")]
    named = {layers.package_name(text): text for text in manifests}
    assert [name for name in named if name not in layers.CRATES] == []
    uses = layers.crate_uses(named)
    assert breaches(layers.CRATES, uses) == []
    assert "ematix-flow-core" in uses["ematix-flow-cli"]


# --- a breach is seen ---------------------------------------------------------------------------------------------

FILES = {
    Path("lib.rs"): "pub mod sql;\npub mod plan;\npub mod planner;\nuse planner::plan;",
    Path("sql.rs"): "pub struct Sql;",
    Path("plan.rs"): 'use crate::sql::Sql; // and not crate::planner\nconst WORDS: &str = "crate::planner";',
    Path("planner/mod.rs"): "mod guards;\nuse crate::{plan::Plan, sql::{self, Sql}};",
    Path("planner/guards/deep.rs"): "use super::super::super::sql::Sql;",
}
ORDER = ["sql", "plan", "planner", layers.ROOT]


def uses_in(changes: dict[str, str]) -> dict[str, dict[str, str]]:
    return layers.module_uses(FILES | {Path(file): text for file, text in changes.items()}, ORDER)


def test_a_tree_in_order_has_no_breach() -> None:
    uses = uses_in({})
    assert {user: set(used) for user, used in uses.items()} == {
        "sql": set(),
        "plan": {"sql"},
        "planner": {"plan", "sql"},
        layers.ROOT: set(),
    }
    assert (breaches(ORDER, uses), circles(uses)) == ([], [])


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("sql.rs", "\nuse crate::planner::guards;", Breach("sql", "planner", "sql.rs:2")),
        ("sql.rs", "use crate::{error, plan as p};", Breach("sql", layers.ROOT, "sql.rs:1")),
        ("sql.rs", "fn f() { crate::plan::go(1) }", Breach("sql", "plan", "sql.rs:1")),
        ("sql.rs", "mod tests { use super::super::plan::Plan; }", Breach("sql", "plan", "sql.rs:1")),
        ("plan.rs", "use super::planner::{guards};", Breach("plan", "planner", "plan.rs:1")),
        ("planner/guards.rs", "use super::super::run;", Breach("planner", layers.ROOT, "planner/guards.rs:1")),
    ],
)
def test_a_use_that_runs_back_is_named(file: str, text: str, expected: Breach) -> None:
    assert expected in breaches(ORDER, uses_in({file: text}))


def test_a_circle_is_named_whole() -> None:
    uses = uses_in({"sql.rs": "use crate::planner::guards;"})
    assert circles(uses) == [["plan", "planner", "sql"]]
    assert circles(layers.without(uses, {("sql", "planner")})) == []


def test_a_crate_that_depends_on_a_later_one_or_an_unknown_one_is_named() -> None:
    manifests = {
        "ematix-flow-core": "[dependencies]\nserde = '1'\n[dev-dependencies]\nematix-flow-cli.workspace = true",
        "ematix-flow-arrow": "[dependencies]\nematix-flow-core.workspace = true\n[dependencies.ematix-flow-run]\npath = ''",
        "ematix-flow-py": "[dependencies]\nematix-flow-extra.workspace = true\nematix-flow-core.workspace = true",
    }
    assert breaches(layers.CRATES, layers.crate_uses(manifests)) == [
        Breach("ematix-flow-core", "ematix-flow-cli", "dev-dependencies"),
        Breach("ematix-flow-arrow", "ematix-flow-run", "dependencies.ematix-flow-run"),
        Breach("ematix-flow-py", "ematix-flow-extra", "dependencies"),
    ]


def test_the_examples_of_the_reader_of_rust_are_right() -> None:
    assert doctest.testmod(rust_source) == doctest.TestResults(failed=0, attempted=3)
