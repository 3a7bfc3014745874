"""Prints the Homebrew formula of a release.

    python packaging/homebrew/formula.py VERSION OWNER/REPOSITORY SHA256SUMS

Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("ematix-flow.rb.in")


def formula(version: str, repository: str, sums: str) -> str:
    """The template with the release's names in it; a target whose archive is not in `sums` is an error."""
    checksums = {name.lstrip("*"): checksum for checksum, name in (line.split() for line in sums.splitlines())}

    def value(found: re.Match[str]) -> str:
        name = f"ematix-flow-{found['target']}.tar.gz"
        match found["what"]:
            case "VERSION":
                return version
            case "REPOSITORY":
                return repository
            case "URL":
                return f"https://github.com/{repository}/releases/download/v{version}/{name}"
        if name not in checksums:
            sys.exit(f"error: SHA256SUMS does not name {name}")
        return checksums[name]

    places = r"@(?P<what>VERSION|REPOSITORY|URL|SHA256)(?:_(?P<target>[\w-]+))?@"
    return re.sub(places, value, TEMPLATE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(formula(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(encoding="utf-8")), end="")
