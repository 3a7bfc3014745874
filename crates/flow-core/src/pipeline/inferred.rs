//! The columns and keys of a target that is only named.

use super::Pipeline;
use super::strategy::KeyNeed;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::Facts;
use crate::schema::{Column, ColumnDefault, Table};
use crate::sql::{Ident, QualifiedName};
use crate::types::DataType;

/// A target that is only named has the live table's columns, else the source's.
pub fn infer(pipeline: &Pipeline, name: &QualifiedName, facts: &Facts) -> Result<Table> {
    if facts.assumed {
        return Err(FlowError::new(
            ErrorCode::MissingOption,
            format!("the columns of {name} are those of a database, which a preview does not ask"),
        )
        .hint("declare the table under [tables], or use `flow plan`"));
    }
    let strategy = &pipeline.strategy;
    let empty = Table {
        name: name.clone(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        natural_key: Vec::new(),
        unique: Vec::new(),
        indexes: Vec::new(),
        options: Vec::new(),
        description: None,
        cleaning: Vec::new(),
    };
    let managed: Vec<Ident> =
        strategy.managed_columns(&empty).into_iter().map(|column| column.name).collect();
    let column = |name: &str, data_type: &str, nullable: bool| -> Result<Column> {
        Ok(Column {
            name: Ident::new(name)?,
            data_type: DataType::Native(data_type.to_owned()),
            nullable,
            default: None,
            description: None,
        })
    };
    let mut table = empty;
    match &facts.target.live {
        Some(live) => {
            for live_column in
                live.columns.iter().filter(|c| !c.generated && !managed.iter().any(|m| m.as_str() == c.name))
            {
                let mut column =
                    column(&live_column.name, &live_column.data_type.name, live_column.nullable)?;
                column.default = live_column.default.clone().map(ColumnDefault::Expression);
                table.columns.push(column);
            }
            let full_index = live.indexes.iter().find(|index| index.primary && index.usable);
            // The primary key of a history has the beginning of a version in it.
            if let Some(index) = full_index.filter(|_| strategy.keys() != KeyNeed::OfVersions) {
                table.primary_key = index.columns.iter().map(Ident::new).collect::<Result<_>>()?;
            }
        }
        None => {
            let relation = facts.source.relation.as_ref();
            for source in &facts.source.columns {
                let not_null = relation.is_some_and(|relation| relation.not_null.contains(&source.name));
                table.columns.push(column(&source.name, source.inferred_type(), !not_null)?);
            }
            // Where no rows are matched, what is loaded may have been there.
            if let Some(relation) = relation.filter(|_| strategy.keys() != KeyNeed::None) {
                table.primary_key = relation.primary_key.iter().map(Ident::new).collect::<Result<_>>()?;
            }
        }
    }
    Ok(table)
}
