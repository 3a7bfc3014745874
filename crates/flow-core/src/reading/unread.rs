//! Text that markers could not read: it is counted over the stage, and ends the run where it was asked to.

use crate::error::ErrorCode;
use crate::markers::Reading;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;

/// How many rows of the stage have text that cannot be read.
const ROWS: &str = "_ematix_rows";

/// Counts, and ends the run where a marker says so.
pub fn over_stage(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let readings: Vec<&Reading> = load.readings().collect();
    if readings.is_empty() {
        return;
    }
    let names: Vec<&str> = readings.iter().map(|reading| reading.column.as_str()).collect();
    let count = load.dialect.function("count");
    let counts = readings.iter().map(|reading| {
        sql!("{count}(s.{unread}) AS {name}", count, unread = reading.unread, name = reading.column)
    });
    let broken: Vec<Sql> = readings
        .iter()
        .filter(|reading| takes_no_null(load, reading))
        .map(|reading| broken(reading))
        .collect();
    let rows_unread = match broken.is_empty() {
        true => sql!("0"),
        // A statement of its own keeps the count of each column one number under the column's name.
        false => sql!(
            "(SELECT {count} FROM {stage} AS s)",
            count = load.dialect.count_where(&Sql::join(broken, " OR ")),
            stage = load.source()
        ),
    };
    builder.step(
        StepKind::Guard,
        format!("count what could not be read ({})", names.join(", ")),
        sql!(
            "SELECT {object} AS parse_failures, {rows_unread} AS rows_unread\n  FROM (SELECT {counts}\n          FROM {stage} AS s) AS c",
            object = load.dialect.json_of_row("c"),
            rows_unread,
            counts = Sql::join(counts, ",\n               "),
            stage = load.source()
        ),
        Answer::Read(vec![RunValue::ParseFailures, RunValue::RowsUnread]),
    );
    for reading in readings.into_iter().filter(|reading| reading.ends_the_run) {
        none(load, reading, builder);
    }
}

/// Ends the run with the keys of rows whose value could not be read.
fn none(load: &Resolved<'_>, reading: &Reading, builder: &mut PlanBuilder<'_>) {
    let (stage, column, kind) = (load.source(), &reading.column, reading.kind);
    let (count, sum, rows) =
        (load.dialect.function("count"), load.dialect.function("sum"), Ident::fixed(ROWS));
    // A key that could not be read itself tells nobody which row it is.
    let keys: Vec<Ident> = load.keys.iter().filter(|key| *key != column).cloned().collect();
    let text = load.type_name(&DataType::Text);
    let sql = match keys.is_empty() {
        true => sql!(
            "SELECT {count}(*) AS count\n  FROM {stage} AS s\n WHERE s.{unread} IS NOT NULL\nHAVING {count}(*) > 0",
            count,
            stage,
            unread = reading.unread
        ),
        false => {
            let texts = keys.iter().map(|key| load.dialect.cast_to(&sql!("s.{key}", key), &text));
            sql!(
                "SELECT {sum}({count}(*)) OVER () AS count, {texts}, {count}(*) AS {rows}\n  FROM {stage} AS s\n WHERE s.{unread} IS NOT NULL\n GROUP BY {keys}\n ORDER BY {texts}\n LIMIT 5",
                sum,
                count,
                texts = Sql::join(texts, ", "),
                rows,
                stage,
                unread = reading.unread,
                keys = Sql::join(keys.iter().map(|key| sql!("s.{key}", key)), ", ")
            )
        }
    };
    builder.step(
        StepKind::Guard,
        format!("every {column} is {kind}   expects no rows"),
        sql,
        Answer::NoRows(GuardFailure {
            code: ErrorCode::CastFailed,
            message: format!("{{count}} values of `{column}` cannot be read as {kind}"),
            one: format!("{{count}} value of `{column}` cannot be read as {kind}"),
            sample: keys.iter().map(ToString::to_string).collect(),
            hint: "mend them in the source, or let the marker say on_failure = \"null\" or \"default\""
                .to_owned(),
        }),
    );
}

/// Whether a NULL in place of what cannot be read is none that the target takes.
fn takes_no_null(load: &Resolved<'_>, reading: &Reading) -> bool {
    if reading.ends_the_run || load.filled(&reading.column).is_none() {
        return false;
    }
    let declared = load.table.column(&reading.column).is_some_and(|column| !column.nullable);
    let live = load.facts.target.live.as_ref().and_then(|live| live.column(reading.column.as_str()));
    declared || live.is_some_and(|live| !live.nullable)
}

/// Whether a row has such a NULL.
fn broken(reading: &Reading) -> Sql {
    sql!("s.{unread} IS NOT NULL AND s.{column} IS NULL", unread = reading.unread, column = reading.column)
}

/// Ends the run where what cannot be read became a NULL that the target does not take: of keys, or of the other columns.
/// The server would speak of a NULL of the source.
pub fn no_nulls(load: &Resolved<'_>, keys: bool, builder: &mut PlanBuilder<'_>) {
    let readings = load.readings().filter(|reading| takes_no_null(load, reading));
    for reading in readings.filter(|reading| load.keys.contains(&reading.column) == keys) {
        let (stage, column) = (load.source(), &reading.column);
        let (count, sum, rows) =
            (load.dialect.function("count"), load.dialect.function("sum"), Ident::fixed(ROWS));
        let text = load.type_name(&DataType::Text);
        let mut shown: Vec<Sql> = load
            .keys
            .iter()
            .filter(|key| *key != column)
            .map(|key| load.dialect.cast_to(&sql!("s.{key}", key), &text))
            .collect();
        let mut names: Vec<String> =
            load.keys.iter().filter(|key| *key != column).map(ToString::to_string).collect();
        shown.push(match reading.hidden {
            true => sql!("'…'"),
            false => sql!(
                "{substring}(s.{unread}, 1, 100)",
                substring = load.dialect.function("substring"),
                unread = reading.unread
            ),
        });
        names.push(column.to_string());
        let name = |at: usize| Ident::new(format!("_ematix_{at}")).expect("a short name");
        let values = shown
            .into_iter()
            .enumerate()
            .map(|(at, value)| sql!("{value} AS {name}", value, name = name(at)));
        let list = Sql::join((0..names.len()).map(|at| sql!("d.{name}", name = name(at))), ", ");
        let sql = sql!(
            "SELECT {sum}({count}(*)) OVER () AS count, {list}, {count}(*) AS {rows}\n  FROM (SELECT {values}\n          FROM {stage} AS s\n         WHERE {broken}) AS d\n GROUP BY {list}\n ORDER BY {list}\n LIMIT 5",
            sum,
            count,
            list,
            rows,
            values = Sql::join(values, ", "),
            stage,
            broken = broken(reading)
        );
        let (marker, kind) = (reading.marker, reading.kind);
        builder.step_if(
            RunValue::RowsUnread,
            StepKind::Guard,
            format!("no NULL in {column} in place of what {marker} could not read   expects no rows"),
            sql,
            Answer::NoRows(GuardFailure {
                code: ErrorCode::CastFailed,
                message: format!(
                    "{{count}} values of `{column}` cannot be read by {marker} as {kind}, and the column takes no NULL in their place"
                ),
                one: format!(
                    "{{count}} value of `{column}` cannot be read by {marker} as {kind}, and the column takes no NULL in its place"
                ),
                sample: names,
                hint: format!(
                    "mend them in the source, declare `{column}` with ?, or let the marker say on_failure = \"default\""
                ),
            }),
        );
    }
}
