"""The examples in the package's docstrings: each runs, in the unit tests or, said to be `# on a server`, on a real one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "python" / "ematix_flow"
MODULES = sorted(
    ".".join(("ematix_flow", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
ON_A_SERVER = "# on a server"


def examples() -> list[doctest.DocTest]:
    """One for each docstring that has examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    for name in MODULES:
        module = importlib.import_module(name)
        # As a user's module, not as one of ours: a declaration looks for the line that made it.
        found += finder.find(module, extraglobs={"__name__": f"examples_of_{name.rpartition('.')[2]}"})
    return [test for test in found if test.examples]


def needs_a_server(test: doctest.DocTest) -> bool:
    return any(ON_A_SERVER in example.source for example in test.examples)


def run_example(test: doctest.DocTest) -> str:
    """What differs from the docstring; nothing where it says what happens."""
    told: list[str] = []
    doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
    return "".join(told)
