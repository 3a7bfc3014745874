//! Digests of rows from two servers, side by side. They are read at the same time, and kept as numbers.

use crate::session::Session;
use ematix_flow_core::copy_rows::RowReader;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use futures_util::StreamExt;
use std::cmp::Ordering;

const DOING: &str = "read the digests of the rows";

/// Rows of so many numbers each; the first is the digest of the key.
#[derive(Debug)]
pub struct Digests {
    width: usize,
    numbers: Vec<i64>,
}

/// What two rows of digests are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting<'d> {
    /// The key is in the first alone.
    First(i64),
    /// The key is in the second alone.
    Second(i64),
    /// Both have the key: what stands behind it in each.
    Both(i64, &'d [i64], &'d [i64]),
}

impl Digests {
    /// Reads what a statement sends, rows of `width` numbers.
    ///
    /// # Errors
    /// What the server says.
    pub async fn read(session: &dyn Session, blame: Blame, statement: &str, width: usize) -> Result<Digests> {
        let mut stream = session.read(blame, DOING, statement).await?.into_copy()?;
        let mut reader = RowReader::default();
        let mut digests = Digests { width, numbers: Vec::new() };
        while let Some(chunk) = stream.next().await {
            reader.read(&chunk?, |row| digests.take(row.fields))?;
        }
        reader.finish()?;
        Ok(digests)
    }

    fn take(&mut self, fields: &[Option<&[u8]>]) -> Result<()> {
        let number = |field: Option<&[u8]>| Some(i64::from_be_bytes(field?.try_into().ok()?));
        let numbers: Option<Vec<i64>> = fields.iter().copied().map(number).collect();
        match numbers.filter(|numbers| numbers.len() == self.width) {
            Some(numbers) => {
                self.numbers.extend(numbers);
                Ok(())
            }
            None => Err(FlowError::new(
                ErrorCode::SourceFailed,
                format!("a row of digests is not of {} numbers", self.width),
            )),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn row(&self, number: u32) -> &[i64] {
        let start = number as usize * self.width;
        &self.numbers[start..start + self.width]
    }

    /// The rows by their keys; `None` where two have one digest.
    fn sorted(&self) -> Option<Vec<u32>> {
        let count = u32::try_from(self.len()).expect("a part of a comparison has fewer rows");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|number| self.row(*number)[0]);
        order.windows(2).all(|pair| self.row(pair[0])[0] != self.row(pair[1])[0]).then_some(order)
    }
}

/// Puts the rows of two sides together by their keys; `false`: two keys of one side have one digest, and nothing is
/// told.
pub fn meet(a: &Digests, b: &Digests, mut each: impl FnMut(Meeting<'_>)) -> bool {
    let (Some(first), Some(second)) = (a.sorted(), b.sorted()) else { return false };
    let (mut left, mut right) = (first.iter().peekable(), second.iter().peekable());
    loop {
        let (of_a, of_b) = (left.peek().map(|n| a.row(**n)), right.peek().map(|n| b.row(**n)));
        let order = match (of_a, of_b) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(of_a), Some(of_b)) => of_a[0].cmp(&of_b[0]),
        };
        match (order, of_a, of_b) {
            (Ordering::Equal, Some(of_a), Some(of_b)) => each(Meeting::Both(of_a[0], &of_a[1..], &of_b[1..])),
            (_, Some(of_a), _) if order == Ordering::Less => each(Meeting::First(of_a[0])),
            (_, _, Some(of_b)) => each(Meeting::Second(of_b[0])),
            _ => {}
        }
        if order != Ordering::Greater {
            left.next();
        }
        if order != Ordering::Less {
            right.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn digests(rows: &[(i64, i64)]) -> Digests {
        Digests { width: 2, numbers: rows.iter().flat_map(|(key, row)| [*key, *row]).collect() }
    }

    proptest! {
        #[test]
        fn rows_meet_as_in_two_maps(
            a in prop::collection::btree_map(-40_i64..40, 0_i64..3, 0..60),
            b in prop::collection::btree_map(-40_i64..40, 0_i64..3, 0..60),
            shuffle in any::<u64>(),
        ) {
            let mixed = |map: &BTreeMap<i64, i64>| {
                let mut rows: Vec<(i64, i64)> = map.iter().map(|(key, row)| (*key, *row)).collect();
                rows.sort_by_key(|(key, _)| key.wrapping_mul(shuffle as i64 | 1));
                digests(&rows)
            };
            let mut found: BTreeMap<i64, (Option<i64>, Option<i64>)> = BTreeMap::new();
            let met = meet(&mixed(&a), &mixed(&b), |meeting| {
                match meeting {
                    Meeting::First(key) => found.insert(key, (a.get(&key).copied(), None)),
                    Meeting::Second(key) => found.insert(key, (None, b.get(&key).copied())),
                    Meeting::Both(key, of_a, of_b) => found.insert(key, (Some(of_a[0]), Some(of_b[0]))),
                };
            });
            prop_assert!(met);
            let keys = a.keys().chain(b.keys());
            let expected: BTreeMap<_, _> =
                keys.map(|key| (*key, (a.get(key).copied(), b.get(key).copied()))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn two_keys_of_one_digest_are_seen() {
        let rows = digests(&[(1, 1), (2, 2), (1, 3)]);
        assert!(!meet(&rows, &digests(&[]), |_| {}));
        assert!(!meet(&digests(&[]), &rows, |_| {}));
        assert!(meet(&digests(&[(1, 1)]), &digests(&[(1, 1)]), |_| {}));
    }
}
