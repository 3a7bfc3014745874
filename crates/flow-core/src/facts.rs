//! What was read from the databases before a plan is made. Values only: the planner asks nobody.

mod part;
mod rewind;

pub use part::SourcePart;
pub use rewind::{PastDeclaration, PastRun, PastWatermark, RewindFacts, RunNamed, Written};

use crate::markers::Raw;
use crate::schema::{LiveIndex, LiveTable};
use crate::sql::QualifiedName;
use crate::types::TypeFacts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Everything a plan depends on beside the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The run.
    pub run: RunFacts,
    /// The path as far as proof decides it: one database, or rows that are staged unless the client compares.
    pub path: ExecutionPath,
    /// Why that path.
    pub path_reason: String,
    /// The source.
    pub source: SourceFacts,
    /// The target.
    pub target: TargetFacts,
    /// The stored watermark of the pipeline.
    pub watermark: Option<StoredWatermark>,
    /// Whether append's ledger has rows of the pipeline.
    pub has_ledger: bool,
    /// What a late commit cannot be older than.
    pub cap: Cap,
    /// Types of declared columns that only the server knows, by their declared text.
    pub native_types: BTreeMap<String, TypeFacts>,
    /// Why a comparison in the client that had begun was given up, before a row was written.
    pub client_diff_given_up: Option<String>,
    /// Whether everything was assumed, without a server.
    pub assumed: bool,
    /// The path on which the rows came into the target's database, where that was before this load reads them.
    pub came_by: Option<ExecutionPath>,
    /// How this run alone has them at hand.
    pub at_hand: Option<AtHand>,
}

/// Rows that came for one load, and for no other.
#[derive(Clone, Debug, PartialEq)]
pub enum AtHand {
    /// In a table, which can be the load's stage.
    In(QualifiedName),
    /// They are still to come, by what is named here: into the target itself.
    ToCome(String),
}

/// Where the rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ExecutionPath {
    /// Source and target are one database.
    #[serde(rename = "same_db")]
    SameDatabase,
    /// Rows are staged in the target.
    #[serde(rename = "staging")]
    Staging,
    /// Hashes are compared in the client.
    #[serde(rename = "client_diff")]
    ClientDiff,
}

impl ExecutionPath {
    /// The word, as in `force_path`.
    pub const fn name(self) -> &'static str {
        match self {
            ExecutionPath::SameDatabase => "same_db",
            ExecutionPath::Staging => "staging",
            ExecutionPath::ClientDiff => "client_diff",
        }
    }
}

/// The run for which a plan is made.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFacts {
    /// Its id.
    pub id: String,
    /// Its instant: closes old versions and opens new ones. ISO 8601 with offset.
    pub instant: String,
    /// Whether the plan will be rolled back.
    pub dry_run: bool,
    /// Rows of the sample that a dry-run shows.
    pub sample: usize,
    /// Whether the watermark is ignored.
    pub full_scan: bool,
    /// The part of the source that is loaded again, where it is not all.
    pub part: Option<SourcePart>,
    /// The version of ematix-flow.
    pub version: &'static str,
}

/// What is known of the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceFacts {
    /// The columns of the query, in their order.
    pub columns: Vec<SourceColumn>,
    /// The one table that a simple query reads, if it is a plain table.
    pub relation: Option<Relation>,
    /// The one table whose rows any other query picks, where that was asked.
    pub picked: Option<PickedRows>,
    /// What its clock said before the reading: ISO 8601, UTC. Asked where there is an incremental column.
    pub clock: Option<String>,
    /// The values between two markers whose types only the server knows.
    pub told: Vec<SourceColumn>,
    /// The columns that markers clean, with the types that they have then.
    pub cleaned: Vec<SourceColumn>,
    /// The columns behind each helper, in their order; those out of sight too.
    pub helped: Vec<Vec<SourceColumn>>,
    /// The columns in sight behind the last helper, where there are helpers.
    pub shown: Option<Vec<SourceColumn>>,
}

impl SourceFacts {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&SourceColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that reach the load, as far as markers do not clean them.
    pub fn given(&self) -> &[SourceColumn] {
        self.shown.as_deref().unwrap_or(&self.columns)
    }

    /// The names of columns.
    pub fn names(columns: &[SourceColumn]) -> Vec<&str> {
        columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The column of that name as it is loaded: behind the last helper, or cleaned, where markers clean it.
    pub fn loaded(&self, name: &str) -> Option<&SourceColumn> {
        if let Some(shown) = &self.shown {
            return shown.iter().find(|column| column.name == name);
        }
        self.cleaned.iter().find(|column| column.name == name).or_else(|| self.column(name))
    }

    /// The values between two markers, as markers see them.
    pub fn told(&self) -> Vec<Raw<'_>> {
        self.told.iter().map(|column| Raw { name: &column.name, data_type: &column.data_type }).collect()
    }

    /// The columns as markers see them.
    pub fn raw(&self) -> Vec<Raw<'_>> {
        self.columns.iter().map(|column| Raw { name: &column.name, data_type: &column.data_type }).collect()
    }
}

/// A column of the source's query.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: TypeFacts,
    /// Whether the table it comes from stamps it with its own clock: a now() default or a BEFORE trigger.
    pub stamped: bool,
    /// The type of a column made after it, where the target does not have its own.
    pub inferred: Option<String>,
}

impl SourceColumn {
    /// The type of a column made after it.
    pub fn inferred_type(&self) -> &str {
        self.inferred.as_deref().unwrap_or(&self.data_type.name)
    }
}

/// A plain table that the source reads whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// The table's name as it may stand in SQL.
    pub sql: String,
    /// Sets of columns that a unique index covers and that may not be NULL.
    pub unique: Vec<Vec<String>>,
    /// Columns that may not be NULL.
    pub not_null: Vec<String>,
    /// The columns of the primary key.
    pub primary_key: Vec<String>,
    /// Rows, as the planner estimates them.
    pub estimated_rows: f64,
    /// The pages of its file, where its rows lie in one and its engine can read a part of them.
    pub pages: Option<u64>,
    /// How far the table's order follows a column that leads an index, from -1 to 1 by column, where that was asked.
    pub correlation: BTreeMap<String, f64>,
    /// What the table and its columns hold, as its comments say.
    pub comments: Comments,
}

/// Rows that a query picks from one plain table: each of the table's once or not at all, and the same however often
/// one statement asks.
#[derive(Clone, Debug, PartialEq)]
pub struct PickedRows {
    /// The table, with what it promises of the columns that the query passes on as they are, by the query's names.
    pub relation: Relation,
    /// What these columns are called in the table, by the query's names.
    pub columns: BTreeMap<String, String>,
}

impl PickedRows {
    /// What a query picks of a table; `columns` says what the table's columns are called that it passes on as they are,
    /// by its own names.
    pub fn of(table: Relation, columns: BTreeMap<String, String>) -> PickedRows {
        let own = |name: &String| {
            columns.iter().find(|(_, original)| *original == name).map(|(passed_on, _)| passed_on.clone())
        };
        let all = |names: &Vec<String>| names.iter().map(own).collect::<Option<Vec<String>>>();
        let relation = Relation {
            unique: table.unique.iter().filter_map(all).collect(),
            not_null: table.not_null.iter().filter_map(own).collect(),
            primary_key: all(&table.primary_key).unwrap_or_default(),
            comments: Comments::default(),
            ..table
        };
        PickedRows { relation, columns }
    }

    /// Takes how far the table's order follows its columns.
    pub fn take_correlation(&mut self, of_table: &BTreeMap<String, f64>) {
        let passed_on = self.columns.iter();
        self.relation.correlation =
            passed_on.filter_map(|(name, original)| Some((name.clone(), *of_table.get(original)?))).collect();
    }
}

impl Relation {
    /// The table of that name, by its columns that may not be NULL and its indexes.
    pub fn of(sql: String, not_null: Vec<String>, indexes: &[LiveIndex], estimated_rows: f64) -> Relation {
        let is_not_null = |name: &String| not_null.contains(name);
        let unique = indexes
            .iter()
            .filter(|index| index.is_unique_where(None) && index.columns.iter().all(is_not_null));
        Relation {
            sql,
            unique: unique.map(|index| index.columns.clone()).collect(),
            primary_key: indexes
                .iter()
                .find(|index| index.primary)
                .map(|index| index.columns.clone())
                .unwrap_or_default(),
            estimated_rows,
            pages: None,
            correlation: BTreeMap::new(),
            comments: Comments::default(),
            not_null,
        }
    }
}

/// What a table and its columns hold, as comments say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comments {
    /// Of the table.
    pub table: Option<String>,
    /// Of its columns, by name.
    pub columns: BTreeMap<String, String>,
}

/// What is known of the target.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TargetFacts {
    /// Whether its schema exists.
    pub schema_exists: bool,
    /// The table, if it exists.
    pub live: Option<LiveTable>,
    /// How far its order follows a column that leads an index, as of [`Relation::correlation`].
    pub correlation: BTreeMap<String, f64>,
    /// What our metadata remember of it.
    pub record: Option<TargetRecord>,
    /// Privileges that the role lacks, as GRANT statements.
    pub missing_privileges: Vec<MissingPrivilege>,
    /// The table of its rejected rows, if it exists; where none may be put aside, if it has rows that may come good.
    pub rejected: Option<Box<LiveTable>>,
    /// What stands beside it, where it is a feature view's.
    pub feature: Option<Box<FeatureFacts>>,
}

/// What stands beside the table of a feature view.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FeatureFacts {
    /// The relation that has the view's name.
    pub view: Option<LiveRelation>,
    /// The one that has the name of what is served.
    pub online: Option<LiveRelation>,
    /// The versions of the view that are entered in the metadata.
    pub versions: Vec<RegisteredView>,
}

/// A relation, as far as its kind matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRelation {
    /// What it is.
    pub kind: RelationKind,
    /// The GRANT statements that give it to whom it was given.
    pub grants: Vec<String>,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A table of some sort.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
}

impl fmt::Display for RelationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RelationKind::Table => "a table",
            RelationKind::View => "a view",
            RelationKind::MaterializedView => "a materialised view",
        })
    }
}

/// A version of a feature view, as the last run that changed it has entered it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegisteredView {
    /// The version.
    pub version: String,
    /// Whether the view shows it.
    pub is_shown: bool,
    /// The text by which a view that is right is known.
    pub view_digest: Option<String>,
    /// Whether it has a relation for serving.
    pub online_relation: bool,
    /// The text by which one that is right is known.
    pub online_digest: Option<String>,
    /// The same of all that is entered.
    pub digest: String,
}

/// A privilege that the role lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPrivilege {
    /// What is missing, in words: `INSERT on table analytics.dim`.
    pub what: String,
    /// The statement that mends it.
    pub grant: String,
}

/// What the metadata remember of a target.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TargetRecord {
    /// Grows with every run that wrote rows.
    pub generation: i64,
    /// The compare columns of its hashes.
    pub compare_set: Option<Vec<String>>,
    /// Sets of compare columns that it had before, oldest first.
    pub earlier_sets: Vec<Vec<String>>,
    /// The version of the encoding of its hashes.
    pub encoding_version: Option<i32>,
    /// The fingerprint of the declaration under which it was last written.
    pub fingerprint: Option<String>,
    /// The keys by which rows were matched last.
    pub keys: Vec<String>,
    /// The columns that load strategies have kept in it, whichever pipeline asked for them.
    pub kept_columns: Vec<String>,
    /// Every column that a pipeline has declared of it, those that strategies keep among them.
    pub known_columns: Vec<String>,
    /// How long its events hold at most, as the last run had it.
    pub ttl: Option<String>,
}

/// A stored watermark.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWatermark {
    /// The incremental column.
    pub column: String,
    /// The greatest value that was read, as text of the column's type.
    pub last_value: Option<String>,
    /// Where the next reading begins; never after `last_value`.
    pub read_from: Option<String>,
    /// Since where append's ledger is complete.
    pub covered_from: Option<String>,
    /// The columns by which append's ledger knows a row.
    pub identity: Option<Vec<String>>,
    /// The target that was loaded up to it; `None` where a person set it.
    pub target: Option<String>,
}

/// How far rows that commit late are covered.
#[derive(Clone, Debug, PartialEq)]
pub enum Cap {
    /// The start of the oldest transaction that was running before this reading's snapshot, less a second.
    At(String),
    /// It cannot be told, and why.
    Unknown(String),
}
