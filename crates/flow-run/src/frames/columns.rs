//! As what the columns of a query cross: each by a type of Arrow, if need be after a cast on the server.

use super::{Numeric, Types, Wanted};
use crate::session::Session;
use ematix_flow_arrow::{Column, CopyType, UnscaledNumeric};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::SourceColumn;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::TypeFacts;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Sql};

/// A column on its way.
pub(super) struct Sent {
    /// As what it arrives.
    pub column: Column,
    /// The type to which the server casts it before.
    cast: Option<&'static str>,
    /// What the catalogue says of it.
    pub facts: TypeFacts,
}

// The numbers of types and of their arrays.
const OID: u32 = 26;
const JSON: [u32; 2] = [114, 199];
const JSONB: [u32; 2] = [3802, 3807];
const NUMERIC: [u32; 2] = [1700, 1231];
const UUID: [u32; 2] = [2950, 2951];
const INTERVAL: [u32; 2] = [1186, 1187];

/// The most digits of a decimal that every reader of Arrow has.
const PLAIN_DIGITS: u8 = 38;

/// The columns of the query, and how they cross.
pub(super) async fn described(session: &dyn Session, wanted: &Wanted) -> Result<Vec<Sent>> {
    let columns = session.inspector().columns(wanted.query.text()).await?;
    // A numeric by another name is a domain, which knows its precision.
    let unsaid = |facts: &TypeFacts| {
        is_one_of(facts, &NUMERIC) && !facts.name.contains('(') && !facts.name.starts_with("numeric")
    };
    let asked: Vec<usize> = (0..columns.len())
        .filter(|n| columns[*n].data_type.normal == Some(Normal::Enum) || unsaid(&columns[*n].data_type))
        .collect();
    let names: Vec<String> = asked.iter().map(|n| columns[*n].data_type.name.clone()).collect();
    let beneath = session.inspector().beneath(&names).await?;
    let mut labels = vec![None; columns.len()];
    let mut columns = columns;
    for (n, beneath) in asked.into_iter().zip(beneath) {
        columns[n].data_type.name = beneath.name;
        labels[n] = Some(beneath.labels);
    }
    columns.into_iter().zip(labels).map(|(column, labels)| sent(column, labels, wanted)).collect()
}

fn is_one_of(facts: &TypeFacts, oids: &[u32]) -> bool {
    facts.wire.oid.is_some_and(|oid| oids.contains(&oid))
}

fn sent(column: SourceColumn, labels: Option<Vec<String>>, wanted: &Wanted) -> Result<Sent> {
    let SourceColumn { name, data_type: facts, .. } = column;
    let (data_type, cast) = crossing(&name, &facts, labels, wanted)?;
    Ok(Sent { column: Column::new(name, data_type), cast, facts })
}

/// As what a column arrives, and what it is cast to before.
fn crossing(
    name: &str,
    facts: &TypeFacts,
    labels: Option<Vec<String>>,
    wanted: &Wanted,
) -> Result<(CopyType, Option<&'static str>)> {
    let is_list = matches!(facts.normal, Some(Normal::Array { .. }));
    let list = |element: CopyType, oid| CopyType::Array(Box::new(element), oid);
    let text = || match is_list {
        true => (list(CopyType::Text, 25), Some("text[]")),
        false => (CopyType::Text, Some("text")),
    };
    if facts.normal == Some(Normal::Enum) {
        return Ok((CopyType::Enum(labels.unwrap_or_default().into()), None));
    }
    if is_one_of(facts, &NUMERIC) {
        return numeric(name, facts, is_list, wanted);
    }
    if is_one_of(facts, &[OID]) {
        return Ok((CopyType::Int8, Some("bigint")));
    }
    if wanted.types == Types::Parquet && is_one_of(facts, &INTERVAL) {
        return Ok(text());
    }
    if is_plain(wanted.types) {
        // A view of JSON is its text, which is what the server sends.
        let is_json = is_one_of(facts, &JSONB) || is_one_of(facts, &JSON);
        if is_one_of(facts, &UUID) || (is_json && (is_list || wanted.types == Types::Plain)) {
            return Ok(text());
        }
        if is_one_of(facts, &INTERVAL) {
            return Ok(match is_list {
                true => (list(CopyType::Length, INTERVAL[0]), None),
                false => (CopyType::Length, None),
            });
        }
    }
    // What Arrow has no type for, the server writes.
    Ok(CopyType::of(name, facts, UnscaledNumeric::Refuse)
        .map_or_else(|_| text(), |data_type| (data_type, None)))
}

fn is_plain(types: Types) -> bool {
    matches!(types, Types::Plain | Types::Views)
}

fn numeric(
    name: &str,
    facts: &TypeFacts,
    is_list: bool,
    wanted: &Wanted,
) -> Result<(CopyType, Option<&'static str>)> {
    if wanted.numeric == Numeric::Float {
        return Ok(match is_list {
            true => (CopyType::Array(Box::new(CopyType::Float8), 701), Some("double precision[]")),
            false => (CopyType::Float8, Some("double precision")),
        });
    }
    let of = CopyType::of(name, facts, UnscaledNumeric::Text)?;
    let element = match &of {
        CopyType::Array(element, _) => element.as_ref(),
        other => other,
    };
    let why = match element {
        CopyType::Numeric(digits, _) if is_plain(wanted.types) && *digits > PLAIN_DIGITS => {
            format!("is {}, and decimals end at {PLAIN_DIGITS} digits here", facts.name)
        }
        CopyType::NumericText if facts.name.contains('(') => {
            format!("is {}, and decimals of Arrow end at 76 digits", facts.name)
        }
        CopyType::NumericText => {
            format!("is {} without precision and scale, and a decimal has both", facts.name)
        }
        _ => return Ok((of, None)),
    };
    match wanted.numeric {
        Numeric::DecimalOrText if matches!(element, CopyType::NumericText) => Ok((of, None)),
        Numeric::DecimalOrText => Ok(match is_list {
            true => (CopyType::Array(Box::new(CopyType::Text), 25), Some("text[]")),
            false => (CopyType::Text, Some("text")),
        }),
        _ => Err(FlowError::new(ErrorCode::InvalidValue, format!("the column `{name}` {why}"))
            .context("column", name)
            .hint(format!(
                "say it in the query, {name}::numeric(38,6); or pass numeric=\"text\" for exact text, or numeric=\"float\" for the nearest float"
            ))),
    }
}

/// The query of the columns as they cross, of those rows that meet the condition.
pub(super) fn statement(query: &ReadQuery, sent: &[Sent], condition: Option<&Sql>) -> Result<String> {
    if condition.is_none() && sent.iter().all(|sent| sent.cast.is_none()) {
        return Ok(query.text().to_owned());
    }
    let values = sent
        .iter()
        .map(|sent| {
            let name = Ident::new(sent.column.name.clone())?;
            Ok(match sent.cast {
                Some(cast) => sql!("CAST(q.{name} AS {cast}) AS {name}", name, cast = Sql::text(cast)),
                None => sql!("q.{name}", name),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let rows = sql!(
        "SELECT {values}\n  FROM {query} AS q",
        values = Sql::join(values, ", "),
        query = Sql::user(query.text())
    );
    let whole = match condition {
        Some(condition) => sql!("{rows}\n WHERE {condition}", rows, condition),
        None => rows,
    };
    Ok(whole.to_text(&Postgres))
}
