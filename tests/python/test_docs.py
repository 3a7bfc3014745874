"""Every block of README.md and docs/, run against the real binary and a real Postgres, page by page.

How a page is written stands in documentation.py. To take over the outputs of now, and read the diff:

    EMATIX_FLOW_UPDATE_DOCS=1 pytest tests/python/test_docs.py -k first-history
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from database import Database, server_dsn
from documentation import PageRun, clean_environment
from flow_binary import Flow, flow_binary

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
# Pages that a program writes hold nothing to type; the page of an error is tested with the error.
NOT_RUN = ("reference/cli.md", "reference/toml.md", "reference/errors/")
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN_PAGES = [path for path in PAGES if not str(path.relative_to(ROOT)).startswith(tuple(f"docs/{p}" for p in NOT_RUN))]
UPDATE = os.environ.get("EMATIX_FLOW_UPDATE_DOCS", "") not in ("", "0")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT).with_suffix(""))


@pytest.mark.parametrize("path", RUN_PAGES, ids=map(name_of, RUN_PAGES))
def test_page_shows_what_happens(
    path: Path, database: Database, new_database: Callable[[], Database], tmp_path: Path
) -> None:
    markdown = path.read_text(encoding="utf-8")
    if "import sklearn" in markdown or "from sklearn" in markdown:
        pytest.importorskip("sklearn", reason="the page trains a model: pip install scikit-learn")
    environment = clean_environment(flow_binary(), tmp_path)
    if "flow dev start" not in markdown:
        environment["EMATIX_FLOW_DSN"] = database.dsn
    # A page of tests makes databases of its own, one a test.
    if "flow_db" in markdown:
        environment["EMATIX_FLOW_TEST_DSN"] = server_dsn()
    # A page with two databases calls the other one so.
    if "CRM_DSN" in markdown:
        environment["CRM_DSN"] = new_database().dsn
    # Below /tmp: a socket's path has 107 bytes, and the server's user cannot enter root's directories.
    dev_server = Path(tempfile.gettempdir()) / f"flow-docs-{uuid.uuid4().hex[:12]}"
    page = PageRun(tmp_path / "page", environment, dev_server)
    try:
        updated = page.run(markdown)
        pictures = pictures_of(markdown, path.parent, page.project)
    finally:
        page.close()
    for shown, made in pictures:
        if UPDATE:
            shown.write_bytes(made)
        assert shown.read_bytes() == made, f"{shown.name} is not what its page makes now: EMATIX_FLOW_UPDATE_DOCS=1"
    if UPDATE and updated != markdown:
        path.write_text(updated, encoding="utf-8")
    elif page.differences:
        pytest.fail("\n\n".join(map(str, page.differences)), pytrace=False)


def pictures_of(markdown: str, directory: Path, made_in: Path) -> list[tuple[Path, bytes]]:
    """The pictures that a page shows and makes itself."""
    names = re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", markdown)
    return [(directory / name, (made_in / name).read_bytes()) for name in names if (made_in / name).exists()]


LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("path", PAGES, ids=map(name_of, PAGES))
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = [link for link, _ in LINK.findall(prose) if link and not (path.parent / link).exists()]
    assert missing == []


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert {page for page in pages if "/errors/" not in page} - named == set()
    # Pages of the repository's own files, which docs/site/hooks.py makes.
    assert {page for page in named - pages if not page.startswith("project/")} == set()


def test_generated_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"],
        capture_output=True,
        text=True,
        env={**os.environ, "EMATIX_FLOW_BIN": str(flow_binary())},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_metadata_page_names_every_table_and_column(flow: Flow, database: Database) -> None:
    page = (DOCS / "explanation" / "metadata.md").read_text(encoding="utf-8")
    documented = set()
    for section in page.split("\n## ")[1:]:
        table = section.split("\n", 1)[0]
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        documented |= {(table, column) for cell in cells for column in re.findall(r"`(\w+)`", cell)}
    database.execute("CREATE TABLE source (id bigint PRIMARY KEY)")
    flow.project('[pipelines.p]\nsource = { table = "public.source" }\ntarget = "public.target"\nmode = "append"\n')
    flow("run", "p")
    live = database.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'ematix_flow'"
    )
    assert documented == set(live)
