//! Files in object stores and on web servers, from a server that speaks as much of them as reading needs.
#![cfg(feature = "clouds")]

mod support;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use ematix_flow_arrow::source::BatchSource;
use ematix_flow_files::{Files, FilesSource, StoreOptions};
use futures_util::TryStreamExt;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;
use support::server::Server;
use support::{gzip, parquet, read, refused, refused_with, told};

fn s3(server: &Server, pattern: &str) -> Files {
    let store = StoreOptions {
        endpoint: Some(server.address.clone()),
        anonymous: true,
        region: Some("eu-central-1".to_owned()),
        ..StoreOptions::default()
    };
    Files { pattern: pattern.to_owned(), store, ..Files::default() }
}

fn numbers(rows: i64) -> Vec<u8> {
    let names = (0..rows).map(|row| format!("name {}", row * 7919));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..rows)) as _),
        ("name", Arc::new(StringArray::from_iter_values(names)) as _),
    ]);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(20_000)).build();
    parquet(&[batch.unwrap()], properties)
}

#[tokio::test]
async fn files_of_a_bucket_are_listed_by_their_prefix_and_read() {
    let server = Server::start(&[
        ("lake/in/day=1/a.csv", b"id\n1\n".to_vec()),
        ("lake/in/day=2/b.csv.gz", gzip(b"id\n2\n")),
        ("lake/in/day=2/_b.csv", b"x".to_vec()),
        ("lake/other/c.csv", b"id\n3\n".to_vec()),
    ]);
    let found = read(&s3(&server, "s3://lake/in/**/*.csv*"), &[]).await.unwrap();
    assert_eq!(found.columns, ["id Utf8", "day Utf8"]);
    assert_eq!(found.rows, ["1|1", "2|2"]);
    assert_eq!(server.asked()[0], "GET /lake?list-type=2&prefix=in%2F");

    let versions = s3(&server, "s3://lake/in").list().await.unwrap();
    let paths: Vec<&str> = versions.iter().map(|version| version.path.as_str()).collect();
    assert_eq!(paths, ["s3://lake/in/day=1/a.csv", "s3://lake/in/day=2/b.csv.gz"]);
    assert_eq!((versions[0].size, versions[0].etag.as_deref()), (5, Some("\"5-0\"")));
    assert_eq!(versions[0].modified, "2026-01-01T00:00:00+00:00");
    let one = s3(&server, "s3://lake/other/c.csv");
    assert_eq!(read(&one, &[]).await.unwrap().rows, ["3"]);
    assert_eq!(
        refused(&s3(&server, "s3://lake/none/*"), &[]).await,
        "source_failed: no file matches s3://lake/none/*"
    );
}

#[tokio::test]
async fn every_cloud_is_listed_and_read() {
    let server =
        Server::start(&[("lake/in/a.csv", b"id\n1\n".to_vec()), ("lake/in/b.csv", b"id\n2\n".to_vec())]);
    for scheme in ["s3", "gs", "az"] {
        let mut files = s3(&server, &format!("{scheme}://lake/in/?.csv"));
        files.store.account = Some("mine".to_owned());
        assert_eq!(
            read(&files, &[]).await.map(|found| found.rows),
            Ok(vec!["1".to_owned(), "2".to_owned()]),
            "{scheme} {:#?}",
            server.asked()
        );
        let versions = files.list().await.unwrap();
        assert_eq!(versions[0].path, format!("{scheme}://lake/in/a.csv"));
        files.pattern = format!("{scheme}://denied/in/*");
        assert_eq!(read(&files, &[]).await.unwrap_err().code.name(), "permission_denied", "{scheme}");
    }
}

#[tokio::test]
async fn parquet_in_a_bucket_is_read_by_its_row_groups() {
    let bytes = numbers(50_000);
    let server = Server::start(&[("lake/a.parquet", bytes)]);
    let found = read(&s3(&server, "s3://lake/a.parquet"), &[]).await.unwrap();
    assert_eq!(found.rows.len(), 50_000);
    assert!(found.rows.iter().enumerate().all(|(at, row)| *row == format!("{at}|name {}", at * 7919)));
    let ranges = server.asked().iter().filter(|asked| asked.contains("bytes=")).count();
    // The end twice, for the columns and for the rows; three row groups.
    assert_eq!(ranges, 5, "{:#?}", server.asked());
}

#[tokio::test]
async fn a_file_of_a_web_server_is_read_and_its_key_is_not_told() {
    let server = Server::start(&[("in/a b.csv", b"id\n1\n".to_vec()), ("in/c.parquet", numbers(3))]);
    let files = Files { pattern: format!("{}/in/a%20b.csv?sig=secret", server.address), ..Files::default() };
    assert_eq!(read(&files, &[]).await.unwrap().rows, ["1"]);
    assert_eq!(server.asked()[0], "HEAD /in/a%20b.csv?sig=secret");
    let versions = files.list().await.unwrap();
    assert_eq!(versions[0].path, format!("{}/in/a%20b.csv", server.address));
    let source = FilesSource::new(files.clone(), versions);
    assert_eq!(source.describe(), format!("the files {}/in/a%20b.csv", server.address));

    let parquet = Files { pattern: format!("{}/in/c.parquet", server.address), ..Files::default() };
    assert_eq!(read(&parquet, &[]).await.unwrap().rows, ["0|name 0", "1|name 7919", "2|name 15838"]);
    let missing = Files { pattern: format!("{}/none.csv?sig=secret", server.address), ..Files::default() };
    assert_eq!(
        refused(&missing, &[]).await,
        format!("source_failed: {}/none.csv: the server has no such file", server.address)
    );
    let pattern = Files { pattern: format!("{}/in/*.csv", server.address), ..Files::default() };
    assert!(refused(&pattern, &[]).await.ends_with("a web server does not say which files it has"));
}

#[tokio::test]
async fn who_may_not_is_told_what_and_where() {
    let server = Server::start(&[]);
    let (code, context) = refused_with(&s3(&server, "s3://denied/a/*.csv"), &[]).await;
    assert_eq!((code.name(), &context["action"]), ("permission_denied", &"s3:ListBucket".into()));
    let error = read(&s3(&server, "s3://denied/a.csv"), &[]).await.unwrap_err();
    assert_eq!(error.code.name(), "permission_denied");
    assert_eq!(error.message, "s3://denied/a.csv: the credentials may not read in the bucket `denied`");
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_again_and_then_told() {
    let server = Server::start(&[("lake/a.csv", b"id\n1\n".to_vec())]);
    server.state.lock().unwrap().away = 2;
    assert_eq!(read(&s3(&server, "s3://lake/a.csv"), &[]).await.unwrap().rows, ["1"]);
    let mut nobody = s3(&server, "s3://lake/a.csv");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nobody.store.endpoint = Some(format!("http://{free}"));
    let found = refused(&nobody, &[]).await;
    assert!(found.starts_with("connect_failed: s3://lake/a.csv: the store cannot be reached; "), "{found}");
}

#[tokio::test]
async fn a_file_that_changes_in_a_store_is_an_error() {
    for path in ["lake/a.csv", "lake/a.parquet"] {
        let bytes = if path.ends_with("csv") { b"id\n1\n".to_vec() } else { numbers(3) };
        let server = Server::start(&[(path, bytes)]);
        let files = s3(&server, &format!("s3://{path}"));
        let source = FilesSource::new(files.clone(), files.list().await.unwrap());
        source.schema(&[]).await.unwrap();
        server.state.lock().unwrap().changing = true;
        let error = source.batches().await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(told(&error), format!("source_failed: s3://{path} was changed while it was read"));
    }
}
