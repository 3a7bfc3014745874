//! A feature view as it is read, and which of a key's events answers at an instant. Pure.
//!
//! Of a key's events only the newest up to the instant can answer, and it does while its time to live lasts and unless
//! it is a tombstone. One index entry is read, however long the key's history is.

use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::pipeline::ONLINE;
use crate::schema::{LiveColumn, LiveTable};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::strategies::{self, RUN, SUPERSEDED_BY};
use crate::types::TypeFacts;
use serde::Deserialize;

/// A feature view as whoever reads it declares it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeclaredView {
    /// The schema of everything that it consists of.
    pub schema: Ident,
    /// Its name, without the version.
    pub name: Ident,
    /// Its version.
    pub version: String,
    /// The entity's keys.
    pub keys: Vec<Ident>,
    /// The declared columns, the keys among them.
    pub columns: Vec<Ident>,
    /// How long an event answers.
    #[serde(default)]
    pub ttl: Option<Duration>,
    /// Whether its newest features are kept apart to be served.
    #[serde(default)]
    pub online: bool,
}

/// A feature view that was loaded: what is declared, and what the load has entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadView {
    /// What is declared.
    pub declared: DeclaredView,
    /// By which names its columns are read.
    pub kept: Kept,
}

/// The columns that the load keeps, by the names that the pipeline gave them, as they are entered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Kept {
    /// When an event begins to answer.
    pub effective_from: Ident,
    /// When it ceases to.
    pub effective_to: Ident,
    /// Whether it is a tombstone.
    pub deleted_flag: Ident,
}

impl DeclaredView {
    /// Its name with the schema, as it is entered.
    pub fn qualified(&self) -> QualifiedName {
        QualifiedName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// `user_features_v1`, by which two versions of one view are told apart.
    pub fn versioned(&self) -> String {
        format!("{}_{}", self.name, self.version)
    }

    /// The table of its events.
    ///
    /// # Errors
    /// `name_too_long`.
    pub fn table(&self) -> Result<QualifiedName> {
        self.relation("")
    }

    /// What it was before it was corrected.
    ///
    /// # Errors
    /// `name_too_long`.
    pub fn superseded(&self) -> Result<QualifiedName> {
        Ok(strategies::superseded(&self.table()?))
    }

    /// Its newest features.
    ///
    /// # Errors
    /// `name_too_long`.
    pub fn online_relation(&self) -> Result<QualifiedName> {
        self.relation(ONLINE)
    }

    fn relation(&self, end: &str) -> Result<QualifiedName> {
        Ok(QualifiedName {
            schema: self.schema.clone(),
            name: Ident::new(format!("{}{end}", self.versioned()))?,
        })
    }

    /// The columns that are no keys.
    pub fn features(&self) -> impl Iterator<Item = &Ident> {
        self.columns.iter().filter(|column| !self.keys.contains(column))
    }

    /// A live column of its table.
    ///
    /// # Errors
    /// `unknown_column` where the table does not have what is declared.
    pub fn live<'a>(&self, table: &'a LiveTable, column: &Ident) -> Result<&'a LiveColumn> {
        table.column(column.as_str()).ok_or_else(|| {
            FlowError::new(
                ErrorCode::UnknownColumn,
                format!("the table of the feature view `{}` has no column `{column}`", self.name),
            )
            .hint("load it: a run says what differs from the declaration, and mends it with migrate = true")
        })
    }

    /// What is said of a view that no load has entered.
    pub fn never_loaded(&self) -> FlowError {
        FlowError::new(
            ErrorCode::UnknownTable,
            format!(
                "the feature view `{}` was never loaded into this database in its version {}",
                self.qualified(),
                self.version
            ),
        )
        .hint(format!(
            "`flow features materialize {}` loads it; or look whether the connection leads to its database",
            self.name
        ))
    }

    /// What is said of a relation that is not there.
    pub fn missing(&self, relation: &QualifiedName) -> FlowError {
        FlowError::new(
            ErrorCode::UnknownTable,
            format!("{relation} of the feature view `{}` is not there", self.name),
        )
        .hint(format!(
            "`flow features materialize {}` makes it, by the pipeline that fills the view",
            self.name
        ))
    }

    /// Those of its columns that are wanted, in the order in which they are named; all unless said.
    ///
    /// # Errors
    /// `unknown_column`.
    pub fn wanted(&self, columns: Option<&[String]>) -> Result<Vec<Ident>> {
        let Some(columns) = columns else { return Ok(self.columns.clone()) };
        let known = || self.columns.iter().map(Ident::as_str);
        columns
            .iter()
            .map(|name| match self.columns.iter().find(|column| column.as_str() == name) {
                Some(column) => Ok(column.clone()),
                None => Err(FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!("the feature view `{}` has no column `{name}`", self.name),
                )
                .hint(nearest(name, known()))),
            })
            .collect()
    }
}

impl ReadView {
    /// Whether an event that answers up to the instant is the answer at it: `event` is the alias of the newest one.
    pub fn answers(&self, event: &'static str, at: &Sql) -> Sql {
        let Kept { effective_to, deleted_flag, .. } = &self.kept;
        sql!(
            "NOT {event}.{deleted_flag} AND ({event}.{effective_to} IS NULL OR {at} < {event}.{effective_to})",
            event = Sql::text(event),
            deleted_flag,
            effective_to,
            at
        )
    }

    /// The same of an event as it was known after an earlier run: later ones have moved its end, so the declared time to
    /// live says it.
    pub fn answered(&self, event: &'static str, at: &Sql) -> Sql {
        let (event, deleted_flag) = (Sql::text(event), &self.kept.deleted_flag);
        let alive = sql!("NOT {event}.{deleted_flag}", event, deleted_flag);
        match &self.declared.ttl {
            None => alive,
            Some(ttl) => sql!("{alive} AND {within}", alive, within = self.is_younger(event, at, ttl)),
        }
    }

    /// Whether less than a length of time has passed since an event.
    pub fn is_younger(&self, event: Sql, at: &Sql, than: &Duration) -> Sql {
        sql!(
            "{at} < {event}.{effective_from} + {length}",
            at,
            event,
            effective_from = self.kept.effective_from,
            length = Postgres.duration(than.as_std())
        )
    }

    /// A key's newest event up to an instant: a row, or none. `keys` are the values, in the order of the keys.
    ///
    /// # Errors
    /// `name_too_long`.
    pub fn newest(&self, columns: &[Sql], keys: &[Sql], at: &Sql) -> Result<Sql> {
        Ok(self.newest_of(&self.declared.table()?, columns, keys, at, Sql::empty()))
    }

    /// The same as it was known after a run.
    ///
    /// # Errors
    /// `name_too_long`.
    pub fn newest_known(&self, columns: &[Sql], keys: &[Sql], at: &Sql, after: i64) -> Result<Sql> {
        let effective_from = &self.kept.effective_from;
        let (run, superseded_by) = (Ident::fixed(RUN), Ident::fixed(SUPERSEDED_BY));
        let after = Literal::Integer(after);
        let written = sql!("\n   AND t.{run} <= {after}", run, after);
        let stood = sql!("{written}\n   AND t.{superseded_by} > {after}", written, superseded_by, after);
        Ok(sql!(
            "SELECT z.*\n  FROM ((\n{standing}\n) UNION ALL (\n{corrected}\n)) AS z\n ORDER BY z.{effective_from} DESC\n LIMIT 1",
            standing = self.newest_of(&self.declared.table()?, columns, keys, at, written),
            corrected = self.newest_of(&self.declared.superseded()?, columns, keys, at, stood),
            effective_from
        ))
    }

    fn newest_of(&self, table: &QualifiedName, columns: &[Sql], keys: &[Sql], at: &Sql, and: Sql) -> Sql {
        let Kept { effective_from, effective_to, deleted_flag } = &self.kept;
        let kept = [effective_from, effective_to, deleted_flag].map(|name| sql!("t.{name}", name));
        sql!(
            "SELECT {columns}\n  FROM {table} AS t\n WHERE {is_key}\n   AND t.{effective_from} <= {at}{and}\n ORDER BY t.{effective_from} DESC\n LIMIT 1",
            columns = Sql::join(columns.iter().cloned().chain(kept), ", "),
            table,
            is_key = self.is_key(keys),
            effective_from,
            at,
            and
        )
    }

    /// Whether a row `t` is of a key.
    pub fn is_key(&self, values: &[Sql]) -> Sql {
        let equal =
            self.declared.keys.iter().zip(values).map(|(key, value)| sql!("t.{key} = {value}", key, value));
        Sql::join(equal, " AND ")
    }
}

/// The name that was probably meant, or all that there are.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match did_you_mean(word, names.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
    }
}

/// Types whose values are read as what they are, and lists of them.
const READ: [&str; 19] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "numeric",
    "text",
    "character varying",
    "bpchar",
    "bytea",
    "uuid",
    "json",
    "jsonb",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
];

/// A value on its way out: as text, where nobody else knows its type.
pub fn readable(data_type: &TypeFacts, value: Sql) -> Sql {
    let (name, is_list) = match data_type.wire.name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (data_type.wire.name.as_str(), data_type.name.ends_with("[]")),
    };
    match (READ.contains(&name), is_list) {
        (true, _) => value,
        (false, true) => Postgres.cast_to(&value, "text[]"),
        (false, false) => Postgres.cast_to(&value, "text"),
    }
}
