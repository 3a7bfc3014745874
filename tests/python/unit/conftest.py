"""Unit tests of the Python package: no server. Declarations are judged by the native module; where a test asks what is said to it,
one that notes it stands in its place (`core`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
for path in (str(Path(__file__).parent), str(ROOT / "python")):
    if path not in sys.path:
        sys.path.insert(0, path)

from fake_core import Core


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    """Each test begins with an empty registry, and with the options of the real core."""
    from ematix_flow.declare import options, registry

    options.table.cache_clear()
    with registry.isolated():
        yield


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """In place of the native module one that notes what it is asked, and answers as a test tells it."""
    import ematix_flow
    from ematix_flow.declare import options

    recording = Core()
    monkeypatch.setitem(sys.modules, "ematix_flow._core", recording)
    monkeypatch.setattr(ematix_flow, "_core", recording, raising=False)
    options.table.cache_clear()
    yield recording
    options.table.cache_clear()
