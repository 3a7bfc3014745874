//! A spine joined to feature views, each row as of its own instant: one statement for all views. Pure.
//!
//! Each view is joined by LATERAL to the spine, which is sorted by the view's keys and the instant before: neighbours then
//! find the same pages of its index, which halves the time. At last the rows go back into the spine's order. Inside, all
//! columns have names of our own, so that no name of a spine can be in the way.

use super::asof::{ReadView, nearest, readable};
use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::schema::LiveTable;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;

/// A column of a spine.
#[derive(Clone, Debug, PartialEq)]
pub struct SpineColumn {
    /// Its name, which it keeps.
    pub name: String,
    /// Its type.
    pub data_type: TypeFacts,
}

/// A view that is joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The view.
    pub view: ReadView,
    /// Its table as it is.
    pub live: LiveTable,
    /// Events that are older than this do not answer.
    pub max_age: Option<Duration>,
    /// The run after which it was known what is asked for.
    pub known_after: Option<i64>,
}

/// A feature as it comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The column of the view.
    pub column: Ident,
    /// Its name in the training set.
    pub name: String,
}

/// Integers, which are compared with each other by one index.
const INTEGERS: [&str; 3] = ["smallint", "integer", "bigint"];
/// Texts, likewise.
const TEXTS: [&str; 2] = ["text", "character varying"];

/// The name inside of the spine's column at a place, from 0.
pub fn inner(place: usize) -> Ident {
    Ident::new(format!("c{place}")).expect("a letter and a number are a name")
}

/// The name inside of a row's place in the spine.
pub const ROW: &str = "n";
const AT: &str = "at";

/// The statement that gives the training set, and the names of its columns.
///
/// `spine` gives the spine's columns by the names of [`inner`], and [`ROW`].
///
/// # Errors
/// `missing_keys` where the spine lacks a key, naming view and key; `unknown_column` for a column that no view has, or a
/// spine without the time; `invalid_value` for types that cannot be compared; `duplicate_name`.
pub fn training_set(
    spine: &Sql,
    columns: &[SpineColumn],
    as_of: &str,
    views: &[Joined],
    wanted: Option<&[String]>,
) -> Result<(Sql, Vec<String>)> {
    let features = features(columns, views, wanted)?;
    let (row, at) = (Ident::fixed(ROW), Ident::fixed(AT));
    let mut sql = sql!(
        "SELECT s.*, {instant} AS {at}\n  FROM (\n{spine}\n) AS s",
        instant = instant(columns, as_of)?,
        at,
        spine
    );
    let mut sorted_by = None;
    let mut given = Vec::new();
    for (n, (joined, features)) in views.iter().zip(&features).enumerate() {
        let keys = keys(columns, joined)?;
        let places: Vec<usize> = keys.iter().map(|(place, _)| *place).collect();
        let names: Vec<Ident> =
            (0..features.len()).map(|m| Ident::new(format!("f{n}_{m}")).expect("it is a name")).collect();
        if sorted_by.as_ref() != Some(&places) {
            let order = places.iter().map(|place| sql!("s.{name}", name = inner(*place)));
            sql = sql!("{sql}\n ORDER BY {order}, {at}", sql, order = Sql::join(order, ", "), at);
            sorted_by = Some(places);
        }
        let values: Vec<Sql> = keys.into_iter().map(|(_, value)| value).collect();
        let read = joined.read(features, &names, &values)?;
        given.extend(names.iter().cloned());
        sql = sql!(
            "SELECT s.*{names}\n  FROM (\n{sql}\n) AS s\n  LEFT JOIN LATERAL (\n{newest}\n) AS f ON {answers}",
            names = Sql::join(names.iter().map(|name| sql!(", f.{name}", name)), ""),
            sql,
            newest = read.newest,
            answers = read.answers
        );
    }
    let names: Vec<String> = columns
        .iter()
        .map(|column| column.name.clone())
        .chain(features.into_iter().flatten().map(|feature| feature.name))
        .collect();
    let own = columns.iter().enumerate();
    let inside = own
        .map(|(place, column)| readable(&column.data_type, sql!("s.{name}", name = inner(place))))
        .chain(given.iter().map(|name| sql!("s.{name}", name)));
    let outside = names
        .iter()
        .zip(inside)
        .map(|(name, value)| Ok(sql!("{value} AS {name}", value, name = Ident::new(name.clone())?)))
        .collect::<Result<Vec<_>>>()?;
    let all = sql!(
        "SELECT {outside}\n  FROM (\n{sql}\n) AS s\n ORDER BY s.{row}",
        outside = Sql::join(outside, ", "),
        sql,
        row
    );
    Ok((all, names))
}

struct Read {
    newest: Sql,
    answers: Sql,
}

impl Joined {
    fn read(&self, features: &[Feature], names: &[Ident], keys: &[Sql]) -> Result<Read> {
        let at = sql!("s.{at}", at = Ident::fixed(AT));
        let columns = features
            .iter()
            .zip(names)
            .map(|(Feature { column, .. }, name)| {
                let live = self.view.declared.live(&self.live, column)?;
                Ok(sql!(
                    "{value} AS {name}",
                    value = readable(&live.data_type, sql!("t.{column}", column)),
                    name
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let (newest, answers) = match self.known_after {
            None => (self.view.newest(&columns, keys, &at)?, self.view.answers("f", &at)),
            Some(run) => (self.view.newest_known(&columns, keys, &at, run)?, self.view.answered("f", &at)),
        };
        let answers = match &self.max_age {
            None => answers,
            Some(age) => sql!(
                "{answers} AND {within}",
                answers,
                within = self.view.is_younger(Sql::text("f"), &at, age)
            ),
        };
        Ok(Read { newest, answers })
    }
}

/// The instant of a row; a time without a zone is one of UTC.
fn instant(columns: &[SpineColumn], as_of: &str) -> Result<Sql> {
    let known = || columns.iter().map(|column| column.name.as_str());
    let Some(place) = columns.iter().position(|column| column.name == as_of) else {
        return Err(FlowError::new(
            ErrorCode::UnknownColumn,
            format!("the spine has no column `{as_of}`, the time as of which its rows are joined"),
        )
        .hint(format!("{}; as_of_column names another", nearest(as_of, known()))));
    };
    let data_type = &columns[place].data_type;
    let wire = data_type.wire.name.as_str();
    if !["date", "timestamp without time zone", "timestamp with time zone"].contains(&wire) {
        return Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("the spine's column `{as_of}` is {}, and no time", data_type.name),
        )
        .hint(
            "give times: a datetime, a timestamp with time zone, or a date, which is its midnight in UTC",
        ));
    }
    Ok(Postgres.to_instant(data_type, &sql!("s.{name}", name = inner(place))))
}

/// Of each key the place of the spine's column, and what it is compared by.
fn keys(columns: &[SpineColumn], joined: &Joined) -> Result<Vec<(usize, Sql)>> {
    let view = &joined.view.declared;
    view.keys
        .iter()
        .map(|key| {
            let Some(place) = columns.iter().position(|column| column.name == key.as_str()) else {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(FlowError::new(
                    ErrorCode::MissingKeys,
                    format!("the spine has no column `{key}`, a key of the feature view `{}`", view.name),
                )
                .hint(format!("its columns are {}: add the key, or rename one", known.join(", "))));
            };
            let live = view.live(&joined.live, key)?;
            compared(&columns[place], place, &live.data_type).map(|value| (place, value)).ok_or_else(|| {
                let (is, has) = (&columns[place].data_type.name, &live.data_type.name);
                FlowError::new(
                    ErrorCode::InvalidValue,
                    format!(
                        "the spine's column `{key}` is {is}, and the key of the feature view `{}` is {has}",
                        view.name
                    ),
                )
                .hint(format!("cast the spine's column to {has}: as it is, keys would be missed"))
            })
        })
        .collect()
}

/// A key of the spine as a value by which the view's index can be asked; `None` where the types do not fit.
fn compared(column: &SpineColumn, place: usize, to: &TypeFacts) -> Option<Sql> {
    let value = sql!("s.{name}", name = inner(place));
    let (from, to) = (&column.data_type.wire.name, &to.wire.name);
    let both = |kind: &[&str]| kind.contains(&from.as_str()) && kind.contains(&to.as_str());
    let is_text = |name: &str| TEXTS.contains(&name) || name == "bpchar";
    if from == to || both(&INTEGERS) || both(&TEXTS) {
        return Some(value);
    }
    if to == "timestamp with time zone" && ["date", "timestamp without time zone"].contains(&from.as_str()) {
        return Some(Postgres.to_instant(&column.data_type, &value));
    }
    let is_widened = INTEGERS.contains(&from.as_str()) && to == "numeric";
    // A text is read as what the key is; and a key of a text of blanks is compared as such.
    (is_widened || is_text(from)).then(|| Postgres.cast_to(&value, to))
}

/// The features of each view: those that are wanted, by names that are different from each other and from the spine's.
fn features(
    columns: &[SpineColumn],
    views: &[Joined],
    wanted: Option<&[String]>,
) -> Result<Vec<Vec<Feature>>> {
    let labels = labels(views)?;
    let in_spine = |name: &str| columns.iter().any(|column| column.name == name);
    let long = |view: usize, column: &Ident| format!("{}__{column}", labels[view]);
    let mut found: Vec<Vec<Ident>> = Vec::new();
    let mut named = vec![false; wanted.map_or(0, <[String]>::len)];
    for (n, joined) in views.iter().enumerate() {
        let mut own = Vec::new();
        for column in joined.view.declared.features() {
            let Some(wanted) = wanted else {
                own.push(column.clone());
                continue;
            };
            let is_it = |name: &String| name == column.as_str() || *name == long(n, column);
            let mut is_wanted = false;
            for (name, named) in wanted.iter().zip(&mut named) {
                if is_it(name) {
                    (*named, is_wanted) = (true, true);
                }
            }
            if is_wanted {
                own.push(column.clone());
            }
        }
        found.push(own);
    }
    // The spine's columns are there in any case.
    let unknown = wanted.into_iter().flatten().zip(&named).find(|(name, named)| !**named && !in_spine(name));
    if let Some((name, _)) = unknown {
        let all: Vec<String> = views
            .iter()
            .flat_map(|joined| joined.view.declared.features().map(|column| column.as_str().to_owned()))
            .collect();
        return Err(FlowError::new(
            ErrorCode::UnknownColumn,
            format!("no feature view has a column `{name}`"),
        )
        .hint(nearest(name, all.iter().map(String::as_str))));
    }
    let count = |column: &Ident| found.iter().flatten().filter(|other| *other == column).count();
    let features: Vec<Vec<Feature>> = found
        .iter()
        .enumerate()
        .map(|(n, own)| {
            own.iter()
                .map(|column| {
                    let collides = in_spine(column.as_str()) || count(column) > 1;
                    let name = if collides { long(n, column) } else { column.as_str().to_owned() };
                    Feature { column: column.clone(), name }
                })
                .collect()
        })
        .collect();
    let names: Vec<&str> = columns
        .iter()
        .map(|column| column.name.as_str())
        .chain(features.iter().flatten().map(|feature| feature.name.as_str()))
        .collect();
    match names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        Some((_, name)) => Err(FlowError::new(
            ErrorCode::DuplicateName,
            format!("two columns of the training set are called `{name}`"),
        )
        .hint("rename the column of the spine")),
        None => Ok(features),
    }
}

/// By what each view is called where names collide: with its version where two are versions of one.
fn labels(views: &[Joined]) -> Result<Vec<String>> {
    let of = |joined: &Joined| {
        let same = views.iter().filter(|other| other.view.declared.name == joined.view.declared.name).count();
        if same > 1 {
            joined.view.declared.versioned()
        } else {
            joined.view.declared.name.as_str().to_owned()
        }
    };
    let labels: Vec<String> = views.iter().map(of).collect();
    match labels.iter().enumerate().find(|(n, label)| labels[..*n].contains(label)) {
        Some((_, label)) => Err(FlowError::new(
            ErrorCode::DuplicateName,
            format!("the feature view `{label}` is joined twice"),
        )
        .hint("name it once; columns=[…] chooses its columns")),
        None => Ok(labels),
    }
}
