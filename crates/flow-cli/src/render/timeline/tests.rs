//! Whole pictures, as they stand on a terminal.

use super::*;
use crate::render::plain;
use indexmap::IndexMap;
use serde_json::{Value, json};

type Row<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, Value)]);

fn draw(width: usize, now: &str, rows: &[Row<'_>]) -> String {
    let history = KeyHistory {
        key: IndexMap::from([("customer_id".to_owned(), json!(17))]),
        versions: rows
            .iter()
            .map(|(from, to, values)| Version {
                valid_from: (*from).to_owned(),
                valid_to: to.map(str::to_owned),
                is_current: to.is_none(),
                values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            })
            .collect(),
    };
    let frame = Frame { width, now: now.parse().unwrap(), zone: TimeZone::UTC, columns: Vec::new() };
    plain(&picture(&history, &frame))
}

fn person<'a>(city: &str, tier: &str) -> Vec<(&'a str, Value)> {
    vec![("name", json!("Phileas Fogg")), ("city", json!(city)), ("tier", json!(tier))]
}

#[test]
fn months_with_a_deleted_gap() {
    let values = |status: &str, email: &str| {
        vec![("status", json!(status)), ("email", json!(email)), ("id", json!(1))]
    };
    let text = draw(
        80,
        "2026-09-01T00:00:00Z",
        &[
            ("2026-01-10T00:00:00Z", Some("2026-03-05T00:00:00Z"), &values("active", "a@x.org")),
            ("2026-03-05T00:00:00Z", Some("2026-04-02T00:00:00Z"), &values("inactive", "a@x.org")),
            ("2026-06-20T00:00:00Z", None, &values("active", "b@x.org")),
        ],
    );
    assert_eq!(
        text,
        "\
customer_id = 17   3 versions
2026-01 ├── active, a@x.org ────┤
2026-03                         ├── inactive ───┤ (deleted 2026-04-02)
2026-06                                               ├── active, b@x.org ─────▶
"
    );
}

#[test]
fn versions_of_one_minute_are_labelled_by_their_times() {
    let text = draw(
        80,
        "2026-03-01T10:00:05Z",
        &[
            ("2026-03-01T10:00:00.100Z", Some("2026-03-01T10:00:01.200Z"), &person("London", "silver")),
            ("2026-03-01T10:00:01.200Z", Some("2026-03-01T10:00:02.300Z"), &person("Suez", "silver")),
            ("2026-03-01T10:00:02.300Z", Some("2026-03-01T10:00:03.400Z"), &person("Suez", "gold")),
            ("2026-03-01T10:00:03.400Z", None, &person("東京", "gold")),
        ],
    );
    assert_eq!(
        text,
        "\
customer_id = 17   4 versions   2026-03-01
10:00:00 ├── London, silver ──────┤
10:00:01                          ├── Suez ─────┤
10:00:02                                        ├── gold ──────┤
10:00:03                                                       ├── 東京 ───────▶
"
    );
}

#[test]
fn many_versions_are_drawn_to_scale_with_their_words_beside() {
    let rows: Vec<(String, Option<String>)> = (1..=12)
        .map(|month| {
            let end = (month < 12).then(|| format!("2025-{:02}-01T00:00:00Z", month + 1));
            (format!("2025-{month:02}-01T00:00:00Z"), end)
        })
        .collect();
    let values: Vec<Vec<(&str, Value)>> =
        (1..=12).map(|month| person(&format!("City number {month}"), "gold")).collect();
    let rows: Vec<Row<'_>> = rows
        .iter()
        .zip(&values)
        .map(|((from, to), values)| (from.as_str(), to.as_deref(), values.as_slice()))
        .collect();
    let text = draw(60, "2026-02-01T00:00:00Z", &rows);
    assert_eq!(
        text,
        "\
customer_id = 17   12 versions
2025-01 ├───┤ City number 1
2025-02     ├───┤ City number 2
2025-03         ├───┤ City number 3
2025-04             ├───┤ City number 4
2025-05                 ├───┤ City number 5
2025-06                     ├───┤ City number 6
2025-07                         ├───┤ City number 7
2025-08                             ├───┤ City number 8
2025-09                                 ├───┤ City number 9
2025-10                      City number 10 ├───┤
2025-11                          City number 11 ├───┤
2025-12                              City number 12 ├──────▶
"
    );
}

#[test]
fn a_single_version_fills_the_width_and_a_lost_key_says_when() {
    let text = draw(60, "2026-03-01T00:00:00Z", &[("2025-01-10T00:00:00Z", None, &person("London", "gold"))]);
    let lost = draw(
        60,
        "2026-03-01T00:00:00Z",
        &[("2025-01-10T00:00:00Z", Some("2026-02-03T00:00:00Z"), &person("London", "gold"))],
    );
    assert_eq!(
        text,
        "\
customer_id = 17   1 version
2025-01-10 ├── Phileas Fogg, London, gold ─────────────────▶
"
    );
    assert_eq!(
        lost,
        "\
customer_id = 17   1 version
2025-01-10 ├─ Phileas Fogg, London,… ─┤ (deleted 2026-02-03)
"
    );
}

#[test]
fn what_has_no_beginning_is_open_at_the_left() {
    let text = draw(
        80,
        "2026-03-01T00:00:00Z",
        &[
            ("-infinity", Some("2025-06-01T00:00:00Z"), &person("London", "gold")),
            ("2025-06-01T00:00:00Z", None, &person("London", "silver")),
        ],
    );
    assert_eq!(
        text,
        "\
customer_id = 17   2 versions
always  ◀── gold ──────┤
2025-06                ├── silver ─────────────────────────────────────────────▶
"
    );
}

#[test]
fn a_return_without_a_change_says_what_it_is() {
    let text = draw(
        80,
        "2026-03-01T00:00:00Z",
        &[
            ("2025-01-01T00:00:00Z", Some("2025-06-01T00:00:00Z"), &person("London", "gold")),
            ("2025-09-01T00:00:00Z", None, &person("London", "gold")),
        ],
    );
    assert_eq!(
        text,
        "\
customer_id = 17   2 versions
2025-01 ├── Phileas Fogg, London, gold ───┤ (deleted 2025-06-01)
2025-09                                      ├── Phileas Fogg, London, gold ───▶
"
    );
}

#[test]
fn a_key_that_never_was_has_no_versions() {
    assert_eq!(draw(80, "2026-03-01T00:00:00Z", &[]), "customer_id = 17   0 versions\n");
}
