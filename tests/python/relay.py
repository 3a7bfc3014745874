"""A man in the middle: passes bytes between a client and a server, writes down what the client sends, and may end TLS or fall silent."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# The first message of a client that wants TLS: its length, and the number that asks for it.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@dataclass
class Relay:
    """A port of 127.0.0.1 that leads to another one."""

    port: int
    # What each connection of a client sent, before anything was decrypted.
    sent: list[bytearray] = field(default_factory=list)
    # What a client sent each time until an answer reached it, of all connections.
    turns: list[bytearray] = field(default_factory=list)
    # How long an answer is on its way, in seconds: what a client sends before it comes, it sent without waiting for it.
    distance: float = 0.0
    silent: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def fall_silent(self) -> None:
        """From now on connections are taken, and nothing is passed on, either way."""
        self.silent.set()

    def statements(self) -> list[str]:
        """The statements of every connection, as they were sent in the clear: alone, or to be prepared."""
        return [statement for sent in self.sent for statement in _statements(bytes(sent))]


def _statements(sent: bytes) -> Iterator[str]:
    # The first message alone has no letter in front.
    place = int.from_bytes(sent[:4], "big")
    while place < len(sent):
        kind, size = sent[place : place + 1], int.from_bytes(sent[place + 1 : place + 5], "big")
        text = sent[place + 5 : place + 1 + size].split(b"\0")
        if kind == b"Q":
            yield text[0].decode()
        elif kind == b"P":
            yield text[1].decode()
        place += 1 + size


@contextmanager
def relay(to: int, ends_tls: ssl.SSLContext | None = None, distance: float = 0.0) -> Iterator[Relay]:
    """Passes everything on. With `ends_tls` it speaks TLS with the client as that, and with the server as a client; answers
    come from so many seconds away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Relay(int(listener.getsockname()[1]), distance=distance)
        threading.Thread(target=_accept, args=(listener, made, to, ends_tls), daemon=True).start()
        try:
            yield made
        finally:
            made.ended.set()
            # `accept` in the thread goes on waiting for a socket that is merely closed.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, made: Relay, to: int, ends_tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            sent = bytearray()
            made.sent.append(sent)
            threading.Thread(target=_serve, args=(client, to, sent, ends_tls, made), daemon=True).start()


def _serve(client: socket.socket, to: int, sent: bytearray, ends_tls: ssl.SSLContext | None, made: Relay) -> None:
    if made.silent.is_set():
        made.ended.wait()
        return client.close()
    server = socket.create_connection(("127.0.0.1", to))
    # An end that gives up is what some of the tests are about.
    with suppress(OSError, ssl.SSLError):
        if ends_tls:
            sent += client.recv(len(SSL_REQUEST), socket.MSG_WAITALL)
            server.sendall(SSL_REQUEST)
            client.sendall(server.recv(1))
            client = ends_tls.wrap_socket(client, server_side=True)
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname = False
            trusting.verify_mode = ssl.CERT_NONE
            server = trusting.wrap_socket(server)
        _pass_on(client, server, sent, made)
    for end in (client, server):
        end.close()


def _pass_on(client: socket.socket, server: socket.socket, sent: bytearray, made: Relay) -> None:
    """Both ways in one thread: a TLS session must not be used by two at once."""
    ways = {client: server, server: client}
    answered = True

    def note(data: bytes) -> None:
        nonlocal answered
        sent.extend(data)
        if answered:
            made.turns.append(bytearray())
            answered = False
        made.turns[-1].extend(data)

    for end in ways:
        # What arrives may be TLS's own, with nothing to read after it.
        end.settimeout(0.05)
    while True:
        held = [end for end in ways if isinstance(end, ssl.SSLSocket) and end.pending()]
        for end in held or select.select(list(ways), [], [])[0]:
            try:
                data = end.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            if made.silent.is_set():
                made.ended.wait()
                return
            if not data:
                return
            if end is client:
                note(data)
            else:
                time.sleep(made.distance)
                while made.distance and select.select([client], [], [], 0)[0] and (more := client.recv(65536)):
                    note(more)
                    server.sendall(more)
                answered = True
            ways[end].sendall(data)
