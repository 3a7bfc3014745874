"""A text that nothing shows: not vars(), repr() or inspect, no traceback with its locals, no pickle."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

# Parameters of libpq that are one.
_SECRETS = "password|sslpassword|oauth_client_secret|scram_client_key|scram_server_key"


class Secret:
    """A DSN, which may hold a password. Who is to connect asks it to `reveal()`.

    >>> dsn = Secret("postgresql://me:secret@db/shop")
    >>> dsn, f"{dsn}", dsn == "postgresql://me:secret@db/shop"
    (<secret postgresql://me:****@db/shop>, 'postgresql://me:****@db/shop', True)
    """

    # A function that closes over the text: an attribute would be what vars() and inspect show.
    __slots__ = ("reveal",)

    reveal: Callable[[], str]

    def __init__(self, text: str) -> None:
        self.reveal = lambda: text

    def __eq__(self, other: object) -> bool:
        return self.reveal() == (other.reveal() if isinstance(other, Secret) else other)

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __str__(self) -> str:
        return masked(self.reveal())

    def __repr__(self) -> str:
        return f"<secret {self}>"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not travel: pickle what has a name")


def masked(dsn: str) -> str:
    """A DSN without its passwords.

    >>> masked("host=db password='a b' user=me"), masked("postgresql://me@db/x?password=secret&sslmode=require")
    ('host=db password=**** user=me', 'postgresql://me@db/x?password=****&sslmode=require')
    >>> masked("host=db scram_client_key=abc= user=me")
    'host=db scram_client_key=**** user=me'
    """
    return _without_passwords(dsn, r"\1:****@", r"\1****")


def without_passwords(dsn: str) -> str:
    """A DSN that leads to the same place, and says no password.

    >>> without_passwords("host=db password='a b' user=me"), without_passwords("postgresql://me:x@db/x?password=y&z=1")
    ('host=db  user=me', 'postgresql://me@db/x?z=1')
    """
    found = _without_passwords(dsn, r"\1@", "")
    return found.replace("?&", "?").replace("&&", "&").rstrip("?&") if "://" in dsn else found


def _without_passwords(dsn: str, beside_user: str, as_parameter: str) -> str:
    if "://" in dsn:
        # Up to the last @, since a password may hold one.
        dsn = re.sub(r"^([^:/]+://[^:@/?]*):.*@", beside_user, dsn, flags=re.DOTALL)
        return re.sub(rf"(?i)((?<=[?&])(?:{_SECRETS})=)[^&]*", as_parameter, dsn)
    return re.sub(rf"(?i)(\b(?:{_SECRETS})\s*=\s*)(?:'(?:\\.|[^'\\])*'?|(?:\\.|\S)*)", as_parameter, dsn)
