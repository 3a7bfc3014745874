//! What sessions ask of a connection, of a library that is there. EMATIX_FLOW_TEST_DUCKDB says where; that of Python's
//! module needs libpython preloaded:
//! `EMATIX_FLOW_TEST_DUCKDB=_duckdb….so LD_PRELOAD=libpython3.11.so cargo test -p ematix-flow-run --features adbc -- --ignored adbc`

use super::super::library::{Connection, Fault, Library, Opening};
use super::AdbcLibrary;
use arrow_array::{Int64Array, RecordBatch, RecordBatchIterator, RecordBatchReader, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use ematix_flow_core::sql::{Ident, QualifiedName};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A directory that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ematix-flow-adbc-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn opening(&self) -> Opening {
        Opening { file: Some(self.0.join("w.duckdb")), ..in_memory("") }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn in_memory(name: &str) -> Opening {
    let library =
        std::env::var("EMATIX_FLOW_TEST_DUCKDB").expect("EMATIX_FLOW_TEST_DUCKDB says where the library is");
    Opening { name: name.to_owned(), driver: Some(library), ..Opening::default() }
}

fn open(opening: &Opening) -> Arc<dyn Connection> {
    AdbcLibrary.open(opening).unwrap()
}

/// The rows of the last statement, a line each.
fn rows(connection: &dyn Connection, sql: &str) -> Vec<String> {
    let answers = connection.run(sql).unwrap();
    let words = |row: &Vec<Option<String>>| {
        row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")
    };
    answers.last().unwrap().rows.iter().map(words).collect()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: Vec<Option<String>> = ids.clone().map(|id| (id % 2 == 0).then(|| format!("n{id}"))).collect();
    RecordBatch::try_new(
        schema(),
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(StringArray::from(names))],
    )
    .unwrap()
}

fn reader(batches: Vec<Result<RecordBatch, ArrowError>>) -> Box<dyn RecordBatchReader + Send> {
    Box::new(RecordBatchIterator::new(batches, schema()))
}

fn table() -> QualifiedName {
    QualifiedName { schema: Ident::fixed("a \"b\""), name: Ident::fixed("Ta ble") }
}

const MAKE: &str =
    "CREATE SCHEMA \"a \"\"b\"\"\"; CREATE TABLE \"a \"\"b\"\"\".\"Ta ble\" (id BIGINT, name VARCHAR)";
const COUNT: &str = "SELECT count(*), sum(id), count(name) FROM \"a \"\"b\"\"\".\"Ta ble\"";

fn words<T>(failed: Result<T, Fault>) -> String {
    match failed {
        Err(Fault::Said(words)) => words,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it went well"),
    }
}

#[test]
#[ignore = "needs DuckDB's library"]
fn values_of_all_types_are_texts_as_pythons_module_gives_them() {
    let connection = open(&in_memory("types"));
    let query = "SELECT TRUE, 1::TINYINT, 2::UBIGINT, 3::HUGEINT, 1.50::DECIMAL(9, 2), 0.1::DOUBLE, 'nan'::FLOAT, 'a;b',
        '00000000-0000-0000-0000-00000000000a'::UUID, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05.5',
        TIMESTAMPTZ '2026-01-02 00:00:00+01', TIME '10:00:00', NULL, 'a'::ENUM ('a'), [1, NULL], {'a': TRUE}, '\\x01'::BLOB";
    assert_eq!(
        rows(connection.as_ref(), query),
        [
            "true|1|2|3|1.50|0.1|nan|a;b|00000000-0000-0000-0000-00000000000a|2026-01-02|2026-01-02 03:04:05.500000|\
          2026-01-01 23:00:00+00:00|10:00:00|NULL|a|[1, None]|{'a': true}|01"
        ]
    );
    let answers = connection
        .run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2); UPDATE t SET a = 3; SELECT a FROM t");
    let answers: Vec<(usize, i64)> =
        answers.unwrap().iter().map(|set| (set.columns.len(), set.affected)).collect();
    assert_eq!(answers, [(0, 0), (0, 2), (0, 2), (1, 2)]);
    assert!(words(connection.run("SELECT 1; SELECT * FROM nowhere")).starts_with("Catalog Error: "));
    assert!(words(connection.run("SELECT 'a")).starts_with("Parser Error: "));
}

#[test]
#[ignore = "needs DuckDB's library"]
fn rows_come_into_a_table_within_the_transaction_that_is_open() {
    let scratch = Scratch::new("append");
    let connection = open(&scratch.opening());
    connection.run(MAKE).unwrap();
    connection.run("BEGIN TRANSACTION").unwrap();
    let came =
        connection.append(&table(), reader((0..10).map(|n| Ok(batch(n * 1000..n * 1000 + 1000))).collect()));
    assert_eq!(came, Ok(10_000));
    assert_eq!(rows(connection.as_ref(), COUNT), ["10000|49995000|5000"]);
    let other = open(&scratch.opening());
    assert_eq!(rows(other.as_ref(), COUNT), ["0|NULL|0"], "another session sees what is committed");
    connection.run("ROLLBACK").unwrap();
    assert_eq!(rows(connection.as_ref(), COUNT), ["0|NULL|0"]);
    assert_eq!(connection.append(&table(), reader(vec![Ok(batch(0..3))])), Ok(3));
    assert_eq!(connection.append(&table(), reader(Vec::new())), Ok(0));
    assert_eq!(rows(other.as_ref(), COUNT), ["3|3|2"]);
}

#[test]
#[ignore = "needs DuckDB's library"]
fn a_reader_that_fails_leaves_no_row() {
    let connection = open(&in_memory("failing"));
    connection.run(MAKE).unwrap();
    connection.run("BEGIN TRANSACTION").unwrap();
    let broken = || Err(ArrowError::ExternalError("the source is gone".into()));
    let batches = (0..200).map(|n| Ok(batch(n * 1000..n * 1000 + 1000))).chain([broken()]).collect();
    let said = words(connection.append(&table(), reader(batches)));
    assert!(said.contains("the source is gone"), "{said}");
    // Whoever goes on commits nothing: of some versions it is refused, of others it rolls back.
    let _ = connection.run("COMMIT");
    let _ = connection.run("ROLLBACK");
    assert_eq!(rows(connection.as_ref(), COUNT), ["0|NULL|0"]);
    // By itself, too.
    for n in [0, 1, 5] {
        let batches = (0..n).map(|n| Ok(batch(n * 1000..n * 1000 + 1000))).chain([broken()]).collect();
        assert!(words(connection.append(&table(), reader(batches))).contains("the source is gone"));
        assert_eq!(rows(connection.as_ref(), COUNT), ["0|NULL|0"]);
    }
    let nowhere = QualifiedName { schema: Ident::fixed("main"), name: Ident::fixed("nowhere") };
    let said = words(connection.append(&nowhere, reader(vec![Ok(batch(0..3))])));
    assert!(said.contains("nowhere"), "{said}");
    assert_eq!(connection.append(&table(), reader(vec![Ok(batch(0..3))])), Ok(3));
}

#[test]
#[ignore = "needs DuckDB's library"]
fn rows_of_another_shape_are_refused() {
    let connection = open(&in_memory("shapes"));
    connection
        .run("CREATE TABLE main.one (id BIGINT); CREATE TABLE main.whole (id BIGINT, name BIGINT)")
        .unwrap();
    for name in ["one", "whole"] {
        let into = QualifiedName { schema: Ident::fixed("main"), name: Ident::fixed(name) };
        connection.run("BEGIN").unwrap();
        let said = words(connection.append(&into, reader(vec![Ok(batch(0..3))])));
        assert!(!said.is_empty());
        let _ = connection.run("ROLLBACK");
        assert_eq!(rows(connection.as_ref(), &format!("SELECT count(*) FROM {name}")), ["0"]);
    }
}

#[test]
#[ignore = "needs DuckDB's library"]
fn rows_of_a_query_are_read_while_they_come() {
    let connection = open(&in_memory("query"));
    let reader = connection.query("SELECT range AS id, range::VARCHAR AS name FROM range(1000000)").unwrap();
    assert_eq!(reader.schema().field(0).name(), "id");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    assert!(batches.len() > 10);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000_000);
    // One that nobody reads to its end is no obstacle.
    drop(connection.query("SELECT range FROM range(1000000000)").unwrap());
    assert_eq!(rows(connection.as_ref(), "SELECT 1"), ["1"]);
    let late =
        "SELECT CASE WHEN range = 900000 THEN error('boom') ELSE range::VARCHAR END FROM range(1000000)";
    let failed = connection
        .query(late)
        .and_then(|reader| reader.map(|batch| batch.map_err(Fault::from)).collect::<Result<Vec<_>, _>>());
    assert_eq!(words(failed), "Invalid Input Error: boom");
    let reader = connection.query("SELECT range FROM range(1000000)").unwrap();
    connection.close();
    drop(reader);
    assert!(words(connection.run("SELECT 1")).contains("closed"));
}

#[test]
#[ignore = "needs DuckDB's library"]
fn a_statement_is_ended_from_another_thread() {
    let connection = open(&in_memory("interrupted"));
    let long = "SELECT max(a.range + b.range) FROM range(1000000) AS a, range(1000000) AS b WHERE (a.range * b.range) % 7 = 3";
    let began = Instant::now();
    let other = Arc::clone(&connection);
    let running = thread::spawn(move || other.run(long));
    thread::sleep(Duration::from_millis(500));
    connection.interrupt();
    let said = words(running.join().unwrap());
    assert!(said.starts_with("INTERRUPT Error"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20));
    // It is for the statement that runs, and not for the next one.
    connection.interrupt();
    assert_eq!(rows(connection.as_ref(), "SELECT 1"), ["1"]);
}

#[test]
#[ignore = "needs DuckDB's library"]
fn a_file_is_one_database_by_all_its_names_and_let_go_with_the_last_session() {
    let scratch = Scratch::new("one");
    let first = open(&scratch.opening());
    first.run("CREATE TABLE t AS SELECT 1 AS a").unwrap();
    let link = scratch.0.join("named.duckdb");
    #[cfg(unix)]
    std::os::unix::fs::symlink(scratch.0.join("w.duckdb"), &link).unwrap();
    let second = open(&Opening { file: Some(link), ..scratch.opening() });
    second.run("INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(rows(first.as_ref(), "SELECT count(*) FROM t"), ["2"]);
    first.close();
    assert_eq!(rows(second.as_ref(), "SELECT count(*) FROM t"), ["2"]);
    let hard = scratch.0.join("hard.duckdb");
    std::fs::hard_link(scratch.0.join("w.duckdb"), &hard).unwrap();
    let linked = Opening { file: Some(hard), ..scratch.opening() };
    assert!(words(AdbcLibrary.open(&linked)).starts_with("Second Database Error: "));
    second.close();
    assert_eq!(rows(open(&linked).as_ref(), "SELECT count(*) FROM t"), ["2"]);
}

#[test]
#[ignore = "needs DuckDB's library"]
fn what_the_library_refuses_on_opening_it_says() {
    let scratch = Scratch::new("refused");
    let said = words(AdbcLibrary.open(&Opening { read_only: true, ..scratch.opening() }));
    assert!(said.contains("does not exist"), "{said}");
    let limited = Opening { memory_limit: Some("1 parsec".to_owned()), ..scratch.opening() };
    assert!(words(AdbcLibrary.open(&limited)).starts_with("Parser Error: "));
    let old = Opening {
        storage_version: Some("v99.0.0".to_owned()),
        file: Some(scratch.0.join("n.duckdb")),
        ..in_memory("")
    };
    assert!(words(AdbcLibrary.open(&old)).contains("v99.0.0"));
    std::fs::write(
        scratch.0.join("x.duckdb"),
        "not a database, but long enough to have a header of some kind",
    )
    .unwrap();
    let other = Opening { file: Some(scratch.0.join("x.duckdb")), ..in_memory("") };
    assert!(words(AdbcLibrary.open(&other)).contains("valid DuckDB database file"));
}
