//! What is remembered when a target is put back to what a run had left.

use super::remember::recorded_counts;
use crate::dialect::Dialect;
use crate::sql::Sql;

/// Counts the run, after whose instant everything else lies.
pub fn remember_rewind(target: &str, instant: Sql) -> Sql {
    statement!("remember_rewind", target = target, instant = instant)
}

/// Puts a watermark back: the next reading begins where the one after that run did.
pub fn rewind_watermark(dialect: &dyn Dialect, pipeline: &str, value: &str, read_from: &str) -> Sql {
    statement!(
        "rewind_watermark",
        pipeline = pipeline,
        value = value,
        read_from = read_from,
        now = dialect.clock()
    )
}

/// Forgets a watermark: the next run reads in full.
pub fn forget_watermark(pipeline: &str) -> Sql {
    statement!("forget_watermark", pipeline = pipeline)
}

/// Forgets the files that were loaded since: the next run reads them again.
pub fn forget_files_since(target: &str, number: i64) -> Sql {
    statement!("forget_files_since", target = target, number = number)
}

/// What is recorded of a run that puts its target back.
#[derive(Clone, Copy, Debug)]
pub struct RewoundRun<'a> {
    /// Its id.
    pub run_id: &'a str,
    /// The number of the run whose state it brings back.
    pub to: i64,
    /// The pipeline's watermark before.
    pub before: Option<&'a str>,
    /// And after.
    pub after: Option<&'a str>,
}

/// The last statement of a run that puts its target back.
pub fn rewound(dialect: &dyn Dialect, run: RewoundRun<'_>) -> Sql {
    statement!(
        "rewound",
        run_id = run.run_id,
        now = dialect.clock(),
        number = run.to,
        before = run.before,
        after = run.after,
        counts = recorded_counts()
    )
}
