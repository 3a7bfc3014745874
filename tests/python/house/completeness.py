"""What every strategy, marker, engine, command, option and error code must have beside its code. Pure.

The product says what there is (`Product`); the repository, as texts by their paths, says what stands beside it. `gaps`
names each that is lacking: a page, a plan, a scenario, a test; and each that stands there for nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import rust_source

Files = Mapping[str, str]
# A command by its words: ("watermark", "set").
Path = tuple[str, ...]

NOT_YET = "docs/reference/not-yet.md"
OPTIONS_PAGE = "docs/reference/toml.md"
COMMANDS_PAGE = "docs/reference/cli.md"
EXAMPLE = re.compile(r"^pipelines\.example(\.toml$|/.*\.toml$)")
SNAPSHOT = re.compile(r"^crates/[^/]+/tests/snapshots/plan_\w+\.snap$")
SCENARIO = re.compile(r"^tests/scenarios/.*\.flow$")
# Lists of everything, and tests of lists: a name that stands there only is not tested.
LISTING = re.compile(r"^(crates/flow-core/tests/(example|json_schema)\.rs|tests/python/house/.*)$")


@dataclass(frozen=True)
class Product:
    """What the product says that it has, and what of that is refused until it is built."""

    strategies: frozenset[str]
    options: frozenset[str]
    options_to_come: frozenset[str]
    dialects: frozenset[str]
    commands: frozenset[Path]
    # Markers and helpers that clean rows; markers that say what a column is.
    markers: frozenset[str]
    markers_to_come: frozenset[str]
    keys: frozenset[str]
    codes: frozenset[str]
    # Options that no plan shows, and why.
    without_a_plan: Mapping[str, str] = field(default_factory=dict)
    # Engines that are read, and have no dialect.
    sources: frozenset[str] = frozenset()


def gaps(product: Product, files: Files) -> list[str]:
    """Everything that was forgotten, each with what to write."""
    return [
        *of_strategies(product, files),
        *of_markers(product, files),
        *of_dialects(product, files),
        *of_commands(product, files),
        *of_options(product, files),
        *of_codes(product, files),
    ]


# --- strategies -------------------------------------------------------------------------------------------------


def of_strategies(product: Product, files: Files) -> Iterator[str]:
    folder = "docs/reference/strategies/"
    planned = {value for name, value in shown_options(files) if name == "mode"}
    played = {mode for text in matching(SCENARIO, files).values() for mode in modes_in(text)}
    for mode in sorted(product.strategies):
        yield from lacking(f"strategy {mode}", f"{folder}{mode}.md", files)
        if mode not in planned:
            yield f"strategy {mode}: no plan, write one in plan_snapshots.rs"
        if mode not in played:
            yield f"strategy {mode}: no scenario in tests/scenarios"
    yield from surplus(folder, product.strategies, files, "strategy")


def modes_in(text: str) -> set[str]:
    return set(re.findall(r"""\bmode\s*=\s*["'](\w+)["']""", text))


# --- markers ----------------------------------------------------------------------------------------------------


def of_markers(product: Product, files: Files) -> Iterator[str]:
    pages = {path: text for path, text in files.items() if path.startswith("docs/") and path.endswith(".md")}
    executed = {name for text in pages.values() for name in executed_sections(text)}
    python = "\n".join(block for text in pages.values() for block in blocks(text, "python"))
    for name in sorted(product.markers - executed):
        yield f"marker {name}: no section `## {name}` with an executed table in docs"
    for name in sorted(product.markers_to_come):
        if f"`{name}`" not in files.get(NOT_YET, ""):
            yield f"marker {name}: is refused, and {NOT_YET} does not name it"
    for name in sorted(product.keys):
        if not re.search(rf"\b{name}\(", python):
            yield f"marker {name}: no Python of docs uses it"


def executed_sections(page: str) -> Iterator[str]:
    """The headings that are one name, below which a block shows what came out when it ran."""
    heading, lines = None, []
    for line in [*page.splitlines(), "# the end"]:
        # A block's own lines may begin with `#`; headings of ours have no blank in front, and the block is open.
        if re.match(r"#+ ", line) and sum(each.startswith("```") for each in lines) % 2 == 0:
            text = "\n".join(lines)
            shown = any(re.search(r"^--", block, re.MULTILINE) for block in blocks(text, "sql"))
            if heading and (shown or any("$ " in block for block in blocks(text, "console"))):
                yield heading
            named = re.fullmatch(r"#+ `?(\w+)`?", line)
            heading, lines = named and named[1], []
        else:
            lines.append(line)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


# --- engines ----------------------------------------------------------------------------------------------------


def of_dialects(product: Product, files: Files) -> Iterator[str]:
    folder = "docs/reference/engines/"
    tests = {path: text for path, text in files.items() if re.match(r"crates/[^/]+/tests/plan_\w+\.rs$", path)}
    for name in sorted(product.dialects):
        yield from lacking(f"engine {name}", f"{folder}{name}.md", files)
        planning = [
            path
            for path, text in tests.items()
            if re.search(rf"\bdialect::(\{{[^}}]*\b)?{name}\b", text) and has_snapshot(path, files)
        ]
        if not planning:
            yield f"engine {name}: no crates/flow-core/tests/plan_*.rs plans for dialect::{name}"
    for name in sorted(product.sources):
        yield from lacking(f"engine {name}", f"{folder}{name}.md", files)
        if (test := f"tests/python/test_{name}_source.py") not in files:
            yield f"engine {name}: no {test} reads it"
    yield from surplus(folder, product.dialects | product.sources, files, "engine")


def has_snapshot(test: str, files: Files) -> bool:
    folder, name = test.rsplit("/", 1)
    return any(path.startswith(f"{folder}/snapshots/{name.removesuffix('.rs')}__") for path in files)


# --- commands ---------------------------------------------------------------------------------------------------


def of_commands(product: Product, files: Files) -> Iterator[str]:
    ran = {command for words in command_lines(files) if (command := command_of(words, product.commands))}
    page = files.get(COMMANDS_PAGE, "")
    for command in sorted(product.commands):
        name = " ".join(command)
        if not re.search(rf"^##+ flow {name}$", page, re.MULTILINE):
            yield f"command {name}: no section in {COMMANDS_PAGE}, run docs/generate.py"
        if command not in ran:
            yield f"command {name}: no test, scenario or page runs it"


def command_of(words: Iterable[str], commands: Collection[Path]) -> Path | None:
    """The command that a line is about, its subcommand too; None where it only asks for help."""
    found: Path = ()
    for word in words:
        if word in ("--help", "-h"):
            return None
        if (*found, word) in commands or any(each[: len(found) + 1] == (*found, word) for each in commands):
            found = (*found, word)
    return found or None


def command_lines(files: Files) -> Iterator[list[str]]:
    """The words behind `flow` wherever a test, a scenario or a page runs it."""
    for path, text in files.items():
        if LISTING.match(path):
            continue
        if SCENARIO.match(path):
            yield from (line.removeprefix("## flow ")[3:].split() if line.startswith("## flow") else line[3:].split()
                        for line in text.splitlines() if line.startswith("## "))  # fmt: skip
        elif path.endswith(".md"):
            typed = "\n".join(blocks(text, "console")) if path.startswith("docs/") or "/" not in path else text
            yield from (match.split() for match in re.findall(r"^(?:\$|>).*?\bflow (.*)$", typed, re.MULTILINE))
        elif path.startswith("tests/python/") and path.endswith(".py"):
            yield from calls_of_flow(text)
        elif re.match(r"crates/flow-cli/tests/\w+\.rs$", path):
            yield from lists_of_words(text)


def lists_of_words(rust: str) -> Iterator[list[str]]:
    """The strings that stand one after the other between commas, as `.args(["run", "x"])` has them."""
    words: list[str] = []
    for token in rust_source.tokens(rust):
        if token.is_string:
            words.append(token.text.strip('"'))
        elif token.text != "," and words:
            yield words
            words = []


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def calls_of_flow(text: str) -> Iterator[list[str]]:
    """The words of every call of something called flow: `flow("run", "x")`, `python.flow(…)`, `flow.start(…)`."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Call) and "flow" in ast.unparse(node.func).lower():
            words = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            words += [
                word.value
                for each in node.args
                if isinstance(each, (ast.List, ast.Tuple))
                for word in each.elts
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            ]
            yield words


# --- options ----------------------------------------------------------------------------------------------------


def of_options(product: Product, files: Files) -> Iterator[str]:
    rows = set(re.findall(r"^\| `(\w+)` \|", files.get(OPTIONS_PAGE, ""), re.MULTILINE))
    example = "\n".join(matching(EXAMPLE, files).values())
    shown = {name for name, _ in shown_options(files)}
    used = used_options(files)
    for name in sorted(product.options):
        if name not in rows:
            yield f"option {name}: no row in {OPTIONS_PAGE}, run docs/generate.py"
        if not re.search(rf"^{name}\s*=", example, re.MULTILINE):
            yield f"option {name}: no line in pipelines.example.toml"
        if name not in used:
            yield f"option {name}: no test and no scenario uses it"
        if name not in shown and name not in product.without_a_plan:
            yield f"option {name}: in no plan, add one to plan_snapshots.rs or say why not"
    for name in sorted(product.options_to_come):
        if not re.search(rf"`{name}\b", files.get(NOT_YET, "")):
            yield f"option {name}: is refused, and {NOT_YET} does not name it"
    for name in sorted(product.without_a_plan):
        if name not in product.options:
            yield f"option {name}: excused from plans, and there is none of that name"
        elif name in shown:
            yield f"option {name}: excused from plans, and stands in one"


def shown_options(files: Files) -> set[tuple[str, str]]:
    """The options in the heads of the plans, with their values."""
    head = re.compile(r"^# (\w+) = ['\"]?([^'\"\n]*)", re.MULTILINE)
    return {pair for text in matching(SNAPSHOT, files).values() for pair in head.findall(text)}


def used_options(files: Files) -> set[str]:
    """Every name that a test, a scenario or a page gives a value: in TOML, as a keyword or a flag."""
    found: set[str] = set()
    for path, text in files.items():
        if LISTING.match(path):
            continue
        if SCENARIO.match(path):
            found |= names_in(text)
        elif path.startswith("docs/") and path.endswith(".md"):
            found |= {name for block in blocks(text, "toml") + blocks(text, "console") for name in names_in(block)}
        elif path.startswith("tests/python/") and path.endswith(".py"):
            found |= names_in_python(text)
        elif re.match(r"crates/[^/]+/tests/.*\.rs$", path):
            found |= {name for token in rust_source.tokens(text) if token.is_string for name in names_in(token.text)}
    return found


def names_in(toml: str) -> set[str]:
    flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z][a-z-]+)", toml)}
    return flags | set(re.findall(r"(?<![\w.])(\w+)\s*=(?!=)", toml))


def names_in_python(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.Dict):
            found |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= names_in(node.value)
    return found


# --- error codes ------------------------------------------------------------------------------------------------


def of_codes(product: Product, files: Files) -> Iterator[str]:
    folder = "docs/reference/errors/"
    for code in sorted(product.codes):
        yield from lacking(f"code {code}", f"{folder}{code}.md", files)
    yield from surplus(folder, product.codes | {"index"}, files, "code")


# --- words ------------------------------------------------------------------------------------------------------


def matching(pattern: re.Pattern[str], files: Files) -> dict[str, str]:
    return {path: text for path, text in files.items() if pattern.match(path)}


def lacking(what: str, page: str, files: Files) -> Iterator[str]:
    if page not in files:
        yield f"{what}: no page {page}"


def surplus(folder: str, names: Collection[str], files: Files, kind: str) -> Iterator[str]:
    for path in sorted(files):
        name = path.removeprefix(folder).removesuffix(".md")
        if path.startswith(folder) and name not in names:
            yield f"{kind} {name}: there is none, and {path} explains it"
