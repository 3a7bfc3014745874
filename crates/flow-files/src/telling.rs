//! The columns of several files together: by their names, each of the type that holds the values of all.

use crate::json::Kind;
use crate::widening::both;
use arrow_schema::{Field, FieldRef};
use ematix_flow_arrow::{Column, CopyType};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// What was found in each file, by its path.
pub type Found<T> = Vec<(String, Vec<T>)>;

/// Columns, and in what the files differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<T> {
    /// In the order in which they are met.
    pub columns: Vec<T>,
    /// For a person.
    pub notes: Vec<String>,
}

/// The columns of files that have types.
pub fn of_fields(found: &Found<Field>) -> Result<Told<FieldRef>> {
    let mut told: Vec<(Field, &str)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut notes = Vec::new();
    for (path, fields) in found {
        for field in fields {
            let Some(place) = places.get(field.name().as_str()) else {
                places.insert(field.name(), told.len());
                told.push((field.clone(), path));
                continue;
            };
            let (before, first) = &mut told[*place];
            if before.data_type() == field.data_type() && before.metadata() == field.metadata() {
                continue;
            }
            let name = field.name();
            let both_types = both(before.data_type(), field.data_type());
            let is_one = before.metadata() == field.metadata()
                || before.data_type().is_null()
                || field.data_type().is_null();
            // A text is a text, be it JSON in one of the files.
            let is_text = both_types.as_ref().is_some_and(|both| *both == arrow_schema::DataType::Utf8);
            let Some(data_type) = both_types.filter(|_| is_one || is_text) else {
                return Err(apart(name, (first, before), (path, field)));
            };
            let metadata = match (is_one, before.data_type().is_null()) {
                (true, true) => field.metadata().clone(),
                (true, false) => before.metadata().clone(),
                (false, _) => HashMap::new(),
            };
            if data_type != *before.data_type() || data_type != *field.data_type() {
                notes.push(format!(
                    "column `{name}` is {} in {first} and {} in {path}: it is read as {data_type}",
                    before.data_type(),
                    field.data_type()
                ));
            }
            *before = Field::new(name, data_type, true).with_metadata(metadata);
        }
    }
    notes.extend(lacking(found, |field| field.name().clone(), |field| field.name().clone()));
    let columns = told.into_iter().map(|(field, _)| Arc::new(field)).collect();
    Ok(Told { columns, notes: distinct(notes) })
}

#[cold]
fn apart(name: &str, (first, one): (&str, &Field), (path, other): (&str, &Field)) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!(
            "column `{name}` is {} in {first} and {} in {path}, and no type holds both",
            shown(one),
            shown(other)
        ),
    )
    .context("column", name)
    .context("file", path)
    .hint("load them by pipelines of their own, or write the column alike in every file")
}

/// The type of Arrow and that of Postgres.
fn shown(field: &Field) -> String {
    match CopyType::for_field(field) {
        Some(data_type) => format!("{} ({})", field.data_type(), data_type.name()),
        None => field.data_type().to_string(),
    }
}

/// The columns of files that have names alone: of the types that are wanted, or text.
pub fn of_names(found: &Found<String>, wanted: &[Column]) -> Told<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for name in found.iter().flat_map(|(_, names)| names) {
        if seen.insert(name) {
            columns.push(Column::new(name, type_of(wanted, name).unwrap_or(CopyType::Text)));
        }
    }
    Told { columns, notes: distinct(lacking(found, Clone::clone, Clone::clone)) }
}

/// The columns of files whose values are of some kind: of the types that are wanted, or of those that hold them.
pub fn of_kinds(found: &Found<(String, Kind)>, wanted: &[Column]) -> Told<Column> {
    let mut kinds: Vec<(String, Kind)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut notes = Vec::new();
    for (path, keys) in found {
        for (name, kind) in keys {
            match places.get(name.as_str()) {
                None => {
                    places.insert(name, kinds.len());
                    kinds.push((name.clone(), *kind));
                }
                Some(place) => {
                    let before = &mut kinds[*place].1;
                    let both = before.and(*kind);
                    let is_other = both.data_type() != before.data_type() && *before != Kind::Nothing;
                    if is_other && type_of(wanted, name).is_none() {
                        notes.push(format!(
                            "column `{name}` is {} in {path} and {} before: it is read as text",
                            kind.name(),
                            before.name()
                        ));
                    }
                    *before = both;
                }
            }
        }
    }
    for (name, kind) in &kinds {
        if matches!(kind, Kind::Number | Kind::Mixed) && type_of(wanted, name).is_none() {
            notes.push(format!(
                "column `{name}` has {} and no type is declared: it is read as text",
                kind.name()
            ));
        }
    }
    notes.extend(lacking(found, |(name, _)| name.clone(), |(name, _)| name.clone()));
    let column = |(name, kind): (String, Kind)| {
        let data_type = type_of(wanted, &name).unwrap_or_else(|| kind.data_type());
        Column::new(name, data_type)
    };
    let mut columns: Vec<Column> = kinds.into_iter().map(column).collect();
    // An object leaves out what it does not know.
    for lacking in wanted.iter().filter(|wanted| wanted.needed) {
        if !columns.iter().any(|column| column.name == lacking.name) {
            notes.push(format!("no row that was looked at has the key `{}`: it is NULL", lacking.name));
            columns.push(lacking.clone());
        }
    }
    Told { columns, notes: distinct(notes) }
}

/// The type that is wanted of a column.
pub fn type_of(wanted: &[Column], name: &str) -> Option<CopyType> {
    wanted.iter().find(|column| column.name == name).map(|column| column.data_type.clone())
}

/// Which columns some files lack: one note a column.
fn lacking<T, K: Eq + Hash>(
    found: &Found<T>,
    key: impl Fn(&T) -> K,
    shown: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut counts: HashMap<K, usize> = HashMap::new();
    for item in found.iter().flat_map(|(_, items)| items) {
        *counts.entry(key(item)).or_default() += 1;
    }
    let mut notes = Vec::new();
    for item in found.iter().flat_map(|(_, items)| items) {
        let Some(count) = counts.remove(&key(item)) else { continue };
        if count == found.len() {
            continue;
        }
        let without = found.iter().filter(|(_, items)| !items.iter().any(|other| key(other) == key(item)));
        let first = without.map(|(path, _)| path.as_str()).next().unwrap_or_default();
        notes.push(match found.len() - count {
            1 => format!("column `{}` is not in {first}: it is NULL there", shown(item)),
            files => {
                format!("column `{}` is not in {files} files, as {first}: it is NULL there", shown(item))
            }
        });
    }
    notes
}

fn distinct(mut notes: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}
