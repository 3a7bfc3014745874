//! The last steps of a load transaction: what is remembered of the target, the watermark, and the
//! run's own row. A run that was taken over meanwhile finds its row no longer running, and rolls back.

use crate::dialect::{Dialect, Merged, Upsert};
use crate::facts::ExecutionPath;
use crate::hash::ENCODING_VERSION;
use crate::metadata::table;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading::watermark;
use crate::resolve::Resolved;
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;
use sha2::{Digest, Sha256};

/// The steps.
pub fn steps(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if load.facts.run.dry_run {
        return;
    }
    let leftovers = builder.leftovers.iter().map(|name| sql!("DROP TABLE {name}", name));
    let mut statements: Vec<Sql> = leftovers.collect();
    statements.push(remember_target(load));
    statements.extend(remember_declaration(load));
    let remembered = remember_watermark(load);
    let purpose = if remembered.is_some() { "watermark, run history" } else { "run history" };
    statements.extend(remembered);
    statements.push(success(load));
    // One text, one round trip; the run succeeds only if it was not taken for dead meanwhile.
    builder.step(StepKind::Finish, purpose, Sql::join(statements, ";\n"), Answer::ExactlyOne);
}

/// What is remembered of a run of several targets, after what is remembered of each.
pub fn of_all(
    run_id: &str,
    path: ExecutionPath,
    reading: &QualifiedName,
    dialect: &dyn Dialect,
    builder: &mut PlanBuilder<'_>,
) {
    let counts = RunValue::RECORDED
        .iter()
        .map(|value| sql!("{name} = {value}", name = Sql::text(value.name()), value));
    let success = sql!(
        "UPDATE {history} AS r\n   SET status = 'success',\n       committed = TRUE,\n       ended_at = {now},\n       lease_until = NULL,\n       path = {path},\n       {counts}\n WHERE r.run_id = {run}\n   AND r.status = 'running'",
        history = table("run_history"),
        now = dialect.clock(),
        path = Literal::Text(path.name().to_owned()),
        counts = Sql::join(counts, ",\n       "),
        run = Literal::Text(run_id.to_owned())
    );
    let sql = sql!("DROP TABLE {reading};\n{success}", reading, success);
    builder.step(StepKind::Finish, "run history of all targets", sql, Answer::ExactlyOne);
}

fn remember_target(load: &Resolved<'_>) -> Sql {
    let written = Sql::join(
        [
            RunValue::RowsInserted,
            RunValue::RowsUpdated,
            RunValue::RowsClosedOut,
            RunValue::RowsDeleted,
            RunValue::RowsRehashed,
        ]
        .iter()
        .map(|slot| sql!("{slot}", slot)),
        " + ",
    );
    let rehash = load.need.in_full;
    // A rehash writes, whatever it counts.
    let if_written = |then: Sql, column: &'static str| match rehash {
        true => then,
        false => sql!(
            "CASE WHEN {written} > 0\n                         THEN {then} ELSE t.{column} END",
            written,
            then,
            column = Sql::text(column)
        ),
    };
    let mut assignments = vec![
        Sql::text("run_number = t.run_number + 1"),
        sql!("fingerprint = {fingerprint}", fingerprint = Literal::Text(fingerprint(load))),
        sql!("generation = {value}", value = if_written(Sql::text("t.generation + 1"), "generation")),
        sql!("last_instant = {value}", value = if_written(load.instant(), "last_instant")),
    ];
    if let Some(set) = load.strategy.compare_set(load) {
        let set = load.dialect.text_list(&set);
        assignments.push(sql!("compare_set = {set}", set));
        assignments
            .push(sql!("encoding_version = {version}", version = Literal::Integer(ENCODING_VERSION.into())));
        if let Some(sets) = sets_before(load).filter(|_| rehash) {
            let json = load.type_name(&DataType::Jsonb);
            let sets = serde_json::Value::from(sets).to_string();
            assignments.push(sql!("earlier_sets = {sets}", sets = load.dialect.typed_literal(&sets, &json)));
        }
    }
    sql!(
        "UPDATE {targets} AS t\n   SET {assignments}\n WHERE t.target = {target}",
        targets = table("targets"),
        assignments = Sql::join(assignments, ",\n       "),
        target = Literal::Text(load.pipeline.target_key())
    )
}

/// Every set of compare columns that the target had before this run.
fn sets_before(load: &Resolved<'_>) -> Option<Vec<Vec<String>>> {
    let record = load.facts.target.record.as_ref()?;
    let mut sets = record.earlier_sets.clone();
    sets.push(record.compare_set.clone()?);
    Some(sets)
}

fn remember_declaration(load: &Resolved<'_>) -> Option<Sql> {
    let stored = load.facts.target.record.as_ref().and_then(|record| record.fingerprint.as_ref());
    if stored == Some(&fingerprint(load)) && !load.creates {
        return None;
    }
    Some(sql!(
        "INSERT INTO {history} (target, fingerprint, declaration, encoding_version, run_id, created)\nVALUES ({target},\n        {fingerprint},\n        {declaration},\n        {version}, {run}, {created})",
        history = table("schema_history"),
        target = Literal::Text(load.pipeline.target_key()),
        fingerprint = Literal::Text(fingerprint(load)),
        declaration = Literal::Text(declaration(load).to_string()),
        version = Literal::Integer(ENCODING_VERSION.into()),
        run = Literal::Text(load.facts.run.id.clone()),
        created = Literal::Boolean(load.creates)
    ))
}

fn remember_watermark(load: &Resolved<'_>) -> Option<Sql> {
    let incremental = load.pipeline.incremental.as_ref()?;
    let data_type = load.watermark_type(incremental).ok()?;
    let ledger = load.strategy.ledger(load, incremental).ok().flatten();
    let null = || Sql::text("NULL");
    let (covered, covered_row) = match watermark::next_bound(load, incremental, data_type) {
        Ok(bound) if ledger.is_some() => {
            let stored = load.facts.watermark.as_ref().and_then(|stored| stored.covered_from.as_ref());
            let bound = match stored {
                Some(stored) => {
                    let stored = load.dialect.typed_literal(stored, &data_type.name);
                    sql!("GREATEST({bound}, {stored})", bound, stored)
                }
                None => bound,
            };
            let text = load.dialect.stable_text(data_type, &Sql::text("c.covered_from"));
            (text, sql!("\n  FROM (SELECT {bound} AS covered_from) AS c", bound))
        }
        _ => (null(), Sql::empty()),
    };
    let identity = ledger.map_or_else(null, |names| load.dialect.text_list(&names));
    const COLUMNS: [&str; 9] = [
        "pipeline_name",
        "column_name",
        "last_value",
        "updated_at",
        "read_from",
        "covered_from",
        "column_type",
        "identity",
        "target",
    ];
    let columns = COLUMNS.map(Ident::fixed);
    let updates: Vec<(Ident, Merged)> =
        columns[1..].iter().map(|name| (name.clone(), Merged::Replaced)).collect();
    Some(load.dialect.upsert(Upsert {
        table: &table("watermarks"),
        columns: &columns,
        rows: sql!(
            "SELECT {pipeline}, {column}, {watermark}, {now}, {read_from},\n       {covered},\n       {column_type}, {identity}, {target}{covered_row}\n WHERE {watermark} IS NOT NULL",
            pipeline = Literal::Text(load.pipeline.name.clone()),
            column = Literal::Text(incremental.column.to_string()),
            watermark = RunValue::Watermark,
            now = load.dialect.clock(),
            read_from = RunValue::ReadFrom,
            covered,
            covered_row,
            column_type = Literal::Text(data_type.name.clone()),
            identity,
            target = Literal::Text(load.pipeline.target_key())
        ),
        keys: &columns[..1],
        updates: &updates,
    }))
}

fn success(load: &Resolved<'_>) -> Sql {
    let counts = RunValue::RECORDED
        .iter()
        .map(|value| sql!("{name} = {value}", name = Sql::text(value.name()), value));
    let before = load.facts.watermark.as_ref().and_then(|stored| stored.last_value.clone());
    sql!(
        "UPDATE {history} AS r\n   SET status = 'success',\n       committed = TRUE,\n       ended_at = {now},\n       lease_until = NULL,\n       path = {path},\n       watermark_before = {before},\n       watermark_after = {after},\n       run_number = (SELECT t.run_number FROM {targets} AS t WHERE t.target = r.target),\n       {counts}\n WHERE r.run_id = {run}\n   AND r.status = 'running'",
        history = table("run_history"),
        targets = table("targets"),
        now = load.dialect.clock(),
        path = Literal::Text(load.path.name().to_owned()),
        before = before.map_or(Literal::Null, Literal::Text),
        after = RunValue::Watermark,
        counts = Sql::join(counts, ",\n       "),
        run = Literal::Text(load.facts.run.id.clone())
    )
}

/// The declaration as it is recorded.
fn declaration(load: &Resolved<'_>) -> serde_json::Value {
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
    let names = |names: &[Ident]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    serde_json::json!({
        "mode": load.strategy.mode().name(),
        "columns": columns,
        "keys": names(&load.keys),
        "compared": names(&load.compared),
        "primary_key": names(&load.table.primary_key),
        "natural_key": names(&load.table.natural_key),
    })
}

/// A digest of the declaration.
pub fn fingerprint(load: &Resolved<'_>) -> String {
    let digest = Sha256::digest(declaration(load).to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
