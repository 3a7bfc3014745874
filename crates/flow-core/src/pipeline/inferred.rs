//! The columns and keys of a target that is only named.

use super::kept::is_kept;
use super::strategy::{KeyNeed, LoadStrategy};
use super::{Pipeline, keys};
use crate::dialect::{Cast, Dialect};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Facts;
use crate::schema::{Column, ColumnDefault, LiveColumn, LiveTable, Table};
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;

/// What is inferred of a target.
pub struct Inferred {
    /// The table; its primary key are the keys by which its rows are known.
    pub table: Table,
    /// Where these keys were found.
    pub keys_reason: Option<&'static str>,
}

/// A target that is only named has the live table's columns and keys, else the source's.
pub fn infer(
    pipeline: &Pipeline,
    name: &QualifiedName,
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<Inferred> {
    if facts.assumed {
        return Err(FlowError::new(
            ErrorCode::MissingOption,
            format!("the columns of {name} are those of a database, which a preview does not ask"),
        )
        .hint("declare the table under [tables], or use `flow plan`"));
    }
    let strategy = pipeline.strategy.as_ref();
    let mut table = Table::of(name.clone(), Vec::new());
    let record = facts.target.record.as_ref();
    let mut found = None;
    match &facts.target.live {
        Some(live) => {
            table.columns = columns_of_live(pipeline, strategy, &table, live, facts, dialect)?;
            if pipeline.migrate {
                describe(&mut table, facts);
            }
            found = keys::of_live(strategy, live, record)?;
        }
        None => {
            let relation = facts.source.relation.as_ref();
            for source in facts.source.given() {
                let not_null = relation.is_some_and(|relation| relation.not_null.contains(&source.name));
                table.columns.push(column(&source.name, source.inferred_type(), !not_null)?);
            }
            describe(&mut table, facts);
        }
    }
    // Where no rows are matched, what is loaded may have been there.
    let of_source = match &facts.target.live {
        Some(_) => strategy.keys().is_required(),
        None => strategy.keys() != KeyNeed::None,
    };
    if found.is_none()
        && of_source
        && let Some(relation) = &facts.source.relation
    {
        found = Some((keys::idents(&relation.primary_key)?, "primary key of the source table"));
    }
    let (keys, reason) = found.unwrap_or_default();
    table.primary_key = keys;
    Ok(Inferred { table, keys_reason: Some(reason).filter(|reason| !reason.is_empty()) })
}

/// The table says what the source says that it holds.
fn describe(table: &mut Table, facts: &Facts) {
    let Some(relation) = &facts.source.relation else { return };
    table.description.clone_from(&relation.comments.table);
    for column in &mut table.columns {
        // What markers or helpers make of a column is described by nobody.
        if facts.source.shown.is_none() {
            column.description = relation.comments.columns.get(column.name.as_str()).cloned();
        }
    }
}

fn column(name: &str, data_type: &str, nullable: bool) -> Result<Column> {
    Ok(Column::of(&Ident::new(name)?, DataType::Native(data_type.to_owned()), nullable))
}

/// The live table's columns but those that strategies keep; where `migrate` allows it, they follow the source.
fn columns_of_live(
    pipeline: &Pipeline,
    strategy: &dyn LoadStrategy,
    empty: &Table,
    live: &LiveTable,
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<Vec<Column>> {
    let has = |columns: &[Column], name: &str| columns.iter().any(|column| column.name.as_str() == name);
    // What the source itself brings under the name of such a column is loaded, where the strategy allows it.
    let own = strategy.managed_columns(empty);
    let is_ours = |live: &LiveColumn| has(&own, &live.name) || is_kept(facts, live, dialect);
    let mut columns = Vec::new();
    for live in live.columns.iter().filter(|live| !live.generated) {
        let source = facts.source.loaded(&live.name);
        if source.is_none() && is_ours(live) {
            continue;
        }
        let wider = source.filter(|source| {
            pipeline.migrate
                && source.inferred.is_none()
                && dialect.cast(&live.data_type, &source.data_type) == Cast::Widening
        });
        let data_type = wider.map_or(&live.data_type.name, |source| &source.data_type.name);
        let mut column = column(&live.name, data_type, live.nullable)?;
        column.default = live.default.clone().map(ColumnDefault::Expression);
        columns.push(column);
    }
    if pipeline.migrate {
        for source in facts.source.given().iter().filter(|source| live.column(&source.name).is_none()) {
            columns.push(column(&source.name, source.inferred_type(), true)?);
        }
    }
    let managed = strategy.managed_columns(&Table { columns: columns.clone(), ..empty.clone() });
    columns.retain(|column| !has(&managed, column.name.as_str()));
    Ok(columns)
}
