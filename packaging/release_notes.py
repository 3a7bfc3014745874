"""Prints what CHANGELOG.md says of a version, and refuses a release that does not fit its sources.

    python packaging/release_notes.py v0.1.0

The tag must be the version of Cargo.toml, and the changelog must have a section of it with a date and an entry.
Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version_of(manifest: str) -> str:
    """The version that every crate of the workspace takes."""
    [version] = re.findall(r'^\[workspace\.package\]\n(?:.+\n)*?version = "(.+)"', manifest, re.MULTILINE)
    return version


def notes(changelog: str, version: str) -> str | None:
    """The text below the heading of a version."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found and found[1].strip() else None


def main(root: Path, tag: str) -> str:
    version = version_of((root / "Cargo.toml").read_text(encoding="utf-8"))
    if tag != f"v{version}":
        sys.exit(f"error: the tag is {tag}, Cargo.toml says {version}\nhint: the tag of this version is v{version}")
    text = notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if text is None:
        sys.exit(
            f"error: CHANGELOG.md has no entry of {version}\n"
            f"hint: rename `## [Unreleased]` to `## [{version}] - YYYY-MM-DD`"
        )
    return text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(main(ROOT, sys.argv[1]))
