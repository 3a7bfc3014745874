//! What a run takes from the answers of its steps. Nothing fails open: a step whose answer cannot be read has failed,
//! a guard above all.

use super::row_json;
use super::run::PartProgress;
use crate::history::lease_lost;
use crate::session::{ResultSet, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::ExecutionPath;
use ematix_flow_core::plan::{Answer, ExpectationFailure, GuardFailure, Step, StepKind, Warning};
use ematix_flow_core::report::SampleRow;
use ematix_flow_core::run_value::{RunValue, Values};

/// Takes the last statement's answer; how many rows it touched, where the step counts rows.
///
/// # Errors
/// What a guard found, a count that is not the expected one, `target_failed` for an answer of another form.
pub fn take(
    step: &Step,
    path: ExecutionPath,
    answers: &[ResultSet],
    part: &mut PartProgress,
) -> Result<Option<i64>> {
    let values = &mut part.values;
    if step.answer == Answer::Ignore {
        return Ok(None);
    }
    let Some(last) = answers.last() else { return Err(unreadable(&step.purpose, "no answer at all")) };
    match &step.answer {
        Answer::Ignore => Ok(None),
        Answer::Count(counted) => {
            counted.iter().for_each(|value| values.add(*value, last.affected));
            Ok(Some(last.affected))
        }
        Answer::CountExactly(counted, expected) => {
            let expected = expected.iter().map(|value| values.number(*value)).sum();
            count_exactly(step, path, last.affected, expected)?;
            counted.iter().for_each(|value| values.add(*value, last.affected));
            Ok(Some(last.affected))
        }
        Answer::CountAllRead(counted) => {
            count_exactly(step, path, last.affected, values.rows_left())?;
            counted.iter().for_each(|value| values.add(*value, last.affected));
            Ok(Some(last.affected))
        }
        Answer::ReadExactly(asked) => {
            let counted: Vec<RunValue> = asked.iter().map(|(value, _)| *value).collect();
            read(step, &counted, last, values)?;
            for (value, expected) in asked {
                count_exactly(step, path, values.number(*value), values.number(*expected))?;
            }
            Ok(Some(counted.iter().map(|value| values.number(*value)).sum()))
        }
        Answer::Warn(warning) => {
            part.warnings.extend(warned(step, warning, last)?);
            Ok(None)
        }
        Answer::Read(asked) => {
            read(step, asked, last, values)?;
            Ok(None)
        }
        Answer::Sample(changed) => {
            for row in &last.rows {
                part.sample.push(sample_row(step, changed, row)?);
            }
            Ok(None)
        }
        Answer::NoRows(failure) => match violations(step, failure, last)? {
            [] => Ok(Some(0)),
            rows => Err(found(failure, rows, "keys")),
        },
        Answer::Suspects(expectations) => {
            values.set_suspects(suspects(step, expectations.len(), last)?);
            Ok(None)
        }
        Answer::Expectation(expectation) => match violations(step, &expectation.failure, last)? {
            [] => Ok(Some(0)),
            rows => {
                let failure = failed(expectation, rows);
                if expectation.ends_the_run {
                    return Err(failure);
                }
                part.warnings.push(in_one_line(&failure));
                Ok(None)
            }
        },
        Answer::ExactlyOne => match last.affected {
            1 => Ok(None),
            _ => Err(lease_lost()),
        },
    }
}

/// The rows that break a promise, if the answer has the form that was asked for.
fn violations<'a>(
    step: &Step,
    failure: &GuardFailure,
    answer: &'a ResultSet,
) -> Result<&'a [Vec<Option<String>>]> {
    let columns = failure.columns();
    if answer.columns.len() != columns || answer.rows.iter().any(|row| row.len() != columns) {
        return Err(unreadable(&step.purpose, &format!("{} columns, not {columns}", answer.columns.len())));
    }
    Ok(&answer.rows)
}

/// How many rows are suspected to fail each expectation.
fn suspects(step: &Step, expectations: usize, answer: &ResultSet) -> Result<Vec<i64>> {
    let number = |cell: &Option<String>| {
        cell.as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| unreadable(&step.purpose, "a count that is no number"))
    };
    answer.only_row(expectations, &step.purpose)?.iter().map(number).collect()
}

/// What is said of rows that fail an expectation.
fn failed(expectation: &ExpectationFailure, rows: &[Vec<Option<String>>]) -> FlowError {
    let error = found(&expectation.failure, rows, "sample")
        .context("expectation", expectation.kind)
        .context("columns", expectation.columns.clone());
    match &expectation.place {
        Some(place) => error.at(place.clone()),
        None => error,
    }
}

/// An error that is none, as a report says it.
fn in_one_line(error: &FlowError) -> String {
    let details: Vec<&str> = error.details.iter().map(|detail| detail.trim()).collect();
    match details.is_empty() {
        true => error.message.clone(),
        false => format!("{} ({})", error.message, details.join("; ")),
    }
}

/// What the server says was written is what was planned.
fn count_exactly(step: &Step, path: ExecutionPath, touched: i64, expected: i64) -> Result<()> {
    match touched == expected {
        true => Ok(()),
        false => Err(wrong_count(step, path, touched, expected)),
    }
}

/// What a report says of the rows that were counted, where there are any.
fn warned(step: &Step, warning: &Warning, answer: &ResultSet) -> Result<Option<String>> {
    let count: i64 = answer
        .only_value(&step.purpose)?
        .parse()
        .map_err(|_| unreadable(&step.purpose, "a count that is no number"))?;
    Ok(match count {
        0 => None,
        1 => Some(warning.one.clone()),
        many => Some(warning.many.replace("{count}", &many.to_string())),
    })
}

fn wrong_count(step: &Step, path: ExecutionPath, touched: i64, expected: i64) -> FlowError {
    let hint = match (path, step.kind) {
        (ExecutionPath::ClientDiff, StepKind::Close) => {
            "somebody else wrote the table while the source was read; nothing stands of this run: run it again"
        }
        _ => "a trigger or a rule of the target kept rows from being written; nothing stands of this run",
    };
    FlowError::new(
        ErrorCode::TargetFailed,
        format!("{touched} of {expected} rows were touched by the step \"{}\"", step.purpose),
    )
    .hint(hint)
}

fn read(step: &Step, asked: &[RunValue], answer: &ResultSet, values: &mut Values) -> Result<()> {
    for (value, cell) in asked.iter().zip(answer.only_row(asked.len(), &step.purpose)?) {
        if value.is_text() {
            values.set_text(*value, cell.clone());
            continue;
        }
        let number = cell.as_deref().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let found = cell.as_deref().map_or_else(|| "NULL".to_owned(), |text| format!("`{text}`"));
            unreadable(&step.purpose, &format!("{found} for {}, which is a number", value.name()))
        })?;
        values.set(*value, number);
    }
    Ok(())
}

fn sample_row(step: &Step, changed: &str, row: &[Option<String>]) -> Result<SampleRow> {
    let [kind, old, new] = row else {
        return Err(unreadable(&step.purpose, &format!("{} columns, not 3", row.len())));
    };
    let object = |cell: &Option<String>| {
        let parsed = cell.as_deref().map(row_json::read).transpose();
        parsed.map_err(|error| unreadable(&step.purpose, &format!("a row that is no JSON object: {error}")))
    };
    let change = match kind.as_deref() {
        Some("new") => "insert",
        Some("gone") => "delete",
        Some("overwritten") => "update",
        Some("changed") => changed,
        _ => return Err(unreadable(&step.purpose, "a change of no known kind")),
    };
    Ok(SampleRow { change: change.to_owned(), old: object(old)?, new: object(new)? })
}

/// What a guard found, in its words; `sampled` is what its sample is called in the context.
fn found(failure: &GuardFailure, rows: &[Vec<Option<String>>], sampled: &'static str) -> FlowError {
    let cell = |row: &[Option<String>], index: usize| row[index].clone().unwrap_or_default();
    let count = cell(&rows[0], 0);
    // The numbers stand in front: a pipeline's name further on may have braces of its own.
    let words = if count == "1" { &failure.one } else { &failure.message };
    let message = words.strip_prefix("{count}").map_or_else(
        || words.clone(),
        |rest| match rest.strip_prefix(" of {total}") {
            Some(rest) => format!("{count} of {}{rest}", cell(&rows[0], 1)),
            None => format!("{count}{rest}"),
        },
    );
    let mut error = FlowError::new(failure.code, message).hint(failure.hint.clone());
    if let Ok(number) = count.parse::<i64>() {
        error = error.context("count", number);
    }
    if failure.sample.is_empty() {
        return error;
    }
    let mut shown = Vec::new();
    let mut keys = Vec::new();
    for row in rows {
        let values = &row[1..=failure.sample.len()];
        let texts: Vec<&str> = values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        let value = if texts.len() == 1 { texts[0].to_owned() } else { format!("({})", texts.join(", ")) };
        shown.push(match cell(row, failure.sample.len() + 1).as_str() {
            "1" => value,
            times => format!("{value} ({times} rows)"),
        });
        let named = failure.sample.iter().cloned().zip(values.iter().cloned().map(serde_json::Value::from));
        keys.push(serde_json::Value::from(named.collect::<serde_json::Map<_, _>>()));
    }
    let names = if failure.sample.len() == 1 {
        failure.sample[0].clone()
    } else {
        format!("({})", failure.sample.join(", "))
    };
    error.detail(format!("  {names}: {}", shown.join(", "))).context(sampled, keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::plan::Action;
    use ematix_flow_core::sql::Statement;
    use proptest::prelude::*;

    fn guard(sample: &[&str], total: bool) -> Answer {
        let message = if total { "{count} of {total} keys left" } else { "{count} rows" };
        Answer::NoRows(GuardFailure {
            code: ErrorCode::MassDelete,
            message: message.to_owned(),
            one: message.to_owned(),
            sample: sample.iter().map(|name| (*name).to_owned()).collect(),
            hint: String::new(),
        })
    }

    fn step(answer: Answer) -> Step {
        Step::new(1, StepKind::Guard, "ask", Action::Execute(Statement::default()), answer)
    }

    fn taken(answer: &Answer, answers: &[ResultSet]) -> (Result<Option<i64>>, Values) {
        let mut part = PartProgress::default();
        let outcome = take(&step(answer.clone()), ExecutionPath::SameDatabase, answers, &mut part);
        (outcome, part.values)
    }

    fn set(columns: usize, rows: Vec<Vec<Option<String>>>) -> ResultSet {
        let affected = rows.len() as i64;
        ResultSet { columns: (0..columns).map(|index| format!("c{index}")).collect(), rows, affected }
    }

    /// Answers that a run relies on before it writes, with how many columns each has.
    fn guarding() -> impl Strategy<Value = (Answer, usize)> {
        prop_oneof![
            Just((guard(&[], false), 1)),
            Just((guard(&[], true), 2)),
            Just((guard(&["id"], false), 3)),
            Just((guard(&["id", "region"], false), 4)),
            Just((Answer::Read(vec![RunValue::RowsNullKey, RunValue::RowsRepeated]), 2)),
            Just((Answer::Read(vec![RunValue::RowsNew, RunValue::RowsGone, RunValue::RowsIn]), 3)),
        ]
    }

    fn cells(columns: usize) -> impl Strategy<Value = Vec<Option<String>>> {
        prop::collection::vec(prop::option::of("[0-9]{1,3}|[a-z -]{0,4}|-?[0-9]{19,21}|1\\.5"), columns)
    }

    fn answers() -> impl Strategy<Value = Vec<ResultSet>> {
        let answer = (0_usize..6).prop_flat_map(|columns| {
            (Just(columns), prop::collection::vec((0_usize..6).prop_flat_map(cells), 0..3))
        });
        prop::collection::vec(answer.prop_map(|(columns, rows)| set(columns, rows)), 0..3)
    }

    /// Whether an answer is of the form that was asked for and gives leave to go on.
    fn lets_pass(answer: &Answer, columns: usize, answers: &[ResultSet]) -> bool {
        let Some(last) = answers.last() else { return false };
        match answer {
            Answer::NoRows(_) => last.columns.len() == columns && last.rows.is_empty(),
            _ => {
                let numbers = |row: &Vec<Option<String>>| {
                    row.len() == columns
                        && row
                            .iter()
                            .all(|cell| cell.as_ref().is_some_and(|text| text.parse::<i64>().is_ok()))
                };
                last.columns.len() == columns && last.rows.len() == 1 && numbers(&last.rows[0])
            }
        }
    }

    proptest! {
        #[test]
        fn no_malformed_answer_lets_a_guarded_run_pass((answer, columns) in guarding(), answers in answers()) {
            let (outcome, _) = taken(&answer, &answers);
            prop_assert_eq!(outcome.is_ok(), lets_pass(&answer, columns, &answers), "{:?}", outcome);
        }

        #[test]
        fn numbers_are_bound_by_their_place_whatever_the_columns_are_called(
            numbers in prop::collection::vec(any::<i64>(), 2),
            names in prop::collection::vec("[a-z_]{1,12}", 2),
        ) {
            let row = numbers.iter().map(|number| Some(number.to_string())).collect();
            let answer = ResultSet { columns: names, rows: vec![row], affected: 1 };
            let (outcome, values) = taken(&Answer::Read(vec![RunValue::RowsNullKey, RunValue::RowsRepeated]), &[answer]);
            prop_assert_eq!(outcome, Ok(None));
            prop_assert_eq!(values.number(RunValue::RowsNullKey), numbers[0]);
            prop_assert_eq!(values.number(RunValue::RowsRepeated), numbers[1]);
        }
    }

    #[test]
    fn a_text_may_be_null_and_a_number_may_not() {
        let row = |cells: &[Option<&str>]| vec![cells.iter().map(|cell| cell.map(str::to_owned)).collect()];
        let text = Answer::Read(vec![RunValue::Watermark]);
        assert_eq!(taken(&text, &[set(1, row(&[None]))]).0, Ok(None));
        let number = Answer::Read(vec![RunValue::RowsNew]);
        let error = taken(&number, &[set(1, row(&[None]))]).0.expect_err("a number");
        assert_eq!(error.code, ErrorCode::TargetFailed);
        assert_eq!(error.details, ["it has NULL for rows_new, which is a number"]);
    }

    #[test]
    fn a_step_without_an_answer_has_failed_unless_it_wants_none() {
        assert_eq!(taken(&Answer::Ignore, &[]).0, Ok(None));
        for answer in [
            Answer::Count(vec![RunValue::RowsIn]),
            Answer::CountExactly(vec![RunValue::RowsUpdated], vec![RunValue::RowsChanged]),
            Answer::CountAllRead(vec![RunValue::RowsInserted]),
            Answer::Warn(Warning { many: String::new(), one: String::new() }),
            Answer::Sample("update"),
            Answer::ExactlyOne,
        ] {
            assert!(taken(&answer, &[]).0.is_err(), "{answer:?}");
        }
    }
}
