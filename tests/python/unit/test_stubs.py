"""What checkers are told of the native module and of the column types, held to what runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "python"

# Where stub and module differ on purpose: what stubtest calls it, and why.
ALLOWED = {
    "ematix_flow.types": [
        # Names that only annotations use.
        r"ematix_flow\.types\.(AnyType|Given|MYPY|T_co)",
        # Python 3.10 wants what can be called in Annotated[…]; a checker must not take a type for a function.
        r"ematix_flow\.types\.ColumnType\.__call__",
        # `Text | None` is a union to a checker without them; with them it would be whatever they return.
        r"ematix_flow\.types\.ColumnType\.__r?or__",
        # The metaclass makes a class equal to its instance; a checker that saw it would not take `BigInt | None`.
        r"ematix_flow\.types\.(BigInt|Boolean|Bytes|ColumnType|Date|Double|Float|SmallInt|Integer|Interval|Text|UUID)",
        r"ematix_flow\.types\.JSONB?",
    ],
    "ematix_flow._core": [],
}


@pytest.mark.long
@pytest.mark.parametrize("module", ALLOWED)
def test_a_stub_says_what_runs(module: str, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text("\n".join(ALLOWED[module]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", module, "--concise", "--allowlist", str(allowed)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PACKAGE), "MYPYPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
