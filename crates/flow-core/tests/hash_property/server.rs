//! A database of one's own on the server named by EMATIX_FLOW_TEST_DSN, dropped when the test ends, also by a panic.

use ematix_flow_core::hash::{
    CopyColumn, Normal, RowHasher, SqlColumn, TYPE_FACTS_SQL, TypeFacts, row_digest_sql,
};
use futures_util::{StreamExt, pin_mut};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_postgres::{Client, Config, NoTls};

/// The database of one test.
#[derive(Clone)]
pub struct Database {
    config: Config,
}

impl Database {
    pub async fn connect(&self) -> Client {
        connect(&self.config).await
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

/// Runs a test in a new database.
pub async fn with_database<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Database) -> F) {
    let dsn = std::env::var("EMATIX_FLOW_TEST_DSN")
        .expect("EMATIX_FLOW_TEST_DSN is set: the DSN of a Postgres whose role may create databases");
    let config: Config = dsn.parse().expect("EMATIX_FLOW_TEST_DSN is a DSN");
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
    let name = format!("flow_hash_{}_{moment}", std::process::id());

    let server = connect(&config).await;
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
    server.batch_execute(&create).await.expect("the role may create a database");
    let mut own = config.clone();
    own.dbname(&name);
    let outcome = tokio::spawn(test(Database { config: own })).await;
    server
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .expect("the database can be dropped");
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Whether the server can do what a statement says; it stays done.
pub async fn succeeds(client: &Client, statement: &str) -> bool {
    let outcome = client.batch_execute(statement).await;
    if let Err(error) = &outcome {
        let reason = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}")).message();
        eprintln!("not checked, the server refuses {statement}: {reason}");
    }
    outcome.is_ok()
}

/// A column as a test hashes it on both sides.
#[derive(Clone)]
pub struct Hashed {
    pub name: String,
    pub sql: String,
    pub normal: Normal,
}

/// The normal forms of types, by the facts of the server's catalogue.
pub async fn normals(client: &Client, oids: &[u32]) -> Vec<Normal> {
    let rows = client.query(TYPE_FACTS_SQL, &[&oids]).await.expect("the facts can be read");
    let facts: HashMap<u32, TypeFacts> = rows
        .iter()
        .map(|row| {
            let element: u32 = row.get("element");
            let kind: i8 = row.get("kind");
            let facts = TypeFacts {
                oid: row.get("oid"),
                kind: char::from(kind as u8),
                element: (element != 0).then_some(element),
                sendable: row.get("sendable"),
            };
            (row.get("asked"), facts)
        })
        .collect();
    let form = |oid| Normal::for_type(&facts[oid]).unwrap_or_else(|| panic!("type {oid} has a normal form"));
    oids.iter().map(form).collect()
}

/// The SQL of the row hash over some columns.
pub fn digest_sql(columns: &[Hashed]) -> String {
    let column = |hashed: &Hashed| SqlColumn {
        name: hashed.name.clone(),
        sql: hashed.sql.clone(),
        normal: hashed.normal,
    };
    row_digest_sql(&columns.iter().map(column).collect::<Vec<_>>())
}

/// The row hash in Rust of every row, whose fields are the columns.
pub fn hash_rows(columns: &[Hashed], rows: &[Vec<Option<Vec<u8>>>]) -> Vec<Vec<u8>> {
    let column = |(field, hashed): (usize, &Hashed)| CopyColumn {
        name: hashed.name.clone(),
        normal: hashed.normal,
        field,
    };
    let mut hasher = RowHasher::new(columns.iter().enumerate().map(column).collect());
    rows.iter()
        .map(|row| {
            let fields: Vec<Option<&[u8]>> = row.iter().map(|field| field.as_deref()).collect();
            hasher.hash(&fields).expect("a server sends well-formed values").to_vec()
        })
        .collect()
}

/// The rows of a query as binary COPY sends them.
pub async fn copy_rows(client: &Client, query: &str) -> Vec<Vec<Option<Vec<u8>>>> {
    let stream =
        client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await.expect("COPY starts");
    pin_mut!(stream);
    let mut data = Vec::new();
    while let Some(chunk) = stream.next().await {
        data.extend_from_slice(&chunk.expect("COPY goes on"));
    }
    let mut rest = &data[19..]; // signature, flags, length of an extension that no server sends
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        rest = left;
        taken.to_vec()
    };
    let mut rows = Vec::new();
    loop {
        let count = i16::from_be_bytes(take(2).try_into().expect("two bytes"));
        if count < 0 {
            return rows;
        }
        let mut field = || {
            let length = i32::from_be_bytes(take(4).try_into().expect("four bytes"));
            usize::try_from(length).ok().map(&mut take)
        };
        rows.push((0..count).map(|_| field()).collect());
    }
}
