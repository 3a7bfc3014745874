//! What a comparison found.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

/// In which rows two sides differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiffReport {
    /// The pipeline whose source and target they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The first side.
    pub a: SideReport,
    /// The second.
    pub b: SideReport,
    /// By which columns rows are the same.
    pub keys: Vec<String>,
    /// Where the keys stand.
    pub keys_reason: String,
    /// `join` in one database; in two `checksums`, or `rows` where many differ and the way is quick.
    pub method: &'static str,
    /// Whether no row differs.
    pub equal: bool,
    /// Rows of A.
    pub rows_a: i64,
    /// Rows of B.
    pub rows_b: i64,
    /// Rows whose key B does not have.
    pub only_in_a: i64,
    /// Rows whose key A does not have.
    pub only_in_b: i64,
    /// Keys of both whose rows differ.
    pub rows_differing: i64,
    /// Keys of both whose rows are equal.
    pub rows_equal: i64,
    /// Digests of rows that left each server; none where one statement compares.
    pub digests_read: i64,
    /// The columns that were compared, with the rows that differ in each.
    pub columns: Vec<ColumnDifference>,
    /// Columns of A that B does not have.
    pub columns_only_in_a: Vec<String>,
    /// Columns of B that A does not have.
    pub columns_only_in_b: Vec<String>,
    /// Some rows that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Vec<DiffSample>>,
}

impl DiffReport {
    /// Rows of either side that have no equal on the other.
    pub fn differences(&self) -> i64 {
        self.only_in_a + self.only_in_b + self.rows_differing
    }
}

/// A side, as it was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// Its connection.
    pub connection: String,
    /// The table; `None` for a query.
    pub table: Option<String>,
    /// The query; `None` for a table.
    pub query: Option<String>,
    /// The instant as of which a history was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

impl SideReport {
    /// `crm app.customers`, or `crm a query`.
    pub fn title(&self) -> String {
        let what = self.table.as_deref().unwrap_or("a query");
        match &self.as_of {
            Some(instant) => format!("{} {what} as of {instant}", self.connection),
            None => format!("{} {what}", self.connection),
        }
    }
}

/// A column that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnDifference {
    /// Its name.
    pub name: String,
    /// Keys of both whose rows differ in it.
    pub rows_differing: i64,
    /// Its type in A.
    pub type_a: String,
    /// Its type in B.
    pub type_b: String,
    /// As what values were compared, where the types are of two kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_as: Option<&'static str>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiffSample {
    /// `only_in_a`, `only_in_b` or `differs`.
    pub change: &'static str,
    /// Its key.
    pub key: IndexMap<String, Value>,
    /// The row of A, without its key: what is compared.
    pub a: Option<IndexMap<String, Value>>,
    /// The row of B.
    pub b: Option<IndexMap<String, Value>>,
}
