//! What `flow doctor` found: a line for each thing that it looked at, by connection and by pipeline.

use crate::error::FlowError;
use serde::Serialize;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Runs go on; somebody should look at it.
    Warning,
    /// Runs fail by it.
    Failed,
}

impl Health {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warning => "warning",
            Health::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What: `tls`, `clock`, …
    pub check: &'static str,
    /// How it stands.
    pub state: Health,
    /// In words.
    pub message: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// The error, where there is one.
    pub error: Option<FlowError>,
}

impl Check {
    /// It is as it should be.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Check {
        Check { check, state: Health::Ok, message: message.into(), remedy: None, error: None }
    }

    /// Somebody should look at it.
    pub fn warning(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { state: Health::Warning, remedy: Some(remedy.into()), ..Check::ok(check, message) }
    }

    /// Runs fail by it.
    pub fn failed(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { state: Health::Failed, ..Check::warning(check, message, remedy) }
    }

    /// What an error says.
    pub fn of_error(check: &'static str, error: FlowError) -> Check {
        let lines = std::iter::once(error.message.as_str()).chain(error.details.iter().map(String::as_str));
        let message = lines.collect::<Vec<_>>().join("; ");
        Check { check, state: Health::Failed, message, remedy: error.whole_hint(), error: Some(error) }
    }
}

/// A connection or a pipeline with everything that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Patient {
    /// Its name.
    pub name: String,
    /// Of a connection: where it leads; of a pipeline: from where to where.
    pub about: String,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// Everything that `flow doctor` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DoctorReport {
    /// The connections.
    pub connections: Vec<Patient>,
    /// The pipelines.
    pub pipelines: Vec<Patient>,
}

impl DoctorReport {
    /// Everything that was looked at.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.connections.iter().chain(&self.pipelines).flat_map(|patient| &patient.checks)
    }

    /// How many stand so.
    pub fn count(&self, state: Health) -> usize {
        self.checks().filter(|check| check.state == state).count()
    }
}

/// The least that a role needs on one connection, as SQL for whoever owns the objects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeastGrants {
    /// The pipeline.
    pub pipeline: String,
    /// The connection.
    pub connection: String,
    /// Where it leads.
    pub address: String,
    /// The role that is granted it, as SQL writes it.
    pub role: String,
    /// What it needs for as long as it runs.
    pub always: Vec<String>,
    /// What it needs besides until the first run has made what is not there.
    pub first_run: Vec<String>,
    /// What takes that away again.
    pub afterwards: Vec<String>,
    /// What cannot be told, and what helps without being needed.
    pub notes: Vec<String>,
}
