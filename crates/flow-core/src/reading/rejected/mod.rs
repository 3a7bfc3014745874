//! Rows that fail an expectation and are put aside: they leave the stage before the strategy sees it, and stand in the
//! table of rejected rows beside the target until their source brings them good.
//!
//! What a pipeline has put aside is its own: another that loads the same target neither sees it nor takes it away. A row
//! that is there already, for the same reasons, is not written again.

mod beside;
mod definition;

pub use beside::{enter_into_ledger, keep};
pub use definition::prepare;

use crate::error::Result;
use crate::expectations::{Expected, Policy, Question};
use crate::history::{self, Fresh};
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Warning};
use crate::reading::stage::{self, WATERMARK};
use crate::run_value::RunValue;
use crate::schema::rejected_rows;
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
    let known = known_by_ledger(load);
    let sql = sql!(
        "INSERT INTO {rejects} ({names})\nSELECT {values}, r.{address}, r.{why}, {identity},\n       {row_number}() OVER (PARTITION BY {identity})\n  FROM (SELECT f.{address}, {string_agg}(f.{why}, '; ' ORDER BY f.{number}) AS {why}\n          FROM ({failing}) AS f\n         GROUP BY f.{address}) AS r\n  JOIN {stage} AS s ON {row} = r.{address}{known}",
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
        row = load.dialect.row_address("s", false),
        known
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

/// That a row `r` is none that was loaded before and is read again: it stands, whatever it meets now.
fn known_by_ledger(load: &Resolved<'_>) -> Sql {
    if !has_ledger(load) {
        return Sql::empty();
    }
    let (hash, number, address) =
        (Ident::fixed(stage::IDENTITY), Ident::fixed(NUMBER), Ident::fixed(ADDRESS));
    let known = history::known_rows(
        load.dialect,
        Fresh {
            pipeline: &load.pipeline.name,
            stage: load.source(),
            hash: &hash,
            number: &number,
            keyed: load.pipeline.keys.is_some(),
        },
        &load.dialect.row_address("s", false),
        &address,
    );
    sql!("\n WHERE r.{address} NOT IN (\n{known})", address, known)
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
