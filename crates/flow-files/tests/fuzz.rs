//! Answers that no API should give: their pages end, with rows or with an error.
#![cfg(feature = "clouds")]

#[path = "../../../tests/fuzz/mod.rs"]
mod fuzz;

use ematix_flow_arrow::{BatchSource, Column, CopyType};
use ematix_flow_core::error::FlowError;
use ematix_flow_files::{Api, Counts, Paging, answers_of};
use futures_util::TryStreamExt;
use fuzz::fuzz;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No more is asked for.
const MOST_PAGES: usize = 5;
/// Stands between the pages of an input.
const BETWEEN: &str = "\n---\n";

#[derive(Default)]
struct Answers {
    /// A header `Link` and a body each.
    pages: Vec<(String, String)>,
    asked: usize,
}

/// A server that gives the answers in their order, and then the last again.
fn server(answers: Arc<Mutex<Answers>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    _ => break,
                }
            }
            let (link, body) = {
                let mut answers = answers.lock().expect("nobody fails who holds it");
                answers.asked += 1;
                let page = answers.asked.min(answers.pages.len()) - 1;
                answers.pages[page].clone()
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{link}\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

fn paging(kind: char) -> Paging {
    let counts = |limit: Option<u64>, total: &[&str]| Counts {
        limit: limit.map(|limit| ("limit".to_owned(), limit)),
        total: total.iter().map(|key| (*key).to_owned()).collect(),
    };
    match kind {
        'l' => Paging::LinkHeader,
        'c' => {
            Paging::Cursor { path: vec!["meta".to_owned(), "next".to_owned()], param: "cursor".to_owned() }
        }
        'p' => Paging::Page { param: "page".to_owned(), first: 1, counts: counts(Some(2), &[]) },
        'o' => Paging::Offset { param: "offset".to_owned(), counts: counts(None, &["total"]) },
        _ => Paging::Once,
    }
}

async fn rows(api: Api) -> Result<usize, FlowError> {
    let source = answers_of(api);
    source.schema(&[Column::new("id", CopyType::Int8)]).await?;
    let batches: Vec<_> = source.batches().await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

#[test]
fn the_pages_of_an_api_end_with_rows_or_with_an_error() {
    const WORDS: &[&str] = &[
        BETWEEN,
        "{\"id\": 1}",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"meta\"",
        "\"next\"",
        "\"rows\"",
        "\"total\"",
        "null",
        "1e400",
        "\"\\ud800\"",
        "<",
        ">",
        "; rel=\"next\"",
        "rel=next",
        "//",
        "http://[",
        "file:///etc/passwd",
        "?a=",
    ];
    let answers = Arc::new(Mutex::new(Answers::default()));
    let url = server(Arc::clone(&answers));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    fuzz("http_paging", WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let mut letters = text.chars();
        let kind = letters.next().unwrap_or('1');
        let page = |page: &str| {
            let (link, body) = page.split_once('\n').unwrap_or(("", page));
            // A line of its own is another header, and none of ours.
            let link: String = link.chars().filter(|letter| !letter.is_control()).collect();
            let link = if link.is_empty() { link } else { format!("link: {link}\r\n") };
            (link, body.to_owned())
        };
        *answers.lock().expect("nobody fails who holds it") =
            Answers { pages: letters.as_str().split(BETWEEN).map(page).collect(), asked: 0 };
        let records = if text.contains("\"rows\"") { vec!["rows".to_owned()] } else { Vec::new() };
        let api = Api {
            paging: paging(kind),
            records,
            retries: 0,
            timeout: Duration::from_secs(5),
            max_pages: Some(MOST_PAGES as u32),
            ..Api::at(&format!("{url}/rows"))
        };
        let _ = runtime.block_on(rows(api));
        let asked = answers.lock().expect("nobody fails who holds it").asked;
        // Once for the types of the columns, and once for the rows.
        assert!(asked <= 2 * MOST_PAGES, "{asked} pages were asked for");
    });
}
