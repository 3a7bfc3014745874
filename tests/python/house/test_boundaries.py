"""One place for each thing: who else asks for a strategy by name, names a table of our metadata, or an engine's library,
is listed here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import boundaries
import pytest
from boundaries import Place, files_of, mentions_of_drivers, mentions_of_strategies, mentions_of_tables

REPOSITORY = Path(__file__).parents[3]
CORE = "crates/flow-core/src"
SCHEMA = json.loads((REPOSITORY / "schema" / "pipelines.schema.json").read_text(encoding="utf-8"))
MODES = frozenset(mode["const"] for mode in SCHEMA["$defs"]["Mode"]["oneOf"])

# Files that single out a strategy although it is not theirs to know. A file that no longer does leaves the list: a
# test asks.
ASKING_FOR_A_STRATEGY: set[str] = set()

# Files that name a table of the schema `ematix_flow` although they are not in a folder `history/`; likewise.
NAMING_A_TABLE: set[str] = set()

# Files that name an engine's library although they are not in its folder of flow-run; likewise.
NAMING_A_DRIVER: set[str] = {
    # The demo plays an application, which has a connection of its own to its own database.
    "crates/flow-cli/src/commands/demo/server.rs",
    # Statements of the user's own, whose values become Python's.
    "crates/flow-py/src/convert.rs",
    "crates/flow-py/src/session.rs",
}


@cache
def repository() -> dict[str, str]:
    paths = [path for suffix in ("rs", "sql") for path in REPOSITORY.glob(f"crates/*/src/**/*.{suffix}")]
    return {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def listed(found: list[Place], known: set[str]) -> str:
    """What the list lacks, and what it has too many; empty when it is exact."""
    lacking = [str(place) for place in found if place.file not in known]
    surplus = [f"{file} is mended: take it from the list" for file in sorted(known - files_of(found))]
    return "\n".join([*lacking, *surplus])


def exactly(found: list[Place], known: set[str]) -> None:
    if wrong := listed(found, known):
        pytest.fail(wrong, pytrace=False)


def test_only_strategies_know_which_strategy_it_is() -> None:
    assert {"append", "truncate", "merge", "scd1", "scd2"} <= MODES
    exactly(mentions_of_strategies(repository(), MODES), ASKING_FOR_A_STRATEGY)


def test_only_the_history_names_its_tables() -> None:
    tables = boundaries.tables_made(repository())
    assert {"run_history", "run_steps", "targets", "watermarks"} <= tables
    exactly(mentions_of_tables(repository(), tables), NAMING_A_TABLE)


def test_only_an_engine_knows_its_library() -> None:
    exactly(mentions_of_drivers(repository()), NAMING_A_DRIVER)
    named = {
        place.file for place in mentions_of_drivers({f"crates/x/{file}": text for file, text in repository().items()})
    }
    assert "crates/x/crates/flow-run/src/postgres/session.rs" in named, "the libraries are found where they belong"


# --- a breach is seen ---------------------------------------------------------------------------------------------

TABLES = frozenset({"run_history", "targets"})


def strategies_in(text: str, file: str = f"{CORE}/planner/stage.rs") -> list[str]:
    return [place.what for place in mentions_of_strategies({file: text}, MODES)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("if matches!(load.strategy, Strategy::Scd2(_)) {", "Strategy::Scd2"),
        ("match mode { Mode::Append => 1, _ => 2 }", "Mode::Append"),
        ("let appends = pipeline.mode() == crate::spec::Mode::Append;", "Mode::Append"),
        ("use crate::pipeline::Strategy::{Append, Merge};", "Strategy::{"),
        ('let scd2 = mode == "scd2";', '"scd2"'),
        ('if row.mode.as_deref() != Some("merge") {', '"merge"'),
        ('match name { "truncate" => 1, _ => 2 }', '"truncate"'),
    ],
)
def test_asking_for_a_strategy_is_seen(text: str, what: str) -> None:
    assert strategies_in(text) == [what]
    for allowed in (f"{CORE}/strategies/scd2.rs", f"{CORE}/declare/options.rs", f"{CORE}/declare/options/rules.rs"):
        assert strategies_in(text, allowed) == []
    for building in (f"{CORE}/pipeline/strategy.rs", f"{CORE}/check/options.rs", f"{CORE}/strategies/build.rs"):
        assert strategies_in(text, building) == [what]


@pytest.mark.parametrize(
    "text",
    [
        "SslMode::Merge // Mode::Append",
        'Some("merge") | Some("scd2")',
        'StepKind::Truncate => "truncate",',
        "#[cfg(test)] mod tests { fn f() { Mode::Append } }",
        "fn steps(strategy: &dyn LoadStrategy) -> Mode { strategy.mode() }",
    ],
)
def test_what_asks_for_no_strategy_is_let_be(text: str) -> None:
    assert strategies_in(text) == []


def tables_in(text: str, file: str = f"{CORE}/execute/run.rs") -> list[Place]:
    return mentions_of_tables({file: text}, TABLES)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('ask("a",\n "SELECT 1\nFROM ematix_flow.run_history");', 3, "ematix_flow.run_history"),
        ('r#"UPDATE "ematix_flow"."targets" SET"#', 1, "ematix_flow.targets"),
        ('table: &metadata::table("targets"),', 1, 'table("targets")'),
    ],
)
def test_naming_a_table_is_seen(text: str, line: int, what: str) -> None:
    file = f"{CORE}/execute/run.rs"
    assert tables_in(text) == [Place(file, line, what)]
    assert tables_in(text, "crates/flow-run/src/history/store.rs") == []


def test_naming_a_table_in_a_file_of_sql_is_seen() -> None:
    text = "-- name: all\nSELECT * FROM ematix_flow.targets;"
    assert tables_in(text, "crates/flow-run/src/queries.sql") == [
        Place("crates/flow-run/src/queries.sql", 2, "ematix_flow.targets")
    ]
    assert tables_in(text, "crates/flow-run/src/history/queries.sql") == []


@pytest.mark.parametrize(
    "text",
    [
        "// SELECT FROM ematix_flow.targets",
        'py.import("ematix_flow.errors")',
        '"ematix_flow._ematix_stage_targets"',
        'column("targets")',
        '#[cfg(test)] mod tests { const Q: &str = "ematix_flow.targets"; }',
    ],
)
def test_what_names_no_table_is_let_be(text: str) -> None:
    assert tables_in(text) == []


def test_a_list_that_is_not_exact_is_told() -> None:
    found = [Place("a.rs", 3, "Mode::Merge"), Place("b.rs", 4, "Mode::Merge")]
    assert listed(found, {"a.rs", "b.rs"}) == ""
    assert listed(found, {"b.rs", "c.rs"}) == "a.rs:3 Mode::Merge\nc.rs is mended: take it from the list"


def test_tables_are_read_from_the_statements_that_make_them() -> None:
    files = {"a.rs": "CREATE TABLE IF NOT EXISTS ematix_flow.one (", "b.sql": "CREATE TABLE ematix_flow.two ("}
    assert boundaries.tables_made(files) == {"one", "two"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("use std::fmt;\nuse tokio_postgres::Client;", "tokio_postgres"),
        ("fn f(\n error: &tokio_postgres::Error) {}", "tokio_postgres"),
        ("\ntype Tls = tokio_postgres_rustls::MakeRustlsConnect;", "tokio_postgres_rustls"),
    ],
)
def test_naming_a_library_of_an_engine_is_seen(text: str, what: str) -> None:
    file = "crates/flow-run/src/execute/run.rs"
    assert mentions_of_drivers({file: text}) == [Place(file, 2, what)]
    assert mentions_of_drivers({"crates/flow-run/src/postgres/error.rs": text}) == []


def test_a_library_in_words_or_in_a_test_is_let_be() -> None:
    text = '// tokio_postgres\nlet words = "tokio_postgres";\n#[cfg(test)] mod tests { use tokio_postgres::Client; }'
    assert mentions_of_drivers({"crates/flow-run/src/execute/run.rs": text}) == []
