"""A mistake in a declaration as a user meets it: a script that ends in his line, with what, where, why and a remedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from ematix_flow import Column, Integer, Pipeline, Source, SpecError, Text, ematix
from ematix_flow.declare import options

ROOT = Path(__file__).parents[3]
HEAD = """from ematix_flow import *
from typing import Annotated
Q = Source.postgres_query("crm", "SELECT 1")
@ematix.table(schema="dw")
class Dim:
    id: Annotated[BigInt, pk()]

"""
# The line that is wrong begins at line 8; the last line of the answer is the hint.
MISTAKES = {
    "Pipeline(name='p', source=Q, target=Dim, mode='upsrt')": (
        "SpecError: pipeline p: there is no mode 'upsrt'",
        "hint: did you mean `merge`?",
    ),
    "Pipeline(name='p', source=Q, target=Dim, mode='merge', schedule='0 * * *')": (
        "SpecError: pipeline p: `0 * * *` is not a cron line: it has 4 fields, not 5",
        'hint: write minute, hour, day of month, month, day of week: "5 * * * *" is five past every hour',
    ),
    "Pipeline(name='p', source=Q, target=Dim, mode='merge', kesy='id')": (
        "TypeError: Pipeline() got an unexpected keyword argument 'kesy'. Did you mean 'keys'?",
    ),
    "Pipeline('p')": ("TypeError: Pipeline.__init__() takes 1 positional argument but 2 were given",),
    "@ematix.table(schema='dw')\nclass T:\n    n: Annotated[Integer, column(default='x')]": (
        "SpecError: T.n: the default 'x' does not fit the type integer",
        'hint: give an int, or an SQL expression: default=sql("…")',
    ),
    "@ematix.table\nclass T:\n    n: Integer": (
        "TypeError: ematix.table takes keywords alone: write @ematix.table(…), with its parentheses",
    ),
    "class T(ManagedTable):\n    n = Column(Text, primary_key=True, nullable=True)": (
        "SpecError: Column: a column of the primary key cannot be NULL",
        "hint: leave nullable=True out",
    ),
    "class T(ManagedTable):\n    n: Annotated[Integer, trim()]": (
        "SpecError: T.n: trim() gives text, but the column is integer",
        "hint: put parse_int() behind it, or take it out",
    ),
    "@ematix.pipeline(target=Dim, mode='merge')\ndef p(a, b): ...": (
        "SpecError: pipeline p: the function takes 2 arguments",
        "hint: it gets one, the source's connection: `def customers(conn):`",
    ),
    "def declare():\n    Pipeline(name='p', source='SELECT 1', target=Dim, mode='merge')\ndeclare()": (
        "SpecError: pipeline p: a str is not a source",
        'hint: write Source.postgres_query(connect("name"), "SELECT …")',
    ),
    "pipeline.sync(source=Q, target=Dim, mode='merge', every='1h')": (
        "TypeError: sync() got an unexpected keyword argument 'every':"
        + " a schedule needs a name: Pipeline(name=…) or @ematix.pipeline(…)",
    ),
    "String[-1]": (
        "SpecError: String: the length is -1, but must be a whole number from 1 to 10485760",
        "hint: write String[256], or Text for any length",
    ),
    "cast(int)": ("SpecError: cast: `int` is not a column type", "hint: did you mean Integer or BigInt?"),
    "Source.postgres_query(3, 'SELECT 1')": (
        "SpecError: Source.postgres_query: an int is not a connection",
        'hint: give connect("name"), connect(dsn=…) or the name of a connection',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.splitlines()[-1].strip()[:50])
def test_a_script_ends_in_the_users_line(mistake: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HEAD + mistake + "\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "python"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    answer = done.stderr.splitlines()
    said = MISTAKES[mistake]
    assert done.returncode == 1
    assert [line.removeprefix("ematix_flow.errors.") for line in answer[-len(said) :]] == list(said)
    frames = re.findall(r'File "(.+)", line (\d+)', done.stderr)
    assert frames[-1][0] == str(script) and int(frames[-1][1]) >= 8
    # Of ours the one that raises, which Python adds on the way out, and what is no declaration by itself: `sync` goes on
    # to run, a type and a marker stand alone.
    ours = len([file for file, _ in frames if file != str(script)])
    assert ours == 1 or (ours <= 4 and mistake.startswith(("pipeline.sync", "String", "cast")))
    assert "During handling" not in done.stderr and "direct cause" not in done.stderr


def test_an_error_knows_its_line() -> None:
    with pytest.raises(SpecError) as caught:
        Column(Integer, default="x")  # type: ignore[call-overload]
    line = traceback.extract_tb(caught.value.__traceback__)[-1].lineno
    assert caught.value.location == {"file": os.path.relpath(__file__), "line": line, "column": 1}
    assert caught.value.errors[0].location == caught.value.location


def test_a_bug_of_ours_keeps_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **keywords: Any) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(options, "lower", broken)

    @ematix.table()
    class T:
        name: Text

    with pytest.raises(TypeError, match="ours") as caught:
        Pipeline(name="p", source=Source.postgres_query("crm", "SELECT 1"), target=T, mode="append")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "broken"
