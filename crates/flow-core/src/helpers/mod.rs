//! Helpers: steps over all rows of the source before the load, in the words of SQL. Pure: each is a layer around the
//! rows that reach it; nothing is ever created in a source.
//!
//! To add one: a file, its line in [`ALL`], its function in Python, its section in the manual.

mod deduplicate_by;
mod explode;
mod filter_where;
mod flatten;
mod helping;
mod limit;
mod rename;
mod rows;
mod sample_pct;
mod select;
mod with_column;
mod written;

pub use helping::{Base, Helping, at_step, is_own};
pub use rows::{Layer, Rows};
pub use written::Written;

use crate::arguments::{Arguments, known};
use crate::error::{Location, Result};
use crate::sql::Ident;
use std::fmt;
use std::sync::Arc;

/// One step over all rows.
pub trait Helper: fmt::Debug + Send + Sync {
    /// The name in pipelines.toml and in Python.
    fn name(&self) -> &'static str;
    /// The layer around the rows that reach it.
    ///
    /// # Errors
    /// `unknown_column` for a column that they do not have, `invalid_value` for one of another type than it takes.
    fn layer(&self, rows: &Rows<'_>) -> Result<Layer>;
    /// The columns that rows have had before it, where these are known behind it.
    fn before(&self, _after: &mut Vec<Ident>) {}
    /// Why the rows that it leaves do not tell which rows are gone; `None` where they do.
    fn hides(&self) -> Option<&'static str> {
        None
    }
    /// Whether which rows it leaves out depends on nothing that a row holds, so that the next reading may begin behind
    /// rows that were never loaded.
    fn leaves_out_any(&self) -> bool {
        false
    }
    /// Whether it keeps a row that a later one of its key would take the place of, by this column: rows that were dropped
    /// are read again alone, with a watermark, unless those that stay are the latest by it.
    fn drops_later(&self, _watermark: &str) -> bool {
        false
    }
    /// Whether a row leaves it for each row that reaches it.
    fn keeps_rows(&self) -> bool {
        false
    }
    /// Whether it drops rows that are counted.
    fn counts(&self) -> bool {
        false
    }
}

/// How a helper is read.
type Read = fn(&Arguments<'_>) -> Result<Arc<dyn Helper>>;

/// Every helper, with its reader.
const ALL: &[(&str, Read)] = &[
    ("deduplicate_by", deduplicate_by::read),
    ("filter_where", filter_where::read),
    ("limit", limit::read),
    ("sample_pct", sample_pct::read),
    ("rename", rename::read),
    ("select", select::read),
    ("with_column", with_column::read),
    ("explode", explode::read),
    ("flatten", flatten::read),
];

/// A helper of a pipeline, and where it was written.
#[derive(Clone, Debug)]
pub struct Step {
    /// The helper.
    pub helper: Arc<dyn Helper>,
    /// Its place.
    pub place: Option<Location>,
}

/// Reads a helper.
///
/// # Errors
/// `invalid_value` for what is no helper, and what its reader says of its arguments.
pub fn read(written: &Written) -> Result<Arc<dyn Helper>> {
    let (name, given) = written.parts()?;
    let (name, read) = known(name, ALL, "helper")?;
    read(&Arguments::new(name, given))
}
