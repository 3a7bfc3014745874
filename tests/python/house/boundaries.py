"""What belongs into one place, and who else speaks of it: a strategy by name, a table of our metadata, a driver. Pure.

Files are texts by their paths in the repository; what only a test does is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import rust_source
from rust_source import Token

# Where a strategy may be asked for: its own folder, but for what builds pipelines there, and the table of options.
STRATEGIES = re.compile(r"^crates/flow-core/src/(strategies/(?!build\.rs$)|declare/options(\.rs$|/))")
# Where the tables of the schema `ematix_flow` are named.
HISTORY = re.compile(r"^crates/[^/]+/src/(.+/)?history/")
SCHEMA = "ematix_flow"
# The folder of an engine, and the libraries by which its server is spoken to.
ENGINES = {re.compile(r"^crates/flow-run/src/postgres/"): frozenset({"tokio_postgres", "tokio_postgres_rustls"})}


@dataclass(frozen=True, order=True)
class Place:
    """A line that says what is said elsewhere."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.what}"


def mentions_of_strategies(files: Mapping[str, str], modes: frozenset[str]) -> list[Place]:
    """Where one mode of `modes` is singled out: by its variant, or by comparing with its name."""
    variants = frozenset(mode.capitalize() for mode in modes)
    found = []
    for file, code in product_code(files):
        if STRATEGIES.match(file):
            continue
        texts = [token.text for token in code]
        for n, token in enumerate(code):
            before, after = texts[max(0, n - 3) : n], texts[n + 1 : n + 3]
            if token.text in ("Strategy", "Mode") and after[:1] == ["::"] and after[-1] in {*variants, "{", "*"}:
                found.append(Place(file, token.line, f"{token.text}::{after[-1]}"))
            elif token.is_string and token.text.strip('"') in modes and compared(before, after):
                found.append(Place(file, token.line, token.text))
    return found


def compared(before: list[str], after: list[str]) -> bool:
    """Whether a word between these is asked for: `== "x"`, `== Some("x")`, `"x" =>`."""
    return before[-1:] in (["=="], ["!="]) or before in (["==", "Some", "("], ["!=", "Some", "("]) or "=>" in after[:1]


def mentions_of_tables(files: Mapping[str, str], tables: frozenset[str]) -> list[Place]:
    """Where one of our tables is named: with its schema in SQL, or alone in `table("…")`."""
    named = re.compile(rf'\b{SCHEMA}"?\."?({"|".join(sorted(tables))})\b')
    found = []
    for file, code in product_code(files):
        if HISTORY.match(file):
            continue
        texts = [token.text for token in code]
        for n, token in enumerate(code):
            if not token.is_string:
                continue
            found += [
                Place(file, token.line + token.text.count("\n", 0, match.start()), f"{SCHEMA}.{match[1]}")
                for match in named.finditer(token.text)
            ]
            if texts[max(0, n - 2) : n] == ["table", "("] and token.text.strip('"') in tables:
                found.append(Place(file, token.line, f"table({token.text})"))
    return found


def mentions_of_drivers(files: Mapping[str, str]) -> list[Place]:
    """Where an engine's library is named outside of the engine's folder."""
    return [
        Place(file, token.line, token.text)
        for file, code in product_code(files)
        for token in code
        for folder, libraries in ENGINES.items()
        if token.text in libraries and not folder.match(file)
    ]


def tables_made(files: Mapping[str, str]) -> frozenset[str]:
    """The tables of our schema, by the statements that make them."""
    making = re.compile(rf"CREATE TABLE (?:IF NOT EXISTS )?{SCHEMA}\.(\w+)")
    return frozenset(name for text in files.values() for name in making.findall(text))


def product_code(files: Mapping[str, str]) -> Iterator[tuple[str, list[Token]]]:
    """Each Rust file with its code, and each SQL file as one string."""
    for file, text in sorted(files.items()):
        if file.endswith(".sql"):
            yield file, [Token(f'"{text}"', 1)]
        elif not re.search(r"/tests(\.rs|/)", file):
            yield file, rust_source.without_tests(rust_source.tokens(text))


def files_of(places: list[Place]) -> set[str]:
    return {place.file for place in places}
