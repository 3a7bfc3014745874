"""What editors take from us: the JSON Schema, held against two validators that are not ours; snippets; the task of VS Code."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomllib
from database import Database
from flow_binary import Flow
from python_package import Interpreter

ROOT = Path(__file__).parent.parent.parent
SCHEMA_FILE = ROOT / "schema" / "pipelines.schema.json"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
SNIPPETS: dict[str, dict[str, Any]] = json.loads(
    (ROOT / "editors" / "vscode" / "ematix-flow.code-snippets").read_text(encoding="utf-8")
)
TAPLO = Path(sys.executable).parent / "taplo"

# Projects of the pages and what a user would begin with.
FILES = [
    ROOT / "pipelines.example.toml",
    ROOT / "pipelines.example" / "countries.toml",
    ROOT / "sample" / "pipelines.toml",
]
BLOCK = re.compile(r"^```toml\n# pipelines\.toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (f"{page.relative_to(ROOT)}-{number}", text)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for number, text in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]
FEWEST_BLOCKS = 40


def mistakes_of(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(tomllib.loads(text))]


def taplo(*files: Path) -> str:
    """What it says of files; nothing where it finds nothing."""
    done = subprocess.run(
        [TAPLO, "lint", "--no-auto-config", "--colors", "never", "--schema", SCHEMA_FILE.as_uri(), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert (done.returncode != 0) == bool(errors), done.stderr
    return "\n".join(errors)


# ------------------------------------------------------------------------------------------------------ the schema


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for definition, schema in [("", SCHEMA), *SCHEMA["$defs"].items()]:
        for name, prop in schema.get("properties", {}).items():
            yield f"{definition}.{name}", prop


def choices(schema: dict[str, Any]) -> bool:
    """Whether an editor can offer every value."""
    if "$ref" in schema:
        return choices(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    if "const" in schema or "enum" in schema or schema.get("type") == "boolean":
        return True
    alternatives = schema.get("oneOf") or schema.get("anyOf") or []
    return any(choices(each) for each in alternatives)


def test_it_says_what_it_is_and_which_dialect_it_is_written_in() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert list(SCHEMA)[:4] == ["$schema", "$id", "title", "description"]
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == "https://json.schemastore.org/ematix-flow.json"
    entry = json.loads((ROOT / "schema" / "schemastore.json").read_text(encoding="utf-8"))
    assert list(entry) == ["name", "description", "fileMatch", "url"]
    assert entry["url"].endswith("/main/schema/pipelines.schema.json")


def test_everything_has_a_description_and_a_value_to_begin_with() -> None:
    described = [name for name, prop in properties() if not prop.get("description")]
    assert described == []
    sections = {name for name in SCHEMA["properties"]}
    bare = [
        name
        for name, prop in properties()
        if "default" not in prop
        and "examples" not in prop
        and not choices(prop)
        and name.removeprefix(".") not in sections
        and not name.startswith("EnvironmentSection.")
    ]
    assert bare == []


def test_every_example_and_every_default_is_a_value_that_it_allows() -> None:
    wrong = []
    for name, prop in properties():
        validator = jsonschema.Draft202012Validator({**prop, "$defs": SCHEMA["$defs"]})
        values = [*prop.get("examples", []), *([prop["default"]] if "default" in prop else [])]
        wrong += [(name, value) for value in values if not validator.is_valid(value)]
    assert wrong == []
    assert sum(1 for _, prop in properties() if "examples" in prop) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_takes_the_files_of_the_repository(path: Path) -> None:
    assert mistakes_of(path.read_text(encoding="utf-8")) == []
    assert taplo(path) == ""


def test_it_takes_what_flow_takes_of_the_pages(flow: Flow, tmp_path: Path) -> None:
    taken = []
    for name, text in BLOCKS:
        flow.project(text)
        finished = flow("validate", "--output", "json", expect=None)
        codes = {error["code"] for error in json.loads(finished.stdout)["errors"]}
        # What stands in other files of the page, which are not here.
        if codes <= {"import_failed", "missing_variable"} or finished.code == 0:
            taken.append((name, text))
    assert len(taken) >= FEWEST_BLOCKS, len(taken)
    assert [(name, found) for name, text in taken if (found := mistakes_of(text))] == []
    files = []
    for number, (_, text) in enumerate(taken):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(text, encoding="utf-8")
    assert taplo(*files) == ""


@pytest.mark.parametrize(
    "change",
    [
        ('mode = "merge"', 'mode = "upsert"'),
        ("keys =", "kyes ="),
        ('keys = "id"', "keys = 1"),
        ('lock_timeout = "10s"', 'lock_timeout = "10 seconds"'),
        ("[pipelines.orders]", "[pipeline.orders]"),
        ('source = { table = "app.orders" }', 'source = { tabel = "app.orders" }'),
    ],
    ids=lambda change: change[1],
)
def test_it_refuses_what_flow_refuses(flow: Flow, tmp_path: Path, change: tuple[str, str]) -> None:
    right = (
        '[pipelines.orders]\nsource = { table = "app.orders" }\ntarget = "dw.orders"\nmode = "merge"\nkeys = "id"\n'
        'lock_timeout = "10s"\n'
    )
    wrong = right.replace(*change)
    assert wrong != right
    file = tmp_path / "it.toml"
    for text, fine in ((right, True), (wrong, False)):
        flow.project(text)
        flow("validate", expect=0 if fine else 2)
        file.write_text(text, encoding="utf-8")
        assert ((mistakes_of(text) == []), (taplo(file) == "")) == (fine, fine)


# ---------------------------------------------------------------------------------------------------------- snippets

PLACE = re.compile(r"(?<!\\)\$(?:(\d+)|\{(\d+):([^{}]*)\}|\{(\d+)\|([^|]*)\|\})")


def inserted(snippet: dict[str, Any]) -> str:
    """What stands there when every place keeps what it suggests.

    https://code.visualstudio.com/docs/editing/userdefinedsnippets
    """

    def value(found: re.Match[str]) -> str:
        if found[5] is not None:
            return found[5].split(",")[0]
        return found[3] or ""

    text = "\n".join(snippet["body"])
    # One place may hold others, as in ${env:…}.
    text = PLACE.sub(value, text)
    assert not PLACE.search(text), text
    return text.replace("\\$", "$") + "\n"


def of_language(language: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, each) for name, each in SNIPPETS.items() if each["scope"] == language]


def test_snippets_have_prefixes_of_their_own() -> None:
    prefixes = [(each["scope"], each["prefix"]) for each in SNIPPETS.values()]
    assert len(set(prefixes)) == len(prefixes)
    assert all(name.startswith("ematix-flow: ") and each["description"] for name, each in SNIPPETS.items())
    modes = {mode["const"] for mode in SCHEMA["$defs"]["Mode"]["oneOf"]} - {"scd1"}
    assert {f"flow-{mode}" for mode in modes} <= {prefix for _, prefix in prefixes}


@pytest.mark.parametrize("snippet", [each for _, each in of_language("toml")], ids=lambda each: each["prefix"])
def test_each_snippet_is_a_project_as_it_stands(snippet: dict[str, Any], flow: Flow) -> None:
    text = inserted(snippet)
    flow.project(text)
    flow("validate")
    assert mistakes_of(text) == []


def test_all_snippets_together_are_a_project(flow: Flow) -> None:
    text = "\n".join(inserted(each) for _, each in of_language("toml"))
    flow.project(text)
    assert flow("validate", "--output", "json").json()["errors"] == []


def test_the_snippets_of_python_are_a_module(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.customers (customer_id bigint PRIMARY KEY)")
    imports = "from typing import Annotated\n\nfrom ematix_flow import BigInt, Text, ematix, natural_key\n\n\n"
    text = imports + "\n\n".join(inserted(each) for _, each in of_language("python"))
    user = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    user.write("shop.py", text)
    assert user.flow("--module", "shop", "run", "customers", "--output", "json").json()["status"] == "success"


def test_the_task_of_vs_code_finds_every_mistake_at_its_place(flow: Flow) -> None:
    tasks = json.loads((ROOT / "editors" / "vscode" / "tasks.json").read_text(encoding="utf-8"))["tasks"]
    [validate] = [task for task in tasks if task["label"] == "flow validate"]
    first, second = validate["problemMatcher"]["pattern"]
    flow.project('[pipelines.a]\nsource = { table = "app.a" }\ntarget = "dw.a"\nmode = "upsert"\nkyes = "id"\n')
    lines = flow(*validate["args"], expect=2).stderr.splitlines()
    found = []
    for line, following in itertools.pairwise(lines):
        if (said := re.search(first["regexp"], line)) and (at := re.search(second["regexp"], following)):
            found.append((said[first["code"]], at[second["file"]], int(at[second["line"]]), int(at[second["column"]])))
    assert found == [("invalid_value", "pipelines.toml", 4, 8), ("unknown_option", "pipelines.toml", 5, 1)]


# ----------------------------------------------------------------------------------------------- the language server


def test_every_editor_is_told_to_start_the_language_server() -> None:
    helix = tomllib.loads((ROOT / "editors" / "helix" / "languages.toml").read_text(encoding="utf-8"))
    server = helix["language-server"]["flow"]
    assert [server["command"], *server["args"]] == ["flow", "lsp"]
    assert "flow" in helix["language"][0]["language-servers"]
    code = json.loads((ROOT / "editors" / "vscode" / "settings.json").read_text(encoding="utf-8"))
    assert [code["glspc.server.command"], *code["glspc.server.commandArguments"]] == ["flow", "lsp"]
    neovim = (ROOT / "editors" / "neovim" / "lsp" / "flow.lua").read_text(encoding="utf-8")
    assert 'cmd = { "flow", "lsp" }' in neovim
