"""Connections as declarations say them: by name, or by a DSN that gets one. What opens them is `run.connections`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

from ..ground.errors import SpecError
from ..ground.names import a
from ..ground.secret import Secret


class NamedConnection:
    """Where a connection leads: to what a name stands for, or to a DSN."""

    name: str | None

    def __init__(
        self,
        name: str | None = None,
        *,
        dsn: str | Secret | None = None,
        options: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        self.name = name
        self._dsn = Secret(dsn) if isinstance(dsn, str) else dsn
        # What is said beside the DSN, in the words of `[connections]`.
        self._options = dict(options or {})
        self._left_behind = False

    def check(self, where: str) -> None:
        """Refuses a connection whose password stayed behind when it was pickled.

        Raises:
            SpecError: `missing_variable`.
        """
        if self._left_behind:
            raise SpecError(
                f"{where}: the password of {self!r} stayed behind when it was pickled",
                code="missing_variable",
                hint="pickle a connection that has a name: EMATIX_FLOW_DSN_<NAME> says where it leads, on the other side too",
            )

    def __repr__(self) -> str:
        return f"<Connection {self.name or self._dsn or 'default'}>"


ConnectionLike: TypeAlias = NamedConnection | str
"""A connection, or the name of one; nothing is opened before it is needed."""

# The names of DSNs with what is said beside them, and the other way round.
_names: dict[tuple[Secret, tuple[tuple[str, str | int | bool], ...]], str] = {}
_declared: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def connection_name(value: object, where: str) -> str:
    """The name under which a connection is exported; one that was made from a DSN gets a name of its own.

    Raises:
        SpecError: `invalid_value` for what is neither a connection nor a name. Its text may be a DSN: it is not shown.
    """
    if isinstance(value, NamedConnection):
        if value.name is not None or value._dsn is None:
            return value.name or "default"
        value.check(where)
        return _name_of_dsn(value._dsn, value._options)
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


def dsn_named(name: str) -> Secret | None:
    """The DSN behind a name that `connection_name` gave."""
    declared = _declared.get(name)
    return None if declared is None else declared["dsn"]


def declared_as(name: str) -> dict[str, Any] | None:
    """What stands behind a name that `connection_name` gave, in the words of `[connections]`."""
    return _declared.get(name)


def name_for_good(name: str, dsn: Secret) -> None:
    """Says what a name stands for that somebody else has given."""
    with _lock:
        _declared[name] = {"dsn": dsn}


def _name_of_dsn(dsn: Secret, options: Mapping[str, str | int | bool]) -> str:
    import hashlib  # it loads OpenSSL, and few declarations hold a DSN

    key = dsn, tuple(sorted(options.items()))
    with _lock:
        if key not in _names:
            # Of the DSN without its password: a name stands in reports, from which no password may be guessed.
            stem = "dsn_" + hashlib.sha256(str(dsn).encode()).hexdigest()[:8]
            name, number = stem, 1
            while name in _declared:
                number += 1
                name = f"{stem}_{number}"
            _names[key], _declared[name] = name, {"dsn": dsn, **options}
        return _names[key]
