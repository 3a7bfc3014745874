//! The row hash from the fields of binary COPY rows, while they pass by. Pure, and allocates nothing per row
//! once its buffer has grown. Bytes that cannot be a value of the column's type are an error, never a panic.

use super::Normal;
use crate::error::{ErrorCode, FlowError, Result};
use sha2::{Digest, Sha256};

/// Values from this size on go into the digest straight from the row, so the buffer stays small.
const LARGE_BYTES: usize = 4096;

const NULL_LENGTH: i32 = -1;
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// One hashed column of a COPY stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyColumn {
    /// The column's name, by which columns are ordered.
    pub name: String,
    /// Its normal form.
    pub normal: Normal,
    /// Which field of the row it is, from 0.
    pub field: usize,
}

/// Hashes rows of one shape.
///
/// ```
/// use ematix_flow_core::hash::{CopyColumn, Normal, RowHasher};
/// let column = |name: &str, field| CopyColumn { name: name.to_owned(), normal: Normal::Int8, field };
/// let mut hasher = RowHasher::new(vec![column("b", 0), column("a", 1)]);
/// let narrow = hasher.hash(&[Some(&[0, 7]), None])?; // smallint 7, NULL
/// let wide = hasher.hash(&[Some(&[0, 0, 0, 0, 0, 0, 0, 7]), None])?; // bigint 7, NULL
/// assert_eq!(narrow, wide);
/// # Ok::<(), ematix_flow_core::error::FlowError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowHasher {
    columns: Vec<CopyColumn>,
    encoding: Encoding,
}

impl RowHasher {
    /// A hasher over some columns, in any order.
    pub fn new(mut columns: Vec<CopyColumn>) -> RowHasher {
        columns.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        RowHasher { columns, encoding: Encoding::default() }
    }

    /// The hash of one row: the fields of a binary COPY row, `None` for NULL.
    ///
    /// # Errors
    /// `cast_failed` for a field that is missing, or whose bytes cannot be a value of the column's type.
    pub fn hash(&mut self, fields: &[Option<&[u8]>]) -> Result<[u8; 32]> {
        let encoding = &mut self.encoding;
        encoding.start(self.columns.len());
        for column in &self.columns {
            match fields.get(column.field) {
                None => return Err(missing_field(column, fields.len())),
                Some(None) => encoding.null(column.normal),
                Some(Some(raw)) => {
                    encoding.value(column.normal, raw).ok_or_else(|| malformed_field(column, raw.len()))?;
                }
            }
        }
        Ok(encoding.finish())
    }
}

#[cold]
fn missing_field(column: &CopyColumn, found: usize) -> FlowError {
    FlowError::new(
        ErrorCode::CastFailed,
        format!("the row has {found} fields, and column \"{}\" is field {}", column.name, column.field + 1),
    )
    .context("column", column.name.as_str())
}

// The value itself is never shown, only its length.
#[cold]
fn malformed_field(column: &CopyColumn, bytes: usize) -> FlowError {
    FlowError::new(
        ErrorCode::CastFailed,
        format!(
            "column \"{}\": a value of {bytes} bytes is no {} in binary form",
            column.name,
            column.normal.name()
        ),
    )
    .context("column", column.name.as_str())
}

/// The encoding of one row: a buffer for small pieces before a running digest.
#[derive(Clone, Debug, Default)]
struct Encoding {
    buffer: Vec<u8>,
    digest: Sha256,
}

impl Encoding {
    fn start(&mut self, columns: usize) {
        // A row that failed may have left something behind.
        self.digest.reset();
        self.buffer.clear();
        let count = i32::try_from(columns).expect("Postgres has at most 1,664 columns in a row");
        self.buffer.extend_from_slice(&count.to_be_bytes());
    }

    fn finish(&mut self) -> [u8; 32] {
        self.digest.update(&self.buffer);
        self.digest.finalize_reset().into()
    }

    fn null(&mut self, normal: Normal) {
        self.buffer.extend_from_slice(&prefix(normal.frame_oid(), NULL_LENGTH));
    }

    /// Frames the normal form of a raw value; `None` where it is malformed.
    fn value(&mut self, normal: Normal, raw: &[u8]) -> Option<()> {
        let oid = normal.frame_oid();
        match normal {
            Normal::Text | Normal::Enum | Normal::Json | Normal::Opaque => self.frame(oid, &[], raw),
            Normal::BlankPadded => self.frame(oid, &[], without_blanks(raw)),
            Normal::Int8 => self.frame(oid, &widen_integer(raw)?.to_be_bytes(), &[]),
            Normal::Bool => matches!(raw, [0 | 1]).then(|| self.frame(oid, &[], raw))?,
            Normal::Float8 => self.frame(oid, &canonical_float(raw)?.to_be_bytes(), &[]),
            Normal::Numeric => {
                let (head, digits) = canonical_numeric(raw)?;
                self.frame(oid, &head, digits);
            }
            Normal::Array { element } => {
                let (head, rest) = canonical_array(raw, element)?;
                self.frame(oid, &head, rest);
            }
            Normal::AsSent(sent) => {
                if sent.sent_bytes.is_some_and(|bytes| bytes != raw.len()) {
                    return None;
                }
                self.frame(oid, &[], raw);
            }
        }
        Some(())
    }

    fn frame(&mut self, oid: u32, head: &[u8], rest: &[u8]) {
        let length = i32::try_from(head.len() + rest.len()).expect("a field's length is an int32 in COPY");
        self.buffer.extend_from_slice(&prefix(oid, length));
        self.buffer.extend_from_slice(head);
        if self.buffer.len() + rest.len() < LARGE_BYTES {
            self.buffer.extend_from_slice(rest);
        } else {
            self.digest.update(&self.buffer);
            self.buffer.clear();
            self.digest.update(rest);
        }
    }
}

/// Type and length, before every value.
const fn prefix(oid: u32, length: i32) -> [u8; 8] {
    (((oid as u64) << 32) | (length as u32 as u64)).to_be_bytes()
}

// The cast of char(n) to text drops blanks only, and all of them (src/backend/utils/adt/varchar.c, rtrim1).
fn without_blanks(raw: &[u8]) -> &[u8] {
    let length = raw.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &raw[..length]
}

fn widen_integer(raw: &[u8]) -> Option<i64> {
    match *raw {
        [a, b] => Some(i16::from_be_bytes([a, b]).into()),
        [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
        _ => raw.try_into().ok().map(i64::from_be_bytes),
    }
}

/// The bits of the value as float8, with one NaN and one zero.
fn canonical_float(raw: &[u8]) -> Option<u64> {
    let value = match *raw {
        [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        _ => f64::from_be_bytes(raw.try_into().ok()?),
    };
    Some(if value.is_nan() { CANONICAL_NAN } else { (value + 0.0).to_bits() })
}

/// The header and the digits of trim_scale(value), from what numeric_send wrote: digit count, weight, sign and
/// scale in two bytes each, then digits to the base 10,000, the first of them times 10,000 to the weight.
fn canonical_numeric(raw: &[u8]) -> Option<([u8; 8], &[u8])> {
    let (head, digits) = raw.split_first_chunk::<8>()?;
    let part = |index: usize| [head[index], head[index + 1]];
    let count = u16::from_be_bytes(part(0)); // up to 36,864: more than an i16 holds
    let weight = i16::from_be_bytes(part(2));
    let sign = u16::from_be_bytes(part(4));
    if digits.len() != 2 * usize::from(count) {
        return None;
    }
    match sign {
        0x0000 | 0x4000 => trim_scale(digits, weight.into(), sign),
        // NaN and the infinities stay as they are: trim_scale returns them unchanged.
        0xC000 | 0xD000 | 0xF000 if count == 0 => Some((*head, digits)),
        _ => None,
    }
}

fn trim_scale(digits: &[u8], mut weight: i32, sign: u16) -> Option<([u8; 8], &[u8])> {
    let (mut groups, []) = digits.as_chunks::<2>() else { return None };
    if groups.iter().any(|group| u16::from_be_bytes(*group) > 9999) {
        return None;
    }
    // The server stores no zeros at either end; another sender may.
    while let [[0, 0], rest @ ..] = groups {
        groups = rest;
        weight -= 1;
    }
    while let [rest @ .., [0, 0]] = groups {
        groups = rest;
    }
    let Some(last) = groups.last() else { return Some(([0; 8], &[])) };

    let fraction_groups = i32::try_from(groups.len()).ok()? - 1 - weight;
    let scale = (fraction_groups * 4 - trailing_zeros(u16::from_be_bytes(*last))).max(0);
    let [[a, b], [c, d], [e, f], [g, h]] = [
        u16::try_from(groups.len()).ok()?,
        i16::try_from(weight).ok()? as u16,
        sign,
        u16::try_from(scale).ok()?,
    ]
    .map(u16::to_be_bytes);
    Some(([a, b, c, d, e, f, g, h], groups.as_flattened()))
}

fn trailing_zeros(group: u16) -> i32 {
    match group {
        _ if group.is_multiple_of(1000) => 3,
        _ if group.is_multiple_of(100) => 2,
        _ => group.is_multiple_of(10).into(),
    }
}

/// The header of array_send with the null flag cleared and the element type given, and what follows it.
fn canonical_array(raw: &[u8], element: u32) -> Option<([u8; 12], &[u8])> {
    let (header, rest) = raw.split_first_chunk::<12>()?;
    let mut head = [0; 12];
    head[..4].copy_from_slice(&header[..4]);
    head[8..].copy_from_slice(&element.to_be_bytes());
    Some((head, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{SentType, TypeFacts};
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    /// Written by tests/golden/generate_row_hash.py, with a server's answers.
    #[derive(Deserialize)]
    struct Golden {
        encoding_version: i32,
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        same_as: Option<String>,
        columns: Vec<GoldenColumn>,
        digest: String,
    }

    #[derive(Deserialize)]
    struct GoldenColumn {
        name: String,
        facts: GoldenFacts,
        raw: Option<String>,
    }

    #[derive(Deserialize)]
    struct GoldenFacts {
        oid: u32,
        kind: char,
        element: u32,
        sendable: bool,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../../tests/golden/row_hash.json"))
            .expect("the golden file is JSON")
    }

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits"))
            .collect()
    }

    fn to_hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn golden_digest(vector: &Vector) -> String {
        let columns = vector.columns.iter().enumerate().map(|(field, column)| {
            let GoldenFacts { oid, kind, element, sendable } = column.facts;
            let facts = TypeFacts { oid, kind, element: (element != 0).then_some(element), sendable };
            let normal = Normal::for_type(&facts).expect("every golden type has a normal form");
            CopyColumn { name: column.name.clone(), normal, field }
        });
        let raw: Vec<Option<Vec<u8>>> =
            vector.columns.iter().map(|column| column.raw.as_deref().map(from_hex)).collect();
        let fields: Vec<Option<&[u8]>> = raw.iter().map(|field| field.as_deref()).collect();
        to_hex(&RowHasher::new(columns.collect()).hash(&fields).expect("golden values are well formed"))
    }

    #[test]
    fn the_hash_of_every_golden_vector_is_the_servers() {
        let golden = golden();
        assert_eq!(golden.encoding_version, crate::hash::ENCODING_VERSION);
        assert!(golden.vectors.len() > 150, "{} vectors", golden.vectors.len());
        let wrong: Vec<&str> = (golden.vectors.iter())
            .filter(|vector| golden_digest(vector) != vector.digest)
            .map(|vector| vector.name.as_str())
            .collect();
        assert_eq!(wrong, Vec::<&str>::new());
    }

    #[test]
    fn golden_vectors_share_a_hash_only_where_they_say_so() {
        let golden = golden();
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for vector in &golden.vectors {
            let first = *seen.entry(&vector.digest).or_insert(&vector.name);
            assert_eq!(vector.same_as.as_deref().unwrap_or(&vector.name), first, "{}", vector.name);
        }
    }

    fn hash_one(normal: Normal, raw: &[u8]) -> Result<[u8; 32]> {
        RowHasher::new(vec![CopyColumn { name: "c".to_owned(), normal, field: 0 }]).hash(&[Some(raw)])
    }

    fn every_form() -> Vec<Normal> {
        let plain = [
            Normal::Int8,
            Normal::Text,
            Normal::BlankPadded,
            Normal::Enum,
            Normal::Bool,
            Normal::Float8,
            Normal::Numeric,
            Normal::Json,
            Normal::Array { element: 23 },
            Normal::Array { element: 0 },
            Normal::Opaque,
        ];
        plain.into_iter().chain(SentType::ALL.iter().map(Normal::AsSent)).collect()
    }

    #[test]
    fn malformed_values_are_errors_that_name_the_column_and_not_the_value() {
        let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let date = Normal::AsSent(SentType::by_oid(1082).expect("date is sent as it is"));
        let cases: Vec<(Normal, Vec<u8>)> = vec![
            (Normal::Int8, vec![]),
            (Normal::Int8, vec![1]),
            (Normal::Int8, vec![0; 9]),
            (Normal::Bool, vec![2]),
            (Normal::Bool, vec![1, 1]),
            (Normal::Float8, vec![0; 5]),
            (Normal::Numeric, vec![0; 7]),
            (Normal::Numeric, numeric(&[1, 0, 0, 0])), // a digit is missing
            (Normal::Numeric, numeric(&[1, 0, 0, 0, 1, 1])), // one too many
            (Normal::Numeric, numeric(&[1, 0, 0, 0, 10_000])),
            (Normal::Numeric, numeric(&[1, 0, 0x8000, 0, 1])),
            (Normal::Numeric, numeric(&[1, 0, 0xC000, 0, 1])), // a NaN with digits
            (Normal::Numeric, numeric(&[2, 0x8000, 0, 0, 0, 1])), // a weight that no i16 holds
            (Normal::Numeric, numeric(&[1, 0x8000, 0, 0, 1])), // a scale that no u16 holds
            (Normal::Array { element: 23 }, vec![0; 11]),
            (date, vec![0; 8]),
        ];
        for (normal, raw) in cases {
            let error = hash_one(normal, &raw).expect_err(&format!("{normal:?} {raw:?}"));
            assert_eq!(error.code, ErrorCode::CastFailed);
            assert_eq!(
                error.message,
                format!(
                    "column \"c\": a value of {} bytes is no {} in binary form",
                    raw.len(),
                    normal.name()
                )
            );
        }
    }

    #[test]
    fn a_row_with_too_few_fields_is_an_error() {
        let columns = vec![CopyColumn { name: "c".to_owned(), normal: Normal::Int8, field: 1 }];
        let error = RowHasher::new(columns).hash(&[None]).expect_err("field 2 is missing");
        assert_eq!(error.message, "the row has 1 fields, and column \"c\" is field 2");
    }

    #[test]
    fn a_row_that_failed_leaves_nothing_behind() {
        let column = |name: &str, normal, field| CopyColumn { name: name.to_owned(), normal, field };
        let mut hasher = RowHasher::new(vec![column("a", Normal::Text, 0), column("b", Normal::Int8, 1)]);
        let large = vec![b'x'; 3 * LARGE_BYTES];
        let good: [Option<&[u8]>; 2] = [Some(b"x"), Some(&[0, 1])];
        let expected = hasher.hash(&good).expect("well formed");
        hasher.hash(&[Some(&large), Some(&[0])]).expect_err("one byte is no integer");
        assert_eq!(hasher.hash(&good).expect("well formed"), expected);
    }

    #[test]
    fn large_values_hash_like_one_piece() {
        for length in [LARGE_BYTES - 13, LARGE_BYTES - 12, LARGE_BYTES, LARGE_BYTES + 1, 1_000_000] {
            let text = vec![b'x'; length];
            let mut encoding = vec![0, 0, 0, 1, 0, 0, 0, 25];
            encoding.extend_from_slice(&(length as u32).to_be_bytes());
            encoding.extend_from_slice(&text);
            assert_eq!(
                hash_one(Normal::Text, &text).expect("text"),
                <[u8; 32]>::from(Sha256::digest(&encoding))
            );
        }
    }

    #[test]
    fn every_nan_of_every_payload_is_one_value() {
        let expected = hash_one(Normal::Float8, &f64::NAN.to_be_bytes()).expect("NaN");
        for bits in [0x7ff8_0000_0000_0000u64, 0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001, u64::MAX] {
            assert_eq!(hash_one(Normal::Float8, &bits.to_be_bytes()).expect("NaN"), expected);
        }
        for bits in [0x7fc0_0000u32, 0xffc0_0000, 0x7f80_0001, u32::MAX] {
            assert_eq!(hash_one(Normal::Float8, &bits.to_be_bytes()).expect("NaN"), expected);
        }
    }

    #[test]
    fn two_hundred_columns_hash_in_any_order_of_declaration() {
        let columns: Vec<CopyColumn> = (0..200)
            .map(|field| CopyColumn { name: format!("column_{field}"), normal: Normal::Int8, field })
            .collect();
        let values: Vec<[u8; 4]> = (0..200i32).map(i32::to_be_bytes).collect();
        let fields: Vec<Option<&[u8]>> = values.iter().map(|value| Some(&value[..])).collect();
        let forward = RowHasher::new(columns.clone()).hash(&fields).expect("well formed");
        let backward =
            RowHasher::new(columns.into_iter().rev().collect()).hash(&fields).expect("well formed");
        assert_eq!(forward, backward);
    }

    proptest! {
        #[test]
        fn no_bytes_make_any_form_panic(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            for normal in every_form() {
                let _ = hash_one(normal, &raw);
            }
        }

        #[test]
        fn zero_digits_at_either_end_of_a_numeric_change_nothing(
            digits in proptest::collection::vec(0u16..10_000, 0..6),
            before in 0i16..4, after in 0usize..4, weight in -8i16..8, negative: bool, scale in 0u16..99,
        ) {
            let sign = if negative { 0x4000 } else { 0 };
            let send = |digits: &[u16], weight: i16, scale: u16| {
                let head = [digits.len() as u16, weight as u16, sign, scale];
                head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
            };
            let mut padded = vec![0; before as usize];
            padded.extend_from_slice(&digits);
            padded.resize(padded.len() + after, 0);
            prop_assert_eq!(
                hash_one(Normal::Numeric, &send(&padded, weight + before, scale)).expect("well formed"),
                hash_one(Normal::Numeric, &send(&digits, weight, 0)).expect("well formed")
            );
        }
    }
}
