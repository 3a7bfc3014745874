//! The shop of the demo: an application's own database, and what happens in it on three days. The
//! binary carries all of it.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::SinkExt;
use std::pin::pin;
use tokio_postgres::{Client, Config, CopyInSink, NoTls};

/// The database that a demo drops and makes.
pub const DATABASE: &str = "ematix_demo";

/// The project of the demo.
pub const PIPELINES: &str = include_str!("../../../../../sample/pipelines.toml");

/// What happens day by day.
pub const DAYS: [&str; 3] = [
    include_str!("../../../../../sample/day1.sql"),
    include_str!("../../../../../sample/day2.sql"),
    include_str!("../../../../../sample/day3.sql"),
];

const SCHEMA: &str = include_str!("../../../../../sample/schema.sql");
const CUSTOMERS: &str = include_str!("../../../../../sample/day0/customers.csv");
const ORDERS: &str = include_str!("../../../../../sample/day0/orders.csv");

/// The first lines of a day say what happens, for people.
pub fn announced(day: &str) -> impl Iterator<Item = &str> {
    day.lines().map_while(|line| line.strip_prefix("-- ")).skip(1)
}

/// The application's connection to its database.
pub struct Shop {
    client: Client,
}

impl Shop {
    /// Makes the database anew and opens it.
    pub async fn open(server_url: &str, dsn: &str) -> Result<Shop> {
        let server = connect(server_url).await?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"),
            format!(
                "CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
            ),
        ] {
            server.batch_execute(&statement).await.map_err(|error| failed(&statement, &error))?;
        }
        Ok(Shop { client: connect(dsn).await? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_announces_itself() {
        for day in DAYS {
            let lines: Vec<&str> = announced(day).collect();
            assert!(
                lines.len() == 2 && lines[0].starts_with("customers: ") && lines[1].starts_with("orders: "),
                "{lines:?}"
            );
        }
    }
}
