//! Versions of the metadata, on the server named by EMATIX_FLOW_TEST_DSN, each test in a database of its own.

use super::{Entered, HistoryStore, RunStart};
use crate::postgres::connect::connect;
use crate::postgres::session::PostgresSession;
use crate::session::Session;
use ematix_flow_core::connections::{ConnectionTarget, resolve};
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::history::Migration;
use ematix_flow_core::plan::Blame;

/// Two versions that are not there yet; neither can be done twice.
const LATER: &[Migration] = &[
    Migration {
        version: 2,
        sql: "CREATE TABLE IF NOT EXISTS ematix_flow.later (target text);\n",
        of_duckdb: "",
    },
    Migration { version: 3, sql: "ALTER TABLE ematix_flow.later ADD COLUMN epoch bigint", of_duckdb: "" },
];

const BROKEN: &[Migration] = &[LATER[0], Migration { version: 3, sql: "SELECT 1 / 0", of_duckdb: "" }];

/// The database of one test.
struct Database(ConnectionTarget);

impl Database {
    async fn open(&self) -> PostgresSession {
        connect(&self.0, "test").await.expect("the test server answers")
    }
}

/// Runs a test in a new database, which is dropped when the test ends, also by a panic.
async fn in_database<F: Future<Output = ()> + Send + 'static>(name: &str, test: impl FnOnce(Database) -> F) {
    let text = "[connections.test]\ndsn = \"${env:EMATIX_FLOW_TEST_DSN}\"\n";
    let project = read_text(text, "pipelines.toml", &ProcessEnvironment).expect("the file is right");
    let server = resolve("test", &project, &ProcessEnvironment)
        .expect("EMATIX_FLOW_TEST_DSN is set: the DSN of a Postgres whose role may create databases");
    let name = format!("flow_{name}_{}", std::process::id());
    let mut own = server.clone();
    own.parameters.insert("dbname".to_owned(), name.clone());
    let session = connect(&server, "test").await.expect("the test server answers");
    session.run(&format!("CREATE DATABASE {name}")).await.expect("the role may create a database");
    let outcome = tokio::spawn(test(Database(own))).await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    session.run(&drop).await.expect("the database can be dropped");
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

fn store<'a>(session: &'a PostgresSession, migrations: &'static [Migration]) -> HistoryStore<'a> {
    HistoryStore { session, migrations }
}

async fn begin(store: HistoryStore<'_>, run_id: &str) -> Result<Entered, FlowError> {
    store
        .begin(&RunStart {
            run_id,
            pipeline: "customers",
            mode: Some("merge"),
            target: "analytics.customers",
            started_by: "test",
            slot: None,
            parent: None,
            step_name: None,
            unless_paused: None,
            lease: &Duration::parse("60s").expect("a duration"),
        })
        .await
        .map(|entry| entry.entered)
}

/// The version, and how many columns the later table has.
async fn found(session: &PostgresSession) -> (Option<i32>, String) {
    let version = store(session, LATER).found().await.expect("the version can be read");
    let columns = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute WHERE attnum > 0 AND attrelid = pg_catalog.to_regclass('ematix_flow.later')";
    let answers =
        session.ask(Blame::Target, "count the columns", columns).await.expect("the catalogue can be read");
    (version, answers[0].only_value("count the columns").expect("a number").to_owned())
}

/// The ids and statuses of the runs, the newest first.
async fn runs(store: HistoryStore<'_>) -> Vec<(String, String)> {
    let runs = store
        .runs(&["customers".to_owned()], &ematix_flow_core::report::RunsWanted::last(10))
        .await
        .expect("the history can be read");
    runs.into_iter().map(|run| (run.run_id, run.status)).collect()
}

const FIRST: &str = "00000000-0000-7000-8000-000000000001";
const SECOND: &str = "00000000-0000-7000-8000-000000000002";

fn running(run_id: &str) -> (String, String) {
    (run_id.to_owned(), "running".to_owned())
}

#[tokio::test]
async fn a_run_makes_what_is_not_there_in_the_newest_version() {
    in_database("made_new", |database| async move {
        let session = database.open().await;
        assert_eq!(store(&session, LATER).exists().await, Ok(false));
        assert_eq!(begin(store(&session, LATER), FIRST).await, Ok(Entered::Yes(None)));
        assert_eq!(found(&session).await, (Some(3), "2".to_owned()));
        assert_eq!(runs(store(&session, LATER)).await, [running(FIRST)]);
    })
    .await;
}

#[tokio::test]
async fn a_run_migrates_older_metadata_and_is_entered_once() {
    in_database("migrated", |database| async move {
        let session = database.open().await;
        assert_eq!(begin(store(&session, &[]), FIRST).await, Ok(Entered::Yes(None)));
        assert_eq!(found(&session).await, (Some(1), "0".to_owned()));
        assert_eq!(begin(store(&session, LATER), SECOND).await, Ok(Entered::Yes(None)));
        assert_eq!(found(&session).await, (Some(3), "2".to_owned()));
        assert_eq!(runs(store(&session, LATER)).await, [running(SECOND), running(FIRST)]);
    })
    .await;
}

#[tokio::test]
async fn runs_that_meet_older_metadata_at_once_migrate_them_once() {
    in_database("migrated_once", |database| async move {
        let (one, other) = (database.open().await, database.open().await);
        store(&one, &[]).prepare(true).await.expect("version 1 can be made");
        let entered = tokio::join!(begin(store(&one, LATER), FIRST), begin(store(&other, LATER), SECOND));
        assert_eq!(entered, (Ok(Entered::Yes(None)), Ok(Entered::Yes(None))));
        assert_eq!(found(&one).await, (Some(3), "2".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_metadata_as_they_were() {
    in_database("not_migrated", |database| async move {
        let session = database.open().await;
        store(&session, &[]).prepare(true).await.expect("version 1 can be made");
        let error = begin(store(&session, BROKEN), FIRST).await.expect_err("a division by zero");
        assert_eq!(error.message, "the target refused to migrate the metadata: division by zero");
        assert_eq!(found(&session).await, (Some(1), "0".to_owned()));
        assert_eq!(runs(store(&session, &[])).await, []);
    })
    .await;
}

#[tokio::test]
async fn metadata_of_a_newer_version_are_refused_and_not_written() {
    in_database("newer", |database| async move {
        let session = database.open().await;
        store(&session, LATER).prepare(true).await.expect("version 3 can be made");
        let error = begin(store(&session, &[]), FIRST).await.expect_err("a newer version");
        assert_eq!(error.code, ErrorCode::MetadataNewer);
        assert_eq!(error.message, "the metadata in the target are of version 3, and this program knows 1");
        assert_eq!(
            store(&session, &[]).exists().await.map_err(|error| error.code),
            Err(ErrorCode::MetadataNewer)
        );
        assert_eq!(runs(store(&session, LATER)).await, []);
    })
    .await;
}

#[tokio::test]
async fn older_metadata_are_read_and_a_question_that_goes_beyond_them_says_so() {
    in_database("read_old", |database| async move {
        let session = database.open().await;
        assert_eq!(begin(store(&session, &[]), FIRST).await, Ok(Entered::Yes(None)));
        let newer = store(&session, LATER);
        assert_eq!((newer.exists().await, newer.is_current().await), (Ok(true), Ok(false)));
        assert_eq!(runs(newer).await, [running(FIRST)]);
        session.ask(Blame::Target, "begin", "BEGIN").await.expect("a transaction");
        let question = "SELECT epoch FROM ematix_flow.later";
        let error = session.ask(Blame::Target, "look", question).await.expect_err("a table of version 2");
        let error = newer.explained(error).await;
        assert_eq!(
            error.hint.as_deref(),
            Some(
                "the metadata are of version 1, and this program reads those of 3: the next run migrates them"
            )
        );
        assert_eq!(found(&session).await, (Some(1), "0".to_owned()));
    })
    .await;
}
