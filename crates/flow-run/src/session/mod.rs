//! A session on a server, whatever its engine: all that the executor, the history and the commands know of one.
//!
//! An engine maps its own errors: nobody above it sees its driver.

mod answer;
mod condition;
mod inspector;
mod rows;

pub use answer::{Question, ResultSet, nth, unreadable};
pub use condition::Condition;
pub use inspector::{Beneath, Inspector, Privilege, SourceRead};
pub use rows::{CopySink, CopyStream, RowSink, RowStream};

use async_trait::async_trait;
use ematix_flow_core::engine::EngineFacts;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::QualifiedName;
use jiff::Timestamp;
use std::time::Duration;

/// A session. One statement runs at a time; whoever asks meanwhile waits.
#[async_trait]
pub trait Session: Send + Sync {
    /// What is known of its engine.
    fn facts(&self) -> &'static EngineFacts;

    /// The server's version as it says it.
    fn server_version(&self) -> &str;

    /// Whether what passes is encrypted; `None` where the server does not say.
    async fn is_encrypted(&self) -> Result<Option<bool>>;

    /// Runs statements, in one round trip where the engine can, and gives an answer each.
    ///
    /// # Errors
    /// What the server says, put down to whom it concerns, and what the statements were to do.
    async fn ask(&self, blame: Blame, doing: &str, sql: &str) -> Result<Vec<ResultSet>>;

    /// Runs statements of ours that write, in a transaction of their own: of the isolation that they rely on,
    /// whatever the defaults of server and role say.
    ///
    /// # Errors
    /// As [`Session::ask`] on the target.
    async fn write(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>>;

    /// Since when no other process can have had a run on this database; `None` where leases tell who is alive.
    fn alone_since(&self) -> Option<Timestamp> {
        None
    }

    /// Whether an error says that a schema, a table or a column is not there.
    fn says_missing(&self, error: &FlowError) -> bool;

    /// Whether an error says that another transaction has written the same, where whoever is second is refused instead
    /// of waiting: what the run has read is old, and it begins again.
    fn says_conflict(&self, _error: &FlowError) -> bool {
        false
    }

    /// Lets the server know that this process is not a paused one.
    ///
    /// # Errors
    /// `connection_lost`.
    async fn stay_awake(&self) -> Result<()>;

    /// Begins a transaction of the isolation that everything relies on, with the settings that the connection pins.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn begin(&self, blame: Blame, access: Access, limits: Option<&Limits>) -> Result<()>;

    /// As [`Session::begin`] for a transaction that reads, whose statements all see one instant: one at which nobody who
    /// empties these tables (by their names in SQL) is in the middle of it.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn begin_snapshot(&self, blame: Blame, tables: &[String], limits: &Limits) -> Result<()> {
        let _ = tables;
        self.begin(blame, Access::ReadOnly, Some(limits)).await
    }

    /// Begins a transaction that reads at one instant: at its own, or at that of another session that has begun so and is
    /// still open. Gives the name by which others share it.
    ///
    /// # Errors
    /// As [`Session::ask`]; `unsupported_by_engine`.
    async fn begin_shared(
        &self,
        blame: Blame,
        instant: Option<&str>,
        limits: Option<&Limits>,
    ) -> Result<String> {
        let _ = (blame, instant, limits);
        let message = format!("two sessions of {} cannot read at one instant", self.facts().name);
        Err(FlowError::new(ErrorCode::UnsupportedByEngine, message))
    }

    /// Sets what the connection pins and what bounds statements outside of any transaction; without limits it takes that
    /// away again.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn outside(&self, limits: Option<&Limits>) -> Result<()>;

    /// Begins a transaction that writes and holds these targets until it ends. `false`: another run holds one of
    /// them, and no transaction is open.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn take_locks(&self, targets: &[String], limits: &Limits) -> Result<bool>;

    /// Begins a transaction that writes and holds a target until it ends; waits for whoever holds it.
    ///
    /// # Errors
    /// `locked` where that takes longer than the limit.
    async fn wait_for_lock(&self, target: &str, limit: Duration) -> Result<()>;

    /// Marks the place in the transaction to which [`End::ToSavepoint`] goes back.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn savepoint(&self, doing: &str) -> Result<()>;

    /// Ends the transaction, or what was done in it since the savepoint.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn end(&self, blame: Blame, doing: &str, end: End) -> Result<()>;

    /// Begins to send the rows of a statement that the dialect wrote for it.
    ///
    /// # Errors
    /// As [`Session::ask`]; the stream has the same.
    async fn read(&self, blame: Blame, doing: &str, statement: &str) -> Result<RowStream>;

    /// Begins to take rows into a table that has their columns in their order, by the statement that the dialect wrote for
    /// it.
    ///
    /// # Errors
    /// As [`Session::ask`] on the target; the sink has the same.
    async fn accept(&self, doing: &str, into: &QualifiedName, statement: &str) -> Result<RowSink>;

    /// What the catalogue is asked.
    fn inspector(&self) -> &dyn Inspector;

    /// What cancels the statement that runs.
    fn canceller(&self) -> Box<dyn Canceller>;

    /// Completes a `permission_denied` with the statements that mend it; `query` tells relations of one name
    /// apart. Ends the transaction that is open.
    async fn complete(&self, error: FlowError, query: &str) -> FlowError;

    /// Takes away what questions have left in the session, before their transaction ends and, behind a pooler,
    /// somebody else has it.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn tidy(&self) -> Result<()>;

    /// Asks the server to end what the sessions of runs do, as far as this role may; a server that knows no sessions of
    /// others has nothing to end.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn signal_runs(&self, run_ids: &[String], signal: Signal) -> Result<()> {
        let _ = (run_ids, signal);
        Ok(())
    }

    /// How the server stands; `None` where there is none.
    ///
    /// # Errors
    /// As [`Session::ask`].
    async fn condition(&self) -> Result<Option<Condition>> {
        Ok(None)
    }

    /// Says good-bye, so that the server has not to find out.
    async fn close(self: Box<Self>);

    /// Leaves a session in whose statement nobody is interested any more: cancelled, and hung up on.
    async fn abandon(self: Box<Self>);
}

/// Cancels the running statement of a session, from outside.
#[async_trait]
pub trait Canceller: Send + Sync {
    /// Asks the server to cancel; a server that cannot be reached any more has nothing to cancel.
    async fn cancel(&self);
}

/// How what a session does is ended from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Its statement ends.
    Cancel,
    /// It ends itself, and what it holds.
    Terminate,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    ReadOnly,
    /// It writes.
    ReadWrite,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything stands.
    Commit,
    /// Nothing does.
    RollBack,
    /// It goes on from its savepoint.
    ToSavepoint,
}

/// What bounds a transaction, where the engine can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a statement waits for a lock.
    pub lock: Duration,
    /// How long the transaction may have nothing to do; zero: for ever.
    pub idle: Duration,
    /// How long a statement may take.
    pub statement: Option<Duration>,
}
