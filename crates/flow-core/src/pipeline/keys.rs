//! By which columns rows are matched: what the pipeline says, else what its table declares.

use super::strategy::{KeyNeed, LoadStrategy};
use super::{Pipeline, declared_keys};
use crate::declare::options::OnDuplicate;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::TargetRecord;
use crate::schema::{LiveIndex, LiveTable, Table};
use crate::sql::Ident;

/// The keys, and where they were declared; `found` says where those of a table that is only named were found.
///
/// # Errors
/// `unknown_column` for a key that the table does not have, `missing_keys`.
pub fn resolve(
    pipeline: &Pipeline,
    table: &Table,
    found: Option<&'static str>,
) -> Result<(Vec<Ident>, Option<&'static str>)> {
    let known = |keys: &[Ident]| -> Result<()> {
        if let Some(key) = keys.iter().find(|key| table.column(key).is_none()) {
            let error = FlowError::new(
                ErrorCode::UnknownColumn,
                format!("`keys` names the column `{key}`, which {} does not have", table.name),
            );
            return Err(
                match did_you_mean(key.as_str(), table.columns.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                },
            );
        }
        Ok(())
    };
    if let Some(keys) = &pipeline.keys {
        known(keys)?;
        return Ok((keys.clone(), Some("keys")));
    }
    let need = pipeline.strategy.keys();
    if need == KeyNeed::None {
        // A declared key alone makes it match no rows.
        return Ok((Vec::new(), None));
    }
    let (keys, reason) = declared_keys(table);
    let reason = found.unwrap_or(reason);
    if keys.is_empty() && (need.is_required() || pipeline.on_duplicate == OnDuplicate::Latest) {
        return Err(FlowError::new(
            ErrorCode::MissingKeys,
            format!("pipeline `{}` has no keys", pipeline.name),
        )
        .hint("set keys = [\"…\"] to the columns that identify a row in the source"));
    }
    let reason = (!keys.is_empty()).then_some(reason);
    Ok((keys, reason))
}

/// The keys by which the rows of an existing table are known that nobody declares, and where they were found: the
/// same for every run, and for whoever only looks at the table.
///
/// # Errors
/// `name_too_long` never: the names are a server's.
pub fn of_live(
    strategy: &dyn LoadStrategy,
    live: &LiveTable,
    record: Option<&TargetRecord>,
) -> Result<Option<(Vec<Ident>, &'static str)>> {
    let found = match strategy.history() {
        Some(history) => of_versions(live, history.begin, history.current, record),
        // Who needs no keys is not bound to those of others.
        None => of_rows(live, record.filter(|_| strategy.keys().is_required())),
    };
    found.map(|(names, reason)| Ok((idents(names.iter())?, reason))).transpose()
}

/// Names of a server as identifiers.
pub(super) fn idents<'n>(names: impl IntoIterator<Item = &'n String>) -> Result<Vec<Ident>> {
    names.into_iter().map(Ident::new).collect()
}

type Found = Option<(Vec<String>, &'static str)>;

/// A history's keys are unique among its current versions. Where several columns are, they are those that are unique
/// in the whole table together with the beginning of a version.
fn of_versions(live: &LiveTable, begin: &Ident, current: &Ident, record: Option<&TargetRecord>) -> Found {
    let of_current: Vec<&LiveIndex> =
        live.indexes.iter().filter(|index| index.is_unique_where(Some(current))).collect();
    let whole: Vec<Vec<String>> = whole_indexes(live)
        .map(|index| index.columns.iter().filter(|name| *name != begin.as_str()).cloned().collect())
        .collect();
    let same = |left: &[String], right: &[String]| {
        left.len() == right.len() && left.iter().all(|name| right.contains(name))
    };
    let chosen = match of_current.as_slice() {
        [one] => Some(*one),
        several => several
            .iter()
            .find(|index| whole.iter().any(|columns| same(columns, &index.columns)))
            .or_else(|| {
                several
                    .iter()
                    .find(|index| remembered(live, record).is_some_and(|keys| same(keys, &index.columns)))
            })
            .copied(),
    };
    if let Some(index) = chosen {
        return Some((index.columns.clone(), "unique index of current versions"));
    }
    if let Some(keys) = remembered(live, record) {
        return Some((keys.to_vec(), "keys of the runs before"));
    }
    let columns = whole.into_iter().find(|columns| !columns.is_empty())?;
    Some((columns, "unique index of the live table"))
}

/// Rows are known by the primary key, else by what runs before matched, else by the only unique columns.
fn of_rows(live: &LiveTable, record: Option<&TargetRecord>) -> Found {
    let never_null = |index: &&LiveIndex| {
        index.columns.iter().all(|name| live.column(name).is_some_and(|column| !column.nullable))
    };
    let given = |index: &&LiveIndex| {
        index.columns.iter().all(|name| live.column(name).is_some_and(|column| !column.generated))
    };
    let whole: Vec<&LiveIndex> = whole_indexes(live).filter(given).collect();
    if let Some(index) = whole.iter().find(|index| index.primary) {
        return Some((index.columns.clone(), "primary key of the live table"));
    }
    if let Some(keys) = remembered(live, record) {
        return Some((keys.to_vec(), "keys of the runs before"));
    }
    let unique: Vec<&LiveIndex> = whole.into_iter().filter(never_null).collect();
    let [only] = unique.as_slice() else { return None };
    Some((only.columns.clone(), "unique index of the live table"))
}

/// The unique indexes of all rows, the primary key first.
fn whole_indexes(live: &LiveTable) -> impl Iterator<Item = &LiveIndex> {
    let of_kind = |primary: bool| {
        live.indexes.iter().filter(move |index| index.primary == primary && index.is_unique_where(None))
    };
    of_kind(true).chain(of_kind(false))
}

/// The keys by which runs before matched rows, as long as the table has them.
fn remembered<'r>(live: &LiveTable, record: Option<&'r TargetRecord>) -> Option<&'r [String]> {
    let keys = record.map(|record| record.keys.as_slice()).filter(|keys| !keys.is_empty())?;
    keys.iter().all(|name| live.column(name).is_some()).then_some(keys)
}
