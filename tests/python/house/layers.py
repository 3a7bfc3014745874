"""Who may use whom: the modules of a crate, and the crates. Pure: maps in, breaches out.

A list of names is an order: each may use only those that stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rust_source

# The crates, each using only those before it. One that does not exist is not looked at.
CRATES = (
    "ematix-flow-core",
    "ematix-flow-arrow",
    "ematix-flow-files",
    "ematix-flow-foreign",
    "ematix-flow-run",
    "ematix-flow-telemetry",
    "ematix-flow-cli",
    "ematix-flow-py",
)
# What stands in lib.rs itself uses every module, and none uses it.
ROOT = "lib.rs"

# For each name, whom it uses; and for each of these, one place that shows it.
Uses = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, order=True)
class Breach:
    """`user` uses `used`, which does not stand before it."""

    user: str
    used: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.user} uses {self.used}" + (f" ({self.place})" if self.place else "")


def breaches(order: Sequence[str], uses: Uses) -> list[Breach]:
    """Every use of what stands below, or has no place in the order."""
    places = {name: place for place, name in enumerate(order)}
    return [
        Breach(user, used, place)
        for user in order
        for used, place in sorted(uses.get(user, {}).items())
        if used != user and places.get(used, len(order)) > places[user]
    ]


def circles(uses: Uses) -> list[list[str]]:
    """The groups of names each of which reaches all others of its group, each sorted."""
    reached = {name: reachable(name, uses) for name in uses}
    groups = {
        frozenset({name, *(other for other in reached[name] if name in reached.get(other, ()))})
        for name in uses
        if name in reached[name]
    }
    return sorted(sorted(group) for group in groups)


def reachable(name: str, uses: Uses) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for used in uses.get(waiting.pop(), {}):
            if used not in found and used != name:
                found.add(used)
                waiting.append(used)
            elif used == name:
                found.add(used)
    return found


def without(uses: Uses, excepted: Collection[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """The same map without the uses that are known."""
    return {
        user: {used: place for used, place in names.items() if (user, used) not in excepted}
        for user, names in uses.items()
    }


# --- the maps of this repository ----------------------------------------------------------------------------------


def modules(source: Path) -> list[str]:
    """The modules of a crate in the order of its lib.rs, and at last lib.rs itself."""
    return [*rust_source.declared_modules((source / "lib.rs").read_text(encoding="utf-8")), ROOT]


def module_uses(files: Mapping[Path, str], order: Sequence[str]) -> dict[str, dict[str, str]]:
    """Whom each module uses, folders as one module each; `files` by their paths below `src`."""
    uses: dict[str, dict[str, str]] = {name: {} for name in order}
    for file, text in sorted(files.items()):
        module = rust_source.module_of(file)
        user = module[0] if module else ROOT
        # The program beside a library is another crate.
        if user not in uses or file.name == "main.rs":
            continue
        for use in rust_source.uses(text, module):
            used = use.path[0] if use.path and use.path[0] in uses else ROOT
            if used != user:
                uses[user].setdefault(used, f"{file}:{use.line}")
    return uses


def crate_uses(manifests: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Which of these crates each depends on, also for its tests and its build; `manifests` are texts of Cargo.toml."""
    uses: dict[str, dict[str, str]] = {}
    for crate, text in manifests.items():
        uses[crate] = {}
        section = ""
        # Python 3.10 reads no TOML, and of these files a line is enough.
        for line in text.splitlines():
            if header := re.match(r"\[(.+)\]", line):
                section = header[1]
            name = re.match(r"(?:\[.*dependencies\.)?(ematix-flow-\w+)", line)
            if name and "dependencies" in section:
                uses[crate].setdefault(name[1], section)
    return uses


def package_name(manifest: str) -> str:
    """The name that a Cargo.toml gives its crate."""
    found = re.search(r'^name = "(.+)"', manifest, re.MULTILINE)
    assert found, "a Cargo.toml without a name"
    return found[1]
