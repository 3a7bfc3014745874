//! The frames of a binary COPY stream: a header, rows of fields with their lengths, a trailer.

use crate::error::{ErrorCode, FlowError, Result};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, no flags, no extension.
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A row of -1 fields.
pub const TRAILER: [u8; 2] = [0xff, 0xff];

/// Cuts a stream of chunks into rows, however the chunks were cut.
#[derive(Debug, Default)]
pub struct RowReader {
    left: Vec<u8>,
    /// Empty between two chunks: servers send a row a chunk, and each would have its list made anew.
    fields: Vec<Option<&'static [u8]>>,
    begun: bool,
    ended: bool,
}

/// One row.
pub struct Row<'a> {
    /// Its fields; `None` for NULL.
    pub fields: &'a [Option<&'a [u8]>],
    /// The bytes of the fields, each with its length before it.
    pub bytes: &'a [u8],
}

impl Row<'_> {
    /// The bytes of the first fields.
    pub fn head(&self, fields: usize) -> &[u8] {
        let length: usize = self.fields[..fields].iter().map(|field| 4 + field.map_or(0, <[u8]>::len)).sum();
        &self.bytes[..length]
    }
}

impl RowReader {
    /// Gives every row that the chunk completes.
    ///
    /// # Errors
    /// What `each` says, and `source_failed` for bytes that are no binary COPY.
    pub fn read<E: From<FlowError>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&Row<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        // Servers send whole rows: nothing is left over, and nothing copied.
        if self.left.is_empty() {
            let used = self.rows(chunk, &mut each)?;
            self.left.extend_from_slice(&chunk[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.left);
            joined.extend_from_slice(chunk);
            let used = self.rows(&joined, &mut each)?;
            joined.drain(..used);
            self.left = joined;
        }
        Ok(())
    }

    /// Says whether the stream is complete.
    ///
    /// # Errors
    /// `source_failed` where it ends in the middle.
    pub fn finish(&self) -> Result<()> {
        if self.ended && self.left.is_empty() {
            Ok(())
        } else {
            Err(malformed("it ends in the middle of a row"))
        }
    }

    fn rows<E: From<FlowError>>(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&Row<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<usize, E> {
        let mut at = 0;
        if !self.begun {
            let Some(length) = header(bytes)? else { return Ok(0) };
            at = length;
            self.begun = true;
        }
        let mut fields = emptied(std::mem::take(&mut self.fields));
        while !self.ended {
            let Some(count) = bytes.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([count[0], count[1]]);
            if count == -1 {
                self.ended = true;
                at += 2;
                break;
            }
            fields.clear();
            let start = at + 2;
            let Some(end) = row(bytes, start, count, &mut fields)? else { break };
            each(&Row { fields: &fields, bytes: &bytes[start..end] })?;
            at = end;
        }
        self.fields = emptied(fields);
        Ok(at)
    }
}

/// The memory of a list, for fields of other bytes: nothing is collected, and so nothing allocated.
fn emptied<'b>(mut fields: Vec<Option<&[u8]>>) -> Vec<Option<&'b [u8]>> {
    fields.clear();
    fields.into_iter().map(|_| None).collect()
}

/// The length of the header, once it is there.
fn header(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = bytes.get(..HEADER.len()) else { return Ok(None) };
    if !head.starts_with(SIGNATURE) {
        return Err(malformed("it does not begin as one"));
    }
    let extension = u32::from_be_bytes([head[15], head[16], head[17], head[18]]) as usize;
    Ok((bytes.len() >= HEADER.len() + extension).then_some(HEADER.len() + extension))
}

/// The fields of a row that begins at `at`, and where it ends; `None` where it is not complete.
fn row<'a>(
    bytes: &'a [u8],
    mut at: usize,
    count: i16,
    fields: &mut Vec<Option<&'a [u8]>>,
) -> Result<Option<usize>> {
    if count < 0 {
        return Err(malformed("a row has a negative number of fields"));
    }
    fields.reserve(count as usize);
    for _ in 0..count {
        let Some(length) = bytes.get(at..at + 4) else { return Ok(None) };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        at += 4;
        match length {
            -1 => fields.push(None),
            0.. => {
                let Some(field) = bytes.get(at..at + length as usize) else { return Ok(None) };
                fields.push(Some(field));
                at += length as usize;
            }
            _ => return Err(malformed("a field has a negative length")),
        }
    }
    Ok(Some(at))
}

#[cold]
fn malformed(why: &str) -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, format!("the rows are no binary COPY stream: {why}"))
        .hint("something between the server and this process changes what passes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Fields = Vec<Option<Vec<u8>>>;

    fn stream(rows: &[Fields]) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        for row in rows {
            out.extend((row.len() as i16).to_be_bytes());
            for field in row {
                match field {
                    None => out.extend((-1_i32).to_be_bytes()),
                    Some(field) => {
                        out.extend((field.len() as i32).to_be_bytes());
                        out.extend(field);
                    }
                }
            }
        }
        out.extend(TRAILER);
        out
    }

    fn read(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Fields>> {
        let mut reader = RowReader::default();
        let mut rows = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let cut = cut.clamp(from, bytes.len());
            reader.read(&bytes[from..cut], |row| {
                assert_eq!(row.head(row.fields.len()), row.bytes);
                rows.push(row.fields.iter().map(|field| field.map(<[u8]>::to_vec)).collect());
                Ok::<(), FlowError>(())
            })?;
            from = cut;
        }
        reader.finish()?;
        Ok(rows)
    }

    proptest! {
        #[test]
        fn rows_are_the_same_however_the_stream_is_cut(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..5), 0..6),
            mut cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            cuts.sort_unstable();
            prop_assert_eq!(read(&stream(&rows), &cuts).expect("a stream"), rows);
        }

        #[test]
        fn bytes_of_any_kind_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut hostile = HEADER.to_vec();
            hostile.extend(&bytes);
            let _ = read(&hostile, &[3, 21]);
            let _ = read(&bytes, &[]);
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error() {
        let whole = stream(&[vec![Some(b"abc".to_vec())]]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end], &[]).is_err(), "{end} bytes");
        }
    }
}
