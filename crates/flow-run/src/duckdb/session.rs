//! A session on a file. Its statements run on threads that may block.

use super::error::{is_conflict, says_conflict, says_missing, statement_error};
use super::inspect::like_the_file;
use super::library::{Connection, Fault};
use super::process::{Mark, OpenFile, Taken};
use super::rows;
use crate::session::{
    Access, Canceller, End, Inspector, Limits, ResultSet, RowSink, RowStream, Session, nth, unreadable,
};
use async_trait::async_trait;
use ematix_flow_core::engine::{DUCKDB, EngineFacts};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::QualifiedName;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedMutexGuard};

/// How long a write of ours that meets another one is tried again.
const CONFLICT_LIMIT: Duration = Duration::from_secs(10);

/// A session on a file.
pub(super) struct DuckDbSession {
    connection: Arc<dyn Connection>,
    pub(super) file: OpenFile,
    version: String,
    /// What holds in the transaction that is open.
    open: Mutex<Open>,
    /// Held while a statement runs.
    at_work: Arc<tokio::sync::Mutex<()>>,
    /// Set when whoever waits is to give up.
    cancelled: Arc<Notify>,
}

#[derive(Default)]
struct Open {
    taken: Option<(Taken, OwnedMutexGuard<()>)>,
    marks: Vec<Mark>,
    statement_limit: Option<Duration>,
}

impl DuckDbSession {
    /// A session on a file that has just been opened.
    ///
    /// # Errors
    /// What the library says of its own version.
    pub async fn new(connection: Arc<dyn Connection>, file: OpenFile) -> Result<DuckDbSession> {
        let mut session = DuckDbSession {
            connection,
            file,
            version: String::new(),
            open: Mutex::default(),
            at_work: Arc::default(),
            cancelled: Arc::default(),
        };
        let doing = "ask for the library's version";
        let question = "SELECT system.main.version(), system.main.lower(system.main.current_database())";
        let answers = session.ask(Blame::Target, doing, question).await?;
        let [Some(version), Some(database)] = nth(&answers, 0, doing)?.only_row(2, doing)? else {
            return Err(unreadable(doing, "a version or a database without a name"));
        };
        if database == SCHEMA {
            return Err(like_the_file(SCHEMA));
        }
        session.version = version.trim_start_matches('v').to_owned();
        Ok(session)
    }

    async fn run(&self, sql: &str) -> std::result::Result<Vec<ResultSet>, Fault> {
        let _at_work = self.at_work.lock().await;
        let (connection, sql) = (Arc::clone(&self.connection), sql.to_owned());
        let running = tokio::task::spawn_blocking(move || connection.run(&sql));
        running.await.unwrap_or_else(|_| Err(Fault::Said("INTERNAL Error: the library panicked".to_owned())))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, mark: Mark) {
        self.open().marks.push(mark);
    }

    /// Runs statements in a transaction of their own.
    async fn attempt(&self, sql: &str) -> std::result::Result<Vec<ResultSet>, Fault> {
        let done = self.run(&format!("BEGIN TRANSACTION;\n{sql};\nCOMMIT")).await;
        match done {
            Ok(mut answers) => {
                answers.pop();
                answers.remove(0);
                Ok(answers)
            }
            Err(fault) => {
                // A COMMIT that met a conflict has ended it already.
                let _ = self.run("ROLLBACK").await;
                Err(fault)
            }
        }
    }
}

#[async_trait]
impl Session for DuckDbSession {
    fn facts(&self) -> &'static EngineFacts {
        &DUCKDB
    }

    fn server_version(&self) -> &str {
        &self.version
    }

    async fn is_encrypted(&self) -> Result<Option<bool>> {
        Ok(None)
    }

    fn alone_since(&self) -> Option<Timestamp> {
        Some(self.file.since())
    }

    fn says_missing(&self, error: &FlowError) -> bool {
        says_missing(error)
    }

    fn says_conflict(&self, error: &FlowError) -> bool {
        says_conflict(error)
    }

    async fn ask(&self, blame: Blame, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        let limit = self.open().statement_limit;
        let mut running = std::pin::pin!(self.run(sql));
        let done = match limit {
            Some(limit) => match tokio::time::timeout(limit, &mut running).await {
                Ok(done) => done,
                Err(_) => {
                    self.connection.interrupt();
                    let _ = running.await;
                    return Err(FlowError::new(
                        ErrorCode::Timeout,
                        format!("statement_timeout ran out while the run was to {doing}"),
                    )
                    .hint("raise statement_timeout, or make the query cheaper"));
                }
            },
            None => running.await,
        };
        done.map_err(|fault| statement_error(fault, blame, doing))
    }

    async fn write(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        let _turn = self.file.turns.note.lock().await;
        let began = Instant::now();
        loop {
            match self.attempt(sql).await {
                Err(Fault::Said(words)) if is_conflict(&words) && began.elapsed() < CONFLICT_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                done => return done.map_err(|fault| statement_error(fault, Blame::Target, doing)),
            }
        }
    }

    /// The library is in this process.
    async fn stay_awake(&self) -> Result<()> {
        Ok(())
    }

    async fn begin(&self, blame: Blame, access: Access, limits: Option<&Limits>) -> Result<()> {
        let begin = match access {
            Access::ReadOnly => "BEGIN TRANSACTION READ ONLY",
            Access::ReadWrite => "BEGIN TRANSACTION",
        };
        self.ask(blame, "begin", begin).await?;
        self.open().statement_limit = limits.and_then(|limits| limits.statement);
        Ok(())
    }

    async fn outside(&self, limits: Option<&Limits>) -> Result<()> {
        self.open().statement_limit = limits.and_then(|limits| limits.statement);
        Ok(())
    }

    async fn take_locks(&self, targets: &[String], limits: &Limits) -> Result<bool> {
        let Some(taken) = self.file.take(targets) else { return Ok(false) };
        // Loads of other targets are waited for without a limit: they are this process's own, and each ends.
        let turn = tokio::select! {
            turn = Arc::clone(&self.file.turns.load).lock_owned() => turn,
            () = self.cancelled.notified() => {
                return Err(FlowError::new(ErrorCode::Cancelled, "the run was cancelled while it waited"));
            }
        };
        // Afterwards: what the load before has committed is seen then.
        self.begin(Blame::Target, Access::ReadWrite, Some(limits)).await?;
        self.open().taken = Some((taken, turn));
        Ok(true)
    }

    async fn wait_for_lock(&self, target: &str, limit: Duration) -> Result<()> {
        let (began, limits) = (Instant::now(), Limits { lock: limit, idle: Duration::ZERO, statement: None });
        let targets = [target.to_owned()];
        while !self.take_locks(&targets, &limits).await? {
            if began.elapsed() >= limit {
                return Err(FlowError::new(ErrorCode::Locked, format!("a run holds {target}"))
                    .hint("run again when it is done, or raise lock_timeout"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn savepoint(&self, doing: &str) -> Result<()> {
        Err(FlowError::new(ErrorCode::NotYetSupported, format!("DuckDB has no savepoint to {doing}")))
    }

    async fn end(&self, blame: Blame, doing: &str, end: End) -> Result<()> {
        let sql = match end {
            End::Commit => "COMMIT",
            End::RollBack => "ROLLBACK",
            End::ToSavepoint => return self.savepoint(doing).await,
        };
        let done = self.ask(blame, doing, sql).await.map(|_| ());
        // A COMMIT that is refused has rolled back.
        *self.open() = Open::default();
        done
    }

    async fn read(&self, blame: Blame, doing: &str, statement: &str) -> Result<RowStream> {
        let at_work = Arc::clone(&self.at_work).lock_owned().await;
        Ok(RowStream::Arrow(rows::sent(Arc::clone(&self.connection), at_work, statement, blame, doing)))
    }

    async fn accept(&self, doing: &str, into: &QualifiedName, _statement: &str) -> Result<RowSink> {
        let at_work = Arc::clone(&self.at_work).lock_owned().await;
        Ok(RowSink::Arrow(rows::taken(Arc::clone(&self.connection), at_work, into, doing)))
    }

    fn inspector(&self) -> &dyn Inspector {
        self
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        Box::new(DuckDbCanceller {
            connection: Arc::clone(&self.connection),
            cancelled: Arc::clone(&self.cancelled),
        })
    }

    /// DuckDB knows no privileges.
    async fn complete(&self, error: FlowError, _query: &str) -> FlowError {
        error
    }

    async fn tidy(&self) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) {
        let connection = Arc::clone(&self.connection);
        let _ = tokio::task::spawn_blocking(move || connection.close()).await;
    }

    async fn abandon(self: Box<Self>) {
        self.connection.interrupt();
        self.close().await;
    }
}

struct DuckDbCanceller {
    connection: Arc<dyn Connection>,
    cancelled: Arc<Notify>,
}

#[async_trait]
impl Canceller for DuckDbCanceller {
    async fn cancel(&self) {
        self.cancelled.notify_one();
        self.connection.interrupt();
    }
}
