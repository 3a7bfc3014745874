//! The numbers of the layers, which come with the rows: they are read before anybody else looks at the stage.

use crate::pipeline::Resolved;
use crate::pipeline::prepared::{Counting, DROPPED, LAYERS};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};

/// Where the rows pass no stage, who only tries asks the source for the numbers, by a reading of its own.
pub fn of_source(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let query = Sql::user(load.pipeline.source.query.text());
    let Some(layers) = load.prepared.layers(&query, &Sql::empty()).filter(|_| load.facts.run.dry_run) else {
        return;
    };
    let account = load.prepared.account(true, load.facts.run.sample, load.ends.source.dialect);
    let sql = layers.ask(&sql!(
        "SELECT a.{layers} AS layers\n  FROM {account} AS a",
        layers = Ident::fixed(LAYERS),
        account
    ));
    builder.read_source(
        StepKind::Stage,
        "count what each layer left",
        sql,
        Answer::Read(vec![RunValue::Layers]),
    );
}

/// Reads the numbers. What was dropped was read all the same.
pub fn over_stage(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let what = match load.prepared.counts() {
        true => "count what deduplicate_by dropped",
        false => "count what each layer left",
    };
    let (stage, dropped) = (load.source(), Ident::fixed(DROPPED));
    let mut asked = vec![RunValue::RowsIn, RunValue::RowsDeduplicated];
    match load.counting() {
        Counting::Nothing => {}
        Counting::Carried(_) => {
            let sql = sql!(
                "SELECT {rows} + d.{dropped} AS rows_in, d.{dropped} AS rows_deduplicated\n  FROM (SELECT COALESCE({sum}(s.{dropped}), 0) AS {dropped} FROM {stage} AS s) AS d",
                rows = RunValue::RowsIn,
                dropped,
                sum = load.dialect.function("sum"),
                stage
            );
            builder.step(StepKind::Stage, what, sql, Answer::Read(asked));
        }
        Counting::Account { every_layer } => {
            let mut layers = Sql::empty();
            if every_layer {
                asked.push(RunValue::Layers);
                layers = sql!(", s.{layers} AS layers", layers = Ident::fixed(LAYERS));
            }
            let sql = sql!(
                "SELECT {rows} - 1 + s.{dropped} AS rows_in, s.{dropped} AS rows_deduplicated{layers}\n  FROM {stage} AS s\n WHERE s.{dropped} IS NOT NULL",
                rows = RunValue::RowsIn,
                dropped,
                layers,
                stage
            );
            builder.step(StepKind::Stage, what, sql, Answer::Read(asked));
            builder.step(
                StepKind::Stage,
                "drop the row of that count",
                sql!("DELETE FROM {stage} AS s WHERE s.{dropped} IS NOT NULL", stage, dropped),
                Answer::Ignore,
            );
        }
    }
}
