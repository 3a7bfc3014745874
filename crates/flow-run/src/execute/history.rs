//! The executor's own connection: metadata, the `running` row, the lease, and failures, all of which
//! must survive a rollback of the load.

use crate::postgres::error::{Side, statement_error};
use crate::postgres::grants;
use crate::postgres::session::Session;
use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::metadata;
use ematix_flow_core::report::{ExecutionPath, Status, StepReport};
use ematix_flow_core::sql::{Literal, Quote};

/// What is recorded of a run when it begins.
pub struct RunStart<'a> {
    /// Its id.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The load strategy.
    pub mode: &'a str,
    /// The target.
    pub target: &'a str,
    /// Who started it.
    pub started_by: &'a str,
    /// The slot it serves.
    pub slot: Option<&'a str>,
    /// The run of several targets that it is a part of.
    pub parent: Option<&'a str>,
    /// How long it is believed without a sign of life.
    pub lease: &'a Duration,
}

fn text(value: &str) -> String {
    Postgres.literal(&Literal::Text(value.to_owned()))
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

/// Whether the metadata exist; their version is checked.
///
/// # Errors
/// `metadata_newer`.
pub async fn metadata_exists(session: &Session) -> Result<bool> {
    let answers = session
        .ask("look for the metadata", "SELECT pg_catalog.to_regclass('ematix_flow.run_steps') IS NOT NULL")
        .await;
    let exists = match answers {
        // Without USAGE on the schema the question itself is refused.
        Err(error) if error.code == ErrorCode::PermissionDenied => {
            return Err(grants::complete(metadata_hint(error), session, "").await);
        }
        answers => {
            let doing = "look for the metadata";
            nth(&answers?, 0, doing)?.only_truth(doing)?
        }
    };
    if exists {
        let read = session.ask(READ_VERSION, "SELECT version FROM ematix_flow.metadata");
        let answers = match read.await {
            Ok(answers) => answers,
            Err(error) => return Err(grants::complete(metadata_hint(error), session, "").await),
        };
        check_version(nth(&answers, 0, READ_VERSION)?)?;
    }
    Ok(exists)
}

const READ_VERSION: &str = "read the version of the metadata";

fn check_version(answer: &ResultSet) -> Result<()> {
    let said = answer.only_value(READ_VERSION)?;
    let version: i32 =
        said.parse().map_err(|_| unreadable(READ_VERSION, &format!("`{said}`, which is no version")))?;
    if version > metadata::VERSION {
        return Err(FlowError::new(
            ErrorCode::MetadataNewer,
            format!(
                "the metadata in the target are of version {version}, and this program knows {}",
                metadata::VERSION
            ),
        )
        .hint("use the newer ematix-flow that wrote them"));
    }
    Ok(())
}

/// Adds the GRANTs that let a role share the metadata.
pub fn metadata_hint(error: FlowError) -> FlowError {
    if error.code != ErrorCode::PermissionDenied {
        return error;
    }
    FlowError {
        hint: Some(
            "their owner lets the role use the metadata by: GRANT USAGE, CREATE ON SCHEMA ematix_flow TO the role; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ematix_flow TO the role"
                .to_owned(),
        ),
        ..error
    }
}

/// Creates the metadata inside a transaction that is open already, or (`commit`) in one of its own.
///
/// # Errors
/// `permission_denied` with the GRANT that mends it.
pub async fn create_metadata(session: &Session, commit: bool) -> Result<()> {
    if commit {
        session.ask("begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    }
    let created = create_in_transaction(session).await;
    if commit {
        let end = if created.is_ok() { "COMMIT" } else { "ROLLBACK" };
        session.ask("end the creation of the metadata", end).await?;
    }
    created
}

async fn create_in_transaction(session: &Session) -> Result<()> {
    let question = format!(
        "SELECT pg_catalog.pg_advisory_xact_lock({}); SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'ematix_flow'), pg_catalog.to_regclass('ematix_flow.run_steps') IS NOT NULL",
        metadata::METADATA_LOCK
    );
    let answers =
        session.ask("wait for others that create the metadata", &question).await.map_err(metadata_hint)?;
    let found = answers.get(1).and_then(|set| set.rows.first());
    let exists = |index: usize| found.and_then(|row| row[index].as_deref()) == Some("t");
    if exists(1) {
        // Another run was quicker; what is its role's is not ours to create again.
        return Ok(());
    }
    if !exists(0) {
        session.ask("create the schema ematix_flow", "CREATE SCHEMA ematix_flow").await.map_err(|error| match error.code {
            ErrorCode::PermissionDenied => error.hint(
                "an owner of the database runs once: CREATE SCHEMA ematix_flow; GRANT USAGE, CREATE ON SCHEMA ematix_flow TO the role",
            ),
            _ => error,
        })?;
    }
    session.ask("create the metadata", metadata::CREATE).await.map_err(metadata_hint)?;
    Ok(())
}

/// Enters the run as `running`, creating the metadata on the way, and marks runs that died as `lost`.
/// `false`: another run serves the slot already, and nothing was entered.
pub async fn begin(session: &Session, start: &RunStart<'_>) -> Result<bool> {
    let sql = begin_sql(start);
    let entered = |answers: &[ResultSet]| answers.last().is_some_and(|set| set.affected == 1);
    match session.run_writing(&sql).await {
        Ok(answers) => {
            check_version(nth(&answers, 0, READ_VERSION)?)?;
            Ok(entered(&answers))
        }
        Err(error) => {
            let state = error.as_db_error().map(|db| db.code().code().to_owned()).unwrap_or_default();
            if !matches!(state.as_str(), "42P01" | "3F000") {
                return Err(metadata_hint(statement_error(
                    &error,
                    Side::Target,
                    "enter the run into the history",
                )));
            }
            create_metadata(session, true).await?;
            let answers =
                session.write("enter the run into the history", &sql).await.map_err(metadata_hint)?;
            Ok(entered(&answers))
        }
    }
}

fn begin_sql(start: &RunStart<'_>) -> String {
    // Whoever enters the slot first serves it.
    let (claim, claimed) = match start.slot {
        Some(slot) => (
            format!(
                "WITH claim AS (INSERT INTO ematix_flow.slots (pipeline, slot, status, owner) VALUES ({}, {}::timestamptz, 'claimed', {}) ON CONFLICT DO NOTHING RETURNING slot)\n",
                text(start.pipeline),
                text(slot),
                text(start.run_id)
            ),
            " FROM claim",
        ),
        None => (String::new(), ""),
    };
    format!(
        "SELECT version FROM ematix_flow.metadata;
UPDATE ematix_flow.run_history SET status = 'lost', ended_at = pg_catalog.clock_timestamp(), error_code = 'lost',
       error = 'the process gave no sign of life until its lease had run out'
 WHERE run_id IN (SELECT r.run_id FROM ematix_flow.run_history AS r
                   WHERE r.status = 'running' AND r.lease_until < pg_catalog.clock_timestamp() FOR UPDATE SKIP LOCKED)
   AND status = 'running';
INSERT INTO ematix_flow.targets (target) VALUES ({target}) ON CONFLICT DO NOTHING;
{claim}INSERT INTO ematix_flow.run_history (run_id, pipeline_name, started_at, status, mode, target, started_by, host, pid, version, slot, parent_run_id, lease_until)
SELECT {run_id}, {pipeline}, pg_catalog.clock_timestamp(), 'running', {mode}, {target}, {started_by}, {host}, {pid}, {version}, {slot}, {parent}::uuid,
       pg_catalog.clock_timestamp() + interval '{lease} milliseconds'{claimed}",
        target = text(start.target),
        run_id = text(start.run_id),
        pipeline = text(start.pipeline),
        mode = text(start.mode),
        started_by = text(start.started_by),
        host = optional(host().as_deref()),
        pid = std::process::id(),
        version = text(env!("CARGO_PKG_VERSION")),
        slot = start.slot.map_or_else(|| "NULL".to_owned(), |slot| format!("{}::timestamptz", text(slot))),
        parent = optional(start.parent),
        lease = start.lease.milliseconds(),
    )
}

/// The name of this machine; a static binary has only the kernel to ask.
fn host() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
}

/// Renews the leases of runs that end together. `false`: one was taken for dead.
pub async fn renew_leases(session: &Session, run_ids: &[&str], lease: &Duration) -> Result<bool> {
    let ids: Vec<String> = run_ids.iter().map(|id| text(id)).collect();
    let sql = format!(
        "UPDATE ematix_flow.run_history SET lease_until = pg_catalog.clock_timestamp() + interval '{} milliseconds' WHERE run_id IN ({}) AND status = 'running'",
        lease.milliseconds(),
        ids.join(", ")
    );
    let answers = session.write("renew the lease", &sql).await?;
    Ok(answers.first().is_some_and(|set| set.affected == run_ids.len() as i64))
}

/// Records how a run ended that did not succeed: whatever it counted, nothing of it stands.
pub async fn fail(
    session: &Session,
    run_id: &str,
    status: Status,
    error: &FlowError,
    path: Option<ExecutionPath>,
    rows_in: i64,
) -> Result<()> {
    let mut message = error.message.clone();
    for line in &error.details {
        message.push('\n');
        message.push_str(line);
    }
    let sql = format!(
        "UPDATE ematix_flow.run_history SET status = {status}, ended_at = pg_catalog.clock_timestamp(), lease_until = NULL, error = {message}, error_code = {code},
       path = {path}, rows_in = {rows_in}, rows_inserted = 0, rows_updated = 0, rows_unchanged = 0, rows_closed_out = 0, rows_deleted = 0,
       rows_deduplicated = 0, rows_skipped = 0, rows_rejected = 0, rows_rehashed = 0
 WHERE run_id = {run_id} AND status = 'running'",
        status = text(status.name()),
        message = text(&message),
        code = text(error.code.name()),
        path = optional(path.map(ExecutionPath::name)),
        rows_in = rows_in,
        run_id = text(run_id)
    );
    session.write("record how the run ended", &sql).await.map(|_| ())
}

/// What can be recorded only after the commit: its time, and the steps.
pub async fn after_commit(session: &Session, run_id: &str, steps: &[StepReport]) -> Result<()> {
    let sql = format!(
        "UPDATE ematix_flow.run_history SET committed_at = pg_catalog.clock_timestamp() WHERE run_id = {};\n{}",
        text(run_id),
        steps_sql(run_id, steps)
    );
    session.write("record the commit", &sql).await.map(|_| ())
}

/// Records the steps of a run that did not succeed.
pub async fn record_steps(session: &Session, run_id: &str, steps: &[StepReport]) -> Result<()> {
    session.write("record the steps", &steps_sql(run_id, steps)).await.map(|_| ())
}

fn steps_sql(run_id: &str, steps: &[StepReport]) -> String {
    if steps.is_empty() {
        return "SELECT".to_owned();
    }
    let rows: Vec<String> = steps
        .iter()
        .map(|step| {
            let rows = step.rows.map_or_else(|| "NULL".to_owned(), |rows| rows.to_string());
            format!(
                "({}, {}, {}, {}, {rows}, {:.3})",
                text(run_id),
                step.n,
                text(&step.kind),
                text(&step.purpose),
                step.milliseconds
            )
        })
        .collect();
    format!(
        "INSERT INTO ematix_flow.run_steps (run_id, n, kind, purpose, rows, milliseconds) VALUES {} ON CONFLICT DO NOTHING",
        rows.join(", ")
    )
}

/// The status of a run as its row says: the answer after a lost COMMIT. The row's lock waits for a COMMIT that
/// the server is still about to do.
pub async fn status_of(session: &Session, run_id: &str) -> Result<Option<String>> {
    let sql = format!(
        "SET LOCAL lock_timeout = '10s';\nSELECT status FROM ematix_flow.run_history WHERE run_id = {} FOR UPDATE",
        text(run_id)
    );
    let answers = session.write("look the run up", &sql).await?;
    Ok(answers.last().and_then(ResultSet::value).map(str::to_owned))
}
