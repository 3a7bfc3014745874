"""A wire to a server that fails where a test says: cut, reset, silent or slow after so many bytes, or at a statement."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from database import Database
from server import url


class Fault(Enum):
    """What becomes of a wire."""

    # The connection that carries the byte ends, at both its ends.
    CUT = "cut"
    # Every client is hung up on by a RST, and the server is told nothing.
    RESET = "reset"
    # Nothing passes on that connection any more; other ones are answered.
    STALL = "stall"
    # Nothing passes on any connection, and no new one is answered, until it is mended.
    HANG = "hang"
    # What follows comes in pieces of a few bytes.
    SLOW = "slow"


@dataclass(frozen=True)
class After:
    """A fault once so many bytes have passed, either way and on whatever connection."""

    fault: Fault
    bytes: int


@dataclass(frozen=True)
class AtStatement:
    """A fault as a client sends a statement: before the server hears of it, or before its answer is passed on."""

    fault: Fault
    is_heard: bool
    words: bytes = b"Q\0\0\0\x0bCOMMIT\0"


@dataclass
class Connection:
    """A connection of a client, and the one to the server that stands for it."""

    client: socket.socket
    server: socket.socket
    stalled: bool = False
    slow: bool = False
    # A statement was passed on, whose answer is not to be.
    answer_is_lost: Fault | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def end(self) -> None:
        """Both ends are closed, once nobody reads from them any more."""
        for each in (self.client, self.server):
            _shut(each)
        for thread in self.threads:
            thread.join(5)
        for each in (self.client, self.server):
            each.close()


@dataclass
class Wire:
    """A port of 127.0.0.1 that leads to a database."""

    database: Database
    port: int = 0
    passed: int = 0
    due: After | AtStatement | None = None
    struck: bool = False
    # Bytes a second of each connection; without a limit where none is said.
    bandwidth: int | None = None
    connections: list[Connection] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _hangs: bool = False

    def dsn(self, **parameters: str) -> str:
        own = {**self.database.parameters, "host": "127.0.0.1", "port": str(self.port), "sslmode": "disable"}
        return url({**own, **parameters})

    def arm(self, due: After | AtStatement | None) -> None:
        """What happens next; bytes are counted from here."""
        with self._lock:
            self.passed, self.due, self.struck = 0, due, False

    def cut(self) -> None:
        """Every client loses its connection now, and the server is not told."""
        with self._lock:
            for each in self.connections:
                _shut(each.client)
                each.stalled = True

    def stall(self) -> None:
        """Nothing passes any more on the connections that there are; new ones are answered."""
        with self._lock:
            for each in self.connections:
                each.stalled = True

    def mend(self) -> None:
        """Whatever was left half open is closed, and new connections are answered."""
        with self._lock:
            self.due, self._hangs = None, False
            ended, self.connections = self.connections, []
        for each in ended:
            each.end()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                parameters = self.database.parameters
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{parameters['host']}/.s.PGSQL.{parameters['port']}")
                made = Connection(client, server)
                with self._lock:
                    made.stalled = self._hangs
                    self.connections.append(made)
                for ends in ((client, server), (server, client)):
                    made.threads.append(threading.Thread(target=self._pass_on, args=(made, *ends), daemon=True))
                for thread in made.threads:
                    thread.start()

    def _pass_on(self, made: Connection, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                with self._lock:
                    if made.stalled:
                        continue
                    passing, fault = self._judge(made, data, one is made.client)
                    self.passed += len(passing)
                _send(other, passing, made.slow)
                if self.bandwidth is not None:
                    time.sleep(len(passing) / self.bandwidth)
                if fault is not None:
                    with self._lock:
                        self._strike(made, fault)
            if not made.stalled:
                other.shutdown(socket.SHUT_WR)

    def _judge(self, made: Connection, data: bytes, is_from_client: bool) -> tuple[bytes, Fault | None]:
        """What of it is passed on, and the fault that is due then."""
        if made.answer_is_lost is not None and not is_from_client:
            return b"", made.answer_is_lost
        match self.due:
            case After(fault, count) if self.passed + len(data) >= count:
                self.due = None
                return data if fault is Fault.SLOW else data[: count - self.passed], fault
            case AtStatement(fault, is_heard, words) if is_from_client and words in data:
                self.due = None
                if is_heard:
                    made.answer_is_lost = fault
                    return data, None
                return b"", fault
        return data, None

    def _strike(self, made: Connection, fault: Fault) -> None:
        self.struck = True
        match fault:
            case Fault.CUT:
                _shut(made.client)
                _shut(made.server)
            case Fault.RESET:
                for each in self.connections:
                    each.stalled = True
                    _reset(each.client)
            case Fault.STALL:
                made.stalled = True
            case Fault.HANG:
                self._hangs = True
                for each in self.connections:
                    each.stalled = True
            case Fault.SLOW:
                made.slow = True


def _send(end: socket.socket, data: bytes, slow: bool) -> None:
    if not slow:
        return end.sendall(data)
    for at in range(0, len(data), 7):
        end.sendall(data[at : at + 7])
        time.sleep(0.0001)


def _shut(end: socket.socket) -> None:
    """A thread still reads from it: closed alone, the other end would not be told."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The thread that reads holds the socket open: it is woken, and closes it with the last reference.
        end.shutdown(socket.SHUT_RD)
        end.close()


@contextmanager
def wire(database: Database) -> Iterator[Wire]:
    """A wire to a database, which passes everything on until it is told otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Wire(database, int(listener.getsockname()[1]))
        accepting = threading.Thread(target=made._accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield made
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            made.mend()
