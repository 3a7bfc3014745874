//! The words in which databases differ. A strategy asks for them, so strategies and dialects do not multiply.

pub mod postgres;

use crate::schema::TypeFacts;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// A column in an expression: its name, where it stands, and its type.
#[derive(Clone, Debug)]
pub struct ColumnValue<'a> {
    /// The column's name, by which hashed columns are ordered.
    pub name: &'a Ident,
    /// The expression.
    pub sql: Sql,
    /// Its type.
    pub data_type: &'a TypeFacts,
}

/// A database's own way to say what strategies ask for.
pub trait Dialect: Send + Sync {
    /// A name, quoted.
    fn quote(&self, name: &Ident) -> String;
    /// A value.
    fn literal(&self, value: &Literal) -> String;
    /// A declared type.
    fn type_name(&self, data_type: &DataType) -> String;
    /// What is known of a declared type without asking a server; `None` for native types.
    fn type_facts(&self, data_type: &DataType) -> Option<TypeFacts>;
    /// A value of the type by its text.
    fn typed_literal(&self, text: &str, type_name: &str) -> Sql;
    /// Whether two values of a type differ as their hashes do.
    fn differs(&self, data_type: &TypeFacts, left: &Sql, right: &Sql) -> Sql;
    /// The row hash.
    fn row_digest(&self, columns: &[ColumnValue<'_>]) -> Sql;
    /// How an explicit cast relates to what an INSERT does.
    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast;
    /// Creates a schema, which other sessions may be creating at the same time.
    fn create_schema(&self, name: &Ident) -> Sql;
    /// A table of intermediate rows made from a query.
    fn create_stage_as(&self, name: &QualifiedName, select: Sql) -> Sql;
    /// An empty table of intermediate rows with declared types.
    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql;
    /// Keeps writers out and lets readers in.
    fn lock_table(&self, name: &QualifiedName) -> Sql;
    /// Where a row of the target lies, until it is written again.
    ///
    /// `spread`: the target's rows lie in several tables (partitions, children), which number their own.
    fn row_address(&self, alias: &str, spread: bool) -> Sql;
    /// The type of [`Dialect::row_address`].
    fn row_address_type(&self, spread: bool) -> &'static str;
    /// The physical update of rows found by address.
    fn update_from(&self, target: &QualifiedName, assignments: Sql, from: Sql, condition: Sql) -> Sql;
    /// The text of a value that reads back the same under any setting.
    fn stable_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql;
    /// Statements, local to the transaction, without which [`Dialect::stable_text`] of the type is not stable.
    fn text_settings(&self, data_type: &TypeFacts) -> Option<Sql>;
    /// A column type for instants.
    fn instant_type(&self) -> DataType;
    /// Statements that let the reading of large tables be planned well, local to the transaction.
    fn planner_settings(&self, ordered_by_key: bool) -> Sql;
}

/// How an explicit cast relates to what an INSERT does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The types are the same.
    Same,
    /// An explicit cast keeps every value, as an INSERT would.
    Widening,
    /// Only an INSERT decides: it may refuse where a cast cuts in silence.
    ByInsert,
}
