//! Describes the tables of a source for whoever declares their targets: columns, types as the target's database has
//! them, keys and comments. Nothing is written.

use super::Engine;
use super::members::tables_of;
use crate::session::Session;
use ematix_flow_core::declare::for_each::meant;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::Relation;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::schema::{LiveColumn, LiveTable};
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_core::types::{TypeFacts, spelled};

const DOING: &str = "list the tables";

/// What patterns mean in a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The tables, in the order of their names.
    pub tables: Vec<DescribedTable>,
    /// The patterns that mean nothing, by their places in the list.
    pub idle: Vec<usize>,
}

/// A table of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedTable {
    /// Its name.
    pub name: QualifiedName,
    /// What it holds.
    pub comment: Option<String>,
    /// Its columns, in their order.
    pub columns: Vec<DescribedColumn>,
    /// The columns of its primary key.
    pub primary_key: Vec<String>,
    /// Without a primary key, the columns of a unique index that cannot be NULL.
    pub unique: Vec<String>,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// The type of a column made after it, as a declaration writes it.
    pub data_type: String,
    /// Its own type, where the target's database has none of that name.
    pub instead_of: Option<String>,
    /// Whether the query has to cast it to that type.
    pub is_cast: bool,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What it holds.
    pub comment: Option<String>,
}

impl Engine {
    /// Describes the tables of a connection that patterns mean; `to` is the connection of their targets.
    ///
    /// # Errors
    /// What keeps either from answering.
    pub async fn describe(&self, from: &str, to: &str, patterns: &[&str]) -> Result<Described> {
        let source = self.open(from, "add").await?;
        let relations = tables_of(source.as_ref(), DOING).await?;
        let (chosen, idle) = meant(patterns, &relations);
        let names = chosen
            .iter()
            .map(|relation| QualifiedName::new(&relation.schema, &relation.name))
            .collect::<Result<Vec<_>>>()?;
        let live = source.inspector().described(&names).await?;
        let dialect = source.facts().dialect;
        source.close().await;
        // One that was dropped meanwhile is not there.
        let live: Vec<(QualifiedName, LiveTable)> =
            names.into_iter().zip(live).filter_map(|(name, live)| Some((name, live?))).collect();
        let missing = match from == to || live.is_empty() {
            true => Vec::new(),
            false => {
                let target = self.open(to, "add").await?;
                let missing = missing_types(target.as_ref(), &live).await;
                target.close().await;
                missing?
            }
        };
        let tables = live.into_iter().map(|(name, live)| table(name, live, &missing, dialect)).collect();
        Ok(Described { tables, idle })
    }
}

/// The types of these tables that the target's database does not have.
async fn missing_types(target: &dyn Session, tables: &[(QualifiedName, LiveTable)]) -> Result<Vec<String>> {
    let columns = tables.iter().flat_map(|(_, table)| &table.columns);
    let mut names: Vec<&str> = columns.map(|column| column.data_type.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    target.inspector().unknown_types(&names).await
}

fn table(name: QualifiedName, live: LiveTable, missing: &[String], dialect: &dyn Dialect) -> DescribedTable {
    let not_null =
        live.columns.iter().filter(|column| !column.nullable).map(|column| column.name.clone()).collect();
    let keys = Relation::of(String::new(), not_null, &live.indexes, live.estimated_rows);
    let unique = keys.unique.into_iter().min_by_key(Vec::len).unwrap_or_default();
    DescribedTable {
        name,
        comment: live.comment,
        columns: live.columns.into_iter().map(|live| described_column(live, missing, dialect)).collect(),
        unique: if keys.primary_key.is_empty() { unique } else { Vec::new() },
        primary_key: keys.primary_key,
    }
}

/// A column as a declaration writes it; `missing` are the types that the target lacks.
pub(super) fn described_column(
    live: LiveColumn,
    missing: &[String],
    dialect: &dyn Dialect,
) -> DescribedColumn {
    let own = &live.data_type.name;
    let is_there = !missing.contains(own);
    let written = if is_there { Some(own.clone()) } else { elsewhere(&live.data_type) };
    let written = written.and_then(|name| spelled(&name, |data_type| dialect.type_name(data_type)));
    DescribedColumn {
        is_cast: written.is_none(),
        instead_of: Some(own.clone()).filter(|_| !is_there || written.is_none()),
        data_type: written.unwrap_or_else(|| as_text(own)),
        name: live.name,
        nullable: live.nullable,
        comment: live.comment,
    }
}

/// The type that any value can be cast to: an array's items stay items.
fn as_text(own: &str) -> String {
    if own.ends_with("[]") { "text[]".to_owned() } else { "text".to_owned() }
}

/// The type of a column where the own one is not there: an enum becomes text, a domain its base type.
fn elsewhere(data_type: &TypeFacts) -> Option<String> {
    match data_type.normal {
        Some(Normal::Enum) => Some("text".to_owned()),
        _ => data_type.wire.oid.map(|_| data_type.wire.name.clone()),
    }
}
