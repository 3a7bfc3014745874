//! The shop on a server: a database of its own on the private one of `flow dev`.

use super::shop::{CUSTOMERS, ORDERS, SCHEMA};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::SinkExt;
use std::pin::pin;
use tokio_postgres::{Client, Config, CopyInSink, NoTls};

/// The database that a demo drops and makes.
pub const DATABASE: &str = "ematix_demo";

/// The application's connection to its database.
pub struct OnServer {
    client: Client,
}

impl OnServer {
    /// Makes the database anew and opens it.
    pub async fn open(server_url: &str, dsn: &str) -> Result<OnServer> {
        let server = connect(server_url).await?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
            format!(
                "CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
            ),
        ] {
            server.batch_execute(&statement).await.map_err(|error| failed(&statement, &error))?;
        }
        Ok(OnServer { client: connect(dsn).await? })
    }

    /// The tables with the rows of the day before; answers how many customers and orders.
    pub async fn fill(&self) -> Result<[u64; 2]> {
        self.client.batch_execute(SCHEMA).await.map_err(|error| failed("the sample's schema", &error))?;
        Ok([self.copy("shop.customers", CUSTOMERS).await?, self.copy("shop.orders", ORDERS).await?])
    }

    /// One day, as one transaction.
    pub async fn live_through(&self, day: &str) -> Result<()> {
        let statements = format!("BEGIN;\n{day}\nCOMMIT;");
        self.client.batch_execute(&statements).await.map_err(|error| failed("a day of the sample", &error))
    }

    async fn copy(&self, table: &'static str, csv: &'static str) -> Result<u64> {
        let statement = format!("COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)");
        let fill = async {
            let sink: CopyInSink<&[u8]> = self.client.copy_in(&statement).await?;
            let mut sink = pin!(sink);
            sink.as_mut().send(csv.as_bytes()).await?;
            sink.finish().await
        };
        fill.await.map_err(|error| failed(&statement, &error))
    }
}

async fn connect(dsn: &str) -> Result<Client> {
    let cannot = |error: &tokio_postgres::Error| {
        FlowError::new(
            ErrorCode::ConnectFailed,
            format!("the private server cannot be reached: {}", words(error)),
        )
        .hint("flow dev status; flow dev reset begins anew")
    };
    let config: Config = dsn.parse().map_err(|error| cannot(&error))?;
    let (client, connection) = config.connect(NoTls).await.map_err(|error| cannot(&error))?;
    // Ends by itself when the client is dropped; its errors come back from the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

fn failed(what: &str, error: &tokio_postgres::Error) -> FlowError {
    FlowError::new(
        ErrorCode::TargetFailed,
        format!("the demo's own database refused {what}: {}", words(error)),
    )
    .hint("flow dev reset begins anew")
}

/// The server's words; the driver's own are only `db error`.
fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
