"""`flow lsp`, asked as an editor asks: mistakes at their places, what can stand somewhere, and what it is for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flow_binary import Flow
from language_client import LanguageClient
from python_package import Interpreter

PROJECT = """\
[connections.crm]
dsn = "postgresql://crm.example/crm"

[tables.dim_customers]
schema = "analytics"
natural_key = "id"
columns = { id = "bigint", email = "text?" }

[pipelines.customers]
source = { connection = "crm", query = "SELECT id, email FROM app.customers" }
target = "dim_customers"
target_connection = "crm"
mode = "scd2"
"""


@pytest.fixture
def editor(flow: Flow) -> Iterator[LanguageClient]:
    flow.project(PROJECT)
    with LanguageClient([flow.binary, "lsp"], flow.directory, flow.environment({})) as editor:
        yield editor


@pytest.fixture
def file(flow: Flow, editor: LanguageClient) -> Path:
    """The project's file, open and without a mistake."""
    path = flow.directory / "pipelines.toml"
    assert editor.open(path) == []
    return path


def labels(offered: list[dict[str, Any]]) -> list[str]:
    return [item["label"] for item in offered]


# ---------------------------------------------------------------------------------------------------------- mistakes


def test_a_mistake_stands_at_its_place_until_it_is_mended(editor: LanguageClient, file: Path) -> None:
    assert editor.save(file, PROJECT.replace('"scd2"', '"upsert"')) == [
        {
            "range": {"start": {"line": 12, "character": 7}, "end": {"line": 12, "character": 15}},
            "severity": 1,
            "code": "invalid_value",
            "source": "flow",
            "message": "unknown mode `upsert` in pipeline `customers`\n"
            "hint: did you mean `merge`? mode is one of append, truncate, merge, scd2, scd1",
        }
    ]
    assert editor.save(file, PROJECT) == []


def test_places_are_counted_in_units_of_utf_16(editor: LanguageClient, file: Path) -> None:
    text = PROJECT.replace('"crm", query', '"𝄞", qeury')
    [unknown, *_] = editor.save(file, text)
    line = text.splitlines().index(next(line for line in text.splitlines() if "qeury" in line))
    assert unknown["range"] == {"start": {"line": line, "character": 30}, "end": {"line": line, "character": 35}}


def test_mistakes_of_another_file_stand_in_that_file(flow: Flow, editor: LanguageClient) -> None:
    (flow.directory / "more").mkdir()
    root, other = flow.project('include = ["more/*.toml"]\n' + PROJECT), flow.directory / "more" / "orders.toml"
    other.write_text('[pipelines.orders]\nsource = { table = "app.orders" }\nmode = "append"\n', encoding="utf-8")
    assert editor.open(root) == []
    [missing] = editor.findings(other)
    assert (missing["code"], missing["range"]["start"]["line"]) == ("missing_option", 0)
    # It belongs to the project above it, and is clean when the mistake is gone.
    assert editor.open(other) == [missing]
    text = other.read_text(encoding="utf-8").replace('mode = "append"', 'mode = "append"\ntarget = "raw.orders"')
    assert editor.save(other, text) == []


def test_a_module_is_imported_anew_and_what_it_prints_is_no_message(
    flow: Flow,
) -> None:
    file = flow.project('python = ["shop"]\n' + PROJECT)
    module = flow.directory / "shop.py"
    module.write_text('print("hello")\n', encoding="utf-8")
    package = [sys.executable, "-m", "ematix_flow.cli", "lsp"]
    with LanguageClient(package, flow.directory, Interpreter(flow.directory).variables()) as editor:
        assert editor.open(file) == []
        module.write_text('print("hello")\nraise ValueError("not today")\n', encoding="utf-8")
        assert editor.save(file, file.read_text(encoding="utf-8")) == []
        [failed] = editor.findings(module)
        assert failed["code"] == "import_failed" and "not today" in failed["message"]
        assert editor.end() == 0


# ----------------------------------------------------------------------------------------------------- what is offered


def test_options_of_the_section_are_offered(editor: LanguageClient, file: Path) -> None:
    offered = editor.offered(file, PROJECT + "handle_|")
    [option] = [item for item in offered if item["label"] == "handle_deletes"]
    line = PROJECT.count("\n")
    assert option == {
        "label": "handle_deletes",
        "kind": 10,
        "documentation": "What happens to keys that left the source. For merge, scd2.",
        "textEdit": {
            "range": {"start": {"line": line, "character": 0}, "end": {"line": line, "character": 7}},
            "newText": "handle_deletes",
        },
    }
    assert "query_file" not in labels(offered)
    assert "query_file" in labels(editor.offered(file, "[pipelines.a]\nsource = { |"))
    assert "pipelines" in labels(editor.offered(file, "[|"))


def test_the_words_of_an_option_are_offered(editor: LanguageClient, file: Path) -> None:
    text = PROJECT.replace('mode = "scd2"', 'mode = "|"')
    assert labels(editor.offered(file, text)) == ["append", "truncate", "merge", "scd2", "scd1"]
    [*_, scd2, _] = editor.offered(file, PROJECT.replace('mode = "scd2"', "mode = |"))
    assert scd2["textEdit"]["newText"] == '"scd2"', "quotation marks, where there are none"


def test_names_of_the_project_are_offered_saved_or_not(editor: LanguageClient, file: Path) -> None:
    more = PROJECT + "\n[tables.orders]\n[connections.warehouse]\n[pipelines.orders]\n"
    assert labels(editor.offered(file, more + 'target = "|')) == ["dim_customers", "orders"]
    assert labels(editor.offered(file, more + 'target_connection = "|')) == ["crm", "warehouse"]
    assert labels(editor.offered(file, more + 'source = { connection = "|')) == ["crm", "warehouse"]
    assert labels(editor.offered(file, more + "after = [|")) == ["customers"], "not itself"


# -------------------------------------------------------------------------------------------------------- what is told


def test_an_option_is_explained(editor: LanguageClient, file: Path) -> None:
    about = editor.about(file, PROJECT.replace("target_connection", "target_con|nection"))
    assert about == "**target_connection**: The target's connection; the source's unless said."
    about = editor.about(file, PROJECT.replace('"scd2"', '"sc|d2"'))
    assert about == "**scd2**: Keep the history of every key (SCD type 2)."
    assert editor.about(file, "# |") is None


def test_a_pipeline_is_explained_with_its_plan(flow: Flow, editor: LanguageClient, file: Path) -> None:
    about = editor.about(file, PROJECT.replace("[pipelines.customers]", "[pipelines.cust|omers]"))
    plan = flow("preview", "customers").stdout.rstrip()
    assert plan.startswith("customers  scd2")
    assert about == (
        f"**[pipelines.customers]**: A pipeline: where rows come from, where they go, and how.\n\n```text\n{plan}\n```"
    )


# ------------------------------------------------------------------------------------------------------------ the server


def test_it_says_what_it_can_and_refuses_the_rest(editor: LanguageClient) -> None:
    assert sorted(editor.abilities) == ["completionProvider", "hoverProvider", "textDocumentSync"]
    answer = editor.ask_whole("textDocument/rename")
    assert answer["error"] == {"code": -32601, "message": "there is no `textDocument/rename` here"}
    editor.tell("$/setTrace", value="off")
    assert editor.end() == 0


def test_it_ends_with_the_editor(editor: LanguageClient) -> None:
    assert editor.vanish() == 1


def test_it_speaks_to_nobody_else(flow: Flow) -> None:
    refused = flow("lsp", "--output", "json", expect=2)
    assert refused.json()["errors"][0]["code"] == "invalid_value"
    garbled = flow("lsp", stdin="hello\n\n", expect=2)
    assert garbled.stderr == "error[invalid_value]: the editor is not understood: a message without a Content-Length\n"
