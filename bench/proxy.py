"""A proxy before a server that counts what a client asks: round trips and statements, by the messages of the protocol.

A round trip is a message after which a client waits: the start of a session, each answer to a question for a password, a simple
query, a Sync, a Flush (https://www.postgresql.org/docs/current/protocol-message-formats.html). Those that a client sends in one
go, before an answer to the first of them reaches it, are one. It can also be slow: each connection gets so many bytes a second.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg

# Q: simple query, S: Sync, H: Flush, p: a password.
WAITED_FOR = frozenset("QSHp")
# E: Execute. A simple query may hold several statements, and counts as one.
STATEMENTS = frozenset("QE")
PIECE = 1 << 16
# Seconds that a link may have carried nothing and catch up on.
BURST = 0.01


class Proxy:
    """Listens in a directory as a server does; whoever connects to `dsn` reaches the server of `behind`."""

    def __init__(self, behind: str, folder: Path, bytes_a_second: int | None = None) -> None:
        given = psycopg.conninfo.conninfo_to_dict(behind)
        host, port = str(given.get("host") or "127.0.0.1"), str(given.get("port") or 5432)
        self.server = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / ".s.PGSQL.5432"))
        self.listener.listen(64)
        self.dsn = psycopg.conninfo.make_conninfo(behind, host=str(folder), port=5432)
        self.bytes_a_second = bytes_a_second
        self.sessions = 0
        self.waits = 0
        self.messages: Counter[str] = Counter()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def round_trips(self) -> int:
        return self.sessions + self.waits

    @property
    def statements(self) -> int:
        return sum(self.messages[kind] for kind in STATEMENTS)

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX if isinstance(self.server, str) else socket.AF_INET)
            server.connect(self.server)
            answered = threading.Event()
            threading.Thread(target=self.forward, args=(client, server, answered), daemon=True).start()
            threading.Thread(target=self.answer, args=(server, client, answered), daemon=True).start()

    def forward(self, client: socket.socket, server: socket.socket, answered: threading.Event) -> None:
        """From the client to the server, reading what kind of message each is."""
        held, begun, waits = b"", False, False
        while data := receive(client):
            if answered.is_set():
                answered.clear()
                waits = False
            server.sendall(data)
            held += data
            # What begins a session has no letter; a request for encryption, or to cancel, begins like it.
            while not begun and len(held) >= 8:
                length, code = int.from_bytes(held[:4], "big"), int.from_bytes(held[4:8], "big")
                if len(held) < length:
                    break
                begun, held = code >> 16 == 3, held[length:]
                self.sessions += 1
            while begun and len(held) >= 5:
                length = 1 + int.from_bytes(held[1:5], "big")
                if len(held) < length:
                    break
                kind = chr(held[0])
                self.messages[kind] += 1
                if kind in WAITED_FOR and not waits:
                    self.waits += 1
                    waits = True
                held = held[length:]
        close(server)

    def answer(self, server: socket.socket, client: socket.socket, answered: threading.Event) -> None:
        """From the server to the client, not sooner than the link would carry it."""
        free = time.perf_counter()
        try:
            while data := receive(server):
                # Before it is there: what the client asks then, it asks after this answer.
                answered.set()
                client.sendall(data)
                if self.bytes_a_second:
                    free = max(free, time.perf_counter() - BURST) + len(data) / self.bytes_a_second
                    time.sleep(max(0.0, free - time.perf_counter()))
        except OSError:
            pass
        close(client)

    def close(self) -> None:
        self.listener.close()


def receive(end: socket.socket) -> bytes:
    try:
        return end.recv(PIECE)
    except OSError:
        return b""


def close(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_WR)
    except OSError:
        pass
