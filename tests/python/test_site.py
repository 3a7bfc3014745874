"""The site: it builds without a warning, asks for nothing from elsewhere, and everybody can read, search and copy from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import axe_core_python
import cmarkgfm
import pytest
from browser import Browser
from built_site import ROOT, Site, served, session_site
from cmarkgfm.cmark import Options

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
LOOKS = [(width, dark) for width in (400, 1400) for dark in (False, True)]
LOOKED_AT = (
    "",
    "tutorial/first-history/",
    "explanation/performance/",
    "reference/errors/drift/",
    "reference/python/features/",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(session_site(tmp_path_factory))


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with served(site.directory) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def test_every_link_and_anchor_leads_somewhere(site: Site) -> None:
    assert site.missing() == []


def test_no_page_asks_for_anything_from_elsewhere(site: Site) -> None:
    loads = {load for page in site.pages.values() for load in page.loads}
    assert {load for load in loads if urlsplit(load).netloc} == set()
    styles = "".join(path.read_text(encoding="utf-8") for path in site.directory.rglob("*.css"))
    assert "@import" not in styles and "url(http" not in styles and "url(//" not in styles


@pytest.mark.parametrize("page", LOOKED_AT, ids=lambda page: page or "home")
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_everybody_can_read_it(page: str, width: int, dark: bool, address: str, browser: Browser) -> None:
    browser.open(address + page, width=width, dark=dark)
    assert browser.complaints() == []
    browser.run(f"{AXE};0")
    violations = browser.run(
        "axe.run().then(found => found.violations.map("
        "rule => [rule.id, rule.help, rule.nodes.map(node => node.html + ' ' + node.failureSummary)]))"
    )
    assert violations == []
    assert browser.run("document.documentElement.scrollWidth") <= width, "it does not move sideways"
    assert browser.run("document.body.getAttribute('data-md-color-scheme')") == ("slate" if dark else "default")


def test_the_home_page_shows_what_it_is_in_one_screen(address: str, browser: Browser) -> None:
    browser.open(address, width=1400, height=900)
    shown = browser.run(
        "[...document.querySelectorAll('.hero img, .sides .highlight, .sides img')]"
        ".map(each => each.getBoundingClientRect()).filter(box => box.height)"
        ".map(box => box.bottom + window.scrollY)"
    )
    assert len(shown) == 4, "a history, two forms of a pipeline, and what was measured"
    assert max(shown) <= 900


@pytest.mark.parametrize("width", [400, 1400])
def test_the_name_of_an_option_stands_in_one_line(width: int, address: str, browser: Browser) -> None:
    browser.open(address + "reference/toml/", width=width)
    broken = browser.run(
        "[...document.querySelectorAll('td:first-child code')].filter(name => name.getClientRects().length > 1)"
        ".map(name => name.textContent)"
    )
    assert broken == []


def test_a_line_of_help_is_seen_whole(address: str, browser: Browser) -> None:
    browser.open(address + "reference/cli/", width=1400)
    cut = browser.run(
        "[...document.querySelectorAll('pre > code')].filter(block => block.scrollWidth > block.clientWidth)"
        ".map(block => block.textContent.slice(0, 60))"
    )
    assert cut == []


def test_the_page_of_an_error_leads_back_to_all_of_them(site: Site) -> None:
    pages = {path: page for path, page in site.pages.items() if path.parent.parent.name == "errors"}
    assert len(pages) > 40
    assert [path for path, page in pages.items() if "../" not in page.links] == []


# What somebody types who comes from elsewhere, and where it must lead among the first results.
SEARCHES = {
    "snapshot": "how-to/from-dbt-snapshots/",
    "slowly changing dimension": "reference/words/",
    "upsert": "reference/words/",
    "staging table": "explanation/paths/",
    "pgbouncer": "how-to/pgbouncer/",
    "rds iam token": "how-to/managed-postgres/",
    "on_duplicate": "how-to/duplicate-keys/",
    "write_df": "reference/python/connections/",
    "mass_delete": "reference/errors/mass_delete/",
}


@pytest.mark.parametrize("words", SEARCHES)
def test_what_a_user_knows_finds_the_page(words: str, address: str, browser: Browser) -> None:
    browser.open(f"{address}?q={words.replace(' ', '+')}", width=1400)
    browser.wait_for("document.querySelectorAll('.md-search-result__item').length > 0")
    found = browser.run(
        "[...document.querySelectorAll('.md-search-result__item > a')].slice(0, 10).map(link => link.href)"
    )
    assert [link for link in found if urlsplit(link).path.strip("/") == SEARCHES[words].strip("/")], found


def test_a_console_block_is_copied_without_prompt_and_output(address: str, browser: Browser) -> None:
    browser.open(address)
    copied = browser.run("[...document.querySelectorAll('.language-console pre')].map(each => each.dataset.copy)")
    assert copied[0] == "flow run customers"
    assert copied[1].splitlines()[:2] == ["flow run customers", "flow history customers --key 1"]
    browser.open(address + "tutorial/mirror-a-database/")
    first = browser.run("document.querySelector('.language-console pre').dataset.copy").splitlines()
    assert first[0] == """psql --quiet "$CRM_DSN" <<'SQL'""" and first[-1] == "SQL"
    browser.open(address + "reference/python/tables/")
    example = browser.run("document.querySelector('.language-pycon pre').dataset.copy")
    assert example == "from ematix_flow import Numeric\nColumn(Numeric[10, 2], default=0)"


def test_the_python_pages_have_every_name_of_the_package(site: Site) -> None:
    import ematix_flow

    anchors = {
        anchor
        for path, page in site.pages.items()
        if "python" in path.relative_to(site.directory).parts
        for anchor in page.anchors
    }
    names = {"Ematix" if name == "ematix" else name for name in ematix_flow.__all__}
    # Instances: their classes have the pages.
    names -= {"__version__", "pipeline", "expect"}
    assert {name for name in names if f"ematix_flow.{name}" not in anchors} == set()


def test_the_pictures_are_those_that_would_be_drawn() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "pictures.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_picture_is_told_in_words_as_it_is_drawn() -> None:
    """Who cannot see a chart hears its numbers: they are those of measured.json."""
    charts = json.loads((ROOT / "docs" / "measured.json").read_text(encoding="utf-8"))["charts"]
    for name, chart in charts.items():
        text = (ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
        [told, *_] = [line for line in text.splitlines() if f"{name}-light.svg" in line]
        assert [row["value"] for row in chart["rows"] if f"{row['value']}" not in told] == [], name


def test_readme_for_pypi_has_no_link_that_needs_the_repository() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "for_pypi.py", "--repository", "someone/ematix-flow", "--ref", "v0.1.0"],
        capture_output=True,
        text=True,
        check=True,
    )
    html = cmarkgfm.github_flavored_markdown_to_html(done.stdout, Options.CMARK_OPT_UNSAFE)
    named = re.findall(r'(?:href|src|srcset)="([^"]*)"', html)
    assert len(named) > 20
    assert [link for link in named if not link.startswith(("https://", "#"))] == []
    assert "https://github.com/someone/ematix-flow/blob/v0.1.0/docs/tutorial/first-history.md" in done.stdout
    assert "https://raw.githubusercontent.com/someone/ematix-flow/v0.1.0/docs/pictures/history-light.svg" in done.stdout
