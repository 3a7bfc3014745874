//! Writes the keys of encrypted connections into a file, for who debugs them: libpq's `sslkeylogfile`
//! (<https://nss-crypto.org/reference/security/nss/legacy/key_log_format/index.html>).

use super::tls::failed;
use ematix_flow_core::declare::environment::refuse_other;
use ematix_flow_core::error::Result;
use rustls::KeyLog;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The file.
#[derive(Debug)]
pub(super) struct KeysInFile(Mutex<File>);

impl KeysInFile {
    /// Opens it, to go on behind what it holds; one that is made is nobody else's to read.
    ///
    /// # Errors
    /// `tls_failed` where it cannot be written.
    pub fn open(path: &str) -> Result<KeysInFile> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = refuse_other(Path::new(path)).and_then(|()| options.open(path)).map_err(|error| {
            failed(format!("sslkeylogfile `{path}` cannot be written: {}", error.to_string().to_lowercase()))
                .hint("take it out unless you debug the encryption: who reads it reads the connection")
        })?;
        Ok(KeysInFile(Mutex::new(file)))
    }
}

impl KeyLog for KeysInFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hexadecimal(client_random), hexadecimal(secret));
        // As libpq: a disk that is full does not end a connection.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
