//! The last steps of a load transaction: what is remembered of the target, the watermark, and the
//! run's own row. A run that was taken over meanwhile finds its row no longer running, and rolls back.

use super::builder::PlanBuilder;
use super::load::Load;
use super::reading;
use crate::hash::ENCODING_VERSION;
use crate::metadata::table;
use crate::pipeline::Strategy;
use crate::plan::{Answer, StepKind};
use crate::sql;
use crate::sql::{Literal, Slot, Sql};
use crate::strategies;
use sha2::{Digest, Sha256};

/// The steps.
pub fn steps(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    if load.facts.run.dry_run {
        return;
    }
    remember_target(load, builder);
    remember_declaration(load, builder);
    remember_watermark(load, builder);
    success(load, builder);
}

fn remember_target(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let mut assignments = vec![
        Sql::text("run_number = t.run_number + 1"),
        sql!("fingerprint = {fingerprint}", fingerprint = Literal::Text(fingerprint(load))),
    ];
    let written = Sql::join(
        [Slot::RowsInserted, Slot::RowsUpdated, Slot::RowsClosedOut, Slot::RowsDeleted, Slot::RowsRehashed]
            .iter()
            .map(|slot| sql!("{slot}", slot)),
        " + ",
    );
    let rehash = strategies::rehashes(load);
    let changed = if rehash { Sql::text("TRUE") } else { sql!("{written} > 0", written) };
    assignments.push(sql!("generation = t.generation + CASE WHEN {changed} THEN 1 ELSE 0 END", changed));
    assignments.push(sql!(
        "last_instant = CASE WHEN {changed} THEN {instant} ELSE t.last_instant END",
        changed,
        instant = load.instant()
    ));
    if matches!(load.pipeline.strategy, Strategy::Scd2(_)) {
        let set = strategies::scd2::compare_set(load);
        let list = Sql::join(set.iter().map(|name| sql!("{name}", name = Literal::Text(name.clone()))), ", ");
        assignments.push(sql!("compare_set = ARRAY[{list}]::text[]", list));
        assignments
            .push(sql!("encoding_version = {version}", version = Literal::Integer(ENCODING_VERSION.into())));
        if rehash {
            assignments.push(Sql::text("earlier_sets = t.earlier_sets || pg_catalog.jsonb_build_array(pg_catalog.to_jsonb(t.compare_set))"));
        }
    }
    let sql = sql!(
        "UPDATE {targets} AS t\n   SET {assignments}\n WHERE t.target = {target}\nRETURNING t.run_number",
        targets = table("targets"),
        assignments = Sql::join(assignments, ",\n       "),
        target = Literal::Text(load.pipeline.target_key())
    );
    builder.step(
        StepKind::Finish,
        "number the run, and remember what the target was written with",
        sql,
        Answer::Read,
    );
}

fn remember_declaration(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let stored = load.facts.target.record.as_ref().and_then(|record| record.fingerprint.as_ref());
    if stored == Some(&fingerprint(load)) && !load.creates {
        return;
    }
    let sql = sql!(
        "INSERT INTO {history} (target, fingerprint, declaration, encoding_version, run_id, created)\nVALUES ({target}, {fingerprint}, {declaration}, {version}, {run}, {created})",
        history = table("schema_history"),
        target = Literal::Text(load.pipeline.target_key()),
        fingerprint = Literal::Text(fingerprint(load)),
        declaration = Literal::Text(declaration(load).to_string()),
        version = Literal::Integer(ENCODING_VERSION.into()),
        run = Literal::Text(load.facts.run.id.clone()),
        created = Literal::Boolean(load.creates)
    );
    builder.step(StepKind::Finish, "remember the declaration", sql, Answer::Ignore);
}

fn remember_watermark(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let Some(incremental) = &load.pipeline.incremental else { return };
    let Ok(data_type) = reading::watermark_type(load, incremental) else { return };
    let append = matches!(load.pipeline.strategy, Strategy::Append(_));
    let type_name = Sql::from_dialect(data_type.name.clone());
    let read_from = sql!("{slot}::{type_name}", slot = Slot::ReadFrom, type_name);
    let bound = match reading::lookback(incremental, data_type) {
        Ok(Some(back)) => sql!("({read_from} - {back})", read_from, back),
        _ => read_from,
    };
    let covered = if append {
        load.dialect.stable_text(data_type, &bound_in_type(&bound, &type_name))
    } else {
        Sql::text("NULL")
    };
    let covered_column = if append {
        let stored = load.facts.watermark.as_ref().and_then(|stored| stored.covered_from.clone());
        match stored {
            Some(stored) => {
                let stored = load.dialect.typed_literal(&stored, &data_type.name);
                let greatest = sql!("GREATEST({bound}, {stored})::{type_name}", bound, stored, type_name);
                load.dialect.stable_text(data_type, &sql!("({greatest})", greatest))
            }
            None => covered,
        }
    } else {
        covered
    };
    let identity = match strategies::append::identity(load, incremental) {
        Ok(names) if append => {
            let list =
                Sql::join(names.iter().map(|name| sql!("{name}", name = Literal::Text(name.clone()))), ", ");
            sql!("ARRAY[{list}]::text[]", list)
        }
        _ => Sql::text("NULL"),
    };
    let sql = sql!(
        "INSERT INTO {watermarks} AS w (pipeline_name, column_name, last_value, updated_at, read_from, covered_from, column_type, identity)\nSELECT {pipeline}, {column}, {watermark}, pg_catalog.clock_timestamp(), {read_from}, {covered}, {column_type}, {identity}\n WHERE {watermark2} IS NOT NULL\n    ON CONFLICT (pipeline_name) DO UPDATE\n   SET column_name = excluded.column_name, last_value = excluded.last_value, updated_at = excluded.updated_at,\n       read_from = excluded.read_from, covered_from = excluded.covered_from, column_type = excluded.column_type,\n       identity = excluded.identity",
        watermarks = table("watermarks"),
        pipeline = Literal::Text(load.pipeline.name.clone()),
        column = Literal::Text(incremental.column.to_string()),
        watermark = Slot::Watermark,
        read_from = Slot::ReadFrom,
        covered = covered_column,
        column_type = Literal::Text(data_type.name.clone()),
        identity,
        watermark2 = Slot::Watermark
    );
    builder.step(StepKind::Finish, "store the watermark", sql, Answer::Ignore);
}

fn bound_in_type(bound: &Sql, type_name: &Sql) -> Sql {
    sql!("(({bound})::{type_name})", bound, type_name)
}

fn success(load: &Load<'_>, builder: &mut PlanBuilder<'_>) {
    let counts = [
        Slot::RowsIn,
        Slot::RowsInserted,
        Slot::RowsUpdated,
        Slot::RowsUnchanged,
        Slot::RowsClosedOut,
        Slot::RowsDeleted,
        Slot::RowsDeduplicated,
        Slot::RowsSkipped,
        Slot::RowsRejected,
        Slot::RowsRehashed,
        Slot::RunNumber,
    ];
    let assignments = counts.iter().map(|slot| {
        let name = crate::sql::Ident::fixed(slot.name());
        sql!("{name} = {slot}", name, slot)
    });
    let before = load.facts.watermark.as_ref().and_then(|stored| stored.last_value.clone());
    let sql = sql!(
        "UPDATE {history} AS r\n   SET status = 'success', committed = TRUE, ended_at = pg_catalog.clock_timestamp(), lease_until = NULL,\n       path = {path}, watermark_before = {before}, watermark_after = {after},\n       {assignments}\n WHERE r.run_id = {run} AND r.status = 'running'",
        history = table("run_history"),
        path = Literal::Text(load.facts.path.name().to_owned()),
        before = before.map_or(Literal::Null, Literal::Text),
        after = Slot::Watermark,
        assignments = Sql::join(assignments, ", "),
        run = Literal::Text(load.facts.run.id.clone())
    );
    builder.step(
        StepKind::Finish,
        "the run succeeded, unless it was taken for dead meanwhile",
        sql,
        Answer::ExactlyOne,
    );
}

/// The declaration as it is recorded.
fn declaration(load: &Load<'_>) -> serde_json::Value {
    let columns: serde_json::Map<String, serde_json::Value> = load
        .table
        .columns
        .iter()
        .chain(&load.managed)
        .map(|column| {
            let mark = if column.nullable { "?" } else { "" };
            (column.name.to_string(), format!("{}{mark}", column.data_type).into())
        })
        .collect();
    let names = |names: &[crate::sql::Ident]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    serde_json::json!({
        "mode": load.pipeline.strategy.mode().name(),
        "columns": columns,
        "keys": names(&load.keys),
        "compared": names(&load.compared),
        "primary_key": names(&load.table.primary_key),
        "natural_key": names(&load.table.natural_key),
    })
}

/// A digest of the declaration.
pub fn fingerprint(load: &Load<'_>) -> String {
    let digest = Sha256::digest(declaration(load).to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
