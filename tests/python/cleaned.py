"""Markers with what goes in and what comes out, worked out by hand: one table for every path, mode and page."""

from __future__ import annotations

import datetime as dt
import decimal
import hmac
from dataclasses import dataclass
from typing import Any

NUMBER = decimal.Decimal
# More than a block of SHA-256, and not ASCII.
KEY = "klü" * 30


def hashed(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest()


# The white space of Unicode, but for the line breaks.
SPACES = "\t\x0b\x0c \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@dataclass(frozen=True)
class Case:
    """A column: its type in the source, its declared type, its markers, and pairs of values."""

    source: str
    declared: str
    normalize: list[Any]
    pairs: list[tuple[Any, Any]]


def text(normalize: list[Any], *pairs: tuple[Any, Any]) -> Case:
    return Case("text", "text?", normalize, [*pairs, (None, None)])


VALUES = {
    "trim": text(["trim"], (" a b\n", "a b"), (f"{SPACES}\u2028x\u2029", "x"), ("\u200bx", "\u200bx"), ("", "")),
    "trim_characters": text([{"trim": "-x"}], ("--a-x", "a"), (" a", " a")),
    "lower": text(["lower"], ("AbC1", "abc1")),
    "upper": text(["upper"], ("AbC1", "ABC1")),
    "title": text(["title"], ("ada o'neil-byron", "Ada O'Neil-Byron")),
    "normalize_unicode": text(["normalize_unicode"], ("a\u0308", "ä"), ("ﬁ", "ﬁ")),
    "to_ascii": text(["to_ascii"], ("Ærøskøbing, Straße", "AEroskobing, Strasse"), ("Łódź – “né”", 'Lodz - "ne"'), ("Жя", "Жя")),
    "email_normalize": text(
        ["email_normalize"],
        (" Ada.Byron+x@Example.COM ", "ada.byron+x@example.com"), ("a@b", None), ("a@b.c", None), ("a@b.de", "a@b.de"),
        ("a b@x.org", "ab@x.org"), ("a@@x.org", None), ("@x.org", None), ("a..b@x.org", None), (".a@x.org", None),
        ("a@-x.org", None), ("a@x..org", None), ("müller@exämple.de", "müller@exämple.de"), ("n/a", None), ("", None),
        ("a,b@x.org", None), ("Ada <a@x.org>", None), ("a@x.org.", None), (f"{'a' * 250}@x.org", None),
    ),
    "phone_normalize": text(
        ["phone_normalize"],
        ("+49 (0)30 123-456", "+4930123456"), ("0049 30/123456", "+4930123456"), ("030 123456", "030123456"), ("x", None),
        ("", None), ("12", None), ("1234567890123456", None),
    ),
    "phone_of_a_country": text(
        [{"phone_normalize": "de"}],
        ("030 123456", "+4930123456"), ("+33 1 23 45 67 89", "+33123456789"), ("(030) 12 34 ext. 5", "+49301234"), ("1", None),
    ),
    "phone_of_america": text(
        [{"phone_normalize": {"country": "US"}}], ("(212) 555-0100", "+12125550100"), ("1-212-555-0100 x5", "+12125550100")
    ),
    "phone_of_italy": text([{"phone_normalize": "IT"}], ("06 1234567", "+39061234567")),
    "hash": text(
        ["lower", {"hash": {"key": "${env:PII_KEY}"}}], ("Ada", hashed("ada")), ("", hashed("")), ("ä'", hashed("ä'"))
    ),
    "hash_of_an_instant": Case(
        "timestamptz", "text?", [{"hash": {"key": "${env:PII_KEY}"}}],
        [("2026-07-01 12:00+02", hashed("2026-07-01T10:00:00Z")), (None, None)],
    ),
    "mask": text(["mask"], ("Ada ü", "*****"), ("", "")),
    "mask_all_but_the_last": text(
        [{"mask": 4}], ("DE02 1203 0000 0000 2020 51", "*" * 23 + "0 51"), ("1234", "****"), ("12", "**"), ("12345", "*2345")
    ),
    "mask_all_but_the_ends": text(
        [{"mask": {"keep_first": 1, "keep_last": 1, "character": "·", "length": 3}}], ("Ada Byron", "A···n"), ("Ad", "···"), ("", "···")
    ),
    "empty_to_null": text(["empty_to_null"], ("", None), (" ", " ")),
    "whitespace_to_null": text(["whitespace_to_null"], ("", None), (f"{SPACES}\n", None), (" a ", " a ")),
    "collapse_whitespace": text(["collapse_whitespace"], ("\u3000a \t\n b  ", "a b"), (" ", "")),
    "replace": text([{"replace": {"old": "a.", "new": "\\1'"}}], ("a.ba.ab", "\\1'b\\1'ab")),
    "regex_replace": text(
        [{"regex_replace": {"pattern": "([a-z])\\d+", "replacement": "<\\1>"}}], ("a12 b3 C4", "<a> <b> C4")
    ),
    "regex_replace_flags": text(
        [{"regex_replace": {"pattern": "A", "replacement": "-", "flags": "i"}}], ("bab aa", "b-b aa")
    ),
    "truncate": text([{"truncate": 3}], ("äöüß", "äöü"), ("ab", "ab")),
    "nullif": text([{"nullif": "n/a"}], ("n/a", None), ("N/A", "N/A")),
    "default": Case("text", "string(8)", [{"default": "it's"}], [(None, "it's"), ("", ""), ("x", "x")]),
    "default_sql": Case("bigint", "bigint", [{"default": {"sql": "1 + 1 -- two"}}], [(None, 2), (5, 5)]),
    "map_values": text([{"map_values": {"values": {"m": "male", "f": "female"}}}], ("m", "male"), ("x", "x")),
    "map_values_otherwise": Case(
        "integer",
        "text?",
        [{"map_values": {"values": [[1, "one"], [2, "two"]], "otherwise": "many"}}],
        [(1, "one"), (2, "two"), (3, "many"), (None, "many")],
    ),
    "round": Case(
        "double precision",
        "numeric(10,2)?",
        [{"round": 1}],
        [(2.25, NUMBER("2.3")), (-2.25, NUMBER("-2.3")), (None, None)],
    ),
    "round_whole": Case("numeric", "bigint?", ["round"], [(NUMBER("2.5"), 3), (NUMBER("-0.5"), -1)]),
    "clamp": Case("bigint", "integer?", [{"clamp": {"minimum": 0, "maximum": 10}}], [(-1, 0), (11, 10), (None, None)]),
    "clamp_date": Case(
        "date",
        "date?",
        [{"clamp": {"minimum": "2000-01-01"}}],
        [(dt.date(1900, 1, 1), dt.date(2000, 1, 1)), (dt.date(2026, 1, 1), dt.date(2026, 1, 1))],
    ),
    "to_timezone": Case(
        "timestamptz",
        "timestamp?",
        [{"to_timezone": "Europe/Berlin"}],
        [(dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone.utc), dt.datetime(2026, 7, 1, 14)), (None, None)],
    ),
    "date_trunc": Case(
        "timestamptz",
        "timestamptz?",
        [{"date_trunc": {"unit": "day", "tz": "Europe/Berlin"}}],
        [
            (
                dt.datetime(2026, 7, 1, 23, tzinfo=dt.timezone.utc),
                dt.datetime(2026, 7, 1, 22, tzinfo=dt.timezone.utc),
            )
        ],
    ),
    "date_trunc_date": Case("date", "date?", [{"date_trunc": "month"}], [(dt.date(2026, 3, 9), dt.date(2026, 3, 1))]),
    "cast": Case("text", "bigint?", [{"cast": "bigint"}], [("12", 12), (None, None)]),
    "sql": Case("text", "text?", [{"sql": "upper({col}) || {col} || '{col}'"}], [("a", "Aa{col}")]),
    "several": text(["trim", "lower", {"nullif": "none"}, "whitespace_to_null", {"truncate": 4}],
                    ("  NONE ", None), (" Hello", "hell")),
    "number_as_text": Case("bigint", "text?", ["trim"], [(5, "5")]),
    "varchar": Case("varchar(5)", "string(3)", [{"truncate": 3}, {"default": "-"}], [("abcde", "abc"), (None, "-")]),
}  # fmt: skip
