//! What is asked of history before a target is put back, or before it is shown as it was known.

use super::HistoryStore;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{PastDeclaration, PastRun, PastWatermark, RunNamed, Written};
use ematix_flow_core::statement;

impl HistoryStore<'_> {
    /// The run of a target that is meant; `None` where there is none.
    ///
    /// # Errors
    /// `invalid_value` where several are.
    pub async fn run_meant(&self, target: &str, named: &RunNamed) -> Result<Option<PastRun>> {
        let which = match named {
            RunNamed::Number(number) => statement!("run_of_number", number = *number),
            RunNamed::Digits(digits) => statement!("run_of_digits", digits = &digits.to_lowercase()),
            RunNamed::By(instant) => statement!("run_known_by", instant = &format!("{instant:.6}")),
        };
        let sql = statement!("runs_meant", target = target, which = which, undone = statement!("run_undone"));
        let found: Vec<PastRun> = self.rows("look the run up", &sql).await?;
        match (named, found.len()) {
            (RunNamed::Digits(digits), 2) => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("several runs of {target} have an id that ends in `{digits}`"),
            )
            .hint("give more digits, from the end; or the run's number")),
            _ => Ok(found.into_iter().next()),
        }
    }

    /// What the runs of a target have written after one of them.
    ///
    /// # Errors
    /// As the server says.
    pub async fn written_since(&self, target: &str, number: i64) -> Result<Written> {
        let sql =
            statement!("written_since", target = target, number = number, undone = statement!("run_undone"));
        let found: Vec<Written> = self.rows("look at the runs since", &sql).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Every declaration that a target had.
    ///
    /// # Errors
    /// As the server says.
    pub async fn declarations_of(&self, target: &str) -> Result<Vec<PastDeclaration>> {
        self.rows("look at earlier declarations", &statement!("declarations_of", target = target)).await
    }

    /// The watermarks of those who load a target, beside what they were after a run.
    ///
    /// # Errors
    /// As the server says.
    pub async fn watermarks_then(
        &self,
        target: &str,
        pipeline: &str,
        number: i64,
    ) -> Result<Vec<PastWatermark>> {
        let sql = statement!(
            "watermarks_then",
            target = target,
            pipeline = pipeline,
            number = number,
            undone = statement!("run_undone")
        );
        self.rows("look at the watermarks", &sql).await
    }
}
