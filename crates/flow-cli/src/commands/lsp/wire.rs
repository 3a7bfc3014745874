//! Messages of JSON-RPC over two streams, framed as the Language Server Protocol frames them: a header that says how
//! many bytes follow, an empty line, and the bytes.

use serde_json::{Value, json};
use std::io::{self, BufRead, Read, Write};

/// Longer than any file that is edited; a number that is none must not take the memory.
const LONGEST: u64 = 64 << 20;

/// Where an editor listens and speaks.
pub struct Wire<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Wire<R, W> {
    /// Reads from one stream and writes to another.
    pub fn new(input: R, output: W) -> Wire<R, W> {
        Wire { input, output }
    }

    /// The next message; none at the end of the stream.
    ///
    /// # Errors
    /// What is no message: after that nobody knows where the next one begins.
    pub fn next(&mut self) -> io::Result<Option<Value>> {
        let mut length = None;
        loop {
            let mut line = String::new();
            if (&mut self.input).take(LONGEST).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok().filter(|length| *length <= LONGEST);
            }
        }
        let length = length.ok_or_else(|| refused("a message without a Content-Length"))?;
        let mut bytes = Vec::new();
        if (&mut self.input).take(length).read_to_end(&mut bytes)? as u64 != length {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|_| refused("a message that is no JSON"))
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn answer(&mut self, id: &Value, result: &Value) -> io::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }

    /// Refuses a request.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn refuse(&mut self, id: &Value, code: i32, message: &str) -> io::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }))
    }

    /// Tells something that nobody answers.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn notify(&mut self, method: &str, parameters: &Value) -> io::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": parameters }))
    }

    fn send(&mut self, message: &Value) -> io::Result<()> {
        let text = message.to_string();
        write!(self.output, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        self.output.flush()
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Wire<&[u8], Vec<u8>> {
        Wire::new(text.as_bytes(), Vec::new())
    }

    #[test]
    fn messages_come_one_after_the_other() {
        let mut wire = read("content-length: 7\r\nOther: x\r\n\r\n{\"a\":1}Content-Length: 2\r\n\r\n[]");
        assert_eq!(wire.next().unwrap(), Some(json!({ "a": 1 })));
        assert_eq!(wire.next().unwrap(), Some(json!([])));
        assert_eq!(wire.next().unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(read("\r\n").next().is_err());
        assert!(read("Content-Length: 99999999999\r\n\r\n").next().is_err());
        assert!(read("Content-Length: 2\r\n\r\n{]").next().is_err());
        assert_eq!(read("Content-Length: 9\r\n\r\n{}").next().unwrap(), None, "the stream ends within");
    }

    #[test]
    fn an_answer_says_how_many_bytes_it_has() {
        let mut wire = read("");
        wire.answer(&json!(1), &json!("é")).unwrap();
        let text = String::from_utf8(wire.output).unwrap();
        assert_eq!(text, "Content-Length: 38\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"é\"}");
    }
}
