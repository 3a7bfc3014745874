//! Expectations as steps over the stage: one reading counts the rows that are suspected to fail each, and only where
//! there are any they are looked at.

use super::{guards, rejected};
use crate::declare::options::OnDuplicate;
use crate::error::{ErrorCode, FlowError, Result};
use crate::expectations::{Expected, Policy, Question, Rows};
use crate::markers::Family;
use crate::pipeline::{Resolved, declared_keys};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Asked, ExpectationFailure, GuardFailure, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::DataType;

/// How many rows of the stage look the same in a sample.
const ROWS: &str = "_ematix_rows";
/// How many columns of a row without keys are shown.
const SHOWN_COLUMNS: usize = 5;
/// How much of a value is shown.
const SHOWN_CHARACTERS: i64 = 100;

/// Asks every expectation.
///
/// # Errors
/// `unknown_column` for a column that the source does not fill, `invalid_value` for a type that cannot be asked.
pub fn over_stage(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let asked = questions(load)?;
    if asked.is_empty() {
        return Ok(());
    }
    builder.note("expectations are asked of the rows in the stage, before one is written");
    rejected::table_of_run(load, builder)?;
    count(load, &asked, builder);
    for (place, (expected, question)) in asked.iter().enumerate() {
        let ends_the_run = match expected.policy {
            Policy::Fail => true,
            Policy::Warn => false,
            Policy::Quarantine => continue,
        };
        let purpose = match ends_the_run {
            true => format!("expected: {}   expects no rows", expected.text),
            false => format!("expected, or a warning: {}", expected.text),
        };
        let (sample, sql) = failing(load, expected, question);
        let answer = Answer::Expectation(ExpectationFailure {
            failure: failure(load, expected, question, sample),
            ends_the_run,
            kind: expected.kind,
            columns: expected.expectation.columns().iter().map(ToString::to_string).collect(),
            place: expected.place.clone(),
        });
        builder.step_if_suspects(vec![place], StepKind::Guard, purpose, sql, answer);
    }
    rejected::take_out(load, &asked, builder)
}

/// What each expectation asks of the stage.
fn questions<'l>(load: &'l Resolved<'_>) -> Result<Vec<(&'l Expected, Question)>> {
    let stage = load.stage_name("stage");
    let repeated = guards::has_key_guards(load).then(|| {
        let left = match load.pipeline.on_duplicate {
            OnDuplicate::Error => sql!("{repeated}", repeated = RunValue::RowsRepeated),
            OnDuplicate::Latest => sql!("{none}", none = Literal::Integer(0)),
        };
        (load.keys.as_slice(), left)
    });
    let rows = Rows {
        dialect: load.dialect,
        table: &stage,
        type_of: &|name| load.type_of(name),
        repeated,
        instant: load.instant(),
        target: &load.table.name,
        stays: load.pipeline.strategy.stays(load),
    };
    let ask = |expected: &'l Expected| {
        let columns = expected.expectation.columns();
        if let Some(name) = columns.iter().find(|name| load.filled(name).is_none()) {
            return Err(not_filled(load, expected, name));
        }
        // A type of another engine has no number that every Postgres has.
        let family = |name: &Ident| {
            let facts = load.type_of(name);
            facts.wire.oid.is_some().then(|| Family::of(facts))
        };
        expected.expectation.fits(&family)?;
        Ok((expected, expected.expectation.question(&rows)?))
    };
    let asked = load.pipeline.expectations.iter();
    asked.map(|expected| ask(expected).map_err(|error| expected.located(error))).collect()
}

fn not_filled(load: &Resolved<'_>, expected: &Expected, name: &Ident) -> FlowError {
    let names: Vec<&str> = load.columns.iter().map(|column| column.name.as_str()).collect();
    FlowError::new(
        ErrorCode::UnknownColumn,
        format!(
            "`{}` names the column `{name}`, which the source of `{}` does not fill",
            expected.kind, load.pipeline.name
        ),
    )
    .detail(format!("it fills: {}", names.join(", ")))
    .hint("expectations are asked of the rows as the target will have them")
}

/// One reading of the stage for all of them.
fn count(load: &Resolved<'_>, asked: &[(&Expected, Question)], builder: &mut PlanBuilder<'_>) {
    let mut reads_rows = false;
    let mut counts = Vec::new();
    let mut each = Vec::new();
    for (expected, question) in asked {
        let (count, reads) = match question {
            Question::EachRow(fails) => (load.dialect.count_where(fails), true),
            Question::Together { fails, .. } => (sql!("CASE WHEN {fails} THEN 1 ELSE 0 END", fails), true),
            Question::Among { suspects, .. } => (suspects.clone(), false),
        };
        reads_rows |= reads;
        let alone = counted(load, count.clone(), reads).render(load.dialect);
        each.push(Asked { text: expected.text.clone(), place: expected.place.clone(), alone });
        counts.push(count);
    }
    let sql = counted(load, Sql::join(counts, ",\n       "), reads_rows);
    let texts: Vec<&str> = asked.iter().map(|(expected, _)| expected.text.as_str()).collect();
    let purpose = format!("count rows that may fail: {}", texts.join("; "));
    builder.step(StepKind::Guard, purpose, sql, Answer::Suspects(each));
}

fn counted(load: &Resolved<'_>, counts: Sql, reads_rows: bool) -> Sql {
    match reads_rows {
        true => sql!("SELECT {counts}\n  FROM {stage} AS s", counts, stage = load.source()),
        false => sql!("SELECT {counts}", counts),
    }
}

/// The rows that fail: how many there are, and a few of them as texts, under the names that stand before.
fn failing(load: &Resolved<'_>, expected: &Expected, question: &Question) -> (Vec<String>, Sql) {
    let (stage, rows) = (load.source(), Ident::fixed(ROWS));
    let fails = match question {
        Question::Together { fails, shown: (name, shown) } => {
            let sql = sql!(
                "SELECT 1 AS count, {shown} AS shown, 1 AS {rows}\n  FROM {stage} AS s\nHAVING {fails}",
                shown,
                rows,
                stage,
                fails
            );
            return (vec![name.clone()], sql);
        }
        Question::EachRow(fails) | Question::Among { fails, .. } => fails,
    };
    let (count, sum) = (load.dialect.function("count"), load.dialect.function("sum"));
    let columns = shown_columns(load, expected);
    let text = load.type_name(&DataType::Text);
    let name = |at: usize| Ident::new(format!("_ematix_{at}")).expect("a short name");
    let texts = columns.iter().enumerate().map(|(at, column)| {
        let value = load.dialect.cast_to(&sql!("s.{column}", column), &text);
        let substring = load.dialect.function("substring");
        let characters = Literal::Integer(SHOWN_CHARACTERS);
        sql!("{substring}({value}, 1, {characters}) AS {name}", substring, value, characters, name = name(at))
    });
    let texts = Sql::join(texts, ",\n               ");
    let names = Sql::join((0..columns.len()).map(|at| sql!("d.{name}", name = name(at))), ", ");
    let sql = sql!(
        "SELECT {sum}({count}(*)) OVER () AS count, {names}, {count}(*) AS {rows}\n  FROM (SELECT {texts}\n          FROM {stage} AS s\n         WHERE {fails}) AS d\n GROUP BY {names}\n ORDER BY {names}\n LIMIT 5",
        sum,
        count,
        names,
        rows,
        texts,
        stage,
        fails
    );
    (columns.iter().map(ToString::to_string).collect(), sql)
}

/// The key of a row and the values that an expectation judges; of a row without keys its first columns.
fn shown_columns(load: &Resolved<'_>, expected: &Expected) -> Vec<Ident> {
    let is_filled = |names: &Vec<Ident>| names.iter().all(|name| load.filled(name).is_some());
    let declared = declared_keys(&load.table).0;
    let own = [load.keys.clone(), load.pipeline.keys.clone().unwrap_or_default(), declared];
    let mut columns = own.into_iter().find(|names| !names.is_empty() && is_filled(names)).unwrap_or_default();
    let has_keys = !columns.is_empty();
    for name in expected.expectation.shown() {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    if !has_keys && columns.is_empty() {
        columns = load.column_names();
        columns.truncate(SHOWN_COLUMNS);
    }
    columns
}

fn failure(
    load: &Resolved<'_>,
    expected: &Expected,
    question: &Question,
    sample: Vec<String>,
) -> GuardFailure {
    let (name, text) = (&load.pipeline.name, &expected.text);
    let (message, one) = match question {
        Question::Together { .. } => {
            let words = format!("the rows of `{name}` do not meet {text}");
            (words.clone(), words)
        }
        Question::EachRow(_) | Question::Among { .. } => (
            format!("{{count}} rows of `{name}` do not meet {text}"),
            format!("{{count}} row of `{name}` does not meet {text}"),
        ),
    };
    let others = match expected.expectation.judges_rows() {
        true => "policy = \"warn\" or \"quarantine\"",
        false => "policy = \"warn\"",
    };
    GuardFailure {
        code: ErrorCode::ExpectationFailed,
        message,
        one,
        sample,
        hint: format!("mend the rows, or set {others} for this expectation"),
    }
}
