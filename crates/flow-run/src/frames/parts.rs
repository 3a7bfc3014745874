//! Where a reading is cut: at equal distances between the least and the greatest value of a column.

use super::columns::{Sent, statement};
use crate::session::{ResultSet, Session};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result, did_you_mean};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::{ReadQuery, says};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Literal, Sql, text};

/// Words of queries that may give other rows each time they are asked, at one instant, too.
const UNSTEADY: &[&str] = &[
    "limit",
    "offset",
    "fetch",
    "tablesample",
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
];

/// The values at which the rows are cut into so many parts, as text, in their order; none where there is nothing to cut.
pub(super) async fn bounds(
    session: &dyn Session,
    query: &ReadQuery,
    column: &str,
    sent: &[Sent],
    parts: u32,
) -> Result<Vec<String>> {
    if let Some(word) = UNSTEADY.iter().find(|word| says(query.text(), word)) {
        return Err(FlowError::new(
            ErrorCode::ConflictingOptions,
            format!(
                "partition_on asks the query more than once, and one with {} may give other rows each time",
                word.to_uppercase()
            ),
        )
        .hint("leave partition_on out"));
    }
    let Some(found) = sent.iter().find(|sent| sent.column.name == column) else {
        let names = sent.iter().map(|sent| sent.column.name.as_str());
        let error = FlowError::new(
            ErrorCode::UnknownColumn,
            format!("partition_on: the query has no column `{column}`"),
        );
        return Err(match did_you_mean(column, names) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error.hint("name one of its columns"),
        });
    };
    let of = Literal::Integer(parts.into());
    let (finite, cut) = match found.facts.wire.oid {
        Some(20 | 21 | 23) => {
            (true, sql!("pg_catalog.floor(low::numeric + (high::numeric - low) * n / {of})", of))
        }
        Some(1700) => (true, sql!("low + (high - low) * n / {of}", of)),
        Some(1082 | 1114 | 1184) => (false, sql!("low + (high - low) * n / {of}", of)),
        _ => {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "partition_on: there is no middle between two values of {}, as `{column}` is",
                    found.facts.name
                ),
            )
            .hint("name a column of whole numbers, numerics, dates or timestamps"));
        }
    };
    let name = Ident::new(column)?;
    // Between infinite values there is no middle.
    let end = |word: &'static str| match finite {
        true => sql!("pg_catalog.{word}(q.{name})", word = Sql::text(word), name = name.clone()),
        false => sql!(
            "pg_catalog.{word}(q.{name}) FILTER (WHERE pg_catalog.isfinite(q.{name}))",
            word = Sql::text(word),
            name = name.clone()
        ),
    };
    let question = sql!(
        "SELECT DISTINCT ON (cut) pg_catalog.to_json(cut) #>> {whole}\n  FROM (SELECT {cut} AS cut\n          FROM (SELECT {low} AS low, {high} AS high FROM {query} AS q) AS ends,\n               pg_catalog.generate_series(1, {last}) AS n) AS cuts\n WHERE cut IS NOT NULL\n ORDER BY cut",
        cut,
        last = Literal::Integer((parts - 1).into()),
        whole = text("{}"),
        low = end("min"),
        high = end("max"),
        query = Sql::user(query.text())
    );
    let answers =
        session.ask(Blame::Source, "look where to cut the rows", &question.to_text(&Postgres)).await?;
    let rows = answers.into_iter().next().map(|answer: ResultSet| answer.rows).unwrap_or_default();
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// The queries of the parts. NULL lies in the last, and every other value in just one.
pub(super) fn statements(
    query: &ReadQuery,
    column: &str,
    bounds: &[String],
    sent: &[Sent],
) -> Result<Vec<String>> {
    let name = Ident::new(column)?;
    let from = |bound: &String| sql!("q.{name} >= {bound}", name = name.clone(), bound = text(bound));
    let below = |bound: &String| sql!("q.{name} < {bound}", name = name.clone(), bound = text(bound));
    let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else {
        return Ok(vec![statement(query, sent, None)?]);
    };
    let between = bounds
        .windows(2)
        .map(|ends| sql!("{from} AND {below}", from = from(&ends[0]), below = below(&ends[1])));
    let rest = sql!("({from} OR q.{name} IS NULL)", from = from(last), name = name.clone());
    std::iter::once(below(first))
        .chain(between)
        .chain([rest])
        .map(|condition| statement(query, sent, Some(&condition)))
        .collect()
}
