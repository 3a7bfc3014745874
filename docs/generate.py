"""Writes the pages of the reference that the binary knows better: cli.md, toml.md and errors/index.md.

    python3 docs/generate.py            writes them
    python3 docs/generate.py --check    ends with 1 if a page is not what would be written

The binary is EMATIX_FLOW_BIN, else the debug build in the target directory. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).resolve().parent / "reference"
BY_HAND = "<!-- Written by docs/generate.py from {source}; do not edit. -->"


def flow(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EMATIX_FLOW_")}
    environment.pop("COLUMNS", None)
    done = subprocess.run(
        [binary(), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**environment, "NO_COLOR": "1"},
        check=True,
    )
    return done.stdout


def binary() -> Path:
    if chosen := os.environ.get("EMATIX_FLOW_BIN"):
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "ematix-flow" / "target")
    return target / "debug" / "flow"


# --- cli.md -----------------------------------------------------------------------------------------------------


CLI_INTRODUCTION = """\
What `flow COMMAND --help` prints. The global options at the end of this page go with every command, before or after its
name.
"""


def cli_page() -> str:
    top = flow("--help")
    parts = [
        "# Commands\n",
        BY_HAND.format(source="`flow COMMAND --help`") + "\n",
        CLI_INTRODUCTION,
    ]
    for name in commands_in(top):
        parts += command_parts([name])
    parts += ["## Global options\n", fenced(global_options(top)), "## Exit codes\n", fenced(exit_codes(top))]
    return "\n".join(parts)


def command_parts(path: list[str]) -> Iterator[str]:
    """A command's section, and below it those of its subcommands."""
    text = flow(*path, "--help")
    summary, rest = without_global_options(text).split("\n\n", 1)
    yield f"{'#' * (len(path) + 1)} flow {' '.join(path)}\n"
    yield summary.strip().replace("\n", " ") + ".\n"
    yield fenced(rest)
    for name in commands_in(text):
        yield from command_parts([*path, name])


def commands_in(help_text: str) -> list[str]:
    section = re.search(r"^Commands:\n((?:  .*\n)+)", help_text, re.MULTILINE)
    return re.findall(r"^  (\w[\w-]*)  ", section[1], re.MULTILINE) if section else []


def without_global_options(text: str) -> str:
    return re.sub(r"^Global options:\n(?:(?:  .*)?\n)*", "", text, flags=re.MULTILINE)


def global_options(text: str) -> str:
    found = re.search(r"^Global options:\n((?:(?:  .*)?\n)*)", text, re.MULTILINE)
    assert found, "flow --help has no global options"
    return found[1]


def exit_codes(text: str) -> str:
    found = re.search(r"^Exit codes: (.*(?:\n +.*)*)", text, re.MULTILINE)
    assert found, "flow --help has no exit codes"
    return "\n".join(part.strip() for line in found[1].splitlines() for part in line.split("·"))


def fenced(text: str) -> str:
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


# --- toml.md ----------------------------------------------------------------------------------------------------

TOML_INTRODUCTION = """\
Every section and option of the file. `flow schema > pipelines.schema.json` gives the same to an editor, with
`#:schema ./pipelines.schema.json` as the first line of the file. `pipelines.example.toml` in the repository has every
option once.
"""

# The sections of the file, in the order of the page: heading, the schema's name for it, and what it is.
SECTIONS = [
    ("[connections.NAME]", "ConnectionSpec"),
    ("[tables.NAME]", "TableSpec"),
    ("[tables.NAME.columns]", "FullColumnSpec"),
    ("indexes of a table", "FullIndexSpec"),
    ("[features.NAME]", "FeatureSection"),
    ("[pipelines.NAME]", "PipelineSection"),
    ("source of a pipeline", "SourceSpec"),
    ("[pipelines.NAME.source.http]", "HttpSpec"),
    ("paginate of an API", "PaginateBy"),
    ("auth of an API", "HttpAuth"),
    ("basic of auth", "BasicAuth"),
    ("oauth of auth", "Oauth"),
    ("transforms_post of a pipeline", "FullPostTransform"),
    ("notify of a pipeline", "Notification"),
    ("[transforms.NAME]", "TransformSpec"),
    ("for_each of a pipeline", "ForEachSection"),
    ("[environments.NAME]", "EnvironmentSection"),
]


def toml_page() -> str:
    schema = json.loads(flow("schema"))
    parts = [
        "# pipelines.toml\n",
        BY_HAND.format(source="`flow schema`") + "\n",
        TOML_INTRODUCTION,
        "## Top level\n",
        table(schema, schema),
    ]
    for heading, name in SECTIONS:
        definition = schema["$defs"][name]
        parts += [f"## {heading}\n", definition["description"] + "\n", table(definition, schema)]
    definitions = schema["$defs"]
    values = [words for name in sorted(definitions) if (words := words_of(name, definitions[name], schema))]
    return "\n".join([*parts, "## Values\n", *values])


def table(definition: dict[str, Any], schema: dict[str, Any]) -> str:
    """The properties of an object as a Markdown table."""
    required = definition.get("required", [])
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for name, option in definition["properties"].items():
        default = "required" if name in required else code(option["default"]) if "default" in option else ""
        rows.append(f"| `{name}` | {type_of(option, schema)} | {default} | {cell(option.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def type_of(option: dict[str, Any], schema: dict[str, Any]) -> str:
    return alternatives(kinds_of(option, schema))


def kinds_of(option: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What a value of the option may be, each once."""
    if reference := option.get("$ref"):
        return kinds_of_definition(reference.rsplit("/", 1)[1], schema)
    match option.get("type"):
        case "array":
            return ["list of " + several(option["items"], schema)]
        case "object":
            of = option.get("additionalProperties")
            return ["table of " + several(of, schema) if isinstance(of, dict) else "table"]
        case str(name):
            return [{"integer": "whole number", "boolean": "true or false"}.get(name, name)]
        case _:
            return ["any"]


def kinds_of_definition(name: str, schema: dict[str, Any]) -> list[str]:
    definition = schema["$defs"][name]
    if definition.get("type") == "object":
        return ["table"]
    if "oneOf" in definition:
        words = ", ".join(f"`{word['const']}`" for word in definition["oneOf"])
        return [f"[{words}](#{anchor(words_heading(name, schema))})"]
    if "anyOf" in definition:
        kinds = [kind for choice in definition["anyOf"] for kind in kinds_of(choice, schema)]
        # Every number may be a whole one.
        return [kind for kind in dict.fromkeys(kinds) if kind != "whole number" or "number" not in kinds]
    return [
        {"array": "list", "Duration": 'duration: `"90s"`, `"10m"`, `"2h"`, `"30d"`'}.get(
            name, definition.get("type", "any")
        )
    ]


def several(items: dict[str, Any], schema: dict[str, Any]) -> str:
    return alternatives([plural(kind) for kind in kinds_of(items, schema)])


def plural(kind: str) -> str:
    """`list of strings` of a `string`, where a list has such."""
    first, of, rest = kind.partition(" of ")
    if first in ("string", "number", "whole number", "table", "list"):
        return f"{first}s{of}{rest}"
    assert kind.startswith("[`") or kind in ("true or false", "any"), f"what are several of `{kind}`?"
    return kind


def alternatives(kinds: list[str]) -> str:
    *before, last = kinds
    return f"{', '.join(before)} or {last}" if before else last


def words_of(name: str, definition: dict[str, Any], schema: dict[str, Any]) -> str | None:
    """A list of the words that an option takes, under the option's name."""
    if "oneOf" not in definition:
        return None
    lines = [f"- `{word['const']}`: {word['description']}" for word in definition["oneOf"]]
    return "\n".join([f"### {words_heading(name, schema)}\n", definition["description"] + "\n", *lines]) + "\n"


def words_heading(name: str, schema: dict[str, Any]) -> str:
    """The options that take these words."""
    reference = {"$ref": f"#/$defs/{name}"}
    options: dict[str, None] = {}
    for holder in [schema, *schema["$defs"].values()]:
        for option, value in holder.get("properties", {}).items():
            if refers(value, reference, schema):
                options[option] = None
    assert options, f"no option takes the words of {name}"
    return ", ".join(options)


def refers(value: Any, reference: dict[str, str], schema: dict[str, Any]) -> bool:
    """Whether an option is what is referred to, also by a definition that is a choice."""
    if value.get("$ref") == reference["$ref"]:
        return True
    if of := value.get("$ref"):
        choices = schema["$defs"][of.rsplit("/", 1)[1]].get("anyOf", [])
        return any(choice.get("$ref") == reference["$ref"] for choice in choices)
    return refers(value["items"], reference, schema) if "items" in value else False


def anchor(heading: str) -> str:
    """As the site and GitHub make it of a heading of such words."""
    return heading.lower().replace(",", "").replace(" ", "-")


def code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --- errors/index.md --------------------------------------------------------------------------------------------

ERRORS_INTRODUCTION = """\
Every error begins with `error[code]`. Codes are stable: scripts may rely on them, texts may get better.
`flow explain CODE` prints the page of a code.
"""

EXITS = {
    2: "Usage and files: said before anything runs",
    4: "Refused: nothing was written, a person decides",
    5: "Locked",
    6: "No connection",
    1: "Failed",
    130: "Interrupted",
    0: "Not started, as it should be",
}


def errors_page() -> str:
    codes = json.loads(flow("explain", "--output", "json"))["codes"]
    parts = [
        "# Errors\n",
        BY_HAND.format(source="`flow explain`") + "\n",
        ERRORS_INTRODUCTION,
    ]
    for exit_code, heading in EXITS.items():
        rows = [f"| [`{c['code']}`]({c['code']}.md) | {cell(c['summary'])} |" for c in codes if c["exit"] == exit_code]
        parts += [
            f"## {heading}\n",
            f"Exit code {exit_code}.\n",
            "| code | meaning |\n|---|---|\n" + "\n".join(rows) + "\n",
        ]
    assert {c["exit"] for c in codes} == EXITS.keys(), "an exit code without a heading"
    return "\n".join(parts)


PAGES = {"cli.md": cli_page, "toml.md": toml_page, "errors/index.md": errors_page}


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the generated pages of the reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a page would change")
    check: bool = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        path = REFERENCE / name
        text = page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and check:
        print(f"not up to date: {', '.join(stale)}; run `python3 docs/generate.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
