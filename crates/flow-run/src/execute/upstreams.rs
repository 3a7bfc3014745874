//! Whether a pipeline that comes after others may be served: they have succeeded for its slot, or recently enough.

use super::Engine;
use super::due::{DueItem, DueSlot, SkippedSlot};
use crate::history::{HistoryStore, Scheduled, Upstream};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::graph::Graph;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::schedule::slots::{Entry, Fate, second};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is to be done with a pipeline whose turn has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// The slots that are served now.
    pub slots: Vec<DueSlot>,
    /// Those that are not served, since what they wait for did not succeed.
    pub skipped: Vec<SkippedSlot>,
    /// What it waits for still.
    pub waits_for: Option<String>,
}

/// Whether a slot may be served.
enum Ready {
    Yes,
    /// An upstream has not ended yet.
    NotYet(String),
    /// An upstream has ended otherwise.
    Never(FlowError),
}

/// What is known of upstreams, by their names.
type Known = HashMap<String, Upstream>;

impl Engine {
    /// What is to be done with an item now. One that comes after no other is served; of another what it waits for is
    /// asked.
    ///
    /// # Errors
    /// As connecting to the databases of what it waits for.
    pub async fn turn(&self, item: &DueItem, started_by: &str) -> Result<Turn> {
        if item.after.is_empty() {
            return Ok(Turn { slots: item.slots.clone(), ..Turn::default() });
        }
        let built = self.built(&item.name)?;
        if built.schedule.is_none() {
            // A slot that it has still is one for which they have succeeded.
            if !item.slots.is_empty() {
                return Ok(Turn { slots: item.slots.clone(), ..Turn::default() });
            }
            return self.follow_slot(item, &built, started_by).await;
        }
        let known = self.upstreams(&item.after).await?;
        let mut turn = Turn::default();
        for slot in &item.slots {
            match self.is_ready(item, slot.at, &known)? {
                Ready::Yes => turn.slots.push(slot.clone()),
                Ready::NotYet(upstream) => {
                    turn.waits_for = Some(upstream);
                    break;
                }
                Ready::Never(why) => {
                    let session = self.open(&built.target_connection, "look").await?;
                    let target = built.target_key();
                    let scheduled = scheduled(&built, &target, started_by);
                    HistoryStore::on(session.as_ref()).pass_slot(&scheduled, &slot.at, &why).await?;
                    session.close().await;
                    turn.skipped.push(SkippedSlot { pipeline: item.name.clone(), slot: Some(slot.at), why });
                }
            }
        }
        Ok(turn)
    }

    /// The pipelines without a schedule of their own that come after others, and whose upstreams have succeeded for a
    /// later slot than their own last one. Those whose upstreams are among `due` may have one by their turn.
    pub(super) async fn followers(&self, names: &[String], due: &[DueItem]) -> Result<Vec<DueItem>> {
        let graph = Graph::of(&self.project);
        let items: Vec<DueItem> = names
            .iter()
            .map(|name| {
                let after = graph.upstream(name).map(str::to_owned).collect();
                DueItem { name: name.clone(), is_transform: false, slots: Vec::new(), after }
            })
            .collect();
        let asked: BTreeSet<&String> =
            items.iter().flat_map(|item| item.after.iter().chain([&item.name])).collect();
        let known = self.upstreams(&asked.into_iter().cloned().collect::<Vec<_>>()).await?;
        let behind_due = graph.with_all_downstream(due.iter().map(|item| item.name.as_str()));
        let behind_due: HashSet<&str> = behind_due.into_iter().collect();
        let may_come = |item: &DueItem| {
            behind_due.contains(item.name.as_str()) || slot_of_follower(item, &known).is_some()
        };
        Ok(items.into_iter().filter(may_come).collect())
    }

    async fn follow_slot(&self, item: &DueItem, built: &Pipeline, started_by: &str) -> Result<Turn> {
        let asked: Vec<String> = item.after.iter().chain([&item.name]).cloned().collect();
        let known = self.upstreams(&asked).await?;
        let last = known.get(&item.name).and_then(|own| own.last);
        let mut turn = Turn::default();
        if known.get(&item.name).is_some_and(|own| own.is_open) {
            return Ok(turn);
        }
        let (slot, fate) = match (slot_of_follower(item, &known), ended_otherwise(item, &known)) {
            (Some(slot), _) => {
                turn.slots.push(DueSlot { at: slot, from: last });
                (slot, Fate::DueForAll)
            }
            (None, Ended::Otherwise(upstream, slot)) => {
                let why = did_not_succeed(&item.name, &upstream, slot);
                turn.skipped
                    .push(SkippedSlot { slot: Some(slot), ..SkippedSlot::of(&item.name, why.clone()) });
                (slot, Fate::Skipped(why))
            }
            (None, Ended::NotYet(upstream)) => return Ok(Turn { waits_for: Some(upstream), ..turn }),
            (None, Ended::Nothing) => return Ok(turn),
        };
        let entry = Entry { slot, from: last, missed: 0, due_at: slot, fate };
        let target = built.target_key();
        let scheduled = scheduled(built, &target, started_by);
        let session = self.open(&built.target_connection, "look").await?;
        let history = HistoryStore::on(session.as_ref());
        history.enter_slots(&scheduled, last, &[entry]).await?;
        session.close().await;
        Ok(turn)
    }

    fn is_ready(&self, item: &DueItem, slot: Timestamp, known: &Known) -> Result<Ready> {
        let spec = &self.project.pipelines[&item.name];
        let freshness = spec.options.freshness.as_ref().map(|length| length.as_std());
        for name in &item.after {
            let upstream = known.get(name).copied().unwrap_or_default();
            if freshness.zip(upstream.age).is_some_and(|(most, age)| age <= most) {
                continue;
            }
            // What has no schedule has the slots of those before it.
            let built = self.built(name)?;
            if !built.enabled {
                return Ok(Ready::NotYet(format!("{name}, which is disabled")));
            }
            let wanted = match built.schedule {
                Some(schedule) => schedule.last_until(slot),
                None => Some(slot),
            };
            let Some(wanted) = wanted else { continue };
            let has = |last: Option<Timestamp>| last.is_some_and(|last| last >= wanted);
            if has(upstream.succeeded) {
                continue;
            }
            if has(upstream.last) && !upstream.is_open {
                return Ok(Ready::Never(did_not_succeed(&item.name, name, wanted)));
            }
            return Ok(Ready::NotYet(name.clone()));
        }
        Ok(Ready::Yes)
    }

    /// What is known of pipelines that others wait for, each asked of its own database.
    async fn upstreams(&self, names: &[String]) -> Result<Known> {
        let mut known = Known::new();
        for (connection, names) in self.by_connection(names)? {
            let Some(session) = self.current_session(&connection).await? else { continue };
            known.extend(HistoryStore::on(session.as_ref()).upstreams(&names).await?);
            session.close().await;
        }
        Ok(known)
    }

    pub(super) fn built(&self, name: &str) -> Result<Pipeline> {
        Pipeline::build(&self.project, name, &PipelineOptions::default())
            .map_err(|mut errors| errors.remove(0))
    }
}

/// How the upstreams of a follower have ended that has no slot to be served for.
enum Ended {
    /// One of them did not succeed for a slot that all of them have.
    Otherwise(String, Timestamp),
    /// One of them is not over.
    NotYet(String),
    /// Nothing new.
    Nothing,
}

fn ended_otherwise(item: &DueItem, known: &Known) -> Ended {
    let own = known.get(&item.name).and_then(|own| own.last);
    let mut oldest: Option<Timestamp> = None;
    for name in &item.after {
        let upstream = known.get(name).copied().unwrap_or_default();
        let Some(last) = upstream.last else { return Ended::Nothing };
        if upstream.is_open {
            return Ended::NotYet(name.clone());
        }
        oldest = Some(oldest.map_or(last, |oldest| oldest.min(last)));
    }
    let Some(slot) = oldest.filter(|slot| own.is_none_or(|own| *slot > own)) else { return Ended::Nothing };
    let failed =
        |name: &&String| known.get(*name).and_then(|upstream| upstream.succeeded).is_none_or(|at| at < slot);
    match item.after.iter().find(failed) {
        Some(name) => Ended::Otherwise(name.clone(), slot),
        None => Ended::Nothing,
    }
}

fn did_not_succeed(pipeline: &str, upstream: &str, slot: Timestamp) -> FlowError {
    let words = format!("`{upstream}`, which `{pipeline}` comes after, did not succeed for {}", second(slot));
    FlowError::new(ErrorCode::UpstreamFailed, words)
        .hint(format!("`flow retry {upstream} {pipeline}` serves both again"))
        .context("upstream", vec![upstream.to_owned()])
}

fn slot_of_follower(item: &DueItem, known: &Known) -> Option<Timestamp> {
    let succeeded = item.after.iter().map(|name| known.get(name).and_then(|upstream| upstream.succeeded));
    let oldest = succeeded.collect::<Option<Vec<Timestamp>>>()?.into_iter().min()?;
    let last = known.get(&item.name).and_then(|own| own.last);
    last.is_none_or(|last| oldest > last).then_some(oldest)
}

fn scheduled<'a>(built: &'a Pipeline, target: &'a str, started_by: &'a str) -> Scheduled<'a> {
    Scheduled {
        of: &built.name,
        name: &built.name,
        mode: Some(built.strategy.mode().name()),
        target,
        started_by,
    }
}
