"""Unit tests of the Python package: no server. Declarations are judged by the native module; where a test asks what is said to it,
one that notes it stands in its place (`core`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
for path in (str(Path(__file__).parent), str(ROOT / "python")):
    if path not in sys.path:
        sys.path.insert(0, path)

from fake_core import Core


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    """Each test begins with an empty registry, and with the options of the real core."""
    from ematix_flow import options, registry

    options.table.cache_clear()
    with registry.isolated():
        yield


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """In place of the native module one that notes what it is asked, and answers as a test tells it."""
    import ematix_flow
    from ematix_flow import options

    recording = Core()
    monkeypatch.setitem(sys.modules, "ematix_flow._core", recording)
    monkeypatch.setattr(ematix_flow, "_core", recording, raising=False)
    options.table.cache_clear()
    yield recording
    options.table.cache_clear()


def run_json(**changed: Any) -> str:
    """A report as the core writes it."""
    return json.dumps(
        {
            "schema": "ematix.run.v1",
            "pipeline": "customers",
            "run_id": "01a207ab-0000-7000-8000-66b25d21c0fe",
            "status": "success",
            "committed": True,
            "mode": "scd2",
            "path": "staging",
            "path_reason": "source crm is another database",
            "dry_run": False,
            "source_connection": "crm",
            "target_connection": "warehouse",
            "target": "analytics.dim_customers",
            "started_at": "2026-01-02T03:04:05.1Z",
            "ended_at": "2026-01-02T03:04:05.21Z",
            "duration_ms": 110,
            "rows_in": 5000,
            "rows_inserted": 5000,
            "watermark_before": None,
            "watermark_after": None,
            "parse_failures": {},
            "transforms": [],
            "warnings": [],
            "error": None,
        }
        | changed
    )
