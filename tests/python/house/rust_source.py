"""What a Rust file names, by the paths that begin at its crate: `crate::sql::Ident`, `super::load`, use trees and all.

No compiler: comments, strings and characters are taken out, `mod x { … }` is followed, and every path that begins with
`crate`, `super` or `self` is resolved from where it stands. A path that begins otherwise leads to another crate, or to
what such a path brought in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

TOKEN = re.compile(
    r"""
      (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>b?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^'\\])')
    | (?P<lifetime>'\w+)
    | (?P<word>\w+)
    | (?P<mark>::|=>|==|!=|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A word or a mark of the code, or a string as it was written; and its line, from 1."""

    text: str
    line: int

    @property
    def is_string(self) -> bool:
        return self.text[-1] in "\"'#" and len(self.text) > 1

    @property
    def is_word(self) -> bool:
        return self.text.isidentifier()


@cache
def tokens(text: str) -> tuple[Token, ...]:
    """The code without comments and lifetimes.

    >>> [token.text for token in tokens("let a: &'a str = 'b'; // crate::c")]
    ['let', 'a', ':', '&', 'str', '=', "'b'", ';']
    """
    found: list[Token] = []
    line, seen = 1, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        if match.lastgroup not in ("comment", "lifetime"):
            found.append(Token(match[0], line))
    return tuple(found)


@dataclass(frozen=True)
class Use:
    """A path from the root of the crate, and the line that names it."""

    path: tuple[str, ...]
    line: int


def uses(text: str, module: tuple[str, ...]) -> Iterator[Use]:
    """What the text of a module names in its own crate.

    >>> [use.path for use in uses("use crate::{a::B, c::{self, D}}; mod x { use super::super::e; }", ("m", "n"))]
    [('a', 'B'), ('c',), ('c', 'D'), ('m', 'e')]
    """
    code = tokens(text)
    # Where each open brace leads; None for one that opens no module.
    open_braces: list[str | None] = []
    place = 0
    while place < len(code):
        word = code[place].text
        if word == "mod" and place + 2 < len(code) and code[place + 2].text == "{":
            open_braces.append(code[place + 1].text)
            place += 3
            continue
        if word == "{":
            open_braces.append(None)
        elif word == "}" and open_braces:
            open_braces.pop()
        elif word in ("crate", "super", "self") and text_at(code, place + 1) == "::":
            here = (*module, *(name for name in open_braces if name is not None))
            place, found = path_tree(code, place)
            yield from (Use(absolute(path, here), line) for path, line in found)
            continue
        place += 1


def absolute(path: tuple[str, ...], here: tuple[str, ...]) -> tuple[str, ...]:
    """A path from the root, of one that begins with `crate`, `self` or `super`."""
    root = () if path[0] == "crate" else here
    rest = list(path[1:] if path[0] in ("crate", "self") else path)
    while rest and rest[0] == "super":
        root = root[:-1]
        rest.pop(0)
    return (*root, *(name for name in rest if name not in ("self", "*")))


def path_tree(code: Sequence[Token], place: int) -> tuple[int, list[tuple[tuple[str, ...], int]]]:
    """The paths of a use tree, or of a path in an expression, and the place behind it."""
    path: list[str] = []
    line = code[place].line
    while True:
        if text_at(code, place) == "{":
            leaves: list[tuple[tuple[str, ...], int]] = []
            place += 1
            while text_at(code, place) not in ("}", ""):
                place, inner = path_tree(code, place)
                leaves += [((*path, *each), line) for each, line in inner]
                if text_at(code, place) == "as":
                    place += 2
                if text_at(code, place) not in (",", "}", ""):
                    # No use tree: a struct's braces, say.
                    return place, leaves or [(tuple(path), line)]
                if text_at(code, place) == ",":
                    place += 1
            return place + 1, leaves
        path.append(text_at(code, place))
        place += 1
        following = text_at(code, place + 1)
        if text_at(code, place) != "::" or not (following.isidentifier() or following in ("{", "*")):
            return place, [(tuple(path), line)]
        place += 1


def text_at(code: Sequence[Token], place: int) -> str:
    return code[place].text if place < len(code) else ""


def module_of(file: Path) -> tuple[str, ...]:
    """The module that a file below `src` is: `a/mod.rs` is `a`, `a/b.rs` is `a::b`, `lib.rs` the crate itself."""
    parts = file.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def declared_modules(text: str) -> list[str]:
    """The modules that a lib.rs or mod.rs lists, in its order, those of tests left out."""
    code = [token.text for token in tokens(text)]
    found = []
    for place, word in enumerate(code):
        if word == "mod" and code[place + 2 : place + 3] == [";"]:
            found.append(code[place + 1])
    return found


def without_tests(code: Sequence[Token]) -> list[Token]:
    """The same code without its `#[cfg(test)] mod … { … }`.

    >>> [token.text for token in without_tests(tokens("a #[cfg(test)] mod tests { b { c } } d"))]
    ['a', 'd']
    """
    kept: list[Token] = []
    place = 0
    while place < len(code):
        if [token.text for token in code[place : place + 8]] == ["#", "[", "cfg", "(", "test", ")", "]", "mod"]:
            while text_at(code, place) not in ("{", ";", ""):
                place += 1
            depth = 0
            while place < len(code):
                depth += {"{": 1, "}": -1}.get(code[place].text, 0)
                place += 1
                if depth == 0:
                    break
            continue
        kept.append(code[place])
        place += 1
    return kept
