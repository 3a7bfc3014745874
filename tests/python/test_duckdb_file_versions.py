"""Files that this version of DuckDB cannot read: the error says who has written them, and what to do."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import duckdb
import pytest
from duckdb_file import DuckDbFile
from python_package import Interpreter

pytestmark = pytest.mark.clock

PIPELINE = """
[connections.warehouse]
dsn = "duckdb:warehouse.duckdb"

[pipelines.ones]
source = { connection = "warehouse", query = "SELECT 1 AS one" }
target = "main.ones"
mode = "truncate"
"""

HEADER_BYTES = 4096
VERSION, WRITER = slice(12, 20), slice(52, 84)


def checksum(data: bytes) -> int:
    """Of a block of a file, as its first eight bytes hold it."""
    found = 5381
    for (word,) in struct.iter_unpack("<Q", data):
        found ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return found


def written_by(file: Path, version: int, writer: str) -> None:
    """Makes the file one of another version of DuckDB, as far as its header says."""
    content = bytearray(file.read_bytes())
    assert struct.unpack("<Q", content[:8]) == (checksum(content[8:HEADER_BYTES]),)
    content[VERSION] = struct.pack("<Q", version)
    content[WRITER] = writer.encode().ljust(32, b"\0")
    content[:8] = struct.pack("<Q", checksum(content[8:HEADER_BYTES]))
    file.write_bytes(content)


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    (tmp_path / "pipelines.toml").write_text(PIPELINE, encoding="utf-8")
    DuckDbFile(tmp_path / "warehouse.duckdb").execute("CREATE TABLE mine AS SELECT 1 AS one")
    return Interpreter(tmp_path)


@pytest.mark.parametrize("command", ["run ones", "status", "history ones", "check ones", "connections check"])
def test_who_can_read_a_newer_file_is_said(command: str, python: Interpreter) -> None:
    file = python.directory / "warehouse.duckdb"
    written_by(file, 100_000, "v9.8.7")
    before = file.read_bytes()
    began = time.monotonic()
    refused = python.flow(*command.split(), expect=6)
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "was written by a version of DuckDB that is newer" in said, said
    assert "its format is 100000, written by DuckDB v9.8.7; this version of DuckDB reads" in said, said
    assert "use DuckDB v9.8.7 or newer: pip install --upgrade duckdb" in said, said
    # It is not tried again: it would be the same.
    assert time.monotonic() - began < 20
    assert file.read_bytes() == before


def test_who_can_read_an_older_file_is_said(python: Interpreter) -> None:
    written_by(python.directory / "warehouse.duckdb", 1, "v0.2.1")
    said = python.flow("run", "ones", expect=6).stderr
    assert "let DuckDB v0.2.1 export it (EXPORT DATABASE), and import it into a new file" in said, said


def test_a_file_of_an_older_format_is_read_and_stays_so(python: Interpreter) -> None:
    file = python.directory / "warehouse.duckdb"
    file.unlink()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS old (STORAGE_VERSION 'v1.0.0')")
        connection.execute("CREATE TABLE old.mine AS SELECT 1 AS one")
    version = file.read_bytes()[VERSION]
    python.flow("run", "ones")
    assert file.read_bytes()[VERSION] == version
