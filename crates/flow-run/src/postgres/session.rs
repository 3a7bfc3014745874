//! One session on a server. Statements go as simple queries, which need no name on the server, so
//! that everything works behind a transaction pooler; several in one text take one round trip.

use super::cancel::{Place, PostgresCanceller, UnderWay};
use super::error::statement_error;
use super::{grants, transaction};
use crate::session::{Access, Canceller, End, Inspector, Limits, ResultSet, RowSink, RowStream, Session};
use async_trait::async_trait;
use ematix_flow_core::engine::{EngineFacts, POSTGRES};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::copies_by_client;
use futures_util::{SinkExt, TryStreamExt};
use indexmap::IndexMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A session.
pub struct PostgresSession {
    client: Client,
    connection: JoinHandle<()>,
    tls: MakeRustlsConnect,
    place: Option<Place>,
    cancels: UnderWay,
    /// Whether TLS was allowed.
    pub may_encrypt: bool,
    /// The server's version as it says it.
    pub server_version: String,
    /// Settings that the connection's definition pins.
    pub settings: IndexMap<String, String>,
    /// The words with which the connection's definition starts a session: `-c name=value`.
    pub options: Option<String>,
}

impl PostgresSession {
    /// Takes over a fresh connection.
    pub fn new<T>(
        client: Client,
        connection: Connection<Socket, T>,
        tls: MakeRustlsConnect,
        may_encrypt: bool,
        server_version: String,
        settings: IndexMap<String, String>,
        options: Option<String>,
    ) -> PostgresSession
    where
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        let connection = tokio::spawn(async move {
            // Its error reaches whoever waits for an answer.
            let _ = connection.await;
        });
        PostgresSession {
            client,
            connection,
            tls,
            place: None,
            cancels: UnderWay::default(),
            may_encrypt,
            server_version,
            settings,
            options,
        }
    }

    /// Says where it was reached, which is where a cancel goes.
    pub fn reached_at(self, place: Place) -> PostgresSession {
        PostgresSession { place: Some(place), ..self }
    }

    /// Runs statements and gives an answer each.
    pub async fn run(&self, sql: &str) -> std::result::Result<Vec<ResultSet>, tokio_postgres::Error> {
        let mut sets = Vec::new();
        let mut current = ResultSet::default();
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    current.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    current
                        .rows
                        .push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(affected) => {
                    current.affected = affected as i64;
                    sets.push(std::mem::take(&mut current));
                }
                _ => {}
            }
        }
        Ok(sets)
    }

    /// The driver looks up types that it does not know by named statements, which a pooler's connection would
    /// keep for whoever comes next. Whether there were any: the driver goes on believing in them.
    ///
    /// # Errors
    /// As [`Session::ask`].
    pub async fn drop_prepared(&self) -> Result<bool> {
        let question = "SELECT pg_catalog.quote_ident(name) FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql AND name ~ '^s[0-9]+$'";
        let answers = self.ask(Blame::Target, "look for the driver's statements", question).await?;
        let names = answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.as_deref());
        let drops: Vec<String> = names.map(|name| format!("DEALLOCATE {name}")).collect();
        if !drops.is_empty() {
            self.ask(Blame::Target, "drop the driver's statements", &drops.join("; ")).await?;
        }
        Ok(!drops.is_empty())
    }

    /// The driver's client, for the few questions that need types.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn facts(&self) -> &'static EngineFacts {
        &POSTGRES
    }

    fn server_version(&self) -> &str {
        &self.server_version
    }

    async fn is_encrypted(&self) -> Result<Option<bool>> {
        let question = "SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
        let answers = self.ask(Blame::Target, "ask whether the session is encrypted", question).await?;
        Ok(answers.first().and_then(ResultSet::value).map(|value| value == "t"))
    }

    async fn ask(&self, blame: Blame, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        // The server would wait for rows, and the driver for the end of a statement.
        if blame == Blame::Transform && copies_by_client(sql) {
            let message =
                "COPY … FROM STDIN or TO STDOUT passes rows through the client, and this connection has none";
            return Err(FlowError::new(ErrorCode::TransformFailed, message)
                .hint("write INSERT … SELECT, or COPY from a file of the server"));
        }
        self.run(sql).await.map_err(|error| statement_error(&error, blame, doing))
    }

    async fn write(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        // Several statements in one text are one transaction, which fails and ends as a whole.
        let sql = format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;\n{sql}");
        let mut answers = self.ask(Blame::Target, doing, &sql).await?;
        answers.remove(0);
        Ok(answers)
    }

    fn says_missing(&self, error: &FlowError) -> bool {
        matches!(error.sqlstate.as_deref(), Some("42P01" | "42703" | "3F000"))
    }

    async fn stay_awake(&self) -> Result<()> {
        self.ask(Blame::Target, "stay awake", "SELECT").await.map(|_| ())
    }

    async fn begin(&self, blame: Blame, access: Access, limits: Option<&Limits>) -> Result<()> {
        let sql = transaction::begin(access, &self.settings, limits);
        self.ask(blame, "begin", &sql).await.map(|_| ())
    }

    async fn begin_snapshot(&self, blame: Blame, tables: &[String], limits: &Limits) -> Result<()> {
        let sql = transaction::begin_snapshot(tables, &self.settings, limits);
        self.ask(blame, "begin", &sql).await.map(|_| ())
    }

    async fn outside(&self, limits: Option<&Limits>) -> Result<()> {
        let sql = match limits {
            Some(limits) => transaction::outside(&self.settings, limits),
            None => "RESET ALL".to_owned(),
        };
        self.ask(Blame::Transform, "set what bounds the statements", &sql).await.map(|_| ())
    }

    async fn take_locks(&self, targets: &[String], limits: &Limits) -> Result<bool> {
        let begin = transaction::begin(Access::ReadWrite, &self.settings, None);
        let sql = format!("{begin}{}{}", transaction::try_locks(targets), transaction::limits(limits));
        let answers = self.ask(Blame::Target, "take the target", &sql).await?;
        if transaction::locks_taken(&answers) == targets.len() {
            return Ok(true);
        }
        self.end(Blame::Target, "wait for the target", End::RollBack).await?;
        Ok(false)
    }

    async fn wait_for_lock(&self, target: &str, limit: Duration) -> Result<()> {
        let begin = transaction::begin(Access::ReadWrite, &self.settings, None);
        let sql = format!("{begin}{}", transaction::wait_for_lock(target, limit));
        self.ask(Blame::Target, "wait for the target", &sql).await.map(|_| ())
    }

    async fn savepoint(&self, doing: &str) -> Result<()> {
        self.ask(Blame::Target, doing, "SAVEPOINT ematix_attempt").await.map(|_| ())
    }

    async fn end(&self, blame: Blame, doing: &str, end: End) -> Result<()> {
        let sql = match end {
            End::Commit => "COMMIT",
            End::RollBack => "ROLLBACK",
            End::ToSavepoint => "ROLLBACK TO ematix_attempt",
        };
        self.ask(blame, doing, sql).await.map(|_| ())
    }

    async fn read(&self, blame: Blame, doing: &str, statement: &str) -> Result<RowStream> {
        let doing = doing.to_owned();
        let failed = move |error| statement_error(&error, blame, &doing);
        match self.client.copy_out(statement).await {
            Ok(stream) => Ok(RowStream::PgCopy(Box::pin(stream.map_err(failed)))),
            Err(error) => Err(failed(error)),
        }
    }

    async fn accept(&self, doing: &str, statement: &str) -> Result<RowSink> {
        let doing = doing.to_owned();
        let failed = move |error| statement_error(&error, Blame::Target, &doing);
        match self.client.copy_in(statement).await {
            Ok(sink) => Ok(RowSink::PgCopy(Box::pin(sink.sink_map_err(failed)))),
            Err(error) => Err(failed(error)),
        }
    }

    fn inspector(&self) -> &dyn Inspector {
        self
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        let token = self.client.cancel_token();
        Box::new(PostgresCanceller::new(token, self.tls.clone(), self.place.clone(), self.cancels.clone()))
    }

    async fn complete(&self, error: FlowError, query: &str) -> FlowError {
        grants::complete(error, self, query).await
    }

    async fn tidy(&self) -> Result<()> {
        self.drop_prepared().await.map(|_| ())
    }

    async fn close(self: Box<Self>) {
        let PostgresSession { client, connection, cancels, .. } = *self;
        cancels.finish().await;
        drop(client);
        let _ = tokio::time::timeout(Duration::from_secs(1), connection).await;
    }

    async fn abandon(self: Box<Self>) {
        let canceller = self.canceller();
        let _ = tokio::time::timeout(Duration::from_secs(1), canceller.cancel()).await;
        self.connection.abort();
    }
}

/// Holds the driver's word that the TLS connector fits.
const _: fn() = || {
    fn fits<T: MakeTlsConnect<Socket>>() {}
    fits::<MakeRustlsConnect>();
};
