//! What a plan needs to know of a target and a pipeline: questions that whoever plans sends with its own, in one
//! round trip.

use super::json;
use crate::session::{Question, ResultSet};
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::{RegisteredView, StoredWatermark, TargetRecord};
use ematix_flow_core::statement;
use serde::Deserialize;

/// What is remembered of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTarget {
    /// What its runs recorded.
    pub record: TargetRecord,
    /// Whether a run created it.
    pub ours: bool,
    /// The instant for a run that begins now: by the target's clock, and after the last one.
    pub instant: String,
}

/// Asks what is remembered of a target.
pub fn record_of(dialect: &dyn Dialect, target: &str) -> Question<KnownTarget> {
    Question::new(statement!("record_of", target = target).to_text(dialect), |answer, doing| {
        json::<TargetJson>(answer.only_value(doing)?).map(KnownTarget::from)
    })
}

/// Asks whether a table was created by a run that did not load it.
pub fn was_made_beside(dialect: &dyn Dialect, table: &str) -> Question<bool> {
    let sql = statement!("was_made_beside", target = table);
    Question::new(sql.to_text(dialect), ResultSet::only_truth)
}

/// Asks how far a pipeline has read.
pub fn watermark_of(dialect: &dyn Dialect, pipeline: &str) -> Question<Option<StoredWatermark>> {
    Question::new(statement!("watermark_of", pipeline = pipeline).to_text(dialect), |answer, doing| {
        if answer.rows.is_empty() {
            return Ok(None);
        }
        json::<WatermarkJson>(answer.only_value(doing)?).map(|stored| Some(stored.into()))
    })
}

/// Asks whether append's ledger knows rows of a pipeline that a watermark leads to; NULL leads to none.
pub fn has_ledger(dialect: &dyn Dialect, pipeline: &str) -> Question<bool> {
    Question::new(statement!("has_ledger", pipeline = pipeline).to_text(dialect), ResultSet::only_truth)
}

/// Asks which versions of a feature view are entered.
pub fn versions_of(dialect: &dyn Dialect, view: &str) -> Question<Vec<RegisteredView>> {
    Question::new(statement!("versions_of", name = view).to_text(dialect), |answer, doing| {
        let rows = answer.rows.iter().filter_map(|row| row.first()?.as_deref());
        rows.map(json::<RegisteredView>)
            .collect::<Result<_>>()
            .map_err(|error| error.detail(doing.to_owned()))
    })
}

#[derive(Deserialize)]
struct TargetJson {
    generation: Option<i64>,
    compare_set: Option<Vec<String>>,
    earlier_sets: Option<Vec<Vec<String>>>,
    encoding_version: Option<i32>,
    fingerprint: Option<String>,
    keys: Option<Vec<String>>,
    kept_columns: Option<Vec<String>>,
    known_columns: Option<Vec<String>>,
    ttl: Option<String>,
    ours: bool,
    instant: String,
}

impl From<TargetJson> for KnownTarget {
    fn from(json: TargetJson) -> KnownTarget {
        KnownTarget {
            record: TargetRecord {
                generation: json.generation.unwrap_or(0),
                compare_set: json.compare_set,
                earlier_sets: json.earlier_sets.unwrap_or_default(),
                encoding_version: json.encoding_version,
                fingerprint: json.fingerprint,
                keys: json.keys.unwrap_or_default(),
                kept_columns: json.kept_columns.unwrap_or_default(),
                known_columns: json.known_columns.unwrap_or_default(),
                ttl: json.ttl.filter(|ttl| !ttl.is_empty()),
            },
            ours: json.ours,
            instant: json.instant,
        }
    }
}

#[derive(Deserialize)]
struct WatermarkJson {
    column: String,
    last_value: Option<String>,
    read_from: Option<String>,
    covered_from: Option<String>,
    identity: Option<Vec<String>>,
    target: Option<String>,
}

impl From<WatermarkJson> for StoredWatermark {
    fn from(json: WatermarkJson) -> StoredWatermark {
        StoredWatermark {
            column: json.column,
            last_value: json.last_value,
            read_from: json.read_from,
            covered_from: json.covered_from,
            identity: json.identity,
            target: json.target,
        }
    }
}
