"""A client of `flow lsp`: what an editor does, in a test's words. No library: the framing is three lines."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self


class LanguageClient:
    """`with LanguageClient([binary, "lsp"], directory, environment) as editor: editor.open(path)`."""

    def __init__(self, command: Sequence[str | Path], directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        self._directory = directory
        self._versions = itertools.count(1)
        self._told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.abilities = self.ask("initialize", rootUri=self._directory.as_uri(), capabilities={})["capabilities"]
        self.tell("initialized")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with self._process:
            pass  # closes its pipes and waits for it

    def end(self) -> int:
        """As an editor ends it: the exit code."""
        assert self.ask("shutdown") is None
        self.tell("exit")
        return self._process.wait(60)

    def vanish(self) -> int:
        """As an editor ends that crashes: the exit code."""
        assert self._process.stdin
        self._process.stdin.close()
        return self._process.wait(60)

    def ask(self, method: str, **parameters: Any) -> Any:
        answer = self.ask_whole(method, **parameters)
        assert "error" not in answer, answer
        return answer["result"]

    def ask_whole(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        while (answer := self._next()).get("id") != number:
            self._told.append(answer)
        return answer

    def tell(self, method: str, **parameters: Any) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": parameters})

    def open(self, path: Path) -> list[dict[str, Any]]:
        """Opens a file: what is found in it."""
        document = {"uri": path.as_uri(), "languageId": "toml", "version": 0, "text": path.read_text(encoding="utf-8")}
        self.tell("textDocument/didOpen", textDocument=document)
        return self.findings(path)

    def save(self, path: Path, text: str) -> list[dict[str, Any]]:
        """Types and saves: what is found then."""
        self.type(path, text)
        path.write_text(text, encoding="utf-8")
        self.tell("textDocument/didSave", textDocument={"uri": path.as_uri()})
        return self.findings(path)

    def type(self, path: Path, text: str) -> None:
        document = {"uri": path.as_uri(), "version": next(self._versions)}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])

    def findings(self, path: Path) -> list[dict[str, Any]]:
        """What is told next of a file."""
        while True:
            for told in self._told:
                if told["method"] == "textDocument/publishDiagnostics" and told["params"]["uri"] == path.as_uri():
                    self._told.remove(told)
                    return told["params"]["diagnostics"]
            self._told.append(self._next())

    def offered(self, path: Path, text: str) -> list[dict[str, Any]]:
        """What is offered where the text has a `|`."""
        self.type(path, text.replace("|", ""))
        return self.ask("textDocument/completion", **place_of(path, text))

    def about(self, path: Path, text: str) -> str | None:
        """What is said about where the text has a `|`."""
        self.type(path, text.replace("|", ""))
        answer = self.ask("textDocument/hover", **place_of(path, text))
        return answer and answer["contents"]["value"]

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps(message, ensure_ascii=False).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout
        header = self._process.stdout.readline()
        assert header, "the server has ended"
        self._process.stdout.readline()
        return json.loads(self._process.stdout.read(int(header.split(b":")[1])))


def place_of(path: Path, text: str) -> dict[str, Any]:
    """The place of the `|`, counted as the protocol does: in units of UTF-16."""
    *lines, last = text[: text.index("|")].split("\n")
    position = {"line": len(lines), "character": len(last.encode("utf-16-le")) // 2}
    return {"textDocument": {"uri": path.as_uri()}, "position": position}
