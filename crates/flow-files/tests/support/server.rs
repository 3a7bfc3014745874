//! A server of files that speaks as much HTTP and S3 as reading needs, on a thread of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it has and what it was asked.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub asked: Vec<String>,
    /// So many next requests are answered by 503.
    pub away: usize,
    /// Whether each request sees another version of every file.
    pub changing: bool,
}

#[derive(Clone)]
pub struct Server {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

impl Server {
    /// Files by their paths: `bucket/key` for S3.
    pub fn start(files: &[(&str, Vec<u8>)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let server = Server { address, state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        server
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    loop {
        let mut first = String::new();
        if input.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (mut headers, mut length) = (BTreeMap::new(), 0);
        loop {
            let mut line = String::new();
            input.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        if let Some(sent) = headers.get("content-length") {
            length = sent.parse().unwrap();
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).unwrap();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let answer = answer(method, target, &headers, &mut state.lock().unwrap());
        if output.write_all(&answer).is_err() {
            return;
        }
    }
}

fn answer(method: &str, target: &str, headers: &BTreeMap<String, String>, state: &mut State) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let escapes = [("%20", " "), ("%2E", "."), ("%2F", "/"), ("%3D", "=")];
    let path = escapes
        .iter()
        .fold(path.trim_start_matches('/').to_owned(), |path, (from, to)| path.replace(from, to));
    let range = headers.get("range").map(|range| format!(" {range}")).unwrap_or_default();
    state.asked.push(format!("{method} {target}{range}"));
    if state.away > 0 {
        state.away -= 1;
        return response("503 Service Unavailable", "", b"away", true);
    }
    if path.starts_with("denied") {
        let body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        return response("403 Forbidden", "", body, method == "GET");
    }
    if query.contains("comp=list") {
        return response("200 OK", "", listed_by_azure(&path, query, state).as_bytes(), true);
    }
    if query.contains("list-type=2") {
        return response(
            "200 OK",
            "Content-Type: application/xml\r\n",
            listed(&path, query, state).as_bytes(),
            true,
        );
    }
    let Some(bytes) = state.files.get(&path) else {
        return response("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>", method == "GET");
    };
    let count = if state.changing { state.asked.len() } else { 0 };
    let etag = format!("\"{}-{count}\"", bytes.len());
    let head =
        format!("ETag: {etag}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n");
    if headers.get("if-match").is_some_and(|wanted| *wanted != etag) {
        return response("412 Precondition Failed", "", b"", true);
    }
    if method == "HEAD" {
        let length = bytes.len();
        return format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {length}\r\n\r\n").into_bytes();
    }
    match headers.get("range").and_then(|range| range.strip_prefix("bytes=")) {
        Some(range) => {
            let (start, end) = range.split_once('-').unwrap();
            let (start, end) = (start.parse::<usize>().unwrap(), end.parse::<usize>().unwrap());
            let end = end.min(bytes.len() - 1);
            let head = format!("{head}Content-Range: bytes {start}-{end}/{}\r\n", bytes.len());
            response("206 Partial Content", &head, &bytes[start..=end], true)
        }
        None => response("200 OK", &head, bytes, true),
    }
}

fn below<'a>(bucket: &str, query: &str, state: &'a State) -> Vec<(&'a str, usize)> {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
    let prefix =
        format!("{}/{}", bucket.trim_end_matches('/'), prefix.replace("%2F", "/").replace("%3D", "="));
    let files = state.files.iter().filter(|(path, _)| path.starts_with(&prefix));
    files.map(|(path, bytes)| (path.split_once('/').unwrap().1, bytes.len())).collect()
}

fn listed(bucket: &str, query: &str, state: &State) -> String {
    let entries: String = below(bucket, query, state)
        .into_iter()
        .map(|(key, length)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{length}</Size><ETag>\"{length}-0\"</ETag>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        })
        .collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
}

fn listed_by_azure(container: &str, query: &str, state: &State) -> String {
    let entries: String = below(container, query, state)
        .into_iter()
        .map(|(name, length)| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>\
                 <Content-Length>{length}</Content-Length><Content-Type>text/csv</Content-Type>\
                 <Etag>\"{length}-0\"</Etag></Properties></Blob>"
            )
        })
        .collect();
    format!("<EnumerationResults><Blobs>{entries}</Blobs><NextMarker/></EnumerationResults>")
}

fn response(status: &str, head: &str, body: &[u8], with_body: bool) -> Vec<u8> {
    let length = body.len();
    let mut out = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\n\r\n").into_bytes();
    if with_body {
        out.extend_from_slice(body);
    }
    out
}
