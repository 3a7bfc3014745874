"""An HTTP server that keeps what it is sent, or that misbehaves: what telemetry and notifications go to in tests."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from certificates import Identity


@dataclass(frozen=True)
class Received:
    """One request: headers have their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Where it listens, what came, and what it answers next: statuses in their order, then 200."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def of(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    def wait_for(self, path: str, count: int = 1, seconds: float = 20) -> list[Received]:
        """What came to a path, when so much has come."""
        deadline = time.monotonic() + seconds
        while len(self.of(path)) < count:
            assert time.monotonic() < deadline, f"{count} requests to {path}: only {self.received}"
            time.sleep(0.02)
        return self.of(path)


@contextmanager
def receiver(always: int | None = None, identity: Identity | None = None) -> Iterator[Receiver]:
    """A server that takes everything, or answers everything with one status; encrypted where it has an identity."""
    here = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.received.append(Received(self.path, headers, body))
            self.send_response(always or (here.answers.pop(0) if here.answers else 200))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if identity is not None:
        with TemporaryDirectory() as directory:
            pem = Path(directory) / "identity.pem"
            pem.write_text(identity.pem() + identity.key_pem(), encoding="utf-8")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    here.url = f"{'http' if identity is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def broken(how: str) -> Iterator[str]:
    """The URL of an endpoint that is none: `hangs` accepts and never answers, `refuses` accepts nothing, `rubbish` answers
    what is no HTTP, `500` answers every request so."""
    if how == "500":
        with receiver(always=500) as here:
            yield here.url
        return
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            if how == "rubbish":
                connection.sendall(b"\x00\xff nothing of the kind\r\n\r\n" * 10)
                connection.close()

    if how == "refuses":
        listener.close()
    else:
        threading.Thread(target=serve, daemon=True).start()
    try:
        yield url
    finally:
        listener.close()
        for connection in kept:
            connection.close()
