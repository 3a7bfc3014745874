"""Text and what it says: values worked out by hand, and readers in plain Python for text that chance makes."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
from typing import Any

UTC = dt.timezone.utc
NUMBER = decimal.Decimal
WHITE = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def at(*fields: int, hours: float = 0) -> dt.datetime:
    """An instant by its fields in a zone so many hours east of Greenwich."""
    return dt.datetime(*fields, tzinfo=UTC) - dt.timedelta(hours=hours)  # type: ignore[misc,arg-type]


NOON = at(2026, 1, 31, 12)
MIDNIGHT = at(2026, 1, 31)

# Day first, and UTC where no zone is said.
TIMESTAMPS: dict[str, dt.datetime | None] = {
    "2026-01-31T12:00:00Z": NOON,
    "2026-01-31 12:00:00Z": NOON,
    "2026-01-31t12:00:00z": NOON,
    "2026-01-31T12:00:00": NOON,
    "2026-01-31 12:00:00": NOON,
    "2026-01-31  12:00:00": NOON,
    "2026-01-31T12:00": NOON,
    "2026-01-31 12:00": NOON,
    "2026-1-31 12:00": NOON,
    "2026-01-31 12:00:00 UTC": NOON,
    "2026-01-31 12:00:00 GMT": NOON,
    "2026-01-31T14:00:00+02": NOON,
    "2026-01-31T14:00:00+02:00": NOON,
    "2026-01-31T14:00:00+0200": NOON,
    "2026-01-31 14:00:00 +0200": NOON,
    "2026-01-31 14:00:00+02": NOON,
    "2026-01-31T07:00:00-05": NOON,
    "2026-01-31T07:00:00-05:00": NOON,
    "2026-01-31T17:30:00+05:30": NOON,
    "2026-01-31T17:30:00+0530": NOON,
    "2026-01-31T08:30:00-03:30": NOON,
    "2026-01-31T12:00:00+00:00": NOON,
    "2026-01-31T12:00:00-00:00": NOON,
    "2026-02-01T02:00:00+14:00": NOON,
    "2026-01-31T00:30:00+02:00": at(2026, 1, 30, 22, 30),
    "2026-12-31T23:30:00-01:00": at(2027, 1, 1, 0, 30),
    "2026-01-31T12:00:00.1Z": at(2026, 1, 31, 12, 0, 0, 100000),
    "2026-01-31T12:00:00.12Z": at(2026, 1, 31, 12, 0, 0, 120000),
    "2026-01-31T12:00:00.123Z": at(2026, 1, 31, 12, 0, 0, 123000),
    "2026-01-31T12:00:00.1234Z": at(2026, 1, 31, 12, 0, 0, 123400),
    "2026-01-31T12:00:00.12345Z": at(2026, 1, 31, 12, 0, 0, 123450),
    "2026-01-31T12:00:00.123456Z": at(2026, 1, 31, 12, 0, 0, 123456),
    "2026-01-31T12:00:00.1234561Z": at(2026, 1, 31, 12, 0, 0, 123456),
    "2026-01-31T12:00:00.12345678Z": at(2026, 1, 31, 12, 0, 0, 123457),
    "2026-01-31T12:00:00.123456789Z": at(2026, 1, 31, 12, 0, 0, 123457),
    "2026-01-31T12:00:00.999999999Z": at(2026, 1, 31, 12, 0, 1),
    "2026-12-31T23:59:59.9999999Z": at(2027, 1, 1),
    "2026-01-31T12:00:00,5Z": at(2026, 1, 31, 12, 0, 0, 500000),
    "2026-01-31 12:00:00.000001": at(2026, 1, 31, 12, 0, 0, 1),
    "2026-01-31T12:00:00.1234567890Z": None,
    "2026-01-31T12:00:00.Z": None,
    "2026-01-31": MIDNIGHT,
    "2026-1-1": at(2026, 1, 1),
    "2026/01/31": MIDNIGHT,
    "2026/01/31 12:00": NOON,
    "2026.01.31": MIDNIGHT,
    "0001-01-01": at(1, 1, 1),
    "9999-12-31": at(9999, 12, 31),
    "0000-01-01": None,
    "10000-01-01": None,
    "2024-02-29": at(2024, 2, 29),
    "2000-02-29": at(2000, 2, 29),
    "2026-02-29": None,
    "1900-02-29": None,
    "2100-02-29": None,
    "2026-02-30": None,
    "2026-02-31": None,
    "2026-04-31": None,
    "2026-06-31": None,
    "2026-09-31": None,
    "2026-11-31": None,
    "2026-01-32": None,
    "2026-13-01": None,
    "2026-13-45": None,
    "2026-00-10": None,
    "2026-10-00": None,
    "2026-01-31T24:00:00": None,
    "2026-01-31T25:00:00": None,
    "2026-01-31T12:60:00": None,
    "2026-01-31T12:00:60": None,
    "2026-01-31T12:00:61": None,
    "2026-01-31T12": None,
    "2026-01-31T": None,
    "2026-01-31Z": None,
    "2026-01-31T12:00:00+16:00": None,
    "2026-01-31T12:00:00+02:60": None,
    "2026-01-31T12:00:00+2": None,
    "2026-01-31T12:00:00 Mars/Base": None,
    "2026-01/31": None,
    "2026-01": None,
    "2026": None,
    "20260131": MIDNIGHT,
    "20260131T120000": NOON,
    "20260131T120000Z": NOON,
    "20260131T140000+0200": NOON,
    "20260131T140000+02": NOON,
    "20260131T1200": NOON,
    "20260131T1200Z": NOON,
    "20260131 120000": NOON,
    "20260131120000": NOON,
    "20260131T120000.25Z": at(2026, 1, 31, 12, 0, 0, 250000),
    "20261301": None,
    "20260230": None,
    "20260131T250000": None,
    "2026013": None,
    "Sat, 31 Jan 2026 12:00:00 +0000": NOON,
    "Sat, 31 Jan 2026 14:00:00 +0200": NOON,
    "Sat, 31 Jan 2026 12:00:00 GMT": NOON,
    "Sat, 31 Jan 2026 12:00:00 UT": NOON,
    "Sat, 31 Jan 2026 07:00:00 EST": NOON,
    "Sat, 31 Jan 2026 08:00:00 EDT": NOON,
    "Sat, 31 Jan 2026 06:00:00 CST": NOON,
    "Sat, 31 Jan 2026 05:00:00 MST": NOON,
    "Sat, 31 Jan 2026 04:00:00 PST": NOON,
    "Sat, 31 Jan 2026 05:00:00 PDT": NOON,
    "Sat, 31 Jan 2026 12:00 +0000": NOON,
    "Sat, 31 Jan 2026 12:00:00 +0000 (UTC)": NOON,
    "31 Jan 2026 12:00:00 +0000": NOON,
    "31 jan 2026 12:00:00 GMT": NOON,
    "31 Jan 2026": MIDNIGHT,
    "31-Jan-2026": MIDNIGHT,
    "1 Feb 2026 00:00:00 GMT": at(2026, 2, 1),
    "Sat, 31 Foo 2026 12:00:00 GMT": None,
    "Sat, 30 Feb 2026 12:00:00 GMT": None,
    "Sat, 31 Jan 26 12:00:00 GMT": None,
    "1769860800": NOON,
    "1769860800.5": at(2026, 1, 31, 12, 0, 0, 500000),
    "1769860800.123456": at(2026, 1, 31, 12, 0, 0, 123456),
    "1769860800000": NOON,
    "1769860800123": at(2026, 1, 31, 12, 0, 0, 123000),
    "123456789": at(1973, 11, 29, 21, 33, 9),
    "-123456789": at(1966, 2, 2, 2, 26, 51),
    "123456789012": at(1973, 11, 29, 21, 33, 9, 12000),
    "9999999999": at(2286, 11, 20, 17, 46, 39),
    "12345678901": None,
    "1769860800000000": None,
    "31/01/2026": MIDNIGHT,
    "31/1/2026": MIDNIGHT,
    "01/02/2026": at(2026, 2, 1),
    "1/2/2026": at(2026, 2, 1),
    "31/01/2026 12:00": NOON,
    "31/01/2026 12:00:00": NOON,
    "31/01/2026, 12:00:00": NOON,
    "31/01/2026 12:00 PM": NOON,
    "31/01/2026 12:00:00 pm": NOON,
    "31/01/2026 12:00 AM": MIDNIGHT,
    "31/01/2026 1:05 PM": at(2026, 1, 31, 13, 5),
    "31/01/2026 01:05AM": at(2026, 1, 31, 1, 5),
    "31/01/2026 13:05 PM": None,
    "31/01/2026 0:05 PM": None,
    "31/01/2026 14:00 +02:00": NOON,
    "31.01.2026": MIDNIGHT,
    "31.1.2026 12:00": NOON,
    "31-01-2026": MIDNIGHT,
    "31/01-2026": None,
    "01/31/2026": None,
    "12/31/2026": None,
    "32/01/2026": None,
    "00/01/2026": None,
    "30/02/2026": None,
    "29/02/2024": at(2024, 2, 29),
    "31/01/26": None,
    "  2026-01-31T12:00:00Z  ": NOON,
    "\t2026-01-31\n": MIDNIGHT,
    "\u00a02026-01-31\u3000": MIDNIGHT,
    "": None,
    " ": None,
    "now": None,
    "today": None,
    "tomorrow": None,
    "yesterday": None,
    "epoch": None,
    "allballs": None,
    "never": None,
    "null": None,
    "NaN": None,
    "2026-01-31T12:00:00Z; DROP TABLE x": None,
    "2026-01-31|12": None,
    "２０２６-01-31": None,
    "J2451187": None,
    "2026-W05-6": None,
    "2026-031": None,
    "4714-11-24 BC": None,
    "99999999999999999999": None,
    "'": None,
    "\\": None,
}

# Where the month is first.
US_TIMESTAMPS: dict[str, dt.datetime | None] = {
    "01/31/2026": MIDNIGHT,
    "1/31/2026 12:00 PM": NOON,
    "01/02/2026": at(2026, 1, 2),
    "31/01/2026": None,
    "01-31-2026": MIDNIGHT,
    "2026-01-31": MIDNIGHT,
    "02/30/2026": None,
}

INTS: dict[str, int | None] = {
    "0": 0, "1": 1, "-1": -1, "+1": 1, "007": 7, "-0": 0, " 12 ": 12, "\u00a012\t": 12, "1000000": 1000000,
    "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "9223372036854775808": None,
    "-9223372036854775809": None, "99999999999999999999": None, "00000000000000000000000000000005": 5,
    "12345678901234567890": None, "1,000": None, "1 000": None, "1.0": None, "1e3": None, "": None, " ": None,
    "-": None, "+": None, "--1": None, "+-1": None, "- 1": None, "1-": None, "0x10": None, "1_000": None, "١٢": None,
    "1２": None, "abc": None, "NaN": None, "inf": None, "null": None, "1;": None, "9" * 2000: None,
}  # fmt: skip
THOUSANDS: dict[str, int | None] = {
    "1,000": 1000, "1,234,567": 1234567, "-1,000": -1000, "1000": 1000, "12,345": 12345, "1,00": None, "1,0000": None,
    ",100": None, "1,,000": None, "1,000,": None, "0,001": 1, "9,223,372,036,854,775,808": None,
}  # fmt: skip
SMALLINTS: dict[str, int | None] = {"32767": 32767, "-32768": -32768, "32768": None, "70000": None, "x": None}

NUMERICS: dict[str, decimal.Decimal | None] = {
    "0": NUMBER(0), "1.5": NUMBER("1.5"), "-1.5": NUMBER("-1.5"), "+1.5": NUMBER("1.5"), "1.": NUMBER(1), ".5": NUMBER("0.5"),
    "-.5": NUMBER("-0.5"), "1e3": NUMBER(1000), "1E3": NUMBER(1000), "1.5e-3": NUMBER("0.0015"), "1e+2": NUMBER(100),
    "12345678901234567890.123456789": NUMBER("12345678901234567890.123456789"), " 1.5 ": NUMBER("1.5"), "007": NUMBER(7),
    "NaN": NUMBER("NaN"), "nan": NUMBER("NaN"), "1e400": NUMBER("1e400"), ".": None, "-": None, "": None, "e5": None, "1e": None,
    "1e5.5": None, "1,5": None, "1.5.5": None, "1 5": None, "1e1000": NUMBER("1e1000"), "1e10000": None, "0x1p3": None, "--1": None, "abc": None,
    "$5": None, "5%": None, "½": None, "1_0": None, "9" * 2000: None,
}  # fmt: skip
EUROPEAN: dict[str, decimal.Decimal | None] = {
    "1,5": NUMBER("1.5"), "1.234,5": NUMBER("1234.5"), "1.234.567": NUMBER(1234567), "-1.234,56": NUMBER("-1234.56"), "12": NUMBER(12),
    "1.23": None, "1,234.5": None, ",5": NUMBER("0.5"), "1,5e2": NUMBER(150),
}  # fmt: skip
MONEY: dict[str, decimal.Decimal | None] = {
    "1.005": NUMBER("1.01"), "99999999.99": NUMBER("99999999.99"), "99999999.994": NUMBER("99999999.99"),
    "99999999.995": None, "100000000": None, "1e20": None, "-1e20": None, "Infinity": None, "NaN": NUMBER("NaN"),
}  # fmt: skip
DOUBLES: dict[str, float | None] = {
    "1.5": 1.5, "1e308": 1e308, "1e309": None, "-1e309": None, "1e-400": None, "0e-400": 0.0, "inf": float("inf"),
    "-Infinity": float("-inf"), "x": None,
}  # fmt: skip

BOOLS: dict[str, bool | None] = {
    **dict.fromkeys(["true", "t", "yes", "y", "on", "1", "TRUE", "Yes", " On ", "T"], True),
    **dict.fromkeys(["false", "f", "no", "n", "off", "0", "FALSE", "No", "oFf\n"], False),
    **dict.fromkeys(["", "tr", "2", "-1", "00", "yess", "null", "ja", "TRUE FALSE", "1.0"]),
}

JSONS = [
    "{}", "[]", "null", "true", "false", "0", "-1", "1.5", "1e5", "1E-5", '""', '"a"', '"\\n"', '"\\u00e4"', '"ä"', "[1]",
    "[1, 2]", '{"a": 1}', '{"a": {"b": [1, {"c": null}]}}', ' { "a" : [ ] } ', '"\\ud83d\\ude00"', '{"a":1,"a":2}', "[[[[]]]]",
    '"[1"', '"{\\"a\\": 1}"', '"\\\\"', "\n[1\t,\r2]\n", "[" * 400 + "]" * 400,
]  # fmt: skip
NO_JSONS = [
    "", " ", "{", "}", "[", "]", "[1,]", "[,1]", "{,}", "{a: 1}", "{'a': 1}", '{"a" 1}', '{"a":}', '{"a":1,}', "01", "+1", "1.",
    ".5", "1e", "--1", "tru", "TRUE", "nul", "nulltrue", "1 2", "[1 2]", '"a', '"a" "b"', '"\\x"', '"\\u12"', '"\t"', '"a\nb"', "[1}",
    "{]", '{"a":1}}', "NaN", "Infinity", "undefined", '"\\u0000"', '"\\ud83d"', '"\\ude00"', '"\\ud83dx"', "'a'", "1,2", "// c\n1",
    "[" * 10000, "[" * 10000 + "]" * 10000, "\x01", "\x02", "[\x01]", "1e99999", "tr ue", "S", "V", "1-1", '{1:2}', '{"a":"b":"c"}',
]  # fmt: skip


def an_int(text: str) -> int | None:
    """A reader of its own: what `parse_int` must answer."""
    text = text.strip(WHITE)
    if not re.fullmatch(r"[+-]?[0-9]+", text) or len(text) > 1000:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def a_numeric(text: str) -> decimal.Decimal | None:
    """What `parse_numeric` must answer."""
    text = text.strip(WHITE)
    if len(text) > 1000 or not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", text, re.ASCII):
        return NUMBER("NaN") if text.lower() == "nan" else None
    return NUMBER(text)


def a_json(text: str) -> bool:
    """Whether `parse_json` must take it."""

    def refuse(_: str) -> Any:
        raise ValueError

    def number(text: str) -> float:
        if re.search(r"[eE][+-]?[0-9]{5}", text):
            raise ValueError
        return 0.0

    try:
        value = json.loads(text.strip(WHITE), parse_constant=refuse, parse_float=number)
    except (ValueError, RecursionError):
        return False
    said = json.dumps(value, ensure_ascii=False)
    return "\\u0000" not in said and not re.search("[\ud800-\udfff]", said)


def a_date(text: str) -> dt.date | None:
    """What `parse_date` must answer to dates of digits and marks, day first."""
    text = text.strip(WHITE)
    patterns = (
        r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})",
        r"(?P<y>[0-9]{4})/(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})",
        r"(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4})",
        r"(?P<d>[0-9]{1,2})-(?P<m>[0-9]{1,2})-(?P<y>[0-9]{4})",
        r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
    )
    for pattern in patterns:
        if found := re.fullmatch(pattern, text, re.ASCII):
            try:
                return dt.date(int(found["y"]), int(found["m"]), int(found["d"]))
            except ValueError:
                return None
    if re.fullmatch(r"-?[0-9]{9,10}", text, re.ASCII):
        return dt.date(1970, 1, 1) + dt.timedelta(days=int(text) // 86400)
    if re.fullmatch(r"-?[0-9]{12,13}", text, re.ASCII):
        return dt.date(1970, 1, 1) + dt.timedelta(days=int(text) // 86400_000)
    return None
