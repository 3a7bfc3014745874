"""One question to many DSNs, by the package in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from python_package import PACKAGE

# What an answer begins with where there is none.
REFUSED = "refused"

_ASK = f"""
import json, sys
from ematix_flow import connect
from ematix_flow.errors import FlowError
answers = []
for dsn in json.load(open(sys.argv[1])):
    try:
        with connect(dsn=dsn) if dsn is not None else connect() as there:
            [(answer,)] = there.query(sys.argv[2], rows="tuple")
            answers.append(answer)
    except FlowError as error:
        answers.append(f"{REFUSED}: [{{error.code}}] {{error}}")
print(json.dumps(answers))
"""


def ask(dsns: Sequence[str | None], question: str, directory: Path, environment: Mapping[str, str]) -> list[str]:
    """What each of them answers: a text, or REFUSED with the error. None stands for `connect()`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ask.py").write_text(_ASK)
    (directory / "dsns.json").write_text(json.dumps(dsns))
    done = subprocess.run(
        [sys.executable, "ask.py", "dsns.json", question],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**environment, "PYTHONPATH": str(PACKAGE)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers
