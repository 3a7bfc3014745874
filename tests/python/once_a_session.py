"""What is made once a test session, whichever of its workers asks first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def shared_by_workers(factory: pytest.TempPathFactory, what: str) -> Iterator[Path]:
    """A directory that all workers of the session have; only one of them at a time makes, or looks for, what it is for."""
    # The directories of all workers of one session have one parent; without workers, that is everybody's.
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared
