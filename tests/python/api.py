"""An API on this machine that answers JSON in pages, and that misbehaves as it is told to."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked; headers have their names in lower case."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered: `body` as JSON unless it is bytes; `cut`: the connection ends after so many bytes of it."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    zipped: bool = False
    cut: int | None = None
    chunked: bool = False


Handler = Callable[[Request], Answer]


@dataclass
class Api:
    """Where it listens, who answers each path, what is answered before that, and what was asked."""

    url: str
    paths: dict[str, Handler] = field(default_factory=dict)
    before: list[Answer] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        if self.before:
            return self.before.pop(0)
        handler = self.paths.get(request.path)
        return Answer({"error": "no such path"}, 404) if handler is None else handler(request)

    def params(self, path: str) -> list[dict[str, str]]:
        """What was asked of a path, in its order."""
        return [request.params for request in self.asked if request.path == path]

    def count(self) -> Counter[str]:
        return Counter(request.path for request in self.asked)


@contextmanager
def api() -> Iterator[Api]:
    """An API of the test's own."""
    here = Api("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            params = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send(here.answer(Request(self.command, address.path, params, headers, body)))

        do_POST = do_GET

        def send(self, answer: Answer) -> None:
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            kind = {"Content-Type": "application/json"}
            if answer.zipped:
                content = gzip.compress(content)
                kind["Content-Encoding"] = "gzip"
            length = {"Transfer-Encoding": "chunked"} if answer.chunked else {"Content-Length": str(len(content))}
            for name, value in {**kind, **length, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            sent = content if answer.cut is None else content[: answer.cut]
            if answer.chunked:
                sent = b"%x\r\n%s\r\n" % (len(sent), sent) + (b"" if answer.cut is not None else b"0\r\n\r\n")
            self.wfile.write(sent)
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.closing.set()
        server.shutdown()
        server.server_close()
