//! Sessions that are used again, by commands that run several pipelines.

use super::connect::{connect, in_time};
use super::parameters::Parameters;
use super::session::PostgresSession;
use crate::session::{
    Access, Canceller, Condition, End, Inspector, Limits, ResultSet, RowSink, RowStream, Session,
};
use async_trait::async_trait;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::engine::EngineFacts;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{QualifiedName, text};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// More than any command opens at once: what bounds them is the command's own number of jobs.
const MAX_SESSIONS: usize = 1024;

/// The pools of a driver, one for each place to which connections lead.
#[derive(Default)]
pub(super) struct Pools(Mutex<HashMap<[u8; 32], Pool<Sessions>>>);

impl Pools {
    /// A session that is idle, or a new one; it is called `what`.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn open(&self, at: &ConnectionTarget, what: &str) -> Result<Box<dyn Session>> {
        let object = self.of(at)?.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => FlowError::new(ErrorCode::ConnectFailed, format!("{at} cannot be reached: {other}")),
        })?;
        let session =
            Pooled { object: Some(object), unfit: AtomicBool::new(false), untidy: AtomicBool::new(false) };
        let name =
            sql!("SET application_name = {name}", name = text(Parameters::read(at)?.application_name(what)));
        in_time(at, session.ask(Blame::Target, "name the session", &name.to_text(&Postgres))).await??;
        Ok(Box::new(session))
    }

    fn of(&self, at: &ConnectionTarget) -> Result<Pool<Sessions>> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = at.place();
        if let Some(pool) = pools.get(&place) {
            return Ok(pool.clone());
        }
        let pool = Pool::builder(Sessions(at.clone())).max_size(MAX_SESSIONS).build().map_err(|error| {
            FlowError::new(ErrorCode::ConnectFailed, format!("no pool can be made for {at}: {error}"))
        })?;
        pools.insert(place, pool.clone());
        Ok(pool)
    }

    /// Says good-bye to the servers of sessions that are idle.
    pub async fn close(&self) {
        let pools: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, pool)| pool).collect();
        for pool in pools {
            for session in pool.retain(|_, _| false).removed {
                Box::new(session).close().await;
            }
            pool.close();
        }
    }
}

/// Opens the sessions of one pool.
struct Sessions(ConnectionTarget);

impl Manager for Sessions {
    type Type = PostgresSession;
    type Error = FlowError;

    async fn create(&self) -> Result<PostgresSession> {
        connect(&self.0, "idle").await
    }

    async fn recycle(&self, session: &mut PostgresSession, _: &Metrics) -> RecycleResult<FlowError> {
        match session.is_closed() {
            true => Err(RecycleError::message("the server has closed it")),
            false => Ok(()),
        }
    }
}

/// A session that goes back to its pool when it is closed, unless something may still be open in it: who drops it
/// instead has met an error, or was stopped, in the middle of something.
struct Pooled {
    /// There until it is closed.
    object: Option<Object<Sessions>>,
    /// Whether a transaction has begun that has not ended, or a cancel may still be on its way.
    unfit: AtomicBool,
    /// Whether statements were dropped that the driver believes to be there still.
    untidy: AtomicBool,
}

impl Pooled {
    fn session(&self) -> &PostgresSession {
        self.object.as_ref().expect("it is there until it is closed")
    }

    /// Takes the session out of its pool.
    fn take(&mut self) -> Option<PostgresSession> {
        self.object.take().map(Object::take)
    }

    fn begun(&self, begun: bool) {
        self.unfit.fetch_or(begun, Ordering::Relaxed);
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[async_trait]
impl Session for Pooled {
    fn facts(&self) -> &'static EngineFacts {
        self.session().facts()
    }

    fn server_version(&self) -> &str {
        self.session().server_version()
    }

    async fn is_encrypted(&self) -> Result<Option<bool>> {
        self.session().is_encrypted().await
    }

    fn says_missing(&self, error: &FlowError) -> bool {
        self.session().says_missing(error)
    }

    async fn ask(&self, blame: Blame, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        self.session().ask(blame, doing, sql).await
    }

    async fn write(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        self.session().write(doing, sql).await
    }

    async fn stay_awake(&self) -> Result<()> {
        self.session().stay_awake().await
    }

    async fn begin(&self, blame: Blame, access: Access, limits: Option<&Limits>) -> Result<()> {
        self.begun(true);
        self.session().begin(blame, access, limits).await
    }

    async fn begin_snapshot(&self, blame: Blame, tables: &[String], limits: &Limits) -> Result<()> {
        self.begun(true);
        self.session().begin_snapshot(blame, tables, limits).await
    }

    async fn begin_shared(
        &self,
        blame: Blame,
        instant: Option<&str>,
        limits: Option<&Limits>,
    ) -> Result<String> {
        self.begun(true);
        self.session().begin_shared(blame, instant, limits).await
    }

    async fn outside(&self, limits: Option<&Limits>) -> Result<()> {
        self.begun(limits.is_some());
        self.session().outside(limits).await?;
        if limits.is_none() {
            self.unfit.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn take_locks(&self, targets: &[String], limits: &Limits) -> Result<bool> {
        let taken = self.session().take_locks(targets, limits).await;
        self.begun(taken != Ok(false));
        taken
    }

    async fn wait_for_lock(&self, target: &str, limit: Duration) -> Result<()> {
        self.begun(true);
        self.session().wait_for_lock(target, limit).await
    }

    async fn savepoint(&self, doing: &str) -> Result<()> {
        self.session().savepoint(doing).await
    }

    async fn end(&self, blame: Blame, doing: &str, end: End) -> Result<()> {
        self.session().end(blame, doing, end).await?;
        if end != End::ToSavepoint {
            self.unfit.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn read(&self, blame: Blame, doing: &str, statement: &str) -> Result<RowStream> {
        self.session().read(blame, doing, statement).await
    }

    async fn accept(&self, doing: &str, into: &QualifiedName, statement: &str) -> Result<RowSink> {
        self.session().accept(doing, into, statement).await
    }

    fn inspector(&self) -> &dyn Inspector {
        self.session().inspector()
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        self.begun(true);
        self.session().canceller()
    }

    async fn condition(&self) -> Result<Option<Condition>> {
        self.session().condition().await
    }

    async fn complete(&self, error: FlowError, query: &str) -> FlowError {
        self.session().complete(error, query).await
    }

    async fn tidy(&self) -> Result<()> {
        if self.session().drop_prepared().await? {
            self.untidy.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn close(mut self: Box<Self>) {
        if !self.unfit.load(Ordering::Relaxed) && !self.untidy.load(Ordering::Relaxed) {
            drop(self.object.take());
        } else if let Some(session) = self.take() {
            Box::new(session).close().await;
        }
    }

    async fn abandon(mut self: Box<Self>) {
        if let Some(session) = self.take() {
            Box::new(session).abandon().await;
        }
    }
}
