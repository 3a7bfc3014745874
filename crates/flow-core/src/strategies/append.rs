//! Append: every source row is inserted. With an incremental column, a ledger of what was loaded in
//! the range that can be read again keeps rows at a tie from being lost or doubled.

use super::by_key;
use crate::check::Check;
use crate::declare::Mode;
use crate::declare::options::PipelineOptions;
use crate::dialect::{Dialect, RowOrder};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{AtHand, ExecutionPath, PastRun, SourcePart};
use crate::history::{self, Fresh};
use crate::pipeline::prepared::Counting;
use crate::pipeline::strategy::{JoinedBy, KeyNeed, LoadStrategy, ReadingNeed};
use crate::pipeline::{Incremental, Pipeline, Resolved};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Blame, PhaseName, StepKind};
use crate::reading::stage::{IDENTITY, WATERMARK};
use crate::reading::{self, guards, straight, watermark};
use crate::run_value::{RunValue, Values};
use crate::schema::{Column, ColumnDefault, Table};
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::DataType;

/// The column that numbers the rows of the stage that are alike.
const NUMBER: &str = "_ematix_number";

/// What append knows.
#[derive(Debug)]
pub struct Append {
    /// Column of the time of loading.
    pub loaded_at: Option<Ident>,
    /// Column of the run's id.
    pub batch_id: Option<Ident>,
}

impl Append {
    /// What options make of it.
    pub fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Append {
        let unwritten = PipelineOptions::defaults();
        Append {
            loaded_at: check.optional_name(
                "loaded_at_column",
                &options.loaded_at_column(),
                &unwritten.loaded_at_column,
            ),
            batch_id: check.optional_name(
                "batch_id_column",
                &options.batch_id_column(),
                &unwritten.batch_id_column,
            ),
        }
    }
}

impl LoadStrategy for Append {
    fn mode(&self) -> Mode {
        Mode::Append
    }

    /// The time of loading and the run's id, unless the table declares them itself.
    fn managed_columns(&self, table: &Table) -> Vec<Column> {
        let loaded_at = self.loaded_at.iter().map(|name| Column {
            name: name.clone(),
            data_type: DataType::TimestampTz,
            nullable: true,
            default: Some(ColumnDefault::TransactionTime),
            description: None,
        });
        let batch_id = self.batch_id.iter().map(|name| Column::of(name, DataType::Uuid, true));
        loaded_at.chain(batch_id).filter(|column| table.column(&column.name).is_none()).collect()
    }

    fn fills(&self, column: &Ident) -> bool {
        self.loaded_at.as_ref() == Some(column) || self.batch_id.as_ref() == Some(column)
    }

    fn adds_its_columns(&self) -> bool {
        true
    }

    fn keys(&self) -> KeyNeed {
        KeyNeed::None
    }

    /// All that the source fills: no row of its target is compared with another.
    fn mirrored(&self, load: &Resolved<'_>) -> Vec<Ident> {
        by_key::all_but_keys(load)
    }

    fn reading(&self, _: &Resolved<'_>) -> ReadingNeed {
        ReadingNeed { joined_by: JoinedBy::Identity, ..ReadingNeed::default() }
    }

    fn privileges(&self) -> &'static [&'static str] {
        &["INSERT"]
    }

    fn stages(&self) -> bool {
        false
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    /// Its ledger forgets what lies before the watermark, by keys as well: what was loaded long ago would come again.
    fn backfills(&self, pipeline: &Pipeline, _: &SourcePart) -> Result<()> {
        let message = format!("`{}` appends: what it loads again is there twice", pipeline.name);
        Err(FlowError::new(ErrorCode::OptionNotForMode, message).hint(format!(
            "merge by keys finds rows that are there; if twice is meant: `flow watermark set {} VALUE`, and run",
            pipeline.name
        )))
    }

    /// Where the table fills in the time of loading by itself.
    fn takes_rows_straight(&self, load: &Resolved<'_>) -> bool {
        let now = load.dialect.transaction_time().to_text(load.dialect);
        // The server leaves its own schema out.
        let bare = now.rsplit_once('.').map_or(now.as_str(), |(_, bare)| bare);
        let is_now = |default: &String| default == bare || *default == now;
        let fills_in = |name: &Ident| match &load.facts.target.live {
            None => true,
            Some(live) => {
                live.column(name.as_str()).is_some_and(|column| column.default.as_ref().is_some_and(is_now))
            }
        };
        let uuid = load.type_name(&DataType::Uuid);
        load.pipeline.incremental.is_none()
            && self.batch_id.iter().all(|name| load.type_of(name).name == uuid)
            && self.loaded_at.iter().all(|name| load.filled(name).is_some() || fills_in(name))
    }

    fn steps(&self, load: &Resolved<'_>, plan: &mut PlanBuilder<'_>) -> Result<()> {
        if let Some(AtHand::ToCome(rows)) = &load.facts.at_hand {
            plan.phase(PhaseName::Apply);
            let run = self.batch_id.as_ref().filter(|name| load.filled(name).is_none());
            straight::take(load, rows, run, plan)?;
            guards::empty_source(load, plan);
            return Ok(());
        }
        match &load.pipeline.incremental {
            Some(incremental) => incremental_steps(load, self, incremental, plan),
            // One statement tells only what it wrote. A trigger may keep rows back: they are counted before; and what was
            // dropped, or is looked at before it is written, is counted over a stage.
            None if load.path == ExecutionPath::SameDatabase
                && load.triggers().is_empty()
                && !load.looks_at_rows()
                && load.counting() == Counting::Nothing =>
            {
                full_steps(load, self, plan);
                Ok(())
            }
            None => {
                reading::steps(load, None, plan)?;
                let sql = insert(load, self, "s", sql!("{stage} AS s", stage = load.source()));
                let counts = Answer::CountAllRead(vec![RunValue::RowsInserted]);
                plan.step(StepKind::Insert, "append every row of the source", sql, counts);
                Ok(())
            }
        }
    }

    fn settle(&self, values: &mut Values) {
        values.set(RunValue::RowsSkipped, super::rest(values));
    }

    fn ledger(&self, load: &Resolved<'_>, incremental: &Incremental) -> Result<Option<Vec<String>>> {
        identity(load, incremental).map(Some)
    }

    fn written_by(&self, run: &PastRun, dialect: &dyn Dialect) -> Result<Sql> {
        let Some(batch_id) = &self.batch_id else {
            let message = "batch_id_column is false, so no row says which run wrote it";
            return Err(FlowError::new(ErrorCode::OptionNotForMode, message)
                .hint("leave batch_id_column as it is, and the rows of later runs can be told apart"));
        };
        let id = dialect.typed_literal(&run.run_id, &dialect.type_name(&DataType::Uuid));
        Ok(sql!("t.{batch_id} = {id}", batch_id, id))
    }
}

/// The managed columns that the source does not fill, with their values.
fn own_values(load: &Resolved<'_>, append: &Append) -> Vec<(Ident, Sql)> {
    let batch = load.dialect.typed_literal(&load.facts.run.id, &load.type_name(&DataType::Uuid));
    let loaded_at = append.loaded_at.iter().map(|name| (name.clone(), load.dialect.transaction_time()));
    let batch_id = append.batch_id.iter().map(|name| (name.clone(), batch.clone()));
    loaded_at.chain(batch_id).filter(|(name, _)| load.filled(name).is_none()).collect()
}

fn insert(load: &Resolved<'_>, append: &Append, alias: &'static str, from: Sql) -> Sql {
    let own = own_values(load, append);
    let mut names = load.column_names();
    names.extend(own.iter().map(|(name, _)| name.clone()));
    let mut values = vec![load.columns_of(alias)];
    values.extend(own.into_iter().map(|(_, value)| value));
    sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {from}",
        target = load.table.name,
        names,
        values = Sql::join(values, ", "),
        from
    )
}

fn full_steps(load: &Resolved<'_>, append: &Append, builder: &mut PlanBuilder<'_>) {
    reading::lock_source(load, builder);
    reading::say_what_is_prepared(load, builder);
    builder.phase(PhaseName::Apply);
    let from = match load.prepared.is_empty() {
        true => sql!("{query} AS q", query = load.query()),
        false => {
            sql!("(\n{rows}\n) AS q", rows = load.select(&load.query(), load.columns_of("q"), &Sql::empty()))
        }
    };
    let sql = insert(load, append, "q", from);
    builder.reading_step(
        StepKind::Insert,
        "append every row of the source",
        sql,
        Answer::Count(vec![RunValue::RowsIn, RunValue::RowsInserted]),
        Blame::SourceUnlessWritten,
    );
    guards::empty_source(load, builder);
}

fn incremental_steps(
    load: &Resolved<'_>,
    append: &Append,
    incremental: &Incremental,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let data_type = load.watermark_type(incremental)?.clone();
    let identity = identity(load, incremental)?;
    let keyed = load.pipeline.keys.is_some();
    ledger_fits_watermark(load, builder)?;
    reading::steps(load, Some(&identity), builder)?;
    let stage = load.source();
    let fresh = load.stage_name("fresh");
    let (hash, value, number) = (Ident::fixed(IDENTITY), Ident::fixed(WATERMARK), Ident::fixed(NUMBER));
    let select = history::fresh_rows(
        load.dialect,
        Fresh { pipeline: &load.pipeline.name, stage, hash: &hash, number: &number, keyed },
    );
    let purpose = if keyed {
        let names: Vec<&str> = identity.iter().map(String::as_str).collect();
        format!("rows that the ledger does not know by {}", names.join(", "))
    } else {
        "rows that the ledger of what was loaded does not know".to_owned()
    };
    builder.step(
        StepKind::Diff,
        purpose,
        load.dialect.create_stage_as(&fresh, select, RowOrder::Unknown),
        Answer::Count(vec![RunValue::RowsNew]),
    );
    builder.step(
        StepKind::Insert,
        "append the rows that are new",
        insert(load, append, "f", sql!("{fresh} AS f", fresh)),
        Answer::CountExactly(vec![RunValue::RowsInserted], vec![RunValue::RowsNew]),
    );
    watermark::steps(load, builder)?;
    let text = load.dialect.stable_text(&data_type, &sql!("f.{value}", value));
    builder.step(
        StepKind::Finish,
        "enter them into the ledger",
        history::enter_into_ledger(load.dialect, &load.pipeline.name, &fresh, &hash, &value, text, true),
        Answer::Ignore,
    );
    builder.step(
        StepKind::Finish,
        "forget what can no longer be read again",
        history::forget_in_ledger(
            load.dialect,
            &load.pipeline.name,
            &data_type,
            watermark::next_bound(load, incremental, &data_type)?,
        ),
        Answer::Ignore,
    );
    builder.leftovers.push(fresh);
    Ok(())
}

/// Watermark and ledger are one thing: who takes one away by hand has not said what becomes of the other.
fn ledger_fits_watermark(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let name = &load.pipeline.name;
    match &load.facts.watermark {
        None if load.facts.has_ledger => {
            builder.warn(format!(
                "the watermark of `{name}` is gone and its ledger was not: both are forgotten, and everything is appended again"
            ));
            builder.step(
                StepKind::Finish,
                "forget the ledger, whose watermark is gone",
                history::forget_ledger(name),
                Answer::Ignore,
            );
            Ok(())
        }
        Some(stored) if stored.identity.is_some() && stored.last_value.is_some() && !load.facts.has_ledger => {
            Err(FlowError::new(
                ErrorCode::WatermarkMismatch,
                format!("the ledger of `{name}` is gone and its watermark is not: rows at the watermark would be appended twice"),
            )
            .hint(format!(
                "`flow watermark reset {name}` forgets both, and everything is appended again; `flow watermark set {name} VALUE` goes on from there"
            )))
        }
        _ => Ok(()),
    }
}

/// The source columns by which the ledger knows a row: the pipeline's own keys with the incremental
/// column, else all of them.
fn identity(load: &Resolved<'_>, incremental: &Incremental) -> Result<Vec<String>> {
    let all: Vec<String> = match &load.pipeline.keys {
        Some(keys) => {
            keys.iter().chain(std::iter::once(&incremental.column)).map(ToString::to_string).collect()
        }
        None => {
            // Behind helpers the incremental column may be out of sight.
            let given = load.facts.source.given().iter().map(|column| column.name.clone());
            let own = Some(incremental.column.to_string())
                .filter(|own| load.facts.source.given().iter().all(|column| column.name != *own));
            given.chain(own).collect()
        }
    };
    let stored = load.facts.watermark.as_ref().and_then(|stored| stored.identity.as_ref());
    match stored {
        // The ledger knows rows by the columns of its own time; as long as they are there, so do we.
        Some(stored) if stored.iter().all(|name| all.contains(name)) && load.pipeline.keys.is_none() => {
            Ok(stored.clone())
        }
        Some(stored) if load.pipeline.keys.is_none() || *stored != all => {
            let gone: Vec<&str> =
                stored.iter().filter(|name| !all.contains(name)).map(String::as_str).collect();
            Err(FlowError::new(
                ErrorCode::WatermarkMismatch,
                format!(
                    "the ledger of `{}` knows rows by columns that identify them no longer: {}",
                    load.pipeline.name,
                    gone.join(", ")
                ),
            )
            .hint(format!(
                "set keys, or start anew after the watermark: `flow watermark set {} VALUE`",
                load.pipeline.name
            )))
        }
        _ => Ok(all),
    }
}
