//! What a catalogue is asked. What can travel with other questions in one round trip is a [`Question`].

use super::Question;
use async_trait::async_trait;
use ematix_flow_core::declare::for_each::Relation as Named;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::facts::{Cap, LiveRelation, MissingPrivilege, PickedRows, Relation, SourceColumn};
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::{LiveTable, TypeFacts};
use ematix_flow_core::sql::QualifiedName;
use std::collections::BTreeMap;

/// What a source said before it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRead {
    /// The columns of the query.
    pub columns: Vec<SourceColumn>,
    /// The plain table that a simple query reads.
    pub relation: Option<Relation>,
    /// What a late commit cannot be older than, where that was asked.
    pub cap: Cap,
    /// What its clock says, where that was asked: ISO 8601, UTC.
    pub clock: Option<String>,
}

/// What a type is under its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beneath {
    /// The type under a domain, with length and precision; any other type itself.
    pub name: String,
    /// The labels of an enum, in its order.
    pub labels: Vec<String>,
}

/// A privilege to ask for.
#[derive(Clone, Debug)]
pub enum Privilege {
    /// On the database.
    CreateSchema,
    /// On a schema.
    Schema(&'static str, String),
    /// On a table.
    Table(&'static str, QualifiedName),
    /// To draw numbers from a sequence.
    Sequence(QualifiedName),
}

/// Asks the catalogue of a session. Nothing is written.
#[async_trait]
pub trait Inspector: Send + Sync {
    // Of a source.

    /// What a query reads; `capped`: and how far late commits are covered, before the snapshot of the reading.
    ///
    /// # Errors
    /// What the server says of the query.
    async fn source(&self, query: &ReadQuery, capped: bool) -> Result<SourceRead>;

    /// The columns of a query, without executing it.
    ///
    /// # Errors
    /// What the server says of the query; `duplicate_name`.
    async fn columns(&self, query: &str) -> Result<Vec<SourceColumn>>;

    /// The one plain table from which a query picks its rows, each once or not at all and the same however often one
    /// statement asks; `names` are the query's columns. `None` where the query does more, or an engine cannot tell.
    ///
    /// # Errors
    /// What the server says of the query.
    async fn picked(&self, query: &str, names: &[&str]) -> Result<Option<PickedRows>> {
        let _ = (query, names);
        Ok(None)
    }

    /// The tables that a query reads and that this session may keep as they are, by their names in SQL.
    ///
    /// # Errors
    /// What the server says of the query.
    async fn tables_of(&self, query: &str) -> Result<Vec<String>> {
        let _ = query;
        Ok(Vec::new())
    }

    /// Asks which tables and views there are, but for those of the system and of flow itself, in the order of their
    /// names.
    fn relations(&self) -> Question<Vec<Named>>;

    /// The tables and views of those names, for whoever writes their types down: with names that mean the same under
    /// any setting. `None` for one that is not there.
    ///
    /// # Errors
    /// As the server says.
    async fn described(&self, names: &[QualifiedName]) -> Result<Vec<Option<LiveTable>>>;

    // Of a target.

    /// Asks whether a schema exists, and for the table of that name in it.
    fn table(&self, name: &QualifiedName) -> Question<(bool, Option<LiveTable>)>;

    /// Asks what the relations of those names are, in their order; `None` for one that is not there.
    fn kinds(&self, names: &[QualifiedName]) -> Question<Vec<Option<LiveRelation>>>;

    /// Keeps others from making the relation of a name until the transaction ends, and waits for whoever does. `None`
    /// where an engine has one writer.
    fn hold(&self, name: &QualifiedName) -> Option<String> {
        let _ = name;
        None
    }

    /// Asks how far the order of each table follows the columns that lead its indexes, from -1 to 1 by column.
    fn correlations(&self, tables: &[String]) -> Question<Vec<BTreeMap<String, f64>>>;

    /// Asks which of these privileges are missing.
    fn missing_privileges(&self, needed: &[Privilege]) -> Question<Vec<MissingPrivilege>>;

    /// Asks whether a policy would hide rows of a table from the session's role: the error that says so. `None` where
    /// an engine has no policies.
    fn hides_rows(&self, table: &QualifiedName) -> Option<Question<Option<FlowError>>> {
        let _ = table;
        None
    }

    /// Asks from which sequences the defaults of a table's columns draw, each with its column. `None` where an engine has
    /// no privileges.
    fn sequences(&self, table: &QualifiedName) -> Option<Question<Vec<(String, QualifiedName)>>> {
        let _ = table;
        None
    }

    /// Asks what the server's clock says: ISO 8601, UTC.
    fn clock(&self) -> Question<String>;

    /// What the server makes of declared types that only it knows.
    ///
    /// # Errors
    /// `unknown_type`.
    async fn native_types(&self, names: &[String]) -> Result<BTreeMap<String, TypeFacts>>;

    /// What these types are under their names.
    ///
    /// # Errors
    /// As the server says.
    async fn beneath(&self, names: &[String]) -> Result<Vec<Beneath>> {
        Ok(names.iter().map(|name| Beneath { name: name.clone(), labels: Vec::new() }).collect())
    }

    /// Which of these types the database does not have.
    ///
    /// # Errors
    /// As the server says.
    async fn unknown_types(&self, names: &[&str]) -> Result<Vec<String>>;

    /// The text of a value by which it is stored, the same under any setting.
    ///
    /// # Errors
    /// `invalid_value` for what is no value of the type.
    async fn stable_text(&self, value: &str, data_type: &TypeFacts) -> Result<String>;

    // Of source and target, each in a transaction, whether they are one database and mean the same by a query.

    /// Leaves a mark in the database, until the transaction ends.
    ///
    /// # Errors
    /// As the server says.
    async fn mark_database(&self, key: i64) -> Result<()>;

    /// Whether another session has left the mark in this database.
    ///
    /// # Errors
    /// As the server says.
    async fn is_marked(&self, key: i64) -> Result<bool>;

    /// Settings of the users' own that the connection sets.
    fn settings_of_connection(&self) -> Vec<String>;

    /// Settings of the users' own that a role or the database sets.
    ///
    /// # Errors
    /// As the server says.
    async fn settings_of_database(&self) -> Result<Vec<String>>;

    /// On what a query's meaning depends, and those settings of the users' own: each by its name, the role as `role`.
    ///
    /// # Errors
    /// As the server says.
    async fn meaning(&self, settings: &[String]) -> Result<Vec<(String, String)>>;

    /// What a query calls that may write, where a transaction that writes would let it.
    ///
    /// # Errors
    /// As the server says of anything but the query.
    async fn calls_that_write(&self, query: &str) -> Result<Option<String>> {
        let _ = query;
        Ok(None)
    }

    /// Whether the session's role reads a query's rows otherwise than the role of the source does, and why.
    ///
    /// # Errors
    /// As the server says of anything but the query.
    async fn reads_otherwise(&self, query: &str) -> Result<Option<String>>;
}
