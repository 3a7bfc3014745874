"""Prints README.md as PyPI needs it: every link and picture with its whole address.

    python3 docs/for_pypi.py --repository OWNER/NAME --ref v0.1.0 > README.pypi.md

In the repository links are relative, so that they lead to the same version. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
# A Markdown link or picture, and the attributes of HTML that name something.
LINK = re.compile(r'(?P<before>\]\(|(?:href|src|srcset)=")(?P<to>(?![a-z]+:|#)[^)"\s]+)')
PICTURES = (".svg", ".png")


def absolute(markdown: str, repository: str, ref: str) -> str:
    """The text with whole addresses, outside of its blocks.

    >>> absolute("[how](docs/a.md#b) ![x](docs/x.svg)", "me/it", "v1")
    '[how](https://github.com/me/it/blob/v1/docs/a.md#b) ![x](https://raw.githubusercontent.com/me/it/v1/docs/x.svg)'
    """

    def led(link: re.Match[str]) -> str:
        to = link["to"].removeprefix("./")
        if to.endswith(PICTURES):
            return f"{link['before']}https://raw.githubusercontent.com/{repository}/{ref}/{to}"
        return f"{link['before']}https://github.com/{repository}/blob/{ref}/{to}"

    parts = BLOCK.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(led, part) for part in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints README.md with whole addresses.")
    parser.add_argument("--repository", default=os.environ.get("GITHUB_REPOSITORY"), help="OWNER/NAME")
    parser.add_argument(
        "--ref", default=os.environ.get("GITHUB_REF_NAME", "main"), help="tag or branch; main unless said"
    )
    said = parser.parse_args()
    if not said.repository:
        parser.error("--repository OWNER/NAME, or GITHUB_REPOSITORY")
    sys.stdout.write(absolute(README.read_text(encoding="utf-8"), said.repository, said.ref))
    return 0


if __name__ == "__main__":
    sys.exit(main())
