//! A checked pipeline, what its load strategy can be asked, and what both mean in the light of the facts.

pub mod as_of;
pub mod authors;
pub(crate) mod columns;
mod inferred;
pub mod kept;
pub mod keys;
pub mod prepared;
mod resolved;
mod rewind;
pub mod strategy;
pub mod united;

pub use crate::check::{
    Brought, DEFAULT_CONNECTION, FeatureView, Incremental, Limits, NamedTransform, ONLINE, Source, Target,
    Transform, Work, declared_keys, named_transform, unknown_pipeline, unknown_transform,
};
pub use columns::declared_type;
pub use resolved::{LoadColumn, Resolved, Rows};
pub use rewind::{Rewind, cannot_rewind};

use crate::declare::options::{ForcePath, OnDrift, OnDuplicate, OnTypeLoss};
use crate::expectations::{Expected, Policy};
use crate::helpers::Step;
use crate::query::SlotTimes;
use crate::schedule::Schedule;
use crate::schedule::slots::Policy as SlotPolicy;
use crate::sql::Ident;
use jiff::Timestamp;
use std::sync::Arc;
use strategy::LoadStrategy;

/// A checked pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Where its rows come from.
    pub source: Source,
    /// The connection of the target.
    pub target_connection: String,
    /// Where they go.
    pub target: Target,
    /// What is done with all rows of the source before.
    pub helpers: Vec<Step>,
    /// How they get there.
    pub strategy: Arc<dyn LoadStrategy>,
    /// The keys that the pipeline itself says.
    pub keys: Option<Vec<Ident>>,
    /// What several source rows of one key mean.
    pub on_duplicate: OnDuplicate,
    /// ORDER BY items for `latest`: the row that comes first is kept.
    pub order_by: Vec<String>,
    /// Whether a source without rows ends the run.
    pub refuse_empty_source: bool,
    /// What a live table unlike its declaration means.
    pub on_drift: OnDrift,
    /// What becomes of a column of a type that the target's engine lacks.
    pub on_type_loss: OnTypeLoss,
    /// Whether missing parts of an existing table are added.
    pub migrate: bool,
    /// How the source is read from a watermark on.
    pub incremental: Option<Incremental>,
    /// What its rows must hold before they stand.
    pub expectations: Vec<Expected>,
    /// A forced path.
    pub force_path: Option<ForcePath>,
    /// How many sessions read a table of another database at once.
    pub parallel: u32,
    /// Time limits.
    pub limits: Limits,
    /// When it is due.
    pub schedule: Option<Schedule>,
    /// What becomes of its slots.
    pub policy: SlotPolicy,
    /// Whether its schedule fires.
    pub enabled: bool,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// What runs after the load.
    pub after: Vec<Transform>,
    /// The feature view that it fills.
    pub feature: Option<FeatureView>,
}

impl Pipeline {
    /// The name under which this target is locked and remembered.
    pub fn target_key(&self) -> String {
        self.target.name().to_string()
    }

    /// Whether its source names the times of a slot.
    pub fn names_slot(&self) -> bool {
        self.source.query.names_slot()
    }

    /// The times of the last slot until an instant.
    pub fn last_slot(&self, until: Timestamp) -> Option<SlotTimes> {
        let schedule = self.schedule.as_ref()?;
        let end = schedule.last_until(until)?;
        Some(SlotTimes { start: schedule.before(end)?, end })
    }

    /// Whether rows that fail an expectation are put aside.
    pub fn quarantines(&self) -> bool {
        self.expectations.iter().any(|expected| expected.policy == Policy::Quarantine)
    }
}
