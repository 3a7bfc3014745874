//! `flow list`: the pipelines with their schedules, from the files alone.

use super::{DONE, print_items};
use crate::args::ListArgs;
use crate::project::{self, Outcome, Session};
use crate::render::lists::{self, Listed};
use crate::selection;
use ematix_flow_core::cores;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::declare::options::FirstRun;
use ematix_flow_core::declare::{PipelineSpec, ProjectSpec};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::schedule::{self, Schedule};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::collections::HashMap;
use std::num::NonZeroUsize;

/// Lists the pipelines that were asked for.
pub fn list(session: &Session, args: &ListArgs) -> Outcome {
    let project = project::for_good(session.project()?);
    let selection = selection::choose(project, &args.selection)?;
    let mut clock = Clock::new(args.next.map_or(1, NonZeroUsize::get));
    selection.names.iter().for_each(|name| clock.look_up(&project.pipelines[name]));
    let console = &session.console;
    let listed = cores::each(&selection.names, |name| {
        let spec = &project.pipelines[name];
        // Only programs see it, and it takes longer than all the rest.
        let declaration = if console.is_human() { None } else { fingerprint(project, name) };
        Listed { declaration, ..listed(project, name, spec, args.next.is_some(), clock.next_slots(spec)) }
    });
    if listed.is_empty() && !project.pipelines.is_empty() && console.is_human() {
        console.tell("no pipeline is selected\n");
    } else if console.is_human() && args.next.is_some() {
        console.out(&lists::slots(&listed));
    } else if console.is_human() {
        console.out(&lists::pipelines(&listed, &TimeZone::system()));
    } else {
        print_items(console, "ematix.list.v1", "pipelines", &listed);
    }
    DONE
}

fn listed(project: &ProjectSpec, name: &str, spec: &PipelineSpec, all: bool, slots: &[Zoned]) -> Listed {
    let options = &spec.options;
    let every = options.every.as_ref().map(|every| format!("every {every}"));
    Listed {
        name: name.to_owned(),
        mode: options.mode.map(|mode| mode.name().to_owned()),
        schedule: options.schedule.clone().or(every),
        timezone: options.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
        next: slots.first().map(|slot| slot.timestamp().to_string()),
        next_slots: all.then(|| slots.iter().map(in_its_zone).collect()),
        source_connection: project::source_connection(spec).to_owned(),
        target_connection: project::target_connection(spec).to_owned(),
        target: project.target_names(name, spec).join(", "),
        tags: options.tags.clone().unwrap_or_default(),
        enabled: options.enabled.unwrap_or(true),
        declaration: None,
    }
}

/// A cron line or an interval in milliseconds, and the time zone.
type Beat<'p> = (Option<&'p str>, Option<u64>, &'p str);

/// The next slots of schedules, each looked up once: many pipelines have few schedules.
struct Clock<'p> {
    now: Timestamp,
    most: usize,
    known: HashMap<Beat<'p>, Vec<Zoned>>,
}

impl<'p> Clock<'p> {
    fn new(most: usize) -> Clock<'p> {
        Clock { now: Timestamp::now(), most, known: HashMap::new() }
    }

    /// The next slots of a schedule that was looked up and can be read; a mistake in it is `validate`'s to report.
    fn next_slots<'a>(&'a self, spec: &'a PipelineSpec) -> &'a [Zoned] {
        match spec.options.enabled {
            Some(false) => &[],
            _ => self.known.get(&beat(spec)).map_or(&[], Vec::as_slice),
        }
    }

    fn look_up(&mut self, spec: &'p PipelineSpec) {
        let options = &spec.options;
        if options.enabled == Some(false) {
            return;
        }
        let (line, _, timezone) = beat(spec);
        let every = options.every.as_ref();
        let (now, most) = (self.now, self.most);
        self.known.entry(beat(spec)).or_insert_with(|| {
            let schedule = match (line, every) {
                (Some(line), _) => Schedule::cron(line, timezone, FirstRun::default()),
                (None, Some(every)) => Schedule::every(every, timezone, FirstRun::default()),
                (None, None) => return Vec::new(),
            };
            let (Ok(schedule), Ok(zone)) = (schedule, schedule::zone(timezone)) else { return Vec::new() };
            let slots = std::iter::successors(schedule.next_after(now), |slot| schedule.next_after(*slot));
            slots.take(most).map(|slot| slot.to_zoned(zone.clone())).collect()
        });
    }
}

fn beat(spec: &PipelineSpec) -> Beat<'_> {
    let options = &spec.options;
    let every = options.every.as_ref().map(Duration::milliseconds);
    (options.schedule.as_deref(), every, options.timezone.as_deref().unwrap_or("UTC"))
}

/// RFC 3339, with the offset of its zone.
fn in_its_zone(slot: &Zoned) -> String {
    slot.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
