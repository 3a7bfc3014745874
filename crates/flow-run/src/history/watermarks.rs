//! How far pipelines have read: their watermarks, and the files that they have loaded.

use super::HistoryStore;
use crate::session::{nth, unreadable};
use ematix_flow_core::error::Result;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::WatermarkRow;
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;
use std::collections::HashSet;

impl HistoryStore<'_> {
    /// The stored watermarks of some pipelines.
    ///
    /// # Errors
    /// As the server says.
    pub async fn watermarks(&self, pipelines: &[String]) -> Result<Vec<WatermarkRow>> {
        self.rows("read the watermarks", &statement!("watermarks", pipelines = pipelines)).await
    }

    /// Sets a watermark and forgets what was loaded; commits the transaction that holds the target.
    ///
    /// # Errors
    /// As the server says.
    pub async fn set_watermark(
        &self,
        pipeline: &str,
        column: &str,
        value: &str,
        column_type: &str,
    ) -> Result<()> {
        let statements = [
            statement!("forget_ledger", pipeline = pipeline),
            statement!(
                "set_watermark",
                pipeline = pipeline,
                column = column,
                value = value,
                column_type = column_type
            ),
            Sql::text("COMMIT"),
        ];
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.ask(Blame::Target, "store the watermark", &sql).await.map(|_| ())
    }

    /// Forgets a watermark and what was loaded; commits the transaction that holds the target.
    ///
    /// # Errors
    /// As the server says.
    pub async fn reset_watermark(&self, pipeline: &str) -> Result<()> {
        let mut statements = vec![
            statement!("forget_ledger", pipeline = pipeline),
            statement!("forget_watermark", pipeline = pipeline),
        ];
        if self.knows_files().await? {
            statements.push(statement!("forget_files", pipeline = pipeline));
        }
        statements.push(Sql::text("COMMIT"));
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.ask(Blame::Target, "forget the watermark", &sql).await.map(|_| ())
    }

    /// The files that a pipeline has loaded into a target: each path with its version.
    ///
    /// # Errors
    /// As the server says.
    pub async fn files_of(&self, pipeline: &str, target: &str) -> Result<HashSet<(String, String)>> {
        if !self.knows_files().await? {
            return Ok(HashSet::new());
        }
        let doing = "look up the files that were loaded";
        let answers = self.ask(doing, &statement!("files_of", pipeline = pipeline, target = target)).await?;
        let pair = |row: &Vec<Option<String>>| match row.as_slice() {
            [Some(path), Some(version)] => Ok((path.clone(), version.clone())),
            _ => Err(unreadable(doing, "a file without its path or version")),
        };
        nth(&answers, 0, doing)?.rows.iter().map(pair).collect()
    }

    async fn knows_files(&self) -> Result<bool> {
        let doing = "look for the files that were loaded";
        nth(&self.ask(doing, &statement!("knows_files")).await?, 0, doing)?.only_truth(doing)
    }
}
