"""What a server says of the SQL of an option is told at that option, by its name, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow

ROWS = """
CREATE SCHEMA app; CREATE TABLE app.s (id bigint, word text);
INSERT INTO app.s VALUES (1, '1'), (2, 'two'), (3, '3');
"""
COLUMNS: dict[str, Any] = {"id": "bigint", "word": "text?"}


def derived(*markers: Any) -> dict[str, Any]:
    return {
        **COLUMNS,
        "good": {"type": "bigint?", "normalize": [{"derive": "id + 1"}, {"clamp": {"minimum": 0}}]},
        "bad": {"type": "bigint?", "normalize": list(markers)},
    }


def pointed_at(text: str, error: Mapping[str, Any]) -> str:
    at = error["location"]
    return text.splitlines()[at["line"] - 1][at["column"] - 1 :]


GOOD_HELPER, GOOD = {"filter_where": "id > 0"}, {"sql": "id > 0"}
# What is declared; the option's name in the message, its code and the server's words.
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str, str]] = [
    ("a derived column that there is not", derived({"derive": "nix"}), {}, "`derive` of column `bad`", "unknown_column", 'column "nix" does not exist'),
    ("a derived value that cannot be", derived({"derive": "1 / (id - 2)"}), {}, "`derive` of column `bad`", "source_failed", "division by zero"),
    ("the second marker", derived({"derive": "word"}, {"sql": "{col}::bigint"}), {}, "`sql` of column `bad`", "cast_failed", "invalid input syntax for type bigint"),
    ("a cast", derived({"derive": "word"}, {"cast": "bigint"}), {}, "`cast` of column `bad`", "cast_failed", "invalid input syntax for type bigint"),
    ("a default", derived({"derive": "id"}, {"default": {"sql": "nix()"}}), {}, "`default` of column `bad`", "invalid_value", "function nix() does not exist"),
    ("a helper's column", COLUMNS, {"transforms_pre": [GOOD_HELPER, {"filter_where": "nix"}]}, "`filter_where`", "unknown_column", 'column "nix" does not exist'),
    ("a helper's value", COLUMNS, {"transforms_pre": [GOOD_HELPER, {"filter_where": "word::int > 0"}]}, "`filter_where`", "cast_failed", "invalid input syntax for type integer"),
    ("a helper's type", COLUMNS, {"transforms_pre": [GOOD_HELPER, {"filter_where": "id + 1"}]}, "`filter_where`", "invalid_value", "argument of WHERE must be type boolean"),
    ("an expectation's column", COLUMNS, {"expect": [GOOD, {"sql": "nix > 0"}]}, 'sql = "nix > 0"', "unknown_column", 'column "nix" does not exist'),
    ("an expectation's value", COLUMNS, {"expect": [GOOD, {"sql": "word::int > 0"}]}, 'sql = "word::int > 0"', "expectation_failed", "invalid input syntax for type integer"),
    ("an expectation's pattern", COLUMNS, {"expect": [GOOD, {"matches": {"column": "word", "pattern": "("}}]}, "matches = ", "invalid_value", "invalid regular expression"),
    ("an expectation's table", COLUMNS, {"expect": [GOOD, {"references": {"columns": "id", "table": "app.nix"}, "policy": "quarantine"}]}, "references = ", "invalid_value", 'relation "app.nix" does not exist'),
]  # fmt: skip


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize(
    ("columns", "options", "option", "code", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_what_a_server_refuses_is_told_at_its_option(
    mode: str,
    columns: dict[str, Any],
    options: dict[str, Any],
    option: str,
    code: str,
    words: str,
    across: bool,
    new_database: Callable[[], Database],
    flow: Flow,
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(ROWS)
    connect(flow, crm, warehouse)
    made = Across()
    made.table("t", columns, **({"primary_key": "id"} if mode == "merge" else {}))
    made.pipeline("p", "app.s", "t", mode, **options)
    error = made.run(flow, expect=(1, 2, 4))["p"]["error"]
    assert error["code"] == code, error
    assert option in error["message"] and words in error["message"], error
    # Where the option itself stands, behind those that are well.
    assert pointed_at(made.text(), error).startswith("{"), error["location"]
    (name,) = pointed_at(made.text(), error).split('"')[1:2]
    assert name in option, (name, option)
    assert warehouse.value("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_ematix%'") == 0


def test_what_is_the_querys_own_is_told_of_the_query(database: Database, flow: Flow) -> None:
    """Markers and helpers stand around it, and are not to blame."""
    database.execute(ROWS)
    connect(flow, database, database)
    made = Across()
    made.table("t", derived({"derive": "id"}))
    made.pipeline("p", "SELECT id, word, 1 / (id - 2) AS x FROM app.s", "t", "append", transforms_pre=[GOOD_HELPER])
    made.pipelines["p"]["transforms_pre"].append({"filter_where": "x > 0"})
    error = made.run(flow, expect=1)["p"]["error"]
    assert error["code"] == "source_failed" and "division by zero" in error["message"], error
