//! Which form of reading a load takes: in place, by a stage, or compared in the client.

use super::{client, slices, stage};
use crate::declare::options::{ForcePath, OnDuplicate};
use crate::dialect::Cast;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{AtHand, ExecutionPath, Relation};
use crate::pipeline::{Resolved, Rows};

/// Chooses, and says why.
///
/// # Errors
/// `path_impossible` for a forced path that cannot be taken, `invalid_value` for a type that cannot cross.
pub fn choose(load: &mut Resolved<'_>) -> Result<()> {
    match load.facts.path {
        ExecutionPath::SameDatabase => {
            slices::need_another_database(load)?;
            load.rows = rows_at_hand(load);
        }
        ExecutionPath::Staging | ExecutionPath::ClientDiff => {
            stage::crossings(load)?;
            let forced = load.pipeline.force_path;
            match client::fits(load) {
                Ok(why) if forced != Some(ForcePath::Staging) => {
                    load.rows = Rows::Compared;
                    load.path = ExecutionPath::ClientDiff;
                    load.path_reason.push_str(&format!("; {why}"));
                }
                Err(why) if forced == Some(ForcePath::ClientDiff) => {
                    let error = FlowError::new(
                        ErrorCode::PathImpossible,
                        format!("`{}` cannot be compared in the client: {why}", load.pipeline.name),
                    )
                    .hint("remove force_path = \"client_diff\": the rows are staged then");
                    return Err(columns_cast(load)?.into_iter().fold(error, FlowError::detail));
                }
                Err(why) if load.pipeline.strategy.history().is_some() && forced.is_none() => {
                    load.path_reason.push_str(&format!("; staged: {why}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The columns that only an INSERT turns into the target's types, in words.
fn columns_cast(load: &Resolved<'_>) -> Result<Vec<String>> {
    let columns = load.columns.iter().zip(stage::crossings(load)?);
    let words = columns.filter(|(_, crossing)| !stage::arrives_typed(crossing)).filter_map(|(column, _)| {
        let from = load.facts.source.loaded(column.name.as_str())?;
        Some(format!("{}: {} becomes {}", column.name, from.data_type.name, column.data_type.name))
    });
    Ok(words.collect())
}

/// Rows in the target's own database.
fn rows_at_hand(load: &Resolved<'_>) -> Rows {
    let repeats = load.ends.target.can.repeats;
    let source = &load.facts.source;
    let picked = source.picked.as_ref().map(|picked| &picked.relation);
    let direct = source.relation.as_ref().or(picked).filter(|relation| {
        load.need.in_place
            && (repeats || (!load.need.twice && proves_keys(load, relation)))
            && load.prepared.is_empty()
            && !load.looks_at_rows()
            && load.pipeline.incremental.is_none()
            && load.facts.run.part.is_none()
            && load.pipeline.on_duplicate == OnDuplicate::Error
            && load.columns.iter().all(|column| column.cast != Cast::ByInsert)
    });
    match (&load.facts.at_hand, direct) {
        (Some(AtHand::ToCome(_)), _) => Rows::Stage(load.table.name.clone()),
        (Some(AtHand::In(table)), _) if stage::is_as_read(load) => Rows::Stage(table.clone()),
        (_, Some(relation)) => Rows::Direct(relation.clone()),
        (_, None) => load.rows.clone(),
    }
}

/// Whether a unique index of the source's table proves what guards would ask of the keys.
pub fn proves_keys(load: &Resolved<'_>, relation: &Relation) -> bool {
    let is_key = |column: &String| load.keys.iter().any(|key| key.as_str() == column);
    load.keys.iter().all(|key| relation.not_null.iter().any(|name| name == key.as_str()))
        && relation.unique.iter().any(|unique| unique.iter().all(is_key))
}
