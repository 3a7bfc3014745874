//! Lines into a file, compressed or not, and counted on their way.

use super::Written;
use super::place::Unfinished;
use crate::options::Compression;
use ematix_flow_core::error::Result;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};

/// As much is written at once.
const BUFFER: usize = 256 << 10;

/// A file of lines.
pub struct TextOut {
    place: Unfinished,
    encoder: Encoder,
    counter: Counter,
}

enum Encoder {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl TextOut {
    /// Begins it; the first line of CSV has names.
    pub fn begin(place: Unfinished, compression: Compression, is_csv: bool) -> Result<TextOut> {
        let file = BufWriter::with_capacity(BUFFER, place.file()?);
        let encoder = match compression {
            Compression::None => Encoder::Plain(file),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => {
                Encoder::Zstd(zstd::Encoder::new(file, 0).map_err(|error| place.failed(&error))?)
            }
        };
        Ok(TextOut { place, encoder, counter: Counter { is_csv, ..Counter::default() } })
    }

    /// Writes lines, or parts of them.
    pub fn write(&mut self, text: &[u8]) -> Result<()> {
        self.counter.count(text);
        let written = match &mut self.encoder {
            Encoder::Plain(to) => to.write_all(text),
            Encoder::Gzip(to) => to.write_all(text),
            Encoder::Zstd(to) => to.write_all(text),
        };
        written.map_err(|error| self.place.failed(&error))
    }

    /// It is whole.
    pub fn finish(self) -> Result<Written> {
        let ended = match self.encoder {
            Encoder::Plain(mut to) => to.flush(),
            Encoder::Gzip(to) => to.finish().and_then(|mut to| to.flush()),
            Encoder::Zstd(to) => to.finish().and_then(|mut to| to.flush()),
        };
        ended.map_err(|error| self.place.failed(&error))?;
        let rows = self.counter.rows();
        Ok(Written { rows, bytes: self.place.name()? })
    }
}

/// Counts rows: a line of CSV that ends between quotes goes on.
#[derive(Default)]
struct Counter {
    is_csv: bool,
    quoted: bool,
    lines: u64,
}

impl Counter {
    fn count(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                b'"' if self.is_csv => self.quoted = !self.quoted,
                b'\n' if !self.quoted => self.lines += 1,
                _ => {}
            }
        }
    }

    fn rows(&self) -> u64 {
        self.lines.saturating_sub(u64::from(self.is_csv))
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn a_line_that_ends_between_quotes_is_no_row_of_its_own() {
        let mut csv = Counter { is_csv: true, ..Counter::default() };
        for part in ["id,text\n1,\"a\n", "b \"\" c\"\n2", ",\n"] {
            csv.count(part.as_bytes());
        }
        assert_eq!(csv.rows(), 2);
        let mut json = Counter::default();
        json.count(b"{\"a\": 1}\n{\"a\": \"}\n");
        assert_eq!(json.rows(), 2);
    }
}
