//! `references = { columns = "customer_id", table = "analytics.customers", to = "id" }`: a foreign key by query. Every
//! row finds its values in a table of the target's database, or in the rows of the run where that table is the target.
//! A row with NULL in one of them refers to nothing, and passes.

use super::{Arguments, Expectation, Question, Rows, column};
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use std::sync::Arc;

const NAME: &str = "references";

#[derive(Debug)]
struct References {
    columns: Vec<Ident>,
    table: QualifiedName,
    to: Vec<Ident>,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    tables: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let named = arguments.named(&["columns", "table", "to"])?;
    let idents = |names: Vec<String>| {
        names.into_iter().map(|name| column(arguments, name)).collect::<Result<Vec<Ident>>>()
    };
    named.needed("columns")?;
    let columns = idents(named.names("columns")?.expect("it is there"))?;
    let text = named.needed_text("table")?;
    let table = match (tables(&text), QualifiedName::parse(&text).map_err(|error| arguments.of_this(error))?)
    {
        (Some(declared), _) => declared,
        (None, (Some(schema), name)) => QualifiedName { schema, name },
        (None, (None, _)) => {
            return Err(FlowError::new(
                ErrorCode::UnknownTable,
                format!("`{NAME}`: there is no table `{text}`"),
            )
            .hint("name a table with its schema, or one of [tables]"));
        }
    };
    let to = named.names("to")?.map(idents).transpose()?.unwrap_or_else(|| columns.clone());
    if to.len() != columns.len() {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{NAME}`: {} columns refer to {}", columns.len(), to.len()),
        )
        .hint("to has a column of the table for each of columns"));
    }
    Ok(Arc::new(References { columns, table, to }))
}

impl Expectation for References {
    fn columns(&self) -> Vec<&Ident> {
        self.columns.iter().collect()
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        let is_not_in = |table: &QualifiedName, stays: Option<&Sql>| {
            let pairs = self.columns.iter().zip(&self.to);
            let same = Sql::join(pairs.map(|(own, to)| sql!("r.{to} = s.{own}", to, own)), " AND ");
            let stays = stays.map_or(Sql::empty(), |stays| sql!(" AND {stays}", stays));
            sql!("NOT EXISTS (SELECT 1 FROM {table} AS r WHERE {same}{stays})", table, same, stays)
        };
        let given = self.columns.iter().map(|name| sql!("s.{name} IS NOT NULL", name));
        let mut conditions: Vec<Sql> = given.collect();
        if self.table == *rows.target {
            // What is about to stand: the rows that come, and those that they leave as they are.
            conditions.push(is_not_in(rows.table, None));
            conditions.extend(rows.stays.as_ref().map(|stays| is_not_in(&self.table, Some(stays))));
        } else {
            conditions.push(is_not_in(&self.table, None));
        }
        let fails = Sql::join(conditions, "\n   AND ");
        let suspects = sql!(
            "(SELECT {count}(*) FROM {table} AS s WHERE {fails})",
            count = rows.dialect.function("count"),
            table = rows.table,
            fails
        );
        Ok(Question::Among { fails, suspects })
    }
}
