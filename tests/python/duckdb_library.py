"""DuckDB's library for the native `flow`: that of Python's module, and what of Python it needs beside it.

No package of PyPI has DuckDB's own library. That of the module has the same ADBC driver, and wants Python's symbols: they
come from Python's shared library, or from one that defines them as zeros, which the driver never calls.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest


def library() -> Path:
    """The library of the module `duckdb`."""
    found = importlib.util.find_spec("_duckdb")
    if found is None or found.origin is None:
        pytest.skip("the module duckdb is not installed")
    return Path(found.origin)


def python_library(directory: Path) -> Path:
    """What is preloaded; made in a directory where this Python has none."""
    names = (sysconfig.get_config_var(name) for name in ("INSTSONAME", "LDLIBRARY"))
    home = Path(sysconfig.get_config_var("LIBDIR") or "/")
    for name in names:
        if name and ".so" in name and (home / name).exists():
            return home / name
    return _stub(directory)


def _stub(directory: Path) -> Path:
    compiler, names = shutil.which("cc"), shutil.which("nm")
    if compiler is None or names is None:
        pytest.skip("this Python has no shared library, and without cc and nm none can be made in its place")
    listed = subprocess.run([names, "-D", "--undefined-only", library()], capture_output=True, text=True, check=True)
    words = {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines()}
    wanted = sorted(word for word in words if word.startswith(("Py", "_Py")))
    source, made = directory / "python.c", directory / "libpython_stub.so"
    source.write_text("".join(f"char {word}[512] = {{0}};\n" for word in wanted), encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True, capture_output=True)
    return made
