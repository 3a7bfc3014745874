//! The features of entities, now or as of an instant: one statement for one key, one for many. Pure.
//!
//! Values are parameters, `$1` and so on: the keys first, then the instant, if one is asked for. As text they are read
//! by the types that the statement gives them.

use super::asof::{DeclaredView, ReadView, readable};
use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres;
use crate::error::Result;
use crate::schema::LiveTable;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};

/// Of when features are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// As of now, from what is kept to be served where there is such a thing.
    Now,
    /// As of an instant, the last parameter.
    AsOf,
}

/// How many keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// One: a row, or none.
    One,
    /// A list: every parameter of a key is an array, and every row begins with its place in the list, from 1.
    Many,
}

/// The relation that answers.
///
/// # Errors
/// `name_too_long`.
pub fn relation(view: &DeclaredView, when: When) -> Result<QualifiedName> {
    match when {
        When::Now if view.online => view.online_relation(),
        _ => view.table(),
    }
}

/// The statement for `columns` of the relation that answers, which `live` describes.
///
/// # Errors
/// `unknown_column` where it does not have one that is declared; `name_too_long`.
pub fn statement(
    view: &ReadView,
    live: &LiveTable,
    columns: &[Ident],
    when: When,
    keys: Keys,
) -> Result<String> {
    let at = match when {
        When::Now => Sql::text("pg_catalog.now()"),
        When::AsOf => {
            sql!("{last}::timestamp with time zone", last = parameter(view.declared.keys.len() + 1))
        }
    };
    let values: Vec<Sql> = match keys {
        Keys::One => (1..=view.declared.keys.len()).map(parameter).collect(),
        Keys::Many => (1..=view.declared.keys.len()).map(|n| sql!("k.{key}", key = place(n))).collect(),
    };
    let wanted = columns
        .iter()
        .map(|column| {
            let live = view.declared.live(live, column)?;
            Ok(sql!(
                "{value} AS {column}",
                value = readable(&live.data_type, sql!("t.{column}", column)),
                column
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let is_online = when == When::Now && view.declared.online;
    let event = match is_online {
        true => served(view, &wanted, &values, &at)?,
        false => sql!(
            "SELECT e.*\n  FROM (\n{newest}\n) AS e\n WHERE {answers}",
            newest = view.newest(&wanted, &values, &at)?,
            answers = view.answers("e", &at)
        ),
    };
    let of = |alias: &'static str| {
        Sql::join(
            columns.iter().map(|column| sql!("{alias}.{column}", alias = Sql::text(alias), column)),
            ", ",
        )
    };
    let sql = match keys {
        Keys::One => sql!("SELECT {columns}\n  FROM (\n{event}\n) AS f", columns = of("f"), event),
        Keys::Many => {
            let arrays = view
                .declared
                .keys
                .iter()
                .enumerate()
                .map(|(n, key)| {
                    let wire = &view.declared.live(live, key)?.data_type.wire.name;
                    let array = Postgres.cast_to(&parameter(n + 1), &format!("{wire}[]"));
                    Ok(sql!("pg_catalog.unnest({array})", array))
                })
                .collect::<Result<Vec<_>>>()?;
            let places: Vec<Ident> = (1..=view.declared.keys.len()).map(place).collect();
            sql!(
                "SELECT k.n, {columns}\n  FROM ROWS FROM ({arrays}) WITH ORDINALITY AS k({places}, n)\n CROSS JOIN LATERAL (\n{event}\n) AS f",
                columns = of("f"),
                arrays = Sql::join(arrays, ", "),
                places,
                event
            )
        }
    };
    Ok(sql.to_text(&Postgres))
}

/// What is kept to be served has a row a key; it may have expired since.
fn served(view: &ReadView, columns: &[Sql], keys: &[Sql], at: &Sql) -> Result<Sql> {
    Ok(sql!(
        "SELECT {columns}\n  FROM {online} AS t\n WHERE {is_key}\n   AND t.{effective_from} <= {at}\n   AND (t.{effective_to} IS NULL OR {at} < t.{effective_to})",
        columns = Sql::join(columns.iter().cloned(), ", "),
        online = view.declared.online_relation()?,
        is_key = view.is_key(keys),
        effective_from = view.kept.effective_from,
        effective_to = view.kept.effective_to,
        at
    ))
}

fn parameter(n: usize) -> Sql {
    Sql::from_dialect(format!("${n}"))
}

fn place(n: usize) -> Ident {
    Ident::new(format!("k{n}")).expect("a letter and a number are a name")
}
