//! Which values of two rows of one key differ.

use ematix_flow_core::difference::Sent;
use twox_hash::XxHash3_64;

/// How the values of a row are compared.
pub(super) struct Values {
    /// Of every digest.
    pub(super) seed: u64,
    /// Which of them are numerics as they are stored.
    numerics: Vec<bool>,
}

/// Where a numeric says with how many digits it is shown, which is no part of its value.
const SCALE: std::ops::Range<usize> = 6..8;

impl Values {
    pub(super) fn new(seed: u64, columns: &[Sent]) -> Values {
        let numerics: Vec<bool> = columns.iter().map(|sent| *sent == Sent::Numeric).collect();
        Values { seed, numerics }
    }

    /// Whether two rows differ of which one's values are bytes, each with its length before it; counts in which columns.
    pub(super) fn differ(&self, one: &[u8], other: &[Option<&[u8]>], by_column: &mut [i64]) -> bool {
        let mut differ = false;
        let columns = fields(one).zip(other).zip(&self.numerics).zip(by_column);
        for (((one, other), numeric), count) in columns {
            if one != *other && !(*numeric && is_same_number(one, *other)) {
                *count += 1;
                differ = true;
            }
        }
        differ
    }

    /// The same where digests are left of one of them.
    pub(super) fn differ_by_digests(
        &self,
        digests: &[u32],
        row: &[u8],
        keys: usize,
        by_column: &mut [i64],
    ) -> bool {
        let own: Vec<u32> = self.digests(row, keys).collect();
        for ((one, other), count) in digests[2..].iter().zip(&own[2..]).zip(by_column) {
            *count += i64::from(one != other);
        }
        digests[..2] != own[..2]
    }

    /// The digest of the values behind the keys in two halves, and of each value.
    pub(super) fn digests(&self, row: &[u8], keys: usize) -> impl Iterator<Item = u32> {
        let mut bytes = row[head(row, keys)..].to_vec();
        let mut at = 0;
        for numeric in &self.numerics {
            let length = length(&bytes[at..]);
            let start = at + 4;
            at = start + length.unwrap_or_default();
            if *numeric && length.is_some_and(|length| length >= SCALE.end) {
                bytes[start..][SCALE].fill(0);
            }
        }
        let whole = XxHash3_64::oneshot_with_seed(self.seed, &bytes);
        let values: Vec<u32> = fields(&bytes).map(|value| half_digest(self.seed, value)).collect();
        [(whole >> 32) as u32, whole as u32].into_iter().chain(values)
    }
}

/// The bytes that the first fields of a row take.
fn head(row: &[u8], keys: usize) -> usize {
    let mut at = 0;
    for _ in 0..keys {
        at += 4 + length(&row[at..]).unwrap_or_default();
    }
    at
}

/// The length of the field that begins here; `None` for NULL.
fn length(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.split_first_chunk()?;
    usize::try_from(i32::from_be_bytes(*length)).ok()
}

fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let Some(length) = length(bytes) else {
            bytes = rest;
            return Some(None);
        };
        let (field, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(Some(field))
    })
}

/// Whether two numerics are one number: 1.5 and 1.50 are.
fn is_same_number(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one.len() == other.len()
        && one.len() >= SCALE.end
        && one[..SCALE.start] == other[..SCALE.start]
        && one[SCALE.end..] == other[SCALE.end..]
}

/// Half of the digest of a value: what says in which column two rows differ that are known to differ.
fn half_digest(seed: u64, value: Option<&[u8]>) -> u32 {
    value.map_or(0, |value| XxHash3_64::oneshot_with_seed(seed, value) as u32 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            bytes.extend(field.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn a_numeric_is_the_number_that_it_is_with_whatever_digits_it_is_shown() {
        // 1 digit, weight 0, positive, a scale, the digit 1; then the digit 2.
        let number = |scale: u8, digit: u8| [0, 1, 0, 0, 0, 0, 0, scale, 0, digit];
        let (one, shown_longer, two) = (number(0, 1), number(2, 1), number(0, 2));
        for (sent, differs) in [(Sent::Numeric, false), (Sent::InForm, true)] {
            let values = Values::new(7, &[sent, Sent::InForm]);
            let kept = row(&[Some(b"key"), Some(&one), None]);
            let digests: Vec<u32> = values.digests(&kept, 1).collect();
            let tell = |other: &[u8; 10], text: Option<&[u8]>| {
                let mut by_column = [0; 4];
                let other = [Some(other.as_slice()), text];
                let differ = values.differ(&kept[7..], &other, &mut by_column[..2]);
                let whole = row(&[Some(b"key"), other[0], text]);
                let by_digests = values.differ_by_digests(&digests, &whole, 1, &mut by_column[2..]);
                assert_eq!((differ, &by_column[..2]), (by_digests, &by_column[2..]));
                (differ, by_column[0], by_column[1])
            };
            assert_eq!(tell(&one, None), (false, 0, 0));
            assert_eq!(tell(&shown_longer, None), (differs, i64::from(differs), 0));
            assert_eq!(tell(&two, Some(b"")), (true, 1, 1));
        }
    }
}
