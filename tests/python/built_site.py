"""The site of docs/, built strictly once a session and served on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from once_a_session import shared_by_workers

ROOT = Path(__file__).parents[2]


def session_site(factory: pytest.TempPathFactory) -> Path:
    """The directory of the built site; workers of one session share it."""
    with shared_by_workers(factory, "site") as shared:
        site = shared / "site"
        if not (site / "sitemap.xml").exists():
            _build(site)
    return site


def _build(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site],
        cwd=ROOT,
        # What the theme's authors have to say on their own plans is no warning of ours.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address of a server of this directory, while it is needed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Page(HTMLParser):
    """What a page has and names: anchors, links, and what a browser loads of itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if name == "href" and value and tag == "a":
                self.links.append(value)
            # `rel="canonical"` and its like name a page, and nobody loads it.
            elif name == "href" and value and not {("rel", "canonical"), ("rel", "prev"), ("rel", "next")} & set(attrs):
                self.loads.append(value)
            if name == "src" and value:
                self.loads.append(value)


class Site:
    """The pages of a built site."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._targets: dict[str, Path | None] = {}

    @cached_property
    def pages(self) -> dict[Path, Page]:
        return {path: Page(path) for path in sorted(self.directory.rglob("*.html")) if path.name != "404.html"}

    def missing(self) -> list[str]:
        """Links that lead nowhere on the site, and anchors that their page does not have."""
        found = []
        for path, page in self.pages.items():
            for link in page.links:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc:
                    continue
                target = self._target(os.path.join(path.parent, unquote(parts.path))) if parts.path else path
                anchor = unquote(parts.fragment)
                if target is None or (anchor and target in self.pages and not self._has(target, anchor)):
                    found.append(f"{path.relative_to(self.directory)}: {link}")
        return found

    def _target(self, place: str) -> Path | None:
        """The file to which a place leads, if there is one. Every page has the navigation's links: each is looked up once."""
        place = os.path.normpath(place)
        if place not in self._targets:
            target = Path(place)
            target = target / "index.html" if target.is_dir() else target
            self._targets[place] = target if target.exists() else None
        return self._targets[place]

    def _has(self, path: Path, anchor: str) -> bool:
        return anchor in self.pages[path].anchors
