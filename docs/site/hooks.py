"""What mkdocs is told beside mkdocs.yml: links of the repository that lead out of docs/ lead somewhere on the site, too.

CONTRIBUTING.md, SECURITY.md and CHANGELOG.md become pages; other files of the repository that a page names are copied beside
them. So the site needs nothing from elsewhere, wherever it is served.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changes.md",
}
FILES = "project/files"
ERRORS = "reference/errors/"
# Folders of the repository whose files a page may name.
NAMED = (
    "deploy",
    "editors",
    "examples",
    "packaging",
    "LICENSE",
    "README.md",
    "pipelines.example.toml",
    "pyproject.toml",
    "Cargo.toml",
)
LINK = re.compile(r"(?P<before>\]\()(?P<to>(?![a-z]+:|#|/)[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
NAME_IN_TABLE = re.compile(r"(?<=<code>)\w{28,}(?=</code>)")
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for named in NAMED:
        for path in [ROOT / named] if (ROOT / named).is_file() else sorted((ROOT / named).rglob("*")):
            if path.is_file():
                # As text, so that a browser shows it.
                uri = f"{FILES}/{path.relative_to(ROOT).as_posix()}.txt"
                files.append(File.generated(config, uri, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Leads the links of a page where the site has what they name."""
    uri = page.file.src_uri
    if uri.startswith(ERRORS) and uri != ERRORS + "index.md":
        # They are too many for the navigation: this is their way back.
        markdown += f"\n\n[All errors](index.md) · `flow explain {page.file.name}` prints this page.\n"
    here = {site: source for source, site in PAGES.items()}.get(uri, f"docs/{uri}")
    return outside_of_blocks(markdown, lambda text: LINK.sub(lambda link: led(link, here, uri), text))


def on_page_content(html: str, **_: Any) -> str:
    """Lets long names in tables break behind an underscore, not anywhere."""
    return NAME_IN_TABLE.sub(lambda name: name[0].replace("_", "_<wbr>"), html)


def outside_of_blocks(markdown: str, change: Any) -> str:
    done, at = [], 0
    for block in FENCE.finditer(markdown):
        done += [change(markdown[at : block.start()]), block[0]]
        at = block.end()
    return "".join([*done, change(markdown[at:])])


def led(link: re.Match[str], here: str, uri: str) -> str:
    to = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["to"]))
    if to.startswith("docs/"):
        site = to.removeprefix("docs/")
    elif to in PAGES:
        site = PAGES[to]
    elif to.split("/")[0] in NAMED:
        path = ROOT / to
        # A folder has no page: its first file stands for it.
        file = path if path.is_file() else next(each for each in sorted(path.rglob("*")) if each.is_file())
        site = f"{FILES}/{file.relative_to(ROOT).as_posix()}.txt"
    else:
        return link[0]
    return link["before"] + posixpath.relpath(site, posixpath.dirname(uri) or ".") + (link["anchor"] or "")
