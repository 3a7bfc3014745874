//! Answers many small questions at once: sessions that are used again, and statements that each has prepared.
//!
//! A statement is prepared where the session stays with its process of the server. Behind a pooler it goes unnamed each
//! time: what one session leaves there by name, another one would find.

mod here;

use super::connect::connect;
use super::error::statement_error;
use super::session::PostgresSession;
use super::text_value::TextValue;
use crate::session::Session;
use async_trait::async_trait;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::features::asof::{DeclaredView, ReadView};
use ematix_flow_core::features::lookup::{self, Keys, When};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql::QualifiedName;
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
pub use tokio_postgres::Row;
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

/// How many sessions one process opens for threads that wait, and as many for tasks; who comes meanwhile waits for one of
/// them.
const MAX_SESSIONS: usize = 16;

const DOING: &str = "look features up";

/// What is asked of a view, whatever the keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The view, as whoever asks describes it.
    pub view: String,
    /// The columns; all unless said.
    pub columns: Option<Vec<String>>,
    /// Of when.
    pub when: When,
    /// Of how many keys.
    pub keys: Keys,
}

/// How it is asked.
pub struct Lookup {
    /// The columns of the answer.
    pub columns: Vec<String>,
    /// The view's name.
    pub name: String,
    sql: Arc<str>,
}

/// What a view has of the keys.
pub struct Answer {
    /// How it was asked.
    pub lookup: Arc<Lookup>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Who knows what loads have entered of feature views.
#[async_trait]
pub trait Entries: Send + Sync {
    /// A view with the names by which it is read.
    ///
    /// # Errors
    /// `unknown_table` for a view that no load has entered.
    async fn read_view(&self, session: &dyn Session, declared: DeclaredView) -> Result<ReadView>;

    /// Since when what is served of a view is as it is, RFC 3339 in UTC; `None` where no load is remembered.
    ///
    /// # Errors
    /// As [`Entries::read_view`].
    async fn shown_since(&self, session: &dyn Session, declared: &DeclaredView) -> Result<Option<String>>;
}

/// Serves the features of one database.
pub struct FeatureServer {
    entries: Box<dyn Entries>,
    target: ConnectionTarget,
    pool: Pool<Sessions>,
    lanes: here::Lanes,
    lookups: Mutex<HashMap<Shape, Arc<Lookup>>>,
}

impl FeatureServer {
    /// A server of what a connection leads to. Nothing is opened yet.
    ///
    /// # Errors
    /// `connect_failed`, which is never seen.
    pub fn at(target: &ConnectionTarget, entries: Box<dyn Entries>) -> Result<FeatureServer> {
        // Statements stand alone: what is pinned holds for the whole session.
        let target = target.starting_itself();
        let pool = Pool::builder(Sessions(target.clone())).max_size(MAX_SESSIONS).build();
        let pool = pool.map_err(|error| {
            FlowError::new(ErrorCode::ConnectFailed, format!("no pool can be made for {target}: {error}"))
        })?;
        Ok(FeatureServer { entries, target, pool, lanes: here::Lanes::default(), lookups: Mutex::default() })
    }

    /// How features are looked up; the catalogue is asked the first time.
    ///
    /// # Errors
    /// `unknown_table`, `unknown_column`, and what keeps a session from being opened.
    pub async fn lookup(&self, shape: &Shape) -> Result<Arc<Lookup>> {
        if let Some(known) = self.known().get(shape) {
            return Ok(Arc::clone(known));
        }
        let in_use = self.open().await?;
        let found = self.look_up(shape, in_use.served()).await;
        in_use.give_back();
        found
    }

    async fn look_up(&self, shape: &Shape, served: &Served) -> Result<Arc<Lookup>> {
        if let Some(known) = self.known().get(shape) {
            return Ok(Arc::clone(known));
        }
        let view = declared(&shape.view)?;
        let wanted = view.wanted(shape.columns.as_deref())?;
        let relation = lookup::relation(&view, shape.when)?;
        let (view, live) = self.looked_at(&served.session, view, &relation).await?;
        let sql = lookup::statement(&view, &live, &wanted, shape.when, shape.keys)?;
        let columns = wanted.iter().map(|column| column.as_str().to_owned()).collect();
        let found =
            Arc::new(Lookup { columns, name: view.declared.name.as_str().to_owned(), sql: sql.into() });
        self.known().insert(shape.clone(), Arc::clone(&found));
        Ok(found)
    }

    /// Since when what a view, as whoever asks describes it, is served is as it is: the begin of the last load that is
    /// shown, RFC 3339 in UTC; `None` where no run is remembered.
    ///
    /// # Errors
    /// As [`FeatureServer::lookup`].
    pub async fn served_since(&self, view: &str) -> Result<Option<String>> {
        let view = declared(view)?;
        let in_use = self.open().await?;
        let found = self.entries.shown_since(&in_use.served().session, &view).await;
        in_use.give_back();
        found
    }

    /// A view as it was loaded, and the relation of it that answers.
    async fn looked_at(
        &self,
        session: &dyn Session,
        view: DeclaredView,
        relation: &QualifiedName,
    ) -> Result<(ReadView, LiveTable)> {
        let view = self.entries.read_view(session, view).await?;
        let live = session.inspector().described(std::slice::from_ref(relation)).await?.pop().flatten();
        let live = live.ok_or_else(|| view.declared.missing(relation))?;
        Ok((view, live))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Shape, Arc<Lookup>>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of an answer.
    ///
    /// # Errors
    /// `invalid_value` for a key that is none of its column's type; what the server says.
    pub async fn ask(&self, shape: &Shape, lookup: &Lookup, values: &[TextValue]) -> Result<Vec<Row>> {
        let mut again = true;
        loop {
            let in_use = self.open().await?;
            let answered = in_use.served().rows(&lookup.sql, values).await;
            let error = match answered {
                Ok(rows) => {
                    in_use.give_back();
                    return Ok(rows);
                }
                Err(error) => error,
            };
            if !is_over(&error) {
                in_use.give_back();
            }
            // The server may have ended an idle session; and reading twice does no harm.
            if is_over(&error) && again {
                again = false;
                continue;
            }
            return Err(self.explained(shape, lookup, &error));
        }
    }

    fn explained(&self, shape: &Shape, lookup: &Lookup, error: &tokio_postgres::Error) -> FlowError {
        let state = error.code().map(|state| state.code().to_owned()).unwrap_or_default();
        let said = || error.as_db_error().map(|db| db.message().to_owned()).unwrap_or_default();
        if state.starts_with("22") {
            let message = format!(
                "a key, or the time, that the feature view `{}` is asked for cannot be read",
                lookup.name
            );
            return FlowError::new(ErrorCode::InvalidValue, message)
                .sqlstate(state)
                .detail(said())
                .hint("give keys of the types that the view declares");
        }
        // The relation is another one now, or gone: it is looked at again.
        if state.starts_with("42") {
            self.known().remove(shape);
        }
        if state == "42P01" {
            return FlowError::new(ErrorCode::UnknownTable, format!("`{}`: {}", lookup.name, said()))
                .sqlstate(state)
                .hint("`flow features materialize` makes it, by the pipeline that fills the view");
        }
        statement_error(error, Blame::Target, DOING)
    }

    async fn open(&self) -> Result<InUse> {
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => FlowError::new(ErrorCode::ConnectFailed, format!("there is no session: {other}")),
        })?;
        Ok(InUse(Some(object)))
    }

    /// Says good-bye to the server on the sessions of threads that waited.
    pub fn close_here(&self) {
        self.lanes.close();
    }

    /// Says good-bye to the server on the others.
    pub async fn close(&self) {
        for served in self.pool.retain(|_, _| false).removed {
            Box::new(served.session).close().await;
        }
        self.pool.close();
    }
}

fn declared(view: &str) -> Result<DeclaredView> {
    serde_json::from_str(view).map_err(|error| {
        FlowError::new(ErrorCode::InvalidValue, format!("the feature view cannot be read: {error}"))
    })
}

/// Whether a session is of no more use: without words of the server's the connection is gone, and 57P01 says that it is
/// about to be.
fn is_over(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|state| state.code() == "57P01")
}

/// A session that somebody uses. One that is not given back may be in the middle of something, and is left.
struct InUse(Option<Object<Sessions>>);

impl InUse {
    fn served(&self) -> &Served {
        self.0.as_ref().expect("it is there until it is given back")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        let session = Object::take(object).session;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(Box::new(session).abandon());
        }
    }
}

/// A session with what it has prepared.
struct Served {
    session: PostgresSession,
    prepares: bool,
    prepared: Mutex<HashMap<Arc<str>, Statement>>,
}

impl Served {
    async fn open(target: &ConnectionTarget) -> Result<Served> {
        let session = connect(target, "features").await?;
        let prepares = session.keeps_its_process().await?;
        Ok(Served { session, prepares, prepared: Mutex::default() })
    }

    async fn rows(&self, sql: &Arc<str>, values: &[TextValue]) -> Result<Vec<Row>, tokio_postgres::Error> {
        if !self.prepares {
            let values = values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN));
            return self.session.client().query_typed_raw(sql, values).await?.try_collect().await;
        }
        let statement = self.statement(sql).await?;
        match self.executed(&statement, values).await {
            // Its table was changed, or somebody has discarded what the session had prepared.
            Err(error) if matches!(error.code().map(|state| state.code()), Some("0A000" | "26000")) => {
                self.known().remove(sql);
                self.executed(&self.statement(sql).await?, values).await
            }
            answered => answered,
        }
    }

    async fn executed(
        &self,
        statement: &Statement,
        values: &[TextValue],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.session.client().query_raw(statement, values).await?.try_collect().await
    }

    async fn statement(&self, sql: &Arc<str>) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.known().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.session.client().prepare(sql).await?;
        self.known().insert(Arc::clone(sql), statement.clone());
        Ok(statement)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the sessions.
struct Sessions(ConnectionTarget);

impl Manager for Sessions {
    type Type = Served;
    type Error = FlowError;

    async fn create(&self) -> Result<Served> {
        Served::open(&self.0).await
    }

    async fn recycle(&self, served: &mut Served, _: &Metrics) -> RecycleResult<FlowError> {
        match served.session.is_closed() {
            true => Err(RecycleError::message("the server has closed it")),
            false => Ok(()),
        }
    }
}
