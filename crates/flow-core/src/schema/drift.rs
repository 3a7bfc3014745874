//! Compares a declared table with the live one. Pure: both sides are values. Never alters anything.

use super::ddl;
use super::table::{Column, LiveTable, Table};
use crate::dialect::Dialect;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;

/// One difference between declaration and life.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The column.
    pub column: String,
    /// What differs.
    pub kind: DifferenceKind,
    /// The statement that settles it, where one does.
    pub remedy: Option<Sql>,
}

/// What differs in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum DifferenceKind {
    /// Declared, and not there.
    Missing {
        /// The declared type.
        declared: String,
        /// Whether ADD COLUMN can fill the rows that exist: it is nullable or has a default.
        addable: bool,
    },
    /// There, and not declared.
    Extra,
    /// Of another type.
    Type {
        /// The declared type.
        declared: String,
        /// The live type.
        live: String,
        /// Whether the declared type holds every value of the live one.
        widening: bool,
    },
    /// May or may not be NULL; shown, and no drift.
    Nullability {
        /// Whether the declaration allows NULL.
        declared_nullable: bool,
    },
    /// Has a default on one side only; shown, and no drift.
    Default {
        /// Whether the declaration has one.
        declared: bool,
    },
}

impl Difference {
    /// Whether the difference is drift (one in nullability or default is only shown).
    pub fn is_drift(&self) -> bool {
        !matches!(self.kind, DifferenceKind::Nullability { .. } | DifferenceKind::Default { .. })
    }

    /// Whether `migrate` settles it.
    pub fn migratable(&self) -> bool {
        match &self.kind {
            DifferenceKind::Missing { addable, .. } => *addable,
            DifferenceKind::Type { widening, .. } => *widening,
            _ => false,
        }
    }

    /// In words: `column "email": declared varchar(256), live varchar(64)`.
    pub fn describe(&self) -> String {
        let column = &self.column;
        match &self.kind {
            DifferenceKind::Missing { declared, .. } => {
                format!("column \"{column}\": declared {declared}, missing in the table")
            }
            DifferenceKind::Extra => format!("column \"{column}\": live only"),
            DifferenceKind::Type { declared, live, .. } => {
                format!("column \"{column}\": declared {declared}, live {live}")
            }
            DifferenceKind::Default { declared: true } => {
                format!("column \"{column}\": declared with a default, live without")
            }
            DifferenceKind::Default { declared: false } => {
                format!("column \"{column}\": declared without a default, live with one")
            }
            DifferenceKind::Nullability { declared_nullable: true } => {
                format!("column \"{column}\": declared nullable, live NOT NULL")
            }
            DifferenceKind::Nullability { declared_nullable: false } => {
                format!("column \"{column}\": declared NOT NULL, live nullable")
            }
        }
    }
}

/// Every difference between the columns declared (ours among them, `managed`) and the live table.
pub fn differences(
    table: &Table,
    managed: &[Column],
    live: &LiveTable,
    types: &dyn Fn(&Column) -> TypeFacts,
    dialect: &dyn Dialect,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for column in table.columns.iter().chain(managed) {
        let declared = types(column);
        match live.column(column.name.as_str()) {
            None => {
                found.push(Difference {
                    column: column.name.to_string(),
                    kind: DifferenceKind::Missing {
                        declared: declared.name,
                        addable: column.nullable || column.default.is_some(),
                    },
                    remedy: Some(dialect.add_column(&table.name, ddl::new_column(column, dialect))),
                });
            }
            Some(live) if live.data_type.name != declared.name => {
                let widening = dialect.cast(&live.data_type, &declared) == crate::dialect::Cast::Widening;
                let remedy = ddl::retype(&table.name, column, dialect);
                found.push(Difference {
                    column: column.name.to_string(),
                    kind: DifferenceKind::Type {
                        declared: declared.name,
                        live: live.data_type.name.clone(),
                        widening,
                    },
                    remedy: Some(remedy),
                });
            }
            Some(live) if live.nullable != column.nullable && !table.primary_key.contains(&column.name) => {
                found.push(Difference {
                    column: column.name.to_string(),
                    kind: DifferenceKind::Nullability { declared_nullable: column.nullable },
                    remedy: None,
                });
            }
            Some(live)
                if live.default.is_some() != column.default.is_some()
                    && table.column(&column.name).is_some() =>
            {
                found.push(Difference {
                    column: column.name.to_string(),
                    kind: DifferenceKind::Default { declared: column.default.is_some() },
                    remedy: None,
                });
            }
            Some(_) => {}
        }
    }
    let declared =
        |name: &str| table.columns.iter().chain(managed).any(|column| column.name.as_str() == name);
    for live in live.columns.iter().filter(|live| !declared(&live.name) && !live.generated) {
        let remedy = Ident::new(&live.name)
            .ok()
            .map(|column| sql!("ALTER TABLE {table} DROP COLUMN {column}", table = table.name, column));
        found.push(Difference { column: live.name.clone(), kind: DifferenceKind::Extra, remedy });
    }
    found
}
