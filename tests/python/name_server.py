"""A name server on port 53 of an address of this machine: what it is told, over UDP and TCP, and who asked for what."""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

A, CNAME, AAAA = 1, 5, 28
NO_ERROR, NO_SUCH_NAME = 0, 3
RESPONSE, TRUNCATED, RECURSION = 0x8000, 0x0200, 0x0180


@dataclass
class NameServer:
    """Answers for `records`: of each name its addresses, or one other name that it stands for."""

    records: Mapping[str, list[str]]
    # Names whose answer does not fit into a datagram.
    only_by_tcp: frozenset[str] = frozenset()
    silent: bool = False
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def resolv_conf(self) -> str:
        return f"nameserver {self.address}\noptions timeout:1 attempts:1\n"

    def names_asked(self) -> list[str]:
        """Each name once, in the order in which they came."""
        return list(dict.fromkeys(name for _, name in self.asked))

    def answer(self, query: bytes, protocol: str) -> bytes:
        identifier, _, _ = struct.unpack_from("!HHH", query)
        name, end = read_name(query, 12)
        (kind,) = struct.unpack_from("!H", query, end)
        self.asked.append((protocol, name))
        question = query[12 : end + 4]
        if protocol == "udp" and name in self.only_by_tcp:
            return struct.pack("!6H", identifier, RESPONSE | RECURSION | TRUNCATED, 1, 0, 0, 0) + question
        if name not in self.records:
            return struct.pack("!6H", identifier, RESPONSE | RECURSION | NO_SUCH_NAME, 1, 0, 0, 0) + question
        answers = self._records(name, kind)
        return (
            struct.pack("!6H", identifier, RESPONSE | RECURSION | NO_ERROR, 1, len(answers), 0, 0)
            + question
            + b"".join(answers)
        )

    def _records(self, name: str, kind: int) -> list[bytes]:
        """The records of one kind, the names between included."""
        found = []
        for text in self.records.get(name, []):
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                return [record(name, CNAME, written(text)), *self._records(text, kind)]
            if kind == (A if address.version == 4 else AAAA):
                found.append(record(name, kind, address.packed))
        return found


def record(name: str, kind: int, data: bytes) -> bytes:
    return written(name) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def written(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def read_name(message: bytes, at: int) -> tuple[str, int]:
    """A name without compression, which no question has, and where it ends."""
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), at + 1


@contextmanager
def serving(server: NameServer) -> Iterator[NameServer]:
    """Runs it on an address that no other test uses at this time."""
    for _ in range(20):
        server.address = f"127.53.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        try:
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((server.address, 53))
            streams = socket.create_server((server.address, 53))
            break
        except PermissionError:
            datagrams.close()
            pytest.skip("a name server needs port 53, which takes root")
        except OSError:
            datagrams.close()
    else:
        raise AssertionError("port 53 is taken on twenty addresses")
    threads = [
        threading.Thread(target=_datagrams, args=(server, datagrams), daemon=True),
        threading.Thread(target=_streams, args=(server, streams), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        for end in (datagrams, streams):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(1)
        for end in (datagrams, streams):
            end.close()


def _datagrams(server: NameServer, datagrams: socket.socket) -> None:
    with suppress(OSError):
        while True:
            query, client = datagrams.recvfrom(4096)
            if not query:
                return
            if not server.silent:
                datagrams.sendto(server.answer(query, "udp"), client)


def _streams(server: NameServer, streams: socket.socket) -> None:
    with suppress(OSError):
        while True:
            client, _ = streams.accept()
            with client, suppress(OSError):
                client.settimeout(5)
                while head := client.recv(2, socket.MSG_WAITALL):
                    query = client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                    answer = server.answer(query, "tcp")
                    client.sendall(len(answer).to_bytes(2, "big") + answer)
