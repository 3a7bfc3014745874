//! What operators wish of pipelines: pause, resume, retry, cancel, unlock. Each is a note in the target's database, found
//! there by whoever is concerned.

use super::Engine;
use crate::history::HistoryStore;
use crate::session::{Session, Signal};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::report::RunRow;
use ematix_flow_core::schedule::slots::Pause;
use jiff::Timestamp;

impl Engine {
    /// Keeps pipelines from running; those that were paused already, with who did it.
    ///
    /// # Errors
    /// As connecting.
    pub async fn pause(
        &self,
        pipelines: &[String],
        by: &str,
        why: Option<&str>,
    ) -> Result<Vec<(String, Pause)>> {
        let mut before = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let session = self.open(&connection, "pause").await?;
            let history = HistoryStore::on(session.as_ref());
            if history.is_current().await? {
                for name in &names {
                    before.extend(history.pause_of(name).await?.map(|pause| (name.clone(), pause)));
                }
            }
            history.pause(&names, by, why).await?;
            session.close().await;
        }
        Ok(before)
    }

    /// Lets pipelines run again; those that were paused.
    ///
    /// # Errors
    /// As connecting.
    pub async fn resume(&self, pipelines: &[String]) -> Result<Vec<String>> {
        let mut resumed = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.current_session(&connection).await? else { continue };
            let were = HistoryStore::on(session.as_ref()).resume(&names).await?;
            resumed.extend(names.into_iter().zip(were).filter(|(_, was)| *was).map(|(name, _)| name));
            session.close().await;
        }
        Ok(resumed)
    }

    /// Makes the last slots of pipelines due once more that failed or were skipped; each with its slot.
    ///
    /// # Errors
    /// As connecting.
    pub async fn retry(&self, pipelines: &[String]) -> Result<Vec<(String, Timestamp)>> {
        let mut due = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.current_session(&connection).await? else { continue };
            let slots = HistoryStore::on(session.as_ref()).retry_slots(&names).await?;
            due.extend(names.into_iter().zip(slots).filter_map(|(name, slot)| Some((name, slot?))));
            session.close().await;
        }
        Ok(due)
    }

    /// The runs of pipelines that are under way.
    ///
    /// # Errors
    /// As connecting.
    pub async fn running(&self, pipelines: &[String]) -> Result<Vec<RunRow>> {
        let mut runs = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.current_session(&connection).await? else { continue };
            runs.extend(HistoryStore::on(session.as_ref()).under_way(&names).await?);
            session.close().await;
        }
        Ok(runs)
    }

    /// Asks runs to end: their statements are cancelled on the server, and their processes find the wish when they renew
    /// their leases.
    ///
    /// # Errors
    /// `invalid_value` where the run is of none of the pipelines; as connecting.
    pub async fn cancel(&self, run: &RunRow, by: &str) -> Result<()> {
        let session = self.session_of(&run.pipeline).await?;
        let run_ids = [run.run_id.clone()];
        let asked = HistoryStore::on(session.as_ref()).ask_to_cancel(&run_ids, by).await?;
        if asked > 0 {
            session.signal_runs(&run_ids, Signal::Cancel).await?;
        }
        session.close().await;
        Ok(())
    }

    /// The status of a run as its row says.
    ///
    /// # Errors
    /// As connecting.
    pub async fn status_of(&self, run: &RunRow) -> Result<Option<String>> {
        let session = self.session_of(&run.pipeline).await?;
        let status = HistoryStore::on(session.as_ref()).status_of(&run.run_id).await;
        session.close().await;
        status
    }

    /// Takes the runs of pipelines for dead before their leases have run out, and ends their sessions, whose locks go with
    /// them; the ids of the runs.
    ///
    /// # Errors
    /// As connecting.
    pub async fn unlock(&self, pipelines: &[String], by: &str) -> Result<Vec<String>> {
        let mut unlocked = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.current_session(&connection).await? else { continue };
            let run_ids = HistoryStore::on(session.as_ref()).unlock(&names, by).await?;
            session.signal_runs(&run_ids, Signal::Terminate).await?;
            unlocked.extend(run_ids);
            session.close().await;
        }
        Ok(unlocked)
    }

    /// A session on the target of a pipeline.
    async fn session_of(&self, pipeline: &str) -> Result<Box<dyn Session>> {
        let connections = self.by_connection(std::slice::from_ref(&pipeline.to_owned()))?;
        let Some(connection) = connections.keys().next() else {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("no connection leads to `{pipeline}`"),
            ));
        };
        self.open(connection, "history").await
    }

    /// A session on a database whose metadata are of this version.
    pub(super) async fn current_session(&self, connection: &str) -> Result<Option<Box<dyn Session>>> {
        let session = self.open(connection, "history").await?;
        if HistoryStore::on(session.as_ref()).is_current().await? {
            return Ok(Some(session));
        }
        session.close().await;
        Ok(None)
    }
}
