//! Whether the tables are there and of which version; makes them, and brings older ones up to date.

use super::HistoryStore;
use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;
use std::time::{Duration, Instant};

/// How long a creation of the metadata that meets another is tried again.
const CONFLICT_LIMIT: Duration = Duration::from_secs(10);

pub(super) const READ_VERSION: &str = "read the version of the metadata";

impl HistoryStore<'_> {
    /// Whether the metadata are there, be it in an older version, which can be read as far as it goes.
    ///
    /// # Errors
    /// `metadata_newer`; `permission_denied` with the GRANT that mends it.
    pub async fn exists(&self) -> Result<bool> {
        Ok(self.found().await?.is_some())
    }

    /// Whether the metadata are there in the version that is written here.
    ///
    /// # Errors
    /// As [`HistoryStore::exists`].
    pub async fn is_current(&self) -> Result<bool> {
        Ok(self.found().await? == Some(self.version()))
    }

    /// Whether the schema holds tables that another program has made under our names.
    ///
    /// # Errors
    /// As [`HistoryStore::exists`].
    pub async fn is_of_others(&self) -> Result<bool> {
        let doing = "look whose metadata are there";
        let answers = self.session.ask(Blame::Target, doing, &self.text(&statement!("is_of_others"))).await;
        nth(&answers.map_err(hinted)?, 0, doing)?.only_truth(doing)
    }

    /// The version that is there.
    pub(super) async fn found(&self) -> Result<Option<i32>> {
        let doing = "look for the metadata";
        let question = self.text(&statement!("are_there"));
        let exists = match self.session.ask(Blame::Target, doing, &question).await {
            // Without USAGE on the schema the question itself is refused.
            Err(error) if error.code == ErrorCode::PermissionDenied => {
                return Err(self.session.complete(hinted(error), "").await);
            }
            answers => nth(&answers?, 0, doing)?.only_truth(doing)?,
        };
        if !exists {
            return Ok(None);
        }
        let answers = match self.session.ask(Blame::Target, READ_VERSION, &self.version_question()).await {
            Ok(answers) => answers,
            Err(error) => return Err(self.session.complete(hinted(error), "").await),
        };
        self.read_version(nth(&answers, 0, READ_VERSION)?).map(Some)
    }

    /// The version that an answer says.
    pub(super) fn read_version(&self, answer: &ResultSet) -> Result<i32> {
        let said = answer.only_value(READ_VERSION)?;
        let version: i32 =
            said.parse().map_err(|_| unreadable(READ_VERSION, &format!("`{said}`, which is no version")))?;
        let known = self.version();
        if version > known {
            return Err(FlowError::new(
                ErrorCode::MetadataNewer,
                format!(
                    "the metadata in the target are of version {version}, and this program knows {known}"
                ),
            )
            .hint("use the newer ematix-flow that wrote them"));
        }
        Ok(version)
    }

    /// Creates what is missing and migrates what is older, inside a transaction that is open already or (`commit`) in
    /// one of its own.
    ///
    /// # Errors
    /// `metadata_newer`; `permission_denied` with the GRANT that mends it.
    pub async fn prepare(&self, commit: bool) -> Result<()> {
        if !commit {
            return self.prepare_in_transaction().await;
        }
        let began = Instant::now();
        loop {
            match self.prepare_alone().await {
                // Where nobody can wait for whoever else creates them, who is second meets a conflict.
                Err(error) if error.code == ErrorCode::Locked && began.elapsed() < CONFLICT_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                prepared => return prepared,
            }
        }
    }

    async fn prepare_alone(&self) -> Result<()> {
        self.session.ask(Blame::Target, "begin", &self.text(&statement!("begin_to_build"))).await?;
        let prepared = self.prepare_in_transaction().await;
        let end = if prepared.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.session.ask(Blame::Target, "end the creation of the metadata", end).await;
        prepared.and(ended.map(|_| ()))
    }

    async fn prepare_in_transaction(&self) -> Result<()> {
        let doing = "wait for others that create the metadata";
        let looking =
            [statement!("take_the_metadata"), statement!("is_the_schema_there"), statement!("are_there")];
        let question = self.text(&Sql::join(looking, ";\n"));
        let answers = self.session.ask(Blame::Target, doing, &question).await.map_err(hinted)?;
        let schema = nth(&answers, 1, doing)?.only_truth(doing)?;
        // Another run may have been quicker: what is its role's is not ours to create again.
        let found = match nth(&answers, 2, doing)?.only_truth(doing)? {
            true => {
                let answers = self
                    .session
                    .ask(Blame::Target, READ_VERSION, &self.version_question())
                    .await
                    .map_err(hinted)?;
                Some(self.read_version(nth(&answers, 0, READ_VERSION)?)?)
            }
            false => None,
        };
        if schema && found.is_none() && self.is_of_others().await? {
            return Err(FlowError::new(
                ErrorCode::Drift,
                format!("the schema {} holds the metadata of another program", history::SCHEMA),
            )
            .hint(format!(
                "an earlier ematix-flow made it; give it another name: {}",
                self.text(&history::set_aside())
            )));
        }
        if !schema {
            let doing = format!("create the schema {}", history::SCHEMA);
            let create = format!("CREATE SCHEMA {}", history::SCHEMA);
            self.session.ask(Blame::Target, &doing, &create).await.map_err(|error| match error.code {
                ErrorCode::PermissionDenied => error.hint(history::grants::to_create()),
                _ => error,
            })?;
        }
        let build = history::build(found, self.migrations);
        if build.is_empty() {
            return Ok(());
        }
        let sql = self.text(&Sql::join(build, ";\n"));
        match found {
            None => self.session.ask(Blame::Target, "create the metadata", &sql).await.map_err(hinted)?,
            Some(_) => {
                self.session.ask(Blame::Target, "migrate the metadata", &sql).await.map_err(|error| {
                    match error.code {
                        ErrorCode::PermissionDenied => error.hint(history::grants::TO_MIGRATE),
                        _ => error,
                    }
                })?
            }
        };
        Ok(())
    }

    fn version_question(&self) -> String {
        self.text(&statement!("version"))
    }

    /// An error of a question that only newer metadata can answer says so. Ends the transaction that is open.
    pub async fn explained(&self, error: FlowError) -> FlowError {
        if !self.session.says_missing(&error) {
            return error;
        }
        let question = format!("ROLLBACK;\n{}", self.version_question());
        let Ok(answers) = self.session.ask(Blame::Target, READ_VERSION, &question).await else {
            return error;
        };
        let found = answers.get(1).and_then(ResultSet::value).and_then(|said| said.parse::<i32>().ok());
        match found {
            Some(found) if found < self.version() => error.hint(format!(
                "the metadata are of version {found}, and this program reads those of {}: the next run migrates them",
                self.version()
            )),
            _ => error,
        }
    }
}

/// Adds the GRANTs that let a role share the metadata.
pub(super) fn hinted(error: FlowError) -> FlowError {
    match error.code {
        ErrorCode::PermissionDenied => error.hint(history::grants::to_use()),
        _ => error,
    }
}
