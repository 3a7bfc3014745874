//! Expectations: what the rows of a run must hold before they stand, in the words of SQL. Pure: an expectation gives the
//! condition that a row breaks, or that all rows together do; nobody is asked here.
//!
//! To add one: its file, its line in [`ALL`], its method in Python, its section in the manual.

mod accepted_values;
mod freshness;
mod in_range;
mod matches;
mod not_null;
mod references;
mod row_count;
mod sql;
mod unique;
mod written;

pub use written::{Policy, Written};

use crate::arguments::Arguments;
use crate::dialect::{Dialect, Measure};
use crate::error::{ErrorCode, FlowError, Location, Result, did_you_mean};
use crate::markers::{self, Family};
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::TypeFacts;
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;

/// One question to the rows of a run.
pub trait Expectation: fmt::Debug + Send + Sync {
    /// The columns that it names.
    fn columns(&self) -> Vec<&Ident>;
    /// The columns whose values say why a row fails.
    fn shown(&self) -> Vec<&Ident> {
        self.columns()
    }
    /// Whether it says of a single row that it fails, so that such a row can be put aside.
    fn judges_rows(&self) -> bool {
        true
    }
    /// Holds its values to the types of its columns, as far as those are known.
    ///
    /// # Errors
    /// `invalid_value`.
    fn fits(&self, family: &dyn Fn(&Ident) -> Option<Family>) -> Result<()> {
        let _ = family;
        Ok(())
    }
    /// What it asks of those rows.
    ///
    /// # Errors
    /// `invalid_value` where the type of a column cannot be asked that.
    fn question(&self, rows: &Rows<'_>) -> Result<Question>;
}

/// A value as it stands beside those of a column: times that name no zone are in UTC.
///
/// # Errors
/// `invalid_value` for what is no such value.
fn literal_of(kind: &str, value: &Json, column: &Ident, rows: &Rows<'_>) -> Result<Sql> {
    let family = match rows.dialect.measure((rows.type_of)(column)) {
        Measure::Instant { .. } => Some(Family::TimestampTz),
        Measure::LocalTime => Some(Family::Timestamp),
        Measure::Date => Some(Family::Date),
        Measure::Number | Measure::Unmeasured => None,
    };
    markers::literal_of(kind, value, family)
}

/// The rows that are asked, each an `s`.
pub struct Rows<'a> {
    /// The words of the database that has them.
    pub dialect: &'a dyn Dialect,
    /// The table that they are in.
    pub table: &'a QualifiedName,
    /// The types of their columns.
    pub type_of: &'a dyn Fn(&Ident) -> &'a TypeFacts,
    /// The columns by which repetitions were counted already, and how many of them there are.
    pub repeated: Option<(&'a [Ident], Sql)>,
    /// The instant of the run.
    pub instant: Sql,
    /// Where they will stand.
    pub target: &'a QualifiedName,
    /// Which rows `r` of it will stand beside them; `None` where none will.
    pub stays: Option<Sql>,
}

/// What is asked.
pub enum Question {
    /// Whether a row fails, for itself alone.
    EachRow(Sql),
    /// Whether a row fails beside others: it takes a reading of its own.
    Among {
        /// Whether a row fails.
        fails: Sql,
        /// A number that is 0 where none does, cheaper than to ask each.
        suspects: Sql,
    },
    /// Whether all of them fail together, by aggregates.
    Together {
        /// Whether they do.
        fails: Sql,
        /// What is shown of them, as text, and its name.
        shown: (String, Sql),
    },
}

/// How an expectation is read; the last finds a declared table by its key.
type Read = fn(&Arguments<'_>, &dyn Fn(&str) -> Option<QualifiedName>) -> Result<Arc<dyn Expectation>>;

/// Every expectation, with its reader.
const ALL: &[(&str, Read)] = &[
    ("not_null", not_null::read),
    ("unique", unique::read),
    ("accepted_values", accepted_values::read),
    ("in_range", in_range::read),
    ("matches", matches::read),
    ("row_count", row_count::read),
    ("freshness", freshness::read),
    ("references", references::read),
    ("sql", sql::read),
];

/// An expectation of a pipeline, and what becomes of rows that fail it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The name of its kind.
    pub kind: &'static str,
    /// As it is written, without its policy: `not_null = "email"`.
    pub text: String,
    /// What becomes of rows that fail it.
    pub policy: Policy,
    /// What it asks.
    pub expectation: Arc<dyn Expectation>,
    /// Where it is written.
    pub place: Option<Location>,
}

impl Expected {
    /// Reads one; `tables` finds a declared table by its key.
    ///
    /// # Errors
    /// `invalid_value` for what is no expectation, for wrong arguments and for a policy that there is not;
    /// `unknown_option`, `missing_option`.
    pub fn read(written: &Written, tables: &dyn Fn(&str) -> Option<QualifiedName>) -> Result<Expected> {
        let parts = written.parts()?;
        let Some((kind, read)) = ALL.iter().find(|(kind, _)| *kind == parts.kind) else {
            let error =
                FlowError::new(ErrorCode::InvalidValue, format!("there is no expectation `{}`", parts.kind));
            let names = ALL.iter().map(|(name, _)| *name);
            return Err(match did_you_mean(parts.kind, names.clone()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("the expectations are {}", names.collect::<Vec<_>>().join(", "))),
            });
        };
        let expectation = read(&Arguments::new(kind, Some(parts.given)), tables)?;
        if parts.policy == Policy::Quarantine && !expectation.judges_rows() {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{kind}` asks all rows together: there is none to put in quarantine"),
            )
            .hint("write policy = \"fail\" or \"warn\""));
        }
        Ok(Expected { kind, text: parts.text(), policy: parts.policy, expectation, place: None })
    }

    /// An error of this one, at its place.
    pub fn located(&self, error: FlowError) -> FlowError {
        match &self.place {
            Some(place) => error.at(place.clone()),
            None => error,
        }
    }
}

/// The name of a column.
fn column(arguments: &Arguments<'_>, text: String) -> Result<Ident> {
    Ident::new(text).map_err(|error| arguments.of_this(error))
}

/// Refuses to compare values of a type that has no `=`.
fn comparable(kind: &str, name: &Ident, data_type: &TypeFacts) -> Result<()> {
    match data_type.name == "json" {
        true => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("`{kind}`: values of `{name}` are json, which cannot be compared"),
        )
        .hint("declare the column as jsonb or text")),
        false => Ok(()),
    }
}
