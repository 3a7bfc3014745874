//! The two sides of a pipeline: its source behind markers and helpers, as a load would compare it, and what its target
//! holds now.

use super::{Side, SideColumn, Wanted};
use crate::declare::options::OnDuplicate;
use crate::dialect::Cast;
use crate::error::{ErrorCode, FlowError, Result};
use crate::hash::Normal;
use crate::pipeline::{LoadColumn, Resolved, Rows};
use crate::reading::stage;
use crate::schema::LiveTable;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::TypeFacts;

/// Source and target of a pipeline in the light of the facts, and which columns are compared; `as_of`: the target as it
/// was at an instant.
///
/// # Errors
/// `unknown_table` where the target is not there yet, `missing_keys`, `option_not_for_mode` for an instant without a
/// history.
pub fn of_pipeline(
    mut load: Resolved<'_>,
    wanted: &Wanted,
    as_of: Option<&str>,
) -> Result<(Side, Side, Wanted)> {
    let name = load.pipeline.name.clone();
    let Some(live) = load.facts.target.live.as_ref() else {
        let message = format!("{} does not exist yet", load.table.name);
        return Err(
            FlowError::new(ErrorCode::UnknownTable, message).hint(format!("`flow run {name}` creates it"))
        );
    };
    if load.keys.is_empty() && wanted.keys.is_empty() {
        return Err(FlowError::new(
            ErrorCode::MissingKeys,
            format!("`{name}` has no keys: by which columns are rows of source and target the same?"),
        )
        .hint("say it: --keys id"));
    }
    // No row of another kind comes with them: nothing of the layers is counted.
    load.rows = Rows::Compared;
    let mut wanted = wanted.clone();
    if wanted.columns.is_empty() {
        let is_key = |name: &Ident| match wanted.keys.is_empty() {
            true => load.keys.contains(name),
            false => wanted.keys.iter().any(|key| key == name.as_str()),
        };
        let mirrored = load.pipeline.strategy.mirrored(&load);
        let compared = mirrored.iter().filter(|name| load.is_live(name) && !is_key(name));
        wanted.columns = compared.map(ToString::to_string).collect();
    }
    let reason = load.keys_reason.unwrap_or("the pipeline").to_owned();
    Ok((source(&load, live, &reason)?, target(&load, live, as_of, &reason)?, wanted))
}

fn source(load: &Resolved<'_>, live: &LiveTable, reason: &str) -> Result<Side> {
    let (mut values, mut columns) = (Vec::new(), Vec::new());
    for column in &load.columns {
        let Some(found) = load.facts.source.loaded(column.name.as_str()) else { continue };
        let (value, data_type) = as_loaded(load, live, column, &found.data_type);
        values.push((column.name.clone(), value));
        columns.push(SideColumn { name: column.name.clone(), data_type, hidden: false });
    }
    values.extend(stage::rank_of_key(load).map(|rank| (Ident::fixed(stage::RANK), rank)));
    let select = stage::select(load, values.iter().map(|(name, value)| (name, value)), &Sql::empty());
    let rows = match load.pipeline.on_duplicate {
        OnDuplicate::Error => sql!("(\n{select}\n)", select),
        OnDuplicate::Latest => sql!(
            "(SELECT q.* FROM (\n{select}\n) AS q WHERE q.{rank} = {first})",
            select,
            rank = Ident::fixed(stage::RANK),
            first = Literal::Integer(1)
        ),
    };
    let relation = load.facts.source.relation.as_ref().filter(|_| load.prepared.is_empty());
    Ok(Side {
        name: format!("A (the source of {})", load.pipeline.name),
        rows,
        columns,
        keys: load.keys.iter().map(ToString::to_string).collect(),
        keys_reason: reason.to_owned(),
        unique: relation.map(|relation| relation.unique.clone()).unwrap_or_default(),
        not_null: relation.map(|relation| relation.not_null.clone()).unwrap_or_default(),
        estimated_rows: relation.map(|relation| relation.estimated_rows),
        dialect: load.ends.source.dialect,
    })
}

/// A value of the source as the target would hold it, with its type. A text is not cut to the target's length: the load
/// would refuse it.
fn as_loaded(
    load: &Resolved<'_>,
    live: &LiveTable,
    column: &LoadColumn,
    own: &TypeFacts,
) -> (Sql, TypeFacts) {
    let value = sql!("q.{name}", name = column.name);
    let held = live.column(column.name.as_str()).map_or(&column.data_type, |live| &live.data_type);
    let is_text = matches!(held.normal, Some(Normal::Text | Normal::BlankPadded | Normal::Enum));
    match column.cast {
        Cast::ByInsert if !is_text && held.wire.oid.is_some() => {
            (load.ends.source.dialect.cast_to(&value, &held.name), held.clone())
        }
        _ => (value, own.clone()),
    }
}

fn target(load: &Resolved<'_>, live: &LiveTable, as_of: Option<&str>, reason: &str) -> Result<Side> {
    let name = &load.table.name;
    let strategy = &load.pipeline.strategy;
    let held = match (as_of, strategy.history()) {
        (None, _) => strategy.held(),
        (Some(instant), Some(history)) => Some(history.as_of(load.dialect, instant)),
        (Some(_), None) => {
            let message =
                format!("`{}` is {}: only scd2 keeps how its rows were", load.pipeline.name, strategy.mode());
            return Err(FlowError::new(ErrorCode::OptionNotForMode, message).hint("leave --as-of out"));
        }
    };
    let names: Vec<&Ident> =
        load.columns.iter().map(|column| &column.name).filter(|name| load.is_live(name)).collect();
    let columns = names.iter().filter_map(|name| {
        let data_type = live.column(name.as_str())?.data_type.clone();
        Some(SideColumn { name: (*name).clone(), data_type, hidden: false })
    });
    let proved = |index: &&crate::schema::LiveIndex| {
        index.is_unique_where(None)
            || (as_of.is_none()
                && strategy.history().is_some_and(|history| index.is_unique_where(Some(history.current))))
    };
    Ok(Side {
        name: format!("B ({name})"),
        rows: sql!(
            "(SELECT {list}\n    FROM {name} AS t{held})",
            list = Sql::join(names.iter().map(|name| sql!("t.{name}", name)), ", "),
            name,
            held = held.map_or(Sql::empty(), |held| sql!("\n   WHERE {held}", held))
        ),
        columns: columns.collect(),
        keys: load.keys.iter().map(ToString::to_string).collect(),
        keys_reason: reason.to_owned(),
        unique: live.indexes.iter().filter(proved).map(|index| index.columns.clone()).collect(),
        not_null: live
            .columns
            .iter()
            .filter(|column| !column.nullable)
            .map(|column| column.name.clone())
            .collect(),
        estimated_rows: Some(live.estimated_rows),
        dialect: load.ends.target.dialect,
    })
}
