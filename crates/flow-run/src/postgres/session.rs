//! One session on a server. Statements go as simple queries, which need no name on the server, so
//! that everything works behind a transaction pooler; several in one text take one round trip.

use super::cancel::{Place, PostgresCanceller, UnderWay};
use super::error::{setting_error, statement_error};
use super::pulse::{Pulse, Waiting};
use super::{condition, grants, transaction};
use crate::session::{
    Access, Canceller, Condition, End, Inspector, Limits, ResultSet, RowSink, RowStream, Session, Signal,
    nth, unreadable,
};
use async_trait::async_trait;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::engine::{EngineFacts, POSTGRES};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::short_id;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::copies_by_client;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql, text};
use futures_util::{FutureExt, SinkExt, TryStreamExt};
use indexmap::IndexMap;
use std::ops::Deref;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Connection, Row, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A session.
pub struct PostgresSession {
    client: Client,
    pulse: Pulse,
    tls: MakeRustlsConnect,
    place: Place,
    cancels: UnderWay,
    process: Option<i32>,
    /// Whether TLS was allowed.
    pub may_encrypt: bool,
    /// The server's version as it says it.
    pub server_version: String,
    /// Settings that the connection's definition pins.
    pub settings: IndexMap<String, String>,
    /// The words with which the connection's definition starts a session: `-c name=value`.
    pub options: Option<String>,
    /// The role that it has in every transaction.
    role: Option<Ident>,
}

/// How a session was reached.
pub struct Reached {
    /// Where; a cancel goes there, too.
    pub place: Place,
    /// With which certificates.
    pub tls: MakeRustlsConnect,
    /// Whether TLS was allowed.
    pub may_encrypt: bool,
    /// How long an answer to a new connection may take.
    pub limit: Duration,
    /// The process that was named when the session began.
    pub process: Option<i32>,
}

/// A client of whom an answer is awaited.
pub struct Asking<'a> {
    client: &'a Client,
    _waiting: Waiting,
}

impl Deref for Asking<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl PostgresSession {
    /// Takes over a fresh connection.
    pub fn new<S, T>(
        client: Client,
        connection: Connection<S, T>,
        reached: Reached,
        server_version: String,
        settings: IndexMap<String, String>,
        options: Option<String>,
    ) -> PostgresSession
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Reached { place, tls, may_encrypt, limit, process } = reached;
        // Its error reaches whoever waits for an answer.
        let connection = connection.map(|_| ());
        PostgresSession {
            client,
            pulse: Pulse::of(connection, place.clone(), limit),
            tls,
            place,
            cancels: UnderWay::default(),
            process,
            may_encrypt,
            server_version,
            settings,
            options,
            role: None,
        }
    }

    /// Takes a role in every transaction from now on: not for the session, since behind a pooler that is somebody
    /// else's a moment later.
    pub fn as_role(self, role: Option<Ident>) -> PostgresSession {
        PostgresSession { role, ..self }
    }

    /// Runs statements in the session's role and gives an answer each.
    pub async fn run(&self, sql: &str) -> std::result::Result<Vec<ResultSet>, tokio_postgres::Error> {
        match &self.role {
            Some(role) => {
                let with_role = transaction::with_role(sql, role);
                let mut answers = self.run_as_user(&with_role.sql).await?;
                if let Some(index) = with_role.answer.filter(|index| *index < answers.len()) {
                    answers.remove(index);
                }
                Ok(answers)
            }
            None => self.run_as_user(sql).await,
        }
    }

    /// The same as the user who has logged in, for what a server lets this one do with sessions of its own.
    pub(super) async fn run_as_user(
        &self,
        sql: &str,
    ) -> std::result::Result<Vec<ResultSet>, tokio_postgres::Error> {
        let _waiting = self.pulse.wait();
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

    /// Whether one process of the server serves it as long as it lasts: what it keeps by name is there again. A pooler
    /// between names a process that the server does not have.
    ///
    /// # Errors
    /// As [`Session::ask`].
    pub(super) async fn keeps_its_process(&self) -> Result<bool> {
        let answers =
            self.ask(Blame::Target, "ask for the process", "SELECT pg_catalog.pg_backend_pid()").await?;
        let process = answers.first().and_then(ResultSet::value).and_then(|value| value.parse().ok());
        Ok(process.is_some() && process == self.process)
    }

    /// What becomes of a statement's error.
    async fn failed(&self, error: &tokio_postgres::Error, blame: Blame, doing: &str) -> FlowError {
        let error = self.pulse.teller().explained(statement_error(error, blame, doing));
        self.says_standby(blame, error).await
    }

    /// As [`Session::ask`], of statements that begin with what the connection pins.
    async fn ask_pinned(&self, blame: Blame, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        match self.run(sql).await {
            Ok(answers) => Ok(answers),
            Err(error) => Err(match setting_error(&error) {
                Some(refused) if !self.settings.is_empty() => refused,
                _ => self.failed(&error, blame, doing).await,
            }),
        }
    }

    /// Says of a target that takes no writes that it is a standby, if it is one.
    async fn says_standby(&self, blame: Blame, error: FlowError) -> FlowError {
        let is_of_writing = matches!(error.sqlstate.as_deref(), Some("0A000" | "25006"));
        // What has failed may have begun with a transaction.
        let question = "ROLLBACK; SELECT pg_catalog.pg_is_in_recovery()";
        if blame != Blame::Target || !is_of_writing {
            return error;
        }
        match self.run(question).await.ok().and_then(|mut answers| answers.pop()) {
            Some(answer) if answer.value() == Some("t") => {
                let message = "the target is a standby, which takes no writes";
                FlowError::new(ErrorCode::TargetFailed, message)
                    .sqlstate(error.sqlstate.unwrap_or_default())
                    .hint("load into its primary: among several hosts, target_session_attrs = \"read-write\" finds it")
            }
            _ => error,
        }
    }

    /// The one row that a query answers, typed.
    ///
    /// # Errors
    /// What `failed` makes of the driver's, and `target_failed` where it is not one row.
    pub(super) async fn typed_row(
        &self,
        doing: &str,
        query: &str,
        failed: impl FnOnce(&tokio_postgres::Error) -> FlowError,
    ) -> Result<Row> {
        let rows = self.client().query_typed(query, &[]).await;
        let mut rows = rows.map_err(|error| self.pulse.teller().explained(failed(&error)))?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            count => Err(unreadable(doing, &format!("{count} rows where one was asked for"))),
        }
    }

    /// The driver's client, for whoever reads values by their types; as long as it is held, an answer is awaited.
    pub fn client(&self) -> Asking<'_> {
        Asking { client: &self.client, _waiting: self.pulse.wait() }
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
        let doing = "ask whether the session is encrypted";
        let answers = self.run_as_user(question).await;
        let answers = answers.map_err(|error| statement_error(&error, Blame::Target, doing))?;
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
        match self.run(sql).await {
            Ok(answers) => Ok(answers),
            Err(error) => Err(self.failed(&error, blame, doing).await),
        }
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

    async fn signal_runs(&self, run_ids: &[String], signal: Signal) -> Result<()> {
        if run_ids.is_empty() {
            return Ok(());
        }
        let function = match signal {
            Signal::Cancel => "pg_cancel_backend",
            Signal::Terminate => "pg_terminate_backend",
        };
        // Their names end as the ids of their runs do.
        let ends = run_ids.iter().map(|run_id| {
            let end = format!("% {}", short_id(run_id));
            sql!("a.application_name LIKE {end}", end = text(end))
        });
        let sql = sql!(
            "SELECT pg_catalog.{function}(a.pid)\n  FROM pg_catalog.pg_stat_activity AS a\n WHERE a.datname = pg_catalog.current_database()\n   AND a.pid <> pg_catalog.pg_backend_pid()\n   AND pg_catalog.pg_has_role(a.usesysid, 'MEMBER')\n   AND ({ends})",
            function = Ident::fixed(function),
            ends = Sql::join(ends, " OR ")
        );
        // Sessions belong to users, not to the roles that they take.
        let ended = self.run_as_user(&sql.to_text(&Postgres)).await;
        ended.map(|_| ()).map_err(|error| statement_error(&error, Blame::Target, "end what runs do"))
    }

    async fn stay_awake(&self) -> Result<()> {
        self.ask(Blame::Target, "stay awake", "SELECT").await.map(|_| ())
    }

    async fn begin(&self, blame: Blame, access: Access, limits: Option<&Limits>) -> Result<()> {
        let sql = transaction::begin(access, &self.settings, limits);
        self.ask_pinned(blame, "begin", &sql).await.map(|_| ())
    }

    async fn begin_snapshot(&self, blame: Blame, tables: &[String], limits: &Limits) -> Result<()> {
        let sql = transaction::begin_snapshot(tables, &self.settings, limits);
        self.ask_pinned(blame, "begin", &sql).await.map(|_| ())
    }

    async fn begin_shared(
        &self,
        blame: Blame,
        instant: Option<&str>,
        limits: Option<&Limits>,
    ) -> Result<String> {
        let sql = transaction::begin_shared(instant, &self.settings, limits);
        self.ask_pinned(blame, "begin", &sql).await?;
        if let Some(instant) = instant {
            return Ok(instant.to_owned());
        }
        let doing = "share what it sees";
        let answers = self.ask(blame, doing, "SELECT pg_catalog.pg_export_snapshot()").await?;
        nth(&answers, 0, doing)?.only_value(doing).map(str::to_owned)
    }

    async fn outside(&self, limits: Option<&Limits>) -> Result<()> {
        let sql = match limits {
            Some(_) if self.role.is_some() => {
                let message =
                    "a statement outside of any transaction has nowhere to take the role of its connection";
                return Err(FlowError::new(ErrorCode::ConflictingOptions, message).hint(
                    "run it on a connection whose user may do it without `role`, or in a transaction: transaction = true",
                ));
            }
            Some(limits) => transaction::outside(&self.settings, limits),
            None => "RESET ALL".to_owned(),
        };
        self.ask_pinned(Blame::Transform, "set what bounds the statements", &sql).await.map(|_| ())
    }

    async fn take_locks(&self, targets: &[String], limits: &Limits) -> Result<bool> {
        let begin = transaction::begin(Access::ReadWrite, &self.settings, None);
        let sql = format!("{begin}{}{}", transaction::try_locks(targets), transaction::limits(limits));
        let answers = self.ask_pinned(Blame::Target, "take the target", &sql).await?;
        if transaction::locks_taken(&answers) == targets.len() {
            return Ok(true);
        }
        self.end(Blame::Target, "wait for the target", End::RollBack).await?;
        Ok(false)
    }

    async fn wait_for_lock(&self, target: &str, limit: Duration) -> Result<()> {
        let begin = transaction::begin(Access::ReadWrite, &self.settings, None);
        let sql = format!("{begin}{}", transaction::wait_for_lock(target, limit));
        self.ask_pinned(Blame::Target, "wait for the target", &sql).await.map(|_| ())
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
        let (doing, waiting, teller) = (doing.to_owned(), self.pulse.wait(), self.pulse.teller());
        let failed = move |error| {
            // Rows are awaited until the stream, and this with it, is dropped.
            let _ = &waiting;
            teller.explained(statement_error(&error, blame, &doing))
        };
        match self.client.copy_out(statement).await {
            Ok(stream) => Ok(RowStream::PgCopy(Box::pin(stream.map_err(failed)))),
            Err(error) => Err(failed(error)),
        }
    }

    async fn accept(&self, doing: &str, _into: &QualifiedName, statement: &str) -> Result<RowSink> {
        let (doing, waiting, teller) = (doing.to_owned(), self.pulse.wait(), self.pulse.teller());
        let failed = move |error| {
            let _ = &waiting;
            teller.explained(statement_error(&error, Blame::Target, &doing))
        };
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

    async fn condition(&self) -> Result<Option<Condition>> {
        condition::ask(self).await.map(Some)
    }

    async fn complete(&self, error: FlowError, query: &str) -> FlowError {
        grants::complete(error, self, query).await
    }

    async fn tidy(&self) -> Result<()> {
        self.drop_prepared().await.map(|_| ())
    }

    async fn close(self: Box<Self>) {
        let PostgresSession { client, pulse, cancels, .. } = *self;
        cancels.finish().await;
        drop(client);
        pulse.end(Duration::from_secs(1)).await;
    }

    async fn abandon(self: Box<Self>) {
        let canceller = self.canceller();
        let _ = tokio::time::timeout(Duration::from_secs(1), canceller.cancel()).await;
        self.pulse.give_up();
    }
}
