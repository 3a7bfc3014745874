"""The page of `flow status --html`: one file that asks for nothing from elsewhere, which everybody can read and use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import axe_core_python
import pytest
from browser import Browser
from database import Database
from flow_binary import Flow
from test_status import project, run

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
LOOKS = [(width, dark) for width in (400, 1400) for dark in (False, True)]
HOSTILE = "</script><script>document.title = 'owned'</script>\" onload='x' <img src=x onerror=alert(1)> \u202edrawkcab"
NAMES = ("customers", "orders", "a_name_" + "of_great_length_" * 6, "</title><b>bold</b> & 'quoted' \u202eevil")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.fixture
def page(flow: Flow, database: Database) -> Path:
    """A page with pipelines whose runs ended in every way, and whose names and errors would rather be markup."""
    text = "\n".join(
        f'[pipelines.{quoted(name)}]\nsource = {{ query = "SELECT 1::bigint AS id" }}\n'
        f'target = "public.t{number}"\nkeys = "id"\nmode = "merge"\nevery = "1h"\n'
        for number, name in enumerate(NAMES)
    )
    flow.project(text)
    flow("run", "customers")
    for number, name in enumerate(NAMES):
        ends = ("success", "failed", "refused", "cancelled", "skipped", "lost", "locked", "success")
        for minutes, status in enumerate(ends):
            error = None if status in ("success", "skipped") else HOSTILE * (30 if number == 3 else 1)
            run(database, name, status, 60 - minutes * 7, error=error, error_code=error and HOSTILE, rows_in=5)
    run(database, "orders", "running", 2)
    run(database, NAMES[3], "failed", 1, error=HOSTILE, error_code="target_failed", host=HOSTILE, started_by=HOSTILE)
    assert flow("status", "--html", "page.html").stderr == "written to page.html\n"
    return flow.directory / "page.html"


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_of_it_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tags = Tags(text).found
    assert {tag for tag, _ in tags} & {"img", "iframe", "link", "object", "embed", "base", "form"} == set()
    assert sum(tag == "script" for tag, _ in tags) == 1
    led_to = [
        value for _, has in tags for name, value in has.items() if name in ("href", "src", "xlink:href", "action")
    ]
    assert all(value and value.startswith("#") for value in led_to), led_to
    assert [name for _, has in tags for name in has if name.startswith("on") or name == "style"] == []
    policy = next(has["content"] for tag, has in tags if has.get("http-equiv") == "Content-Security-Policy")
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; base-uri 'none'; form-action 'none'",
        policy or "",
    )
    assert len(text) < 100_000


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_everybody_can_use_it(page: Path, browser: Browser, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.complaints() == [], "the policy lets its own style and script pass"
    browser.run("document.querySelectorAll('details').forEach(run => { run.open = true })")
    browser.run(f"{AXE};0")
    violations = browser.run(
        "axe.run().then(found => found.violations.map("
        "rule => [rule.id, rule.help, rule.nodes.map(node => node.html + ' ' + node.failureSummary)]))"
    )
    assert violations == []
    assert browser.run("document.documentElement.scrollWidth") <= width, "it does not move sideways"
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 150) is dark


def test_what_others_wrote_is_read_as_they_wrote_it(page: Path, browser: Browser) -> None:
    browser.open(page)
    assert "owned" not in browser.run("document.title")
    names = browser.run("[...document.querySelectorAll('.pipelines tbody th > div')].map(name => name.textContent)")
    assert names == list(NAMES)
    assert browser.run("document.querySelector('pre.error').textContent") == HOSTILE
    longest = browser.run(
        "Math.max(...[...document.querySelectorAll('pre.error')].map(each => each.textContent.length))"
    )
    assert 1000 < longest < 2100


def test_without_a_script_all_of_it_is_there(page: Path, browser: Browser) -> None:
    shown = "document.querySelector('main').innerText"
    browser.open(page)
    with_script = browser.run(shown)
    browser.open(page, script=False)
    assert browser.run(shown) == with_script
    assert all(name in with_script for name in NAMES)


def test_the_keyboard_leads_to_a_run_and_opens_it(page: Path, browser: Browser) -> None:
    browser.open(page)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    for _ in range(30):
        browser.press("Tab")
        if "failed" in (browser.run("document.activeElement.getAttribute('aria-label')") or ""):
            break
    browser.press("Enter")
    opened = "document.querySelector('details:target')"
    browser.wait_for(f"{opened}?.open")  # by the script, which hears of the new target a moment later
    assert HOSTILE in browser.run(f"{opened}.textContent")


def test_a_database_that_does_not_answer_is_on_the_page(flow: Flow, browser: Browser) -> None:
    away = '[connections.away]\nhost = "127.0.0.1"\nport = 1\n'
    there = project("customers")
    other = project("orders", options='target_connection = "away"')
    flow.project(f"{away}{there}{other}")
    flow("run", "customers")
    flow("status", "--html", "page.html", expect=6)
    browser.open(flow.directory / "page.html")
    assert "connect_failed" in browser.run("document.querySelector('#unreachable').textContent")
    rows = browser.run("[...document.querySelectorAll('.pipelines tbody tr')].map(row => row.textContent)")
    assert ["success" in rows[0], "never ran" in rows[1]] == [True, True]


def test_the_page_goes_to_stdout_and_a_file_is_never_half_written(flow: Flow, database: Database) -> None:
    flow.project(project("customers"))
    printed = flow("status", "--html", "-").stdout
    assert printed.startswith("<!doctype html>")
    assert printed.endswith("</html>\n")
    assert "never ran" in printed
    assert "cannot be written" in flow("status", "--html", "nowhere/page.html", expect=2).stderr
    assert (
        flow("status", "--html", "-", "--output", "json", expect=2).json()["errors"][0]["code"] == "conflicting_options"
    )
    assert list(flow.directory.glob("*.html*")) == []
