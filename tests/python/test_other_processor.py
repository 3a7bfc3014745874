"""`flow` for a processor that this machine has not: built by the script of `packaging/`, and run under qemu."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from database import Database

ROOT = Path(__file__).parents[2]

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html: e_machine; and a program header that names an interpreter.
AARCH64 = 183
INTERPRETER = 3


@pytest.mark.slow
def test_a_binary_for_aarch64_is_static_and_loads_a_history(database: Database, tmp_path: Path) -> None:
    script = [ROOT / "packaging" / "other-processor.sh", "aarch64"]
    built = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "platform  aarch64-linux\nlinking   static\n" in built.stderr
    binary = ROOT / built.stdout.strip()
    assert elf(binary) == (AARCH64, False)
    copied = subprocess.run(
        [
            *(qemu(), binary, "copy", "--output", "json", "--from", "default", "--to", "default"),
            *("--query", "SELECT n AS id, n || 'x' AS name FROM generate_series(1, 1000) n"),
            *("--table", "public.t", "--mode", "scd2", "--keys", "id"),
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "EMATIX_FLOW_DSN": database.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert copied.returncode == 0, copied.stderr
    assert database.rows("SELECT count(*), sum(id), bool_and(is_current) FROM public.t") == [(1000, 500500, True)]


def qemu() -> str:
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    assert found
    return found


def elf(binary: Path) -> tuple[int, bool]:
    """Of a 64-bit ELF: its machine, and whether it asks for an interpreter."""
    with binary.open("rb") as file:
        header = file.read(64)
        assert header[:6] == b"\x7fELF\x02\x01"
        (machine,) = struct.unpack_from("<H", header, 18)
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(offset)
        kinds = [struct.unpack_from("<I", file.read(size))[0] for _ in range(count)]
    return machine, INTERPRETER in kinds
