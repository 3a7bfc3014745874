"""Every marker, helper, expectation and source under its name in pipelines.toml."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
from typing import Any
from unittest.mock import ANY

import pytest

import ematix_flow as ef
from ematix_flow import Source, SpecError, expect, normalize

EXPORTED: list[tuple[Any, Any]] = [
    (ef.trim(), "trim"),
    (ef.trim("x"), {"trim": {"characters": "x"}}),
    (ef.lower(), "lower"),
    (ef.upper(), "upper"),
    (ef.title(), "title"),
    (ef.normalize_unicode(), "normalize_unicode"),
    (ef.to_ascii(), "to_ascii"),
    (ef.empty_to_null(), "empty_to_null"),
    (ef.whitespace_to_null(), "whitespace_to_null"),
    (ef.collapse_whitespace(), "collapse_whitespace"),
    (ef.replace("a", ""), {"replace": {"old": "a", "new": ""}}),
    (ef.regex_replace("a+", "b"), {"regex_replace": {"pattern": "a+", "replacement": "b"}}),
    (ef.regex_replace("a", "b", "gi"), {"regex_replace": {"pattern": "a", "replacement": "b", "flags": "gi"}}),
    (ef.truncate(3), {"truncate": 3}),
    (ef.email_normalize(), "email_normalize"),
    (ef.phone_normalize("DE"), {"phone_normalize": {"country": "DE"}}),
    (ef.hash(key="${env:PII_KEY}"), {"hash": {"key": "${env:PII_KEY}"}}),
    (ef.mask(), "mask"),
    (ef.mask(keep_last=4, keep_first=1), {"mask": {"keep_last": 4, "keep_first": 1}}),
    (ef.mask(character="x", length=8), {"mask": {"character": "x", "length": 8}}),
    (ef.parse_timestamp(), "parse_timestamp"),
    (
        ef.parse_timestamp("YYYY", tz="Europe/Paris", day_first=False, on_failure="error"),
        {"parse_timestamp": {"format": "YYYY", "tz": "Europe/Paris", "day_first": False, "on_failure": "error"}},
    ),
    (
        ef.parse_date(on_failure="default", default=dt.date(2026, 1, 2)),
        {"parse_date": {"on_failure": "default", "default": "2026-01-02"}},
    ),
    (ef.parse_int(thousands=","), {"parse_int": {"thousands": ","}}),
    (ef.parse_numeric(decimal_separator=","), {"parse_numeric": {"decimal_separator": ","}}),
    (
        ef.parse_numeric(on_failure="default", default=decimal.Decimal("0.1")),
        {"parse_numeric": {"on_failure": "default", "default": "0.1"}},
    ),
    (ef.parse_bool(on_failure="default", default=False), {"parse_bool": {"on_failure": "default", "default": False}}),
    (ef.parse_json(on_failure="error"), {"parse_json": {"on_failure": "error"}}),
    (ef.to_timezone("Europe/Paris"), {"to_timezone": "Europe/Paris"}),
    (ef.date_trunc("day"), {"date_trunc": "day"}),
    (ef.date_trunc("day", "Europe/Paris"), {"date_trunc": {"unit": "day", "tz": "Europe/Paris"}}),
    (ef.round(), "round"),
    (ef.round(2), {"round": 2}),
    (ef.clamp(0), {"clamp": {"minimum": 0}}),
    (ef.clamp(maximum=9), {"clamp": {"maximum": 9}}),
    (ef.default("US"), {"default": "US"}),
    (ef.default(ef.sql("now()")), {"default": {"sql": "now()"}}),
    (ef.nullif("n/a"), {"nullif": "n/a"}),
    (ef.map_values({"a": "b"}), {"map_values": {"values": {"a": "b"}}}),
    (ef.map_values({1: "b"}, otherwise="c"), {"map_values": {"values": [[1, "b"]], "otherwise": "c"}}),
    (ef.cast(ef.Numeric[10, 2]), {"cast": "numeric(10,2)"}),
    (ef.derive("a || b"), {"derive": "a || b"}),
    (ef.sql("upper({col})"), {"sql": "upper({col})"}),
    (ef.pk(), "pk"),
    (ef.natural_key(), "natural_key"),
    (ef.unique(), "unique"),
    (ef.column("x"), {"column": {"name": "x"}}),
    (ef.deduplicate_by("id", order_by="at"), {"deduplicate_by": {"keys": "id", "order_by": "at"}}),
    (ef.deduplicate_by(["a", "b"], order_by="at"), {"deduplicate_by": {"keys": ["a", "b"], "order_by": "at"}}),
    (ef.filter_where("a > 0"), {"filter_where": "a > 0"}),
    (ef.limit(0), {"limit": 0}),
    (ef.sample_pct(0.1), {"sample_pct": 0.1}),
    (ef.sample_pct(1, seed=7), {"sample_pct": {"fraction": 1, "seed": 7}}),
    (ef.rename(new="old"), {"rename": {"new": "old"}}),
    (ef.explode("tags"), {"explode": "tags"}),
    (
        ef.explode("tags", into="tag", keep_empty=True),
        {"explode": {"column": "tags", "into": "tag", "keep_empty": True}},
    ),
    (ef.flatten("o", {"a": "b.c"}), {"flatten": {"column": "o", "into": {"a": "b.c"}}}),
    (ef.select("a", "b"), {"select": ["a", "b"]}),
    (ef.with_column("a", "b + 1"), {"with_column": {"name": "a", "expression": "b + 1"}}),
    (expect.not_null("a"), {"not_null": "a"}),
    (expect.unique(["a", "b"], policy="warn"), {"unique": ["a", "b"], "policy": "warn"}),
    (expect.accepted_values("a", (1, 2)), {"accepted_values": {"column": "a", "values": [1, 2]}}),
    (expect.in_range("a", max=dt.date(2026, 1, 2)), {"in_range": {"column": "a", "max": "2026-01-02"}}),
    (expect.matches("a", "^x"), {"matches": {"column": "a", "pattern": "^x"}}),
    (expect.freshness("a", dt.timedelta(hours=2)), {"freshness": {"column": "a", "max_age": "7200s"}}),
    (expect.references("a", "s.t", to="id"), {"references": {"columns": "a", "table": "s.t", "to": "id"}}),
    (expect.references(["a", "b"], "s.t"), {"references": {"columns": ["a", "b"], "table": "s.t"}}),
    (expect.row_count(1), {"row_count": {"min": 1}}),
    (expect.sql("a > 0", policy="quarantine"), {"sql": "a > 0", "policy": "quarantine"}),
    (Source.parquet("a.parquet"), {"files": "a.parquet", "format": "parquet"}),
    (Source.csv("a.csv", delimiter=";"), {"files": "a.csv", "format": "csv", "csv": {"delimiter": ";"}}),
    (Source.json("a.json"), {"files": "a.json", "format": "json"}),
    (
        Source.union_all(Source.postgres_query("a", "SELECT 1"), Source.postgres_table("b", "s", 't"t')),
        {
            "union": [
                {"connection": "a", "query": "SELECT 1"},
                {"connection": "b", "table": 's."t""t"'},
            ],
        },
    ),
]


@pytest.mark.parametrize(("word", "said"), EXPORTED, ids=lambda value: str(value)[:40])
def test_a_word_is_exported_as_toml_has_it(word: Any, said: Any) -> None:
    assert word.export() == said


def test_every_word_is_among_them() -> None:
    tested = {said if isinstance(said, str) else next(iter(said)) for _, said in EXPORTED}
    public = {name for name, item in vars(ef.expect.__class__).items() if inspect.isfunction(item) and name[0] != "_"}
    assert set(normalize.__all__) | public <= tested


def test_the_sources_of_a_union_are_all_its_connections() -> None:
    both = Source.union_all(Source.postgres_query("a", "SELECT 1"), Source.postgres_query("b", "SELECT 1"))
    assert both.connections() == {"a", "b"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ef.rename(),
        lambda: ef.select(),
        lambda: ef.select("a", "a"),
        lambda: ef.filter_where(""),
        lambda: ef.limit(True),
        lambda: ef.sample_pct(-0.1),
        lambda: ef.sample_pct(0),
        lambda: ef.flatten("a", {}),
        lambda: ef.deduplicate_by([], order_by=" "),
        lambda: expect.row_count(),
        lambda: expect.row_count(1, policy="quarantine"),  # type: ignore[arg-type]
        lambda: expect.freshness("a", "2h", policy="quarantine"),  # type: ignore[arg-type]
        lambda: expect.not_null("a", policy="x"),  # type: ignore[arg-type]
        lambda: expect.accepted_values("a", "abc"),
        lambda: Source.postgres_query("a", " "),
        lambda: Source.postgres_table("a", "", "t"),
        lambda: Source.union_all(),
        lambda: ef.connect("postgresql://u@h/x"),
        lambda: ef.connect("a", dsn="host=x"),  # type: ignore[call-overload]
    ],
)
def test_a_word_without_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(SpecError):
        wrong()


def test_strategies_and_markers_are_equal_when_they_say_the_same() -> None:
    assert ef.SCD2(keys="id") == ef.SCD2(keys="id") != ef.SCD2(keys="other")
    assert ef.SCD2() != ef.MergeUpsert()
    assert ef.trim() == ef.trim() != ef.trim("x")
    assert len({ef.trim(), ef.trim(), ef.lower()}) == 2


def test_a_frame_is_a_source_and_what_only_looks_like_one_is_not() -> None:
    frame = type("Frame", (), {"__arrow_c_stream__": None})()
    assert ef.Pipeline(name="framed", source=frame, target="a.b", mode="append").declared()["source"]["frame"] == {
        "id": ANY,
        "words": "the rows of a Frame",
    }
    with pytest.raises(SpecError) as caught:
        ef.pipeline.sync(source=type("Frame", (), {"__dataframe__": None})(), target="a.b", mode="append")
    assert caught.value.code == "invalid_value"
