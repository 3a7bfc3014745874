//! `unique = ["a", "b"]`: no two rows of the run have the same values there. Every row of a value that is repeated
//! fails: which of them is right, nobody knows. NULL is like no other NULL.

use super::{Arguments, Expectation, Question, Rows, column, comparable};
use crate::dialect::ColumnValue;
use crate::error::Result;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use std::sync::Arc;

#[derive(Debug)]
struct Unique {
    columns: Vec<Ident>,
}

/// Reads it.
pub fn read(
    arguments: &Arguments<'_>,
    _: &dyn Fn(&str) -> Option<QualifiedName>,
) -> Result<Arc<dyn Expectation>> {
    let names = arguments.only_names()?;
    let columns = names.into_iter().map(|name| column(arguments, name)).collect::<Result<_>>()?;
    Ok(Arc::new(Unique { columns }))
}

impl Expectation for Unique {
    fn columns(&self) -> Vec<&Ident> {
        self.columns.iter().collect()
    }

    fn question(&self, rows: &Rows<'_>) -> Result<Question> {
        for name in &self.columns {
            comparable("unique", name, (rows.type_of)(name))?;
        }
        let (table, count) = (rows.table, rows.dialect.function("count"));
        let given = Sql::join(self.columns.iter().map(|name| sql!("d.{name} IS NOT NULL", name)), " AND ");
        let listed = |alias: &'static str| {
            let alias = Sql::text(alias);
            Sql::join(self.columns.iter().map(|name| sql!("{alias}.{name}", alias, name)), ", ")
        };
        let fails = sql!(
            "({columns}) IN (SELECT {names} FROM {table} AS d WHERE {given} GROUP BY {names} HAVING {count}(*) > 1)",
            columns = listed("s"),
            names = listed("d"),
            table,
            given,
            count
        );
        let counted = rows.repeated.as_ref().filter(|(keys, _)| {
            keys.len() == self.columns.len() && keys.iter().all(|key| self.columns.contains(key))
        });
        let values: Vec<ColumnValue<'_>> = self
            .columns
            .iter()
            .map(|name| ColumnValue { name, sql: sql!("d.{name}", name), data_type: (rows.type_of)(name) })
            .collect();
        let suspects = match (counted, rows.dialect.fingerprint(&values), self.columns.as_slice()) {
            (Some((_, repeated)), ..) => repeated.clone(),
            // Two that happen to have one are suspects, and no more.
            (None, Some(fingerprint), _) => sql!(
                "(SELECT {count}(*) - {count}(DISTINCT {fingerprint}) FROM {table} AS d WHERE {given})",
                count,
                fingerprint,
                table,
                given
            ),
            (None, None, [name]) => sql!(
                "(SELECT {count}(d.{name}) - {count}(DISTINCT d.{name}) FROM {table} AS d)",
                count,
                name,
                table
            ),
            (None, None, _) => sql!(
                "(SELECT {count}(*) - (SELECT {count}(*) FROM (SELECT DISTINCT {names} FROM {table} AS d WHERE {given}) AS v) FROM {table} AS d WHERE {given})",
                count,
                names = listed("d"),
                table,
                given
            ),
        };
        Ok(Question::Among { fails, suspects })
    }
}
