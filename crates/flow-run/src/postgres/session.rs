//! One session on a server. Statements go as simple queries, which need no name on the server, so
//! that everything works behind a transaction pooler; several in one text take one round trip.

use super::cancel::{Canceller, Place, UnderWay};
use super::error::{Side, statement_error};
use crate::session::ResultSet;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::Result;
use ematix_flow_core::sql::{Literal, Quote};
use indexmap::IndexMap;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A session.
pub struct Session {
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

impl Session {
    /// Takes over a fresh connection.
    pub fn new<T>(
        client: Client,
        connection: Connection<Socket, T>,
        tls: MakeRustlsConnect,
        may_encrypt: bool,
        server_version: String,
        settings: IndexMap<String, String>,
        options: Option<String>,
    ) -> Session
    where
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        let connection = tokio::spawn(async move {
            // Its error reaches whoever waits for an answer.
            let _ = connection.await;
        });
        Session {
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
    pub fn reached_at(self, place: Place) -> Session {
        Session { place: Some(place), ..self }
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

    /// Runs statements of ours; the error says what they were to do.
    pub async fn ask(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        self.run(sql).await.map_err(|error| statement_error(&error, Side::Target, doing))
    }

    /// Runs statements on the source; the error says so.
    pub async fn ask_source(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        self.run(sql).await.map_err(|error| statement_error(&error, Side::Source, doing))
    }

    /// Runs statements of ours that write, in a transaction of their own: of the isolation that they rely on,
    /// whatever the defaults of server and role say.
    pub async fn write(&self, doing: &str, sql: &str) -> Result<Vec<ResultSet>> {
        self.run_writing(sql).await.map_err(|error| statement_error(&error, Side::Target, doing))
    }

    /// As [`Session::write`], with the driver's error.
    pub async fn run_writing(&self, sql: &str) -> std::result::Result<Vec<ResultSet>, tokio_postgres::Error> {
        // Several statements in one text are one transaction, which fails and ends as a whole.
        let sql = format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;\n{sql}");
        let mut answers = self.run(&sql).await?;
        answers.remove(0);
        Ok(answers)
    }

    /// The driver's client, for the few questions that need types.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a transaction of the isolation that everything relies on, with the settings that the
    /// connection pins.
    pub fn begin(&self, read_only: bool) -> String {
        let access = if read_only { "READ ONLY" } else { "READ WRITE" };
        // What the catalogue says of types is compared with how we write them.
        let mut sql =
            format!("BEGIN ISOLATION LEVEL READ COMMITTED {access}; SET LOCAL quote_all_identifiers = off");
        for (name, value) in &self.settings {
            let name = Postgres.literal(&Literal::Text(name.clone()));
            let value = Postgres.literal(&Literal::Text(value.clone()));
            sql.push_str(&format!("; SELECT pg_catalog.set_config({name}, {value}, true)"));
        }
        sql
    }

    /// The driver looks up types that it does not know by named statements, which a pooler's connection would
    /// keep for whoever comes next: they go before their transaction ends.
    pub async fn drop_named_statements(&self) -> Result<()> {
        let question = "SELECT pg_catalog.quote_ident(name) FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql AND name ~ '^s[0-9]+$'";
        let answers = self.ask("look for the driver's statements", question).await?;
        let names = answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.as_deref());
        let drops: Vec<String> = names.map(|name| format!("DEALLOCATE {name}")).collect();
        if !drops.is_empty() {
            self.ask("drop the driver's statements", &drops.join("; ")).await?;
        }
        Ok(())
    }

    /// What cancels the statement that runs.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.client.cancel_token(), self.tls.clone(), self.place.clone(), self.cancels.clone())
    }

    /// Says good-bye, so that the server has not to find out.
    pub async fn close(self) {
        let Session { client, connection, cancels, .. } = self;
        cancels.finish().await;
        drop(client);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), connection).await;
    }

    /// Leaves a session in whose statement nobody is interested any more: cancelled, and hung up on.
    pub async fn abandon(self) {
        let canceller = self.canceller();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), canceller.cancel()).await;
        self.connection.abort();
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// Holds the driver's word that the TLS connector fits.
const _: fn() = || {
    fn fits<T: MakeTlsConnect<Socket>>() {}
    fits::<MakeRustlsConnect>();
};
