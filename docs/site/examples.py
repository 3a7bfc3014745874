"""Examples in docstrings become blocks: Markdown would take `>>>` for a quotation."""

from __future__ import annotations

from typing import Any

import griffe

ON_A_SERVER = "  # on a server"


class Examples(griffe.Extension):
    """Fences the examples of every docstring, before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring and ">>> " in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The docstring with a block around each of its examples, up to the next empty line.

    >>> fenced("Adds.\\n\\n>>> 1 + 1\\n2\\n\\nNo more.").splitlines()[2:6]
    ['```pycon', '>>> 1 + 1', '2', '```']
    """
    lines: list[str] = []
    indent: str | None = None
    for line in [*text.splitlines(), ""]:
        if indent is None and line.lstrip().startswith(">>> "):
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}```pycon")
        elif indent is not None and not line.strip():
            lines.append(f"{indent}```")
            indent = None
        lines.append(line.removesuffix(ON_A_SERVER).replace("(  # on a server", "("))
    return "\n".join(lines[:-1])
