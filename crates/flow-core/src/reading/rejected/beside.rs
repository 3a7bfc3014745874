//! The rows beside the target: what is good by now leaves them, and what is put aside comes in.

use super::{ADDRESS, KNOWN, NUMBER, WHY, definition, has_ledger, identity, of_run, table_name};
use crate::error::Result;
use crate::history;
use crate::pipeline::{Incremental, Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::reading::stage::{self, WATERMARK};
use crate::run_value::RunValue;
use crate::schema::rejected_rows::{REASON, REJECTED_AT, RUN_ID};
use crate::schema::{LiveTable, Table, ddl};
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::DataType;

/// Brings the table of rejected rows up to date: what is good or gone leaves it, what is new comes in.
///
/// # Errors
/// `name_too_long`.
pub fn keep(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let rejects = of_run(load);
    if let Some(live) = &load.facts.target.rejected {
        let name = table_name(load)?;
        leave(load, &name, live, rejects.as_ref(), builder);
        leave_of_others(load, &name, live, builder);
    }
    match rejects {
        Some(rejects) => come(load, &rejects, builder),
        None => Ok(()),
    }
}

/// What this pipeline has put aside and does not any more leaves the table.
fn leave(
    load: &Resolved<'_>,
    name: &QualifiedName,
    live: &LiveTable,
    rejects: Option<&QualifiedName>,
    builder: &mut PlanBuilder<'_>,
) {
    let Some(scope) = leaving(load, live, rejects) else { return };
    let row = load.dialect.row_address("e", false);
    let purpose = format!("rows that are good by now leave {name}");
    let own =
        sql!("e.{run} IN ({runs})", run = Ident::fixed(RUN_ID), runs = history::runs_of(&load.pipeline.name));
    let sql = match rejects {
        Some(rejects) => sql!(
            "DELETE FROM {name} AS e\n WHERE {row} IN (SELECT o.{address}\n                FROM ({own}) AS o\n               WHERE NOT EXISTS (SELECT 1 FROM {rejects} AS c WHERE {same}))",
            name,
            row,
            address = Ident::fixed(ADDRESS),
            own = own_rows(load, name, scope),
            rejects,
            same = same()
        ),
        None => sql!("DELETE FROM {name} AS e\n WHERE {own}{scope}", name, own, scope),
    };
    builder.step(StepKind::Delete, purpose, sql, Answer::Ignore);
}

/// A pipeline that has another name by now puts nothing aside any more under its old one: what comes good leaves the
/// table, whoever put it aside, unless that pipeline still runs beside this one.
fn leave_of_others(
    load: &Resolved<'_>,
    name: &QualifiedName,
    live: &LiveTable,
    builder: &mut PlanBuilder<'_>,
) {
    let rows = match load.rows {
        Rows::Compared => sql!("{target}", target = load.table.name),
        Rows::Direct(_) | Rows::Stage(_) => load.source(),
    };
    let Some(scope) = come_again(load, live, &rows) else { return };
    let sql = sql!(
        "DELETE FROM {name} AS e\n WHERE e.{run} NOT IN ({runs}){scope}",
        name,
        run = Ident::fixed(RUN_ID),
        runs = history::runs_of_those_that_run(&load.pipeline.name),
        scope
    );
    let purpose = format!("rows of pipelines that are gone leave {name} where they are good by now");
    builder.step(StepKind::Delete, purpose, sql, Answer::Ignore);
}

/// What was put aside by this run and is not there yet comes in.
fn come(load: &Resolved<'_>, rejects: &QualifiedName, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let table = definition::as_declared(load)?;
    let name = &table.name;
    let is_there = load.facts.target.rejected.is_some();
    if !is_there {
        let create = ddl::create_table(&table, &table.columns, load.dialect);
        let remember = remember(load, &table);
        builder.step_if(
            RunValue::RowsRejected,
            StepKind::Ddl,
            format!("make the table of rejected rows: {name}"),
            sql!("{create};\n{remember}", create, remember),
            Answer::Ignore,
        );
    }
    let run = load.dialect.typed_literal(&load.facts.run.id, &load.type_name(&DataType::Uuid));
    let mut names = load.column_names();
    names.extend([REASON, RUN_ID, REJECTED_AT].map(Ident::fixed));
    let unless = match is_there {
        true => sql!(
            "\n WHERE NOT EXISTS (SELECT 1 FROM ({own}) AS o WHERE {same})",
            own = own_rows(load, name, Sql::empty()),
            same = same()
        ),
        false => Sql::empty(),
    };
    builder.step_if(
        RunValue::RowsRejected,
        StepKind::Insert,
        format!("keep in {name} what it does not have yet"),
        sql!(
            "INSERT INTO {name} ({names})\nSELECT {values}, c.{why}, {run}, {instant}\n  FROM {rejects} AS c{unless}",
            name,
            names,
            values = load.columns_of("c"),
            why = Ident::fixed(WHY),
            run,
            instant = load.instant(),
            rejects,
            unless
        ),
        Answer::Ignore,
    );
    Ok(())
}

/// Enters rows that were put aside into the ledger, once the watermark has passed them: one that knew none of them would
/// seem to be gone.
///
/// # Errors
/// `unknown_column` where the source lacks the incremental column.
pub fn enter_into_ledger(
    load: &Resolved<'_>,
    incremental: &Incremental,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let Some(rejects) = of_run(load).filter(|_| has_ledger(load)) else { return Ok(()) };
    let (hash, watermark) = (Ident::fixed(stage::IDENTITY), Ident::fixed(WATERMARK));
    let value =
        load.dialect.stable_text(load.watermark_type(incremental)?, &sql!("f.{watermark}", watermark));
    let name = &load.pipeline.name;
    builder.step_if(
        RunValue::RowsRejected,
        StepKind::Finish,
        "enter rows that were put aside into the ledger, as not loaded",
        history::enter_into_ledger(load.dialect, name, &rejects, &hash, &watermark, value, false),
        Answer::Ignore,
    );
    Ok(())
}

/// Whether a kept row `o` is a row `c` of this run.
fn same() -> Sql {
    sql!(
        "c.{identity} = o.{identity} AND c.{number} = o.{number}",
        identity = Ident::fixed(KNOWN),
        number = Ident::fixed(NUMBER)
    )
}

/// The rows that this pipeline has put aside, each with what it is known by.
fn own_rows(load: &Resolved<'_>, table: &QualifiedName, scope: Sql) -> Sql {
    let identity = identity(load, "e", sql!("e.{reason}", reason = Ident::fixed(REASON)));
    sql!(
        "SELECT {row} AS {address}, {identity} AS {known},\n                             {row_number}() OVER (PARTITION BY {identity} ORDER BY e.{at}) AS {number}\n                        FROM {table} AS e\n                       WHERE e.{run} IN ({runs}){scope}",
        row = load.dialect.row_address("e", false),
        address = Ident::fixed(ADDRESS),
        identity,
        known = Ident::fixed(KNOWN),
        row_number = load.dialect.function("row_number"),
        at = Ident::fixed(REJECTED_AT),
        number = Ident::fixed(NUMBER),
        table,
        run = Ident::fixed(RUN_ID),
        runs = history::runs_of(&load.pipeline.name),
        scope
    )
}

/// Which of its own rows a reading may take away, as a further condition on rows `e`: all of them where it reads
/// everything and rows may be loaded again, else those that have come again; none where nothing tells.
fn leaving(load: &Resolved<'_>, live: &LiveTable, rejects: Option<&QualifiedName>) -> Option<Sql> {
    if load.pipeline.incremental.is_none() && load.pipeline.strategy.is_idempotent() {
        return Some(Sql::empty());
    }
    let Some(rejects) = rejects else { return come_again(load, live, &load.source()) };
    let keys = keys(load, live)?;
    if keys.is_empty() {
        return come_again(load, live, &load.source());
    }
    let both = sql!(
        "(SELECT {keys} FROM {stage} AS s UNION ALL SELECT {keys} FROM {rejects} AS c)",
        keys = keys.to_vec(),
        stage = load.source(),
        rejects
    );
    come_again(load, live, &both)
}

/// By what a row `e` is known among the rows of a run: the pipeline's keys, or none, which is all of its values. `None`
/// where the table lacks one.
fn keys<'l>(load: &'l Resolved<'_>, live: &LiveTable) -> Option<&'l [Ident]> {
    let keys = match load.keys.as_slice() {
        [] => load.pipeline.keys.as_deref().unwrap_or_default(),
        keys => keys,
    };
    let is_there = |name: &Ident| load.filled(name).is_some() && live.column(name.as_str()).is_some();
    match keys.is_empty() {
        true => load.columns.iter().all(|column| is_there(&column.name)).then_some(keys),
        false => keys.iter().all(is_there).then_some(keys),
    }
}

/// That a row `e` is among those rows, as a further condition.
fn come_again(load: &Resolved<'_>, live: &LiveTable, rows: &Sql) -> Option<Sql> {
    let keys = keys(load, live)?;
    let same = match keys.is_empty() {
        true => {
            let no_reason = |alias| identity(load, alias, Sql::text("''"));
            sql!("{row} = {kept}", row = no_reason("k"), kept = no_reason("e"))
        }
        false => Sql::join(keys.iter().map(|key| sql!("k.{key} = e.{key}", key)), " AND "),
    };
    Some(sql!("\n                         AND EXISTS (SELECT 1 FROM {rows} AS k WHERE {same})", rows, same))
}

/// That the table is ours.
fn remember(load: &Resolved<'_>, table: &Table) -> Sql {
    let columns: serde_json::Map<String, serde_json::Value> = table
        .columns
        .iter()
        .map(|column| (column.name.to_string(), column.data_type.to_string().into()))
        .collect();
    let declaration = serde_json::json!({ "mode": "rejected", "columns": columns, "keys": [] });
    history::remember_declaration(
        &table.name.to_string(),
        "rejected rows",
        &declaration,
        &load.facts.run.id,
        true,
    )
}
