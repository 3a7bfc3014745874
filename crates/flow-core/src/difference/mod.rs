//! In which rows two tables or queries differ, by key. Pure: what is known of both sides becomes a comparison, and the
//! comparison its statements; whoever runs them has the sessions.
//!
//! In one database one statement joins both sides. Of two, each server sums digests of its rows by ranges of digests of
//! their keys, so that no order and no collation has a part in it; only ranges whose sums differ are looked into, by the
//! digest of each key and row; or both are read whole. What "differs" means is what the row hash says, as for a load.

mod forms;
mod of_pipeline;
mod report;
mod statements;

pub use forms::common_form;
pub use of_pipeline::of_pipeline;
pub use report::{ColumnDifference, DiffReport, DiffSample, SideReport};
pub use statements::{BUCKETS, SAMPLED_BUCKETS, Sent};

use crate::dialect::{Crossing, Dialect};
use crate::error::{ErrorCode, FlowError, Result};
use crate::hash::Normal;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first.
    A,
    /// The second.
    B,
}

impl Which {
    /// Both.
    pub const BOTH: [Which; 2] = [Which::A, Which::B];

    /// Its name in what is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Which::A => "A",
            Which::B => "B",
        }
    }

    /// Its alias in statements that read both.
    pub const fn alias(self) -> &'static str {
        match self {
            Which::A => "a",
            Which::B => "b",
        }
    }
}

/// What is known of a side.
#[derive(Clone)]
pub struct Side {
    /// What it is called in messages.
    pub name: String,
    /// Its rows, as they stand in FROM: a table, or a query in parentheses.
    pub rows: Sql,
    /// Its columns, in their order.
    pub columns: Vec<SideColumn>,
    /// The columns by which its rows are known.
    pub keys: Vec<String>,
    /// Where that stands, in words.
    pub keys_reason: String,
    /// Sets of columns that no two of its rows have alike.
    pub unique: Vec<Vec<String>>,
    /// Columns that are never NULL.
    pub not_null: Vec<String>,
    /// About how many rows it has, where a table says it.
    pub estimated_rows: Option<f64>,
    /// The words of its database.
    pub dialect: &'static dyn Dialect,
}

/// A column of a side.
#[derive(Clone, Debug, PartialEq)]
pub struct SideColumn {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: TypeFacts,
    /// Whether nobody is shown its values.
    pub hidden: bool,
}

/// What is asked of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The keys; those of a side where none are said.
    pub keys: Vec<String>,
    /// The columns that are compared; all that both have where none are said.
    pub columns: Vec<String>,
    /// Columns that are not.
    pub except: Vec<String>,
    /// Which rows of both take part, the user's SQL.
    pub condition: Option<String>,
}

/// A column that both sides have.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its name.
    pub name: Ident,
    /// Its type in A.
    pub a: TypeFacts,
    /// Its type in B.
    pub b: TypeFacts,
    /// The form in which values of both are compared.
    pub form: Normal,
    /// Whether nobody is shown its values.
    pub hidden: bool,
}

impl Pair {
    /// Its type on a side.
    pub fn data_type(&self, which: Which) -> &TypeFacts {
        match which {
            Which::A => &self.a,
            Which::B => &self.b,
        }
    }

    /// As what values of two types are compared, in words; `None` where each is compared as it is.
    pub fn compared_as(&self) -> Option<&'static str> {
        (self.a.normal != self.b.normal).then(|| self.form.name())
    }
}

/// What is compared with what.
pub struct Comparison {
    a: Side,
    b: Side,
    /// The keys.
    pub keys: Vec<Pair>,
    /// Where the keys stand, in words.
    pub keys_reason: String,
    /// The columns that are compared.
    pub compared: Vec<Pair>,
    /// Columns of A that B does not have.
    pub only_in_a: Vec<String>,
    /// Columns of B that A does not have.
    pub only_in_b: Vec<String>,
}

impl Comparison {
    /// Pairs the columns of both sides; `across`: they are in two databases.
    ///
    /// # Errors
    /// `missing_keys`, `unknown_column`, `invalid_value` for columns that cannot be compared, `unsupported_by_engine`.
    pub fn of(a: Side, b: Side, wanted: &Wanted, across: bool) -> Result<Comparison> {
        if let Some(side) = [&a, &b].into_iter().find(|side| side.dialect.differing().is_none()) {
            let engine = side.dialect.engine();
            let message = format!("{} is on {engine}, whose rows flow cannot compare", side.name);
            return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message)
                .hint("both sides are tables or queries of Postgres"));
        }
        let (a, b) = (filtered(a, wanted)?, filtered(b, wanted)?);
        let (names, keys_reason) = keys(&a, &b, wanted)?;
        let pair = |name: &str| pair(&a, &b, name, across);
        let keys = names.iter().map(|name| pair(name)).collect::<Result<Vec<_>>>()?;
        let is_unknown = |name: &&String| find(&a, name).is_none() && find(&b, name).is_none();
        if let Some(name) = wanted.except.iter().find(is_unknown) {
            return Err(unknown(name, &[&a, &b]));
        }
        let is_compared = |name: &str| {
            !names.iter().any(|key| key == name) && !wanted.except.iter().any(|except| except == name)
        };
        let asked: Vec<String> = match wanted.columns.is_empty() {
            false => wanted.columns.clone(),
            true => a
                .columns
                .iter()
                .filter(|column| find(&b, column.name.as_str()).is_some())
                .map(|column| column.name.to_string())
                .collect(),
        };
        let mut compared: Vec<Pair> = Vec::new();
        for name in asked.iter().filter(|name| is_compared(name)) {
            if !compared.iter().any(|known| known.name.as_str() == name) {
                compared.push(pair(name)?);
            }
        }
        let lacks = |one: &Side, other: &Side| {
            let names = one.columns.iter().map(|column| column.name.as_str());
            names
                .filter(|name| find(other, name).is_none() && is_compared(name))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        // Who names columns has chosen.
        let (only_in_a, only_in_b) = match wanted.columns.is_empty() {
            true => (lacks(&a, &b), lacks(&b, &a)),
            false => (Vec::new(), Vec::new()),
        };
        Ok(Comparison { a, b, keys, keys_reason, compared, only_in_a, only_in_b })
    }

    /// A side.
    pub fn side(&self, which: Which) -> &Side {
        match which {
            Which::A => &self.a,
            Which::B => &self.b,
        }
    }

    /// Whether the database itself promises that each row of the side has a key of its own.
    pub fn keys_are_proved(&self, which: Which) -> bool {
        let side = self.side(which);
        let is_key = |name: &String| self.keys.iter().any(|key| key.name.as_str() == name);
        side.unique.iter().any(|unique| unique.iter().all(is_key))
            && self.keys.iter().all(|key| side.not_null.iter().any(|name| name == key.name.as_str()))
    }

    /// The names of the keys.
    pub fn key_names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.name.to_string()).collect()
    }
}

fn find<'s>(side: &'s Side, name: &str) -> Option<&'s SideColumn> {
    side.columns.iter().find(|column| column.name.as_str() == name)
}

/// The side with those of its rows alone that take part.
fn filtered(mut side: Side, wanted: &Wanted) -> Result<Side> {
    if let Some(condition) = &wanted.condition {
        crate::query::check_expression(condition)?;
        side.rows = crate::sql!(
            "(SELECT q.* FROM {rows} AS q WHERE {condition})",
            rows = side.rows,
            condition = Sql::user(condition)
        );
    }
    Ok(side)
}

fn keys(a: &Side, b: &Side, wanted: &Wanted) -> Result<(Vec<String>, String)> {
    if !wanted.keys.is_empty() {
        return Ok((wanted.keys.clone(), "said".to_owned()));
    }
    for (side, other) in [(a, b), (b, a)] {
        if !side.keys.is_empty() && side.keys.iter().all(|key| find(other, key).is_some()) {
            return Ok((side.keys.clone(), side.keys_reason.clone()));
        }
    }
    let words = match (a.keys.is_empty(), b.keys.is_empty()) {
        (true, true) => "neither has a primary key".to_owned(),
        (false, _) => format!("the other does not have the key of A ({})", a.keys.join(", ")),
        (true, false) => format!("the other does not have the key of B ({})", b.keys.join(", ")),
    };
    let message = format!("by which columns are rows of {} and {} the same? {words}", a.name, b.name);
    Err(FlowError::new(ErrorCode::MissingKeys, message).hint("say it: --keys id, or --keys id,region"))
}

fn unknown(name: &str, sides: &[&Side]) -> FlowError {
    let message = match sides {
        [one] => format!("{} has no column `{name}`", one.name),
        _ => format!("neither side has a column `{name}`"),
    };
    let mut error = FlowError::new(ErrorCode::UnknownColumn, message);
    for side in sides {
        let names: Vec<&str> = side.columns.iter().map(|column| column.name.as_str()).collect();
        error = error.detail(format!("{} has: {}", side.name, names.join(", ")));
    }
    error
}

fn pair(a: &Side, b: &Side, name: &str, across: bool) -> Result<Pair> {
    let found = |side: &Side| find(side, name).cloned().ok_or_else(|| unknown(name, &[side]));
    let (of_a, of_b) = (found(a)?, found(b)?);
    let travels = |side: &Side, column: &SideColumn| match (
        across,
        side.dialect.crossing(&column.data_type, &column.data_type),
    ) {
        (true, Crossing::Refused(why)) => Err(why),
        _ => Ok(()),
    };
    let form = travels(a, &of_a)
        .and_then(|()| travels(b, &of_b))
        .and_then(|()| common_form(&of_a.data_type, &of_b.data_type));
    match form {
        Ok(form) => Ok(Pair {
            name: of_a.name,
            hidden: of_a.hidden || of_b.hidden,
            a: of_a.data_type,
            b: of_b.data_type,
            form,
        }),
        Err(why) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!(
                "the column `{name}` cannot be compared ({} in A, {} in B): {why}",
                of_a.data_type.name, of_b.data_type.name
            ),
        )
        .hint(format!(
            "leave it out, --exclude-columns {name}; or cast it in a query: {name}::text AS {name}"
        ))),
    }
}
