//! Rows of an API that answers JSON: a small server answers what each test gives it, broken where it shall be.
#![cfg(feature = "clouds")]

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use ematix_flow_arrow::{BatchSource, Column, CopyType};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_files::{Api, Auth, Counts, Paging, answers_of};
use futures_util::TryStreamExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server: where it is, and what it was asked, each request from its first line to the end of its headers.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request by what `answer` makes of it, and closes the connection.
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    let request = String::from_utf8(request).unwrap();
                    kept.lock().unwrap().push(request.clone());
                    let _ = stream.write_all(answer(&request).as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Server { url, asked }
    }

    fn api(&self) -> Api {
        Api { retries: 2, timeout: Duration::from_secs(5), ..Api::at(&format!("{}/rows", self.url)) }
    }

    /// The addresses that were asked for.
    fn targets(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

fn json(body: &str) -> String {
    of_length(body.len(), body)
}

fn of_length(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn status(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
}

async fn ids(api: Api) -> Result<Vec<i64>, FlowError> {
    let source = answers_of(api);
    source.schema(&[Column::new("id", CopyType::Int8)]).await?;
    let batches: Vec<_> = source.batches().await?.try_collect().await?;
    let column =
        |batch: &arrow_array::RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    Ok(batches.iter().flat_map(column).collect())
}

#[tokio::test]
async fn pages_follow_each_other_until_one_is_empty() {
    let server = Server::start(|request| match request.split(' ').nth(1).unwrap() {
        "/rows?page=1" => json(r#"[{"id": 1}, {"id": 2}]"#),
        "/rows?page=2" => json(r#"[{"id": 3}]"#),
        _ => json("[]"),
    })
    .await;
    let paging = Paging::Page { param: "page".to_owned(), first: 1, counts: Counts::default() };
    assert_eq!(ids(Api { paging, ..server.api() }).await.unwrap(), [1, 2, 3]);
    assert_eq!(server.targets(), ["/rows?page=1", "/rows?page=2", "/rows?page=3"]);
}

#[tokio::test]
async fn a_page_that_ends_early_is_asked_for_once_more_as_a_whole() {
    let tries = Mutex::new(0);
    let server = Server::start(move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        let body = r#"[{"id": 1}, {"id": 2}]"#;
        match *tries {
            1 => of_length(body.len(), &body[..10]),
            _ => json(body),
        }
    })
    .await;
    assert_eq!(ids(server.api()).await.unwrap(), [1, 2]);
    assert_eq!(server.targets().len(), 2);
}

#[tokio::test]
async fn what_always_ends_early_is_an_error_and_no_rows() {
    let server = Server::start(|_| of_length(100, r#"[{"id": 1}"#)).await;
    let error = ids(Api { retries: 0, ..server.api() }).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceFailed);
    assert_eq!(error.message, format!("page 1 of {}/rows: the answer ends early", server.url));
}

#[tokio::test]
async fn another_origin_does_not_learn_who_asks() {
    let other = Server::start(|_| json(r#"[{"id": 2}]"#)).await;
    let to = format!("{}/moved?key=k", other.url);
    let server = Server::start(move |_| status("302 Found", &format!("location: {to}\r\n"))).await;
    let headers = vec![("x-api-key".to_owned(), "key-of-mine".into())];
    let api = Api { auth: Auth::Bearer("token-of-mine".into()), headers, ..server.api() };
    assert_eq!(ids(api).await.unwrap(), [2]);
    let asked = |server: &Server| server.asked.lock().unwrap().concat();
    assert!(asked(&server).contains("authorization: Bearer token-of-mine"));
    assert!(asked(&server).contains("x-api-key: key-of-mine"));
    assert_eq!(other.targets(), ["/moved?key=k"]);
    assert!(!asked(&other).contains("of-mine"));
}

#[tokio::test]
async fn no_message_shows_what_is_secret() {
    let server = Server::start(|request| {
        let body = format!("\"{}\"", request.replace("\r\n", " "));
        format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    })
    .await;
    let api = Api {
        url: format!("{}/rows?key=hunter2", server.url).as_str().into(),
        auth: Auth::Basic { username: "ann".into(), password: "hunter3".into() },
        headers: vec![("x-key".to_owned(), "hunter4".into())],
        params: vec![("other".to_owned(), "hunter5".into())],
        secrets: vec!["hunter2".into(), "hunter5".into()],
        ..server.api()
    };
    let error = ids(api).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    let told = format!("{error:?}");
    // Of basic too, whose text is another.
    for secret in ["hunter", "YW5uOmh1bnRlcjM"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(told.contains("GET /rows"), "{told}");
}
