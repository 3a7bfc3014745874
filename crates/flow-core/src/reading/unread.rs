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
    builder.step(
        StepKind::Guard,
        format!("count what could not be read ({})", names.join(", ")),
        sql!(
            "SELECT {object} AS parse_failures\n  FROM (SELECT {counts}\n          FROM {stage} AS s) AS c",
            object = load.dialect.json_of_row("c"),
            counts = Sql::join(counts, ",\n               "),
            stage = load.source()
        ),
        Answer::Read(vec![RunValue::ParseFailures]),
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
