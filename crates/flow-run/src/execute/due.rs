//! What the schedules say is due: one look at each target's database, whose clock decides. What has passed is entered
//! there before anything runs, so that no slot is lost or served twice, whoever looks.

use super::transforms::schedule_key;
use super::{Engine, Request, Stop};
use crate::history::{HistoryStore, Scheduled, Schedules};
use crate::session::Session;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::graph::Graph;
use ematix_flow_core::pipeline::{NamedTransform, Pipeline, named_transform};
use ematix_flow_core::schedule::Schedule;
use ematix_flow_core::schedule::slots::{Fate, OpenSlot, Policy, Remembered};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// How long a database may take to say what is due in it.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// What a look at the schedules has found.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What is to be served, in the order of the files: pipelines, then transforms.
    pub due: Vec<DueItem>,
    /// Slots that are not served, and why.
    pub skipped: Vec<SkippedSlot>,
    /// What comes next, and when.
    pub next: Option<NextSlot>,
    /// How long nothing is to be done that is known of now.
    pub idle: Option<Duration>,
    /// The databases that cannot be asked.
    pub errors: Vec<FlowError>,
}

impl Look {
    /// Adds what was found in another database.
    fn add(&mut self, other: Look) {
        self.due.extend(other.due);
        self.skipped.extend(other.skipped);
        self.errors.extend(other.errors);
        if let Some(next) =
            other.next.filter(|next| self.next.as_ref().is_none_or(|known| next.at < known.at))
        {
            self.next = Some(next);
        }
        self.idle = self.idle.into_iter().chain(other.idle).min();
    }

    fn sleeps_until(&mut self, instant: Option<Timestamp>, now: Timestamp) {
        let Some(left) = instant.and_then(|instant| Duration::try_from(instant.duration_since(now)).ok())
        else {
            return;
        };
        if self.idle.is_none_or(|idle| left < idle) {
            self.idle = Some(left);
        }
    }
}

/// A pipeline or a transform with slots to be served.
#[derive(Clone, Debug, PartialEq)]
pub struct DueItem {
    /// Its name.
    pub name: String,
    /// Whether it is a transform.
    pub is_transform: bool,
    /// The slots, one after the other.
    pub slots: Vec<DueSlot>,
    /// The pipelines that it comes after.
    pub after: Vec<String>,
}

/// A slot to be served.
#[derive(Clone, Debug, PartialEq)]
pub struct DueSlot {
    /// When it was due.
    pub at: Timestamp,
    /// Where the time begins that it stands for.
    pub from: Option<Timestamp>,
}

/// A slot that is not served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SkippedSlot {
    /// Of what.
    pub pipeline: String,
    /// When it was due.
    pub slot: Option<Timestamp>,
    /// Why.
    #[serde(flatten)]
    pub why: FlowError,
}

impl SkippedSlot {
    /// Something that could not be served at all.
    pub fn of(pipeline: &str, why: FlowError) -> SkippedSlot {
        SkippedSlot { pipeline: pipeline.to_owned(), slot: None, why }
    }
}

/// A slot to come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NextSlot {
    /// Of what.
    pub pipeline: String,
    /// When.
    pub at: Timestamp,
}

/// Something with a schedule.
struct Entry {
    name: String,
    /// The name under which its slots are kept.
    key: String,
    /// None of what only follows others.
    schedule: Option<Schedule>,
    policy: Policy,
    /// The pipeline; a transform has none.
    pipeline: Option<Box<Pipeline>>,
}

impl Entry {
    fn scheduled<'a>(&'a self, target: &'a str, started_by: &'a str) -> Scheduled<'a> {
        Scheduled {
            of: &self.key,
            name: &self.name,
            mode: self.pipeline.as_ref().map(|pipeline| pipeline.strategy.mode().name()),
            target,
            started_by,
        }
    }
}

/// What has schedules, by the connections of the databases that keep them.
#[derive(Default)]
pub struct Timetable {
    entries: IndexMap<String, Vec<Entry>>,
    /// The pipelines, in the order of the files.
    order: HashMap<String, usize>,
    /// Those without a schedule that come after others.
    followers: Vec<String>,
    errors: Vec<FlowError>,
}

impl Timetable {
    /// What is wrong with those that are left out.
    pub fn errors(&self) -> &[FlowError] {
        &self.errors
    }

    /// How many pipelines and transforms have schedules.
    pub fn len(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }

    /// Whether nothing has a schedule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Engine {
    /// The schedules of sound pipelines, with what is wrong with the others, and (`transforms`) of the transforms that have schedules of their own.
    pub fn timetable(&self, pipelines: &[String], transforms: bool) -> Timetable {
        let mut table = Timetable::default();
        let (_, stop) = watch::channel(Stop::No);
        let plain = Request::plain(stop);
        for (place, name) in pipelines.iter().enumerate() {
            let built = Pipeline::build(&self.project, name, &plain.overrides);
            match built.and_then(|built| self.parts(name, &plain).map(|_| built)) {
                Ok(mut built) if built.enabled => {
                    let schedule = built.schedule.take();
                    if schedule.is_none() {
                        if self.project.pipelines[name].options.after().is_empty() {
                            continue;
                        }
                        table.followers.push(name.clone());
                    }
                    table.order.insert(name.clone(), place);
                    let (connection, policy) = (built.target_connection.clone(), built.policy.clone());
                    let pipeline = Some(Box::new(built));
                    let entry = Entry { name: name.clone(), key: name.clone(), schedule, policy, pipeline };
                    table.entries.entry(connection).or_default().push(entry);
                }
                Ok(_) => {}
                Err(found) => table.errors.extend(found),
            }
        }
        let of_transforms =
            self.project.transforms.iter().filter(|(_, spec)| transforms && spec.schedule.is_some());
        for (name, _) in of_transforms {
            match named_transform(&self.project, name) {
                Ok(NamedTransform { transform, schedule: Some(schedule) }) => {
                    let key = schedule_key(name);
                    let (schedule, policy) = (Some(schedule), Policy::PLAIN);
                    let entry = Entry { name: name.clone(), key, schedule, policy, pipeline: None };
                    table.entries.entry(transform.connection).or_default().push(entry);
                }
                Ok(_) => {}
                Err(found) => table.errors.extend(found),
            }
        }
        table
    }

    /// Enters what has passed, and answers what is to be served now. A database that cannot be asked keeps no other from
    /// being served.
    pub async fn look(&self, table: &Timetable, started_by: &str) -> Look {
        let mut look = Look::default();
        // All at once: one that does not answer keeps no other waiting for longer than it may take.
        let looking = table.entries.iter().map(async |(connection, entries)| {
            let mut found = Look::default();
            let looked = self.look_at(connection, entries, started_by, &mut found);
            match tokio::time::timeout(LOOK_LIMIT, looked).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => found.errors.push(error),
                Err(_) => found.errors.push(FlowError::new(
                    ErrorCode::ConnectTimeout,
                    format!("the database of {connection} did not answer within {} s", LOOK_LIMIT.as_secs()),
                )),
            }
            found
        });
        for found in futures_util::future::join_all(looking).await {
            look.add(found);
        }
        if !table.followers.is_empty() {
            let open: Vec<String> = look.due.iter().map(|item| item.name.clone()).collect();
            let followers: Vec<String> =
                table.followers.iter().filter(|name| !open.contains(name)).cloned().collect();
            match self.followers(&followers, &look.due).await {
                Ok(items) => look.due.extend(items),
                Err(error) => look.errors.push(error),
            }
        }
        let graph = Graph::of(&self.project);
        for item in look.due.iter_mut().filter(|item| !item.is_transform) {
            item.after = graph.upstream(&item.name).map(str::to_owned).collect();
        }
        look.due.sort_by_key(|item| match item.is_transform {
            true => usize::MAX,
            false => table.order.get(&item.name).copied().unwrap_or_default(),
        });
        look
    }

    async fn look_at(
        &self,
        connection: &str,
        entries: &[Entry],
        started_by: &str,
        look: &mut Look,
    ) -> Result<()> {
        let of_pipelines = entries.iter().filter_map(|entry| entry.pipeline.as_deref());
        let session = match of_pipelines.max_by_key(|pipeline| pipeline.limits.lock_timeout.as_std()) {
            Some(longest) => self.open_in_turn(longest, connection, "look", |_| ()).await?,
            None => self.open(connection, "look").await?,
        };
        let found = look_over(session.as_ref(), entries, started_by, look).await;
        session.close().await;
        found
    }
}

/// Enters what has passed, and takes what is to be served.
async fn look_over(
    session: &dyn Session,
    entries: &[Entry],
    started_by: &str,
    look: &mut Look,
) -> Result<()> {
    let history = HistoryStore::on(session);
    let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let mut schedules = history.schedules(&keys).await?;
    if enter(history, entries, &schedules, started_by, look).await? {
        schedules = history.schedules(&keys).await?;
    }
    let mut next_of: HashMap<(&str, &str), Option<Timestamp>> = HashMap::new();
    for entry in entries {
        let next = entry.schedule.as_ref().and_then(|schedule| {
            *next_of
                .entry((schedule.text(), schedule.timezone()))
                .or_insert_with(|| schedule.next_after(schedules.now))
        });
        look.sleeps_until(next, schedules.now);
        if let Some(at) = next.filter(|at| look.next.as_ref().is_none_or(|next| *at < next.at)) {
            look.next = Some(NextSlot { pipeline: entry.name.clone(), at });
        }
        let Some(remembered) = schedules.of.get(&entry.key) else { continue };
        let waiting = remembered.open.iter().filter(|open| !open.is_claimable(schedules.now));
        waiting.for_each(|open| look.sleeps_until(Some(open.due_at), schedules.now));
        let slots = claimable(remembered, schedules.now);
        match &remembered.paused {
            _ if slots.is_empty() => {}
            Some(pause) => look.skipped.push(SkippedSlot {
                pipeline: entry.name.clone(),
                slot: slots.last().map(|slot| slot.at),
                why: pause.error(&entry.name),
            }),
            None => look.due.push(DueItem {
                name: entry.name.clone(),
                is_transform: entry.pipeline.is_none(),
                slots,
                after: Vec::new(),
            }),
        }
    }
    Ok(())
}

/// The open slots whose runs may begin now: the first of them, and those that may follow it.
fn claimable(remembered: &Remembered, now: Timestamp) -> Vec<DueSlot> {
    let is_alive = |open: &OpenSlot| open.is_claimed && !open.is_expired;
    if remembered.running.is_some() || remembered.open.iter().any(is_alive) {
        return Vec::new();
    }
    let claimable = remembered.open.iter().take_while(|open| open.is_claimable(now));
    claimable.map(|open| DueSlot { at: open.slot, from: open.from }).collect()
}

/// Enters the slots that have passed, and gives up those whose every attempt died; whether anything was written.
async fn enter(
    history: HistoryStore<'_>,
    entries: &[Entry],
    schedules: &Schedules,
    started_by: &str,
    look: &mut Look,
) -> Result<bool> {
    let (mut entered, now) = (false, schedules.now);
    let nothing = Remembered::default();
    // Many pipelines have few schedules.
    let mut last_of: HashMap<(&str, &str), Option<Timestamp>> = HashMap::new();
    for entry in entries {
        let Entry { schedule, policy, .. } = entry;
        let remembered = schedules.of.get(&entry.key).unwrap_or(&nothing);
        for open in &remembered.open {
            if open.is_claimed && open.is_expired && open.attempts > policy.retries {
                history.give_up_slot(&entry.key, open).await?;
                entered = true;
            }
        }
        let Some(schedule) = schedule else { continue };
        let last = *last_of
            .entry((schedule.text(), schedule.timezone()))
            .or_insert_with(|| schedule.last_until(now));
        let is_new = |last: Timestamp| remembered.last.is_none_or(|recorded| last > recorded);
        if !last.is_some_and(is_new) || (remembered.paused.is_some() && remembered.last.is_some()) {
            continue;
        }
        let found = schedule.entries(&entry.name, policy, remembered, now);
        let target = entry.pipeline.as_ref().map_or(entry.name.clone(), |pipeline| pipeline.target_key());
        history.enter_slots(&entry.scheduled(&target, started_by), remembered.last, &found).await?;
        entered = true;
        look.skipped.extend(found.into_iter().filter_map(|found| match found.fate {
            Fate::Skipped(why) => {
                Some(SkippedSlot { pipeline: entry.name.clone(), slot: Some(found.slot), why })
            }
            Fate::Due | Fate::DueForAll | Fate::Seen => None,
        }));
    }
    Ok(entered)
}
