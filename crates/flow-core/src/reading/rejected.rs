//! Rows that fail an expectation and are put aside: they leave the stage before the strategy sees it, and stand in the
//! table of rejected rows beside the target until their source brings them good.
//!
//! What a pipeline has put aside is its own: another that loads the same target neither sees it nor takes it away. A row
//! that is there already, for the same reasons, is not written again.

use crate::error::{ErrorCode, FlowError, Result};
use crate::expectations::{Expected, Policy, Question};
use crate::history;
use crate::pipeline::{Incremental, Resolved};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject, Warning};
use crate::reading::stage::{self, WATERMARK};
use crate::run_value::RunValue;
use crate::schema::drift::{Difference, DifferenceKind, differences};
use crate::schema::rejected_rows::{self, REASON, REJECTED_AT, RUN_ID};
use crate::schema::{Column, LiveTable, Table, TypeFacts, ddl};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// Where a rejected row lies in the stage.
const ADDRESS: &str = "_ematix_address";
/// Why it is rejected.
const WHY: &str = "_ematix_reason";
/// The whole row with its reasons, as one text.
const KNOWN: &str = "_ematix_known";
/// The number of a row among those that are alike.
const NUMBER: &str = "_ematix_number";

/// The rows of this run that are put aside, in the types of the target, where any may be.
pub fn of_run(load: &Resolved<'_>) -> Option<QualifiedName> {
    load.pipeline.quarantines().then(|| load.stage_name("rejects"))
}

/// Whether a ledger knows the source's rows.
fn has_ledger(load: &Resolved<'_>) -> bool {
    let ledger = |incremental| load.pipeline.strategy.ledger(load, incremental).ok().flatten();
    load.pipeline.incremental.as_ref().and_then(ledger).is_some()
}

/// The table beside the target.
fn table_name(load: &Resolved<'_>) -> Result<QualifiedName> {
    rejected_rows::table_of(&load.table.name)
}

// ------------------------------------------------------------------------------------------------ the definition

/// Holds the table of rejected rows, where there is one, to the columns of the target.
///
/// # Errors
/// `drift` where it is somebody else's, or cannot hold the rows; `duplicate_name` where a column has the name of one of
/// ours.
pub fn prepare(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    if !load.pipeline.quarantines() {
        return Ok(());
    }
    let table = as_declared(load)?;
    if let Some(column) = load.columns.iter().find(|column| rejected_rows::is_own(column.name.as_str())) {
        return Err(rejected_rows::own_name(&column.name, &table.name));
    }
    let Some(live) = &load.facts.target.rejected else { return Ok(()) };
    if !live.ours || live.kind != 'r' {
        return Err(FlowError::new(
            ErrorCode::Drift,
            format!("{} is there, and is no table of rejected rows that flow has made", table.name),
        )
        .hint("rename it, or let the expectations fail or warn")
        .context("table", table.name.to_string()));
    }
    follow(load, &table, live, builder)
}

/// The table as it is made: what the source fills, each nullable, and why, by which run and when.
fn as_declared(load: &Resolved<'_>) -> Result<Table> {
    let column = |name: &Ident, data_type: DataType, nullable: bool| Column {
        name: name.clone(),
        data_type,
        nullable,
        default: None,
        description: None,
    };
    let filled = load
        .columns
        .iter()
        .map(|filled| column(&filled.name, DataType::Native(filled.data_type.name.clone()), true));
    let own = rejected_rows::own_columns().map(|(name, data_type)| column(&name, data_type, false));
    Ok(Table::of(table_name(load)?, filled.chain(own).collect()))
}

/// Adds and widens columns as those of the target were: the table is ours.
fn follow(load: &Resolved<'_>, table: &Table, live: &LiveTable, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let type_of = |column: &Column| wanted_type(load, column);
    let mut cannot = Vec::new();
    for difference in differences(table, &[], live, &type_of, load.dialect) {
        match (&difference.kind, &difference.remedy) {
            (DifferenceKind::Missing { addable: true, .. }, Some(sql)) => {
                builder.mark(Subject::NewColumn, format!("{}: {}", table.name, difference.describe()));
                let purpose = format!("add the column {} to {}", difference.column, table.name);
                builder.step(StepKind::Ddl, purpose, sql.clone(), Answer::Ignore);
            }
            (DifferenceKind::Type { widening: true, .. }, Some(sql)) => {
                builder.mark(Subject::WiderColumn, format!("{}: {}", table.name, difference.describe()));
                let purpose = format!("widen the column {} of {}", difference.column, table.name);
                builder.step(StepKind::Ddl, purpose, sql.clone(), Answer::Ignore);
            }
            (DifferenceKind::Type { .. }, _) if holds(load, table, live, &difference) => {}
            (DifferenceKind::Missing { .. } | DifferenceKind::Type { .. }, _) => {
                cannot.push(difference.describe());
            }
            (
                DifferenceKind::Extra | DifferenceKind::Nullability { .. } | DifferenceKind::Default { .. },
                _,
            ) => {}
        }
    }
    if cannot.is_empty() {
        return Ok(());
    }
    let error = FlowError::new(
        ErrorCode::Drift,
        format!(
            "{}, where rejected rows are put aside, cannot hold those of {}",
            table.name, load.table.name
        ),
    )
    .hint("rename or drop it: a new one is made")
    .context("table", table.name.to_string());
    Err(cannot.into_iter().fold(error, FlowError::detail))
}

fn wanted_type(load: &Resolved<'_>, column: &Column) -> TypeFacts {
    match load.filled(&column.name) {
        Some(filled) => filled.data_type.clone(),
        None => load.dialect.type_facts(&column.data_type).expect("a type of ours"),
    }
}

/// Whether a live column of another type holds every value of the target's all the same.
fn holds(load: &Resolved<'_>, table: &Table, live: &LiveTable, difference: &Difference) -> bool {
    let wanted = table.columns.iter().find(|column| column.name.as_str() == difference.column);
    match (wanted, live.column(&difference.column)) {
        (Some(wanted), Some(live)) => {
            load.dialect.cast(&wanted_type(load, wanted), &live.data_type) == crate::dialect::Cast::Widening
        }
        _ => false,
    }
}

// ------------------------------------------------------------------------------------------------ from the stage

/// Makes the table of the rows of this run that are put aside; it stays empty where none is.
pub fn table_of_run(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(rejects) = of_run(load) else { return Ok(()) };
    builder.leftovers.push(rejects.clone());
    let typed = |data_type: String| Sql::from_dialect(data_type);
    let ours = |name, data_type: &DataType| (Ident::fixed(name), typed(load.type_name(data_type)));
    let mut columns: Vec<(Ident, Sql)> = load
        .columns
        .iter()
        .map(|column| (column.name.clone(), typed(column.data_type.name.clone())))
        .collect();
    if let Some(incremental) = &load.pipeline.incremental {
        let data_type = load.watermark_type(incremental)?.name.clone();
        columns.push((Ident::fixed(WATERMARK), typed(data_type)));
    }
    if has_ledger(load) {
        columns.push(ours(stage::IDENTITY, &DataType::Bytes));
    }
    columns.push((Ident::fixed(ADDRESS), typed(load.dialect.row_address_type(false).to_owned())));
    columns.extend([
        ours(WHY, &DataType::Text),
        ours(KNOWN, &DataType::Text),
        ours(NUMBER, &DataType::BigInt),
    ]);
    let create = load.dialect.create_stage(&rejects, columns);
    builder.step(
        StepKind::Stage,
        format!("a table for rows that are put aside: {rejects}"),
        create,
        Answer::Ignore,
    );
    Ok(())
}

/// Takes the rows that fail out of the stage.
pub fn take_out(
    load: &Resolved<'_>,
    asked: &[(&Expected, Question)],
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let Some(rejects) = of_run(load) else { return Ok(()) };
    let quarantined: Vec<usize> =
        (0..asked.len()).filter(|place| asked[*place].0.policy == Policy::Quarantine).collect();
    let texts: Vec<&str> = quarantined.iter().map(|place| asked[*place].0.text.as_str()).collect();
    let mut names = load.column_names();
    names.extend(load.pipeline.incremental.is_some().then(|| Ident::fixed(WATERMARK)));
    names.extend(has_ledger(load).then(|| Ident::fixed(stage::IDENTITY)));
    let values = Sql::join(names.iter().map(|name| sql!("s.{name}", name)), ", ");
    names.extend([ADDRESS, WHY, KNOWN, NUMBER].map(Ident::fixed));
    let (address, why) = (Ident::fixed(ADDRESS), Ident::fixed(WHY));
    let identity = identity(load, "s", sql!("r.{why}", why));
    let sql = sql!(
        "INSERT INTO {rejects} ({names})\nSELECT {values}, r.{address}, r.{why}, {identity},\n       {row_number}() OVER (PARTITION BY {identity})\n  FROM (SELECT f.{address}, {string_agg}(f.{why}, '; ' ORDER BY f.{number}) AS {why}\n          FROM ({failing}) AS f\n         GROUP BY f.{address}) AS r\n  JOIN {stage} AS s ON {row} = r.{address}",
        rejects,
        names,
        values,
        address,
        why,
        identity,
        row_number = load.dialect.function("row_number"),
        string_agg = load.dialect.function("string_agg"),
        number = Ident::fixed(NUMBER),
        failing = failing(load, asked, &quarantined),
        stage = load.source(),
        row = load.dialect.row_address("s", false)
    );
    builder.step_if_suspects(
        quarantined,
        StepKind::Stage,
        format!("put aside the rows that fail: {}", texts.join("; ")),
        sql,
        Answer::Count(vec![RunValue::RowsRejected]),
    );
    let stage = load.stage_name("stage");
    let at = sql!("{row} = c.{address}", row = load.dialect.row_address("t", false), address);
    builder.step_if(
        RunValue::RowsRejected,
        StepKind::Stage,
        "take them out of the stage",
        load.dialect.delete_using(&stage, sql!("{rejects} AS c", rejects), at),
        Answer::CountExactly(Vec::new(), vec![RunValue::RowsRejected]),
    );
    let table = table_name(load)?;
    builder.step_if(
        RunValue::RowsRejected,
        StepKind::Guard,
        "say that rows are put aside",
        sql!("SELECT {rows} AS count", rows = RunValue::RowsRejected),
        Answer::Warn(Warning {
            many: format!("{{count}} rows do not meet what is expected, and were put aside in {table}: `flow rejected` lists them"),
            one: format!("1 row does not meet what is expected, and was put aside in {table}: `flow rejected` lists it"),
        }),
    );
    Ok(())
}

/// The address of each row that fails and why: those that are judged for themselves in one reading, the others in one
/// each.
fn failing(load: &Resolved<'_>, asked: &[(&Expected, Question)], quarantined: &[usize]) -> Sql {
    let row = load.dialect.row_address("s", false);
    let (address, number, why) = (Ident::fixed(ADDRESS), Ident::fixed(NUMBER), Ident::fixed(WHY));
    let text = |expected: &Expected| Literal::Text(expected.text.clone());
    let select = |at: usize, reason: Sql, fails: Sql| {
        sql!(
            "SELECT {row} AS {address}, {at} AS {number}, {reason} AS {why}\n                  FROM {stage} AS s\n                 WHERE {fails}",
            row,
            address,
            at = Literal::Integer(at as i64),
            number,
            reason,
            why,
            stage = load.source(),
            fails
        )
    };
    let (mut reasons, mut conditions, mut selects) = (Vec::new(), Vec::new(), Vec::new());
    for place in quarantined {
        let (expected, question) = &asked[*place];
        match question {
            Question::EachRow(fails) => {
                reasons.push(sql!("CASE WHEN {fails} THEN {text} END", fails, text = text(expected)));
                conditions.push(sql!("({fails})", fails));
            }
            Question::Among { fails, .. } => {
                selects.push(select(*place, sql!("{text}", text = text(expected)), fails.clone()));
            }
            Question::Together { .. } => unreachable!("no row of theirs can be put aside"),
        }
    }
    if !reasons.is_empty() {
        let reason = sql!(
            "{concat_ws}('; ', {reasons})",
            concat_ws = load.dialect.function("concat_ws"),
            reasons = Sql::join(reasons, ", ")
        );
        selects.insert(0, select(0, reason, Sql::join(conditions, " OR ")));
    }
    Sql::join(selects, "\n                UNION ALL\n                ")
}

/// A whole row with its reasons, as one text: the same values of the same types give the same in one session.
fn identity(load: &Resolved<'_>, alias: &'static str, reasons: Sql) -> Sql {
    let text = load.type_name(&DataType::Text);
    let row = load.dialect.cast_to(&load.dialect.json_row(load.columns_of(alias)), &text);
    sql!("({row} || {reasons})", row, reasons)
}

// ------------------------------------------------------------------------------------------------ beside the target

/// Brings the table of rejected rows up to date: what is good or gone leaves it, what is new comes in.
///
/// # Errors
/// `name_too_long`.
pub fn keep(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(rejects) = of_run(load) else { return Ok(()) };
    let table = as_declared(load)?;
    let name = &table.name;
    let is_there = load.facts.target.rejected.is_some();
    if is_there && let Some(scope) = leaving(load, &rejects) {
        let row = load.dialect.row_address("e", false);
        let sql = sql!(
            "DELETE FROM {name} AS e\n WHERE {row} IN (SELECT o.{address}\n                FROM ({own}) AS o\n               WHERE NOT EXISTS (SELECT 1 FROM {rejects} AS c WHERE {same}))",
            name,
            row,
            address = Ident::fixed(ADDRESS),
            own = own_rows(load, name, scope),
            rejects,
            same = same()
        );
        let purpose = format!("rows that are good by now leave {name}");
        builder.step(StepKind::Delete, purpose, sql, Answer::Ignore);
    }
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
/// everything and rows may be loaded again, else those whose key has come; none where nothing tells.
fn leaving(load: &Resolved<'_>, rejects: &QualifiedName) -> Option<Sql> {
    if load.pipeline.incremental.is_none() && load.pipeline.strategy.is_idempotent() {
        return Some(Sql::empty());
    }
    let keys = match load.keys.as_slice() {
        [] => load.pipeline.keys.as_deref().unwrap_or_default(),
        keys => keys,
    };
    if keys.is_empty() || keys.iter().any(|key| load.filled(key).is_none()) {
        return None;
    }
    Some(sql!(
        "\n                         AND EXISTS (SELECT 1 FROM (SELECT {keys} FROM {stage} AS s UNION ALL SELECT {keys} FROM {rejects} AS c) AS k WHERE {same})",
        keys = keys.to_vec(),
        stage = load.source(),
        rejects,
        same = Sql::join(keys.iter().map(|key| sql!("k.{key} = e.{key}", key)), " AND ")
    ))
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
