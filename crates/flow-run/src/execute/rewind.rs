//! A target is put back to what a run had left: planned without a lock, and done under it, as a run of its own.

use super::gather::without_source;
use super::route::Reads;
use super::run::{Execution, Progress, unless_asked};
use super::targets::{Target, Targets};
use super::{About, Engine, Request};
use crate::history::HistoryStore;
use crate::session::{Access, End, Session, nth, unreadable};
use ematix_flow_core::engine::Ends;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{PastRun, RewindFacts, RunFacts, RunNamed, Written};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::{Action, Answer, Blame, Plan, Step, StepKind};
use ematix_flow_core::planner::rewind;
use ematix_flow_core::run_value::{RunValue, Values};
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql::QualifiedName;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a rewind would do.
#[derive(Debug)]
pub struct PlannedRewind {
    /// The steps.
    pub plan: Plan,
    /// The run whose state it brings back.
    pub to: PastRun,
    /// What the runs that it undoes have written.
    pub since: Written,
    /// Versions that are as they were again.
    pub back: i64,
    /// Versions that go.
    pub gone: i64,
}

/// Reads how somebody names a run: its number, its id or the end of it, or an instant (without an offset on the clock of
/// this machine) by which it had committed.
///
/// # Errors
/// `invalid_value`.
pub fn run_named(text: &str) -> Result<RunNamed> {
    const DIGITS_OF_A_NUMBER: usize = 7;
    let text = text.trim();
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    if all(|c| c.is_ascii_digit())
        && text.len() <= DIGITS_OF_A_NUMBER
        && let Ok(number) = text.parse()
    {
        return Ok(RunNamed::Number(number));
    }
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok().map(|at| at.timestamp());
    let instant = text.parse::<Timestamp>().ok().or_else(local);
    if let Some(instant) = instant.filter(|_| text.contains('-')) {
        return Ok(RunNamed::By(instant));
    }
    if all(|c| c.is_ascii_hexdigit() || c == '-') && text.len() >= 4 {
        return Ok(RunNamed::Digits(text.to_owned()));
    }
    Err(FlowError::new(ErrorCode::InvalidValue, format!("`{text}` names no run and no time")).hint(
        "write a run's number, the last eight digits of its id, a date, or a date and time: 2026-03-01T10:00",
    ))
}

impl Engine {
    /// What a rewind would do, with the rows counted. Writes nothing.
    ///
    /// # Errors
    /// `cannot_rewind`, `option_not_for_mode`, `invalid_value` where no run is meant.
    pub async fn plan_rewind(
        &self,
        name: &str,
        named: &RunNamed,
        request: &Request,
    ) -> Result<PlannedRewind> {
        let planned = async {
            let called = self.called(name, &request.stop).await?;
            let engine = called.as_ref().unwrap_or(self);
            let targets = engine.targets(name, request, &About::planned())?;
            let target = only_target(&targets)?;
            let (whole, what) = (&targets.whole, format!("rewind {name}"));
            let session = engine.open_in_turn(whole, &whole.target_connection, &what, |_| ()).await?;
            let planned = plan_on(session.as_ref(), target, named).await;
            session.close().await;
            planned
        };
        planned.await.map_err(|error| self.locate(error, name))
    }
}

async fn plan_on(session: &dyn Session, target: &Target, named: &RunNamed) -> Result<PlannedRewind> {
    let history = HistoryStore::on(session);
    if !history.exists().await? {
        return Err(no_run(&target.pipeline, named));
    }
    if !history.is_current().await? {
        history.prepare(true).await?;
    }
    session.begin(Blame::Target, Access::ReadOnly, None).await?;
    let run = RunFacts { id: target.run_id.clone(), ..without_source(false) };
    let facts = gather(session, &target.pipeline, named, run).await?;
    let plan = rewind::plan(&target.pipeline, &facts, &Ends::both(session.facts()))?;
    let counted = looked(session, &plan).await?;
    session.end(Blame::Target, "end the plan", End::RollBack).await?;
    Ok(PlannedRewind {
        plan,
        to: facts.to,
        since: facts.since,
        back: counted.number(RunValue::RowsChanged),
        gone: counted.number(RunValue::RowsGone),
    })
}

/// Does the steps that only look: guards, and what counts.
async fn looked(session: &dyn Session, plan: &Plan) -> Result<Values> {
    let mut part = super::run::PartProgress::default();
    let looks =
        |step: &&Step| matches!(step.kind, StepKind::Guard | StepKind::Diff) && step.answer != Answer::Ignore;
    for step in plan.steps().filter(looks) {
        let Action::Execute(statement) = &step.action else { continue };
        let sql = statement.fill(&part.values, session.facts().dialect);
        let answers = session.ask(Blame::Target, &step.doing(), &sql).await?;
        super::answers::take(step, plan.header.path, &answers, &mut part)?;
    }
    Ok(part.values)
}

/// The one target of a pipeline.
fn only_target(targets: &Targets) -> Result<&Target> {
    match targets.each.as_slice() {
        [only] => Ok(only),
        several => {
            let names: Vec<String> =
                several.iter().map(|target| target.pipeline.target.name().to_string()).collect();
            let message = format!(
                "`{}` loads {} targets by one reading: a rewind puts back one",
                targets.whole.name,
                several.len()
            );
            Err(FlowError::new(ErrorCode::NotYetSupported, message).hint(format!(
                "declare a pipeline of its own for {}, with the same mode and keys, and rewind that",
                names.join(", or ")
            )))
        }
    }
}

pub(super) fn no_run(pipeline: &Pipeline, named: &RunNamed) -> FlowError {
    let (name, target) = (&pipeline.name, pipeline.target.name());
    let message = match named {
        RunNamed::Number(number) => format!("there is no run {number} of {target}"),
        RunNamed::Digits(digits) => {
            format!("no run of {target} that stands has an id that ends in `{digits}`")
        }
        RunNamed::By(instant) => format!("no run of {target} had committed by {instant}"),
    };
    FlowError::new(ErrorCode::InvalidValue, message)
        .hint(format!("`flow history {name} --output json` has the runs with their run_number"))
}

/// Everything that the plan depends on.
async fn gather(
    session: &dyn Session,
    pipeline: &Pipeline,
    named: &RunNamed,
    run: RunFacts,
) -> Result<RewindFacts> {
    let name = pipeline.target.name();
    let (known, live) = super::gather::target(session, pipeline).await?;
    let Some(live) = live else {
        return Err(FlowError::new(ErrorCode::UnknownTable, format!("{name} does not exist")));
    };
    let mut beside = Vec::new();
    for table in pipeline.strategy.follows(name) {
        beside.push(live_beside(session, &table).await?);
    }
    session.tidy().await?;
    let history = HistoryStore::on(session);
    let key = pipeline.target_key();
    let to = history.run_meant(&key, named).await?.ok_or_else(|| no_run(pipeline, named))?;
    Ok(RewindFacts {
        since: history.written_since(&key, to.number).await?,
        forgotten: history.forgotten_since(&key, to.number).await?,
        declarations: history.declarations_of(&key).await?,
        watermarks: history.watermarks_then(&key, &pipeline.name, to.number).await?,
        run: RunFacts { instant: known.instant, ..run },
        record: known.record,
        live,
        beside,
        to,
    })
}

/// A table as it lives, if it is there.
pub(super) async fn live_beside(session: &dyn Session, table: &QualifiedName) -> Result<Option<LiveTable>> {
    let doing = "look at the table beside the target";
    let question = session.inspector().table(table);
    let answers = session.ask(Blame::Target, doing, &question.sql).await?;
    Ok(question.read(nth(&answers, 0, doing)?, doing)?.1)
}

impl Execution<'_> {
    /// Plans under the lock, and executes.
    pub(super) async fn rewind(&self, named: &RunNamed, progress: &mut Progress) -> Result<()> {
        let target = only_target(self.targets)?;
        let dry_run = self.request.dry_run;
        let run = RunFacts { id: target.run_id.clone(), ..without_source(dry_run) };
        let gathering = gather(self.session, &target.pipeline, named, run);
        let facts = unless_asked(&self.request.stop, gathering).await?;
        let ends = Ends::both(self.session.facts());
        let plan = rewind::plan(&target.pipeline, &facts, &ends)?;
        let (before, after) = facts.watermark_of(&target.pipeline.name);
        progress.parts[0].watermark_before = before.map(str::to_owned);
        self.observer.planned(&self.targets.whole.name, &plan);
        progress.plan = Some(plan.clone());
        for step in plan.steps() {
            let done = self.step(&plan, step, Reads::default(), progress).await;
            match done {
                Ok(None) => {}
                Ok(Some(why)) => return Err(unreadable(&step.purpose, &why)),
                Err(error) => {
                    self.observer.step_failed(step, &error);
                    return Err(error);
                }
            }
        }
        progress.parts[0].values.set_text(RunValue::Watermark, after.map(str::to_owned));
        Ok(())
    }
}
