"""Connections as declarations say them: by name, or by a DSN that gets one. What opens them is `run.connections`."""

from __future__ import annotations

import re
import threading
from typing import TypeAlias

from ..ground.errors import SpecError
from ..ground.names import a


class NamedConnection:
    """Where a connection leads: to what a name stands for, or to a DSN."""

    name: str | None

    def __init__(self, name: str | None = None, *, dsn: str | None = None) -> None:
        self.name = name
        self._dsn = dsn

    def __repr__(self) -> str:
        return f"<Connection {self.name or masked(self._dsn or 'default')}>"


ConnectionLike: TypeAlias = NamedConnection | str
"""A connection, or the name of one; nothing is opened before it is needed."""

# The names of DSNs, and the DSNs by these names.
_names: dict[str, str] = {}
_dsns: dict[str, str] = {}
_dsns_lock = threading.Lock()


def connection_name(value: object, where: str) -> str:
    """The name under which a connection is exported; one that was made from a DSN gets a name of its own.

    Raises:
        SpecError: `invalid_value` for what is neither a connection nor a name. Its text may be a DSN: it is not shown.
    """
    if isinstance(value, NamedConnection):
        if value.name is not None or value._dsn is None:
            return value.name or "default"
        return _name_of_dsn(value._dsn)
    if isinstance(value, str) and value:
        if "://" in value or "=" in value:
            raise SpecError(
                f"{where}: a DSN stands where a connection's name belongs",
                code="invalid_value",
                hint="write connect(dsn=…)",
            )
        return value
    raise SpecError(
        f"{where}: {a(type(value))} is not a connection",
        code="invalid_value",
        hint='give connect("name"), connect(dsn=…) or the name of a connection',
    )


def dsn_named(name: str) -> str | None:
    """The DSN behind a name that `connection_name` gave."""
    return _dsns.get(name)


def _name_of_dsn(dsn: str) -> str:
    import hashlib  # it loads OpenSSL, and few declarations hold a DSN

    with _dsns_lock:
        if dsn not in _names:
            # Of the DSN without its password: a name stands in reports, from which no password may be guessed.
            stem = "dsn_" + hashlib.sha256(masked(dsn).encode()).hexdigest()[:8]
            name, number = stem, 1
            while name in _dsns:
                number += 1
                name = f"{stem}_{number}"
            _names[dsn], _dsns[name] = name, dsn
        return _names[dsn]


def masked(dsn: str) -> str:
    """A DSN without its passwords.

    >>> masked("host=db password='a b' user=me"), masked("postgresql://me@db/x?password=secret&sslmode=require")
    ('host=db password=**** user=me', 'postgresql://me@db/x?password=****&sslmode=require')
    """
    if "://" in dsn:
        # Up to the last @, since a password may hold one.
        dsn = re.sub(r"^([^:/]+://[^:@/?]*):.*@", r"\1:****@", dsn, flags=re.DOTALL)
        return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&]*", r"\1****", dsn)
    return re.sub(r"(?i)(\b(?:password|sslpassword)\s*=\s*)(?:'(?:\\.|[^'\\])*'?|(?:\\.|\S)*)", r"\1****", dsn)
