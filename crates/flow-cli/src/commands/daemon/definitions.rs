//! What the daemon serves, as its files say it, and whether they have changed.

use crate::args::SelectionArgs;
use crate::project::{Failure, Session};
use crate::selection;
use ematix_flow_core::error::FlowError;
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::due::Timetable;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// One reading of the files.
pub struct Definitions {
    /// Which reading it is.
    pub number: u64,
    /// What runs them.
    pub engine: Arc<Engine>,
    /// What has schedules.
    pub table: Timetable,
    /// The pipelines that were meant, with a schedule or without.
    pub names: Vec<String>,
    /// What was left out.
    pub errors: Vec<FlowError>,
    /// What they were read from.
    pub files: Files,
}

impl Definitions {
    /// Reads the files.
    ///
    /// # Errors
    /// Mistakes that concern every pipeline.
    pub fn read(session: &Session, selected: &SelectionArgs) -> Result<Definitions, Failure> {
        let (engine, mut errors) = session.sound_engine(&selection::said(selected))?;
        let selection = selection::choose(engine.project(), selected)?;
        // Who names pipelines means no transforms.
        let all = selected.names.is_empty() && selected.select.is_empty();
        let names = selection.names;
        let table = engine.timetable(&names, all);
        errors.extend_from_slice(table.errors());
        let files = Files::written(engine.project().files.iter().map(PathBuf::from));
        Ok(Definitions { number: 0, engine: Arc::new(engine), table, names, errors, files })
    }

    /// Whether databases say which pipelines there are, so that they may say otherwise by now.
    pub fn are_asked_for(&self) -> bool {
        self.engine.project().asked
    }

    /// Whether another reading of the same files found the same pipelines and the same mistakes.
    pub fn are_those_of(&self, other: &Definitions) -> bool {
        let words =
            |of: &Definitions| of.errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>();
        self.names == other.names
            && self.engine.project().members == other.engine.project().members
            && words(self) == words(other)
    }
}

/// When the files of a project were last written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Files {
    written: BTreeMap<PathBuf, Option<SystemTime>>,
}

impl Files {
    /// The same files as they are now.
    pub fn now(&self) -> Files {
        Files::written(self.written.keys().cloned())
    }

    fn written(paths: impl Iterator<Item = PathBuf>) -> Files {
        let written = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
        Files { written: paths.map(|path| (path.clone(), written(&path))).collect() }
    }
}
