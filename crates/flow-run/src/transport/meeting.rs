//! Whole rows of two servers that meet while both are read. A row that has met the one of its key is forgotten; one that
//! waits is kept as it is for a while, then its digests are. So two tables in about the same order take no memory,
//! whatever their size, and most rows are compared byte by byte, which is sooner done than a digest is made.

mod values;
mod waiting;

use super::Broken;
use crate::session::Session;
use ematix_flow_core::copy_rows::{Row, RowReader};
use ematix_flow_core::difference::Sent;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use futures_util::{FutureExt, StreamExt};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};
use twox_hash::XxHash3_64;
use values::Values;
use waiting::{Kept, Waiting};

const DOING: &str = "read the rows";

/// What is read of one side.
pub struct Reading<'r> {
    /// Where.
    pub session: &'r dyn Session,
    /// Whose fault it is that it fails.
    pub blame: Blame,
    /// A binary COPY of the key and the compared values of each row.
    pub statement: String,
}

/// How a row is made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// So many fields are its key; none: the first is the digest of the key.
    pub keys: usize,
    /// How each that is compared is sent.
    pub columns: Vec<Sent>,
    /// So many keys are told that are in one side alone, or whose rows differ.
    pub shown: usize,
    /// Bytes that may be kept of rows that wait.
    pub memory: usize,
}

/// What two sides are to each other.
#[derive(Debug, Default)]
pub struct Met {
    /// Rows of each.
    pub rows: [i64; 2],
    /// Rows whose key the other side does not have.
    pub only: [i64; 2],
    /// Keys of both whose rows differ.
    pub differing: i64,
    /// Of those, how many differ in each column.
    pub by_column: Vec<i64>,
    /// Some digests of keys whose rows differ.
    pub differ: Vec<i64>,
    /// Some digests of keys that one side alone has.
    pub lone: [Vec<i64>; 2],
    /// Bytes that came.
    pub bytes: usize,
    /// How long they were waited for.
    pub waited: Duration,
}

/// Reads both sides at once; `None` where too many rows wait for their other, or two keys have one digest.
///
/// # Errors
/// What the servers say.
pub async fn meet(sides: [Reading<'_>; 2], shape: Shape) -> Result<Option<Met>> {
    let [a, b] = sides;
    let (a, b) = tokio::try_join!(
        a.session.read(a.blame, DOING, &a.statement),
        b.session.read(b.blame, DOING, &b.statement)
    )?;
    let mut streams = [a.into_copy()?, b.into_copy()?];
    let mut readers = [RowReader::default(), RowReader::default()];
    let mut under_way = [true; 2];
    let mut hall = Hall::new(shape);
    while let Some(side) = hall.next(under_way) {
        // The clock is asked for what is waited for alone: most chunks are there, and each is a row.
        let chunk = match streams[side].next().now_or_never() {
            Some(chunk) => chunk,
            None => {
                let began = Instant::now();
                let chunk = streams[side].next().await;
                hall.met.waited += began.elapsed();
                chunk
            }
        };
        let Some(chunk) = chunk else {
            readers[side].finish()?;
            under_way[side] = false;
            continue;
        };
        let chunk = chunk?;
        hall.met.bytes += chunk.len();
        match readers[side].read(&chunk, |row| hall.enter(side, row)) {
            Ok(()) if hall.has_room() => {}
            Ok(()) | Err(Broken::GivenUp(_)) => return Ok(None),
            Err(Broken::Failed(error)) => return Err(error),
        }
    }
    Ok(Some(hall.close()))
}

/// Where rows wait for each other.
struct Hall {
    shape: Shape,
    values: Values,
    waiting: [Waiting; 2],
    met: Met,
}

impl Hall {
    fn new(shape: Shape) -> Hall {
        // Nobody can write rows whose digests are alike.
        let values = Values::new(RandomState::new().hash_one(0), &shape.columns);
        let waiting = || Waiting::new(shape.keys.max(1), shape.columns.len());
        Hall {
            waiting: [waiting(), waiting()],
            met: Met { by_column: vec![0; shape.columns.len()], ..Met::default() },
            values,
            shape,
        }
    }

    /// The side that is behind.
    fn next(&self, under_way: [bool; 2]) -> Option<usize> {
        match under_way {
            [false, false] => None,
            [true, true] => Some(usize::from(self.met.rows[1] < self.met.rows[0])),
            [first, _] => Some(usize::from(!first)),
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.iter().map(Waiting::bytes).sum::<usize>() <= self.shape.memory
    }

    fn enter(&mut self, side: usize, row: &Row<'_>) -> std::result::Result<(), Broken> {
        let keys = self.shape.keys.max(1);
        if row.fields.len() != keys + self.shape.columns.len() {
            return Err(Broken::Failed(misshapen()));
        }
        let key = match (self.shape.keys, row.fields[0]) {
            (0, Some(digest)) => {
                u64::from_be_bytes(digest.try_into().map_err(|_| Broken::Failed(misshapen()))?)
            }
            (0, None) => return Err(Broken::Failed(misshapen())),
            _ => XxHash3_64::oneshot_with_seed(self.values.seed, row.head(keys)),
        };
        self.met.rows[side] += 1;
        let Some(place) = self.waiting[1 - side].leave(key) else {
            return match self.waiting[side].wait(key, row.bytes, &self.values) {
                true => Ok(()),
                false => Err(one_digest()),
            };
        };
        let by_column = &mut self.met.by_column;
        let differ = match self.waiting[1 - side].kept(place) {
            Kept::AsItIs(other) if other == row.bytes => false,
            Kept::AsItIs(other) => {
                let head = row.head(keys);
                if !other.starts_with(head) {
                    return Err(one_digest());
                }
                self.values.differ(&other[head.len()..], &row.fields[keys..], by_column)
            }
            Kept::Digests(other) => self.values.differ_by_digests(other, row.bytes, keys, by_column),
        };
        self.waiting[1 - side].forget(place);
        if differ {
            self.met.differing += 1;
            if self.met.differ.len() < self.shape.shown {
                self.met.differ.push(key as i64);
            }
        }
        Ok(())
    }

    fn close(mut self) -> Met {
        for side in [0, 1] {
            let mut lone: Vec<i64> = self.waiting[side].keys().map(|key| key as i64).collect();
            self.met.only[side] = lone.len() as i64;
            lone.sort_unstable();
            lone.truncate(self.shape.shown);
            self.met.lone[side] = lone;
        }
        self.met
    }
}

fn one_digest() -> Broken {
    Broken::GivenUp("two keys have one digest".to_owned())
}

fn misshapen() -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, "a row does not have the columns that were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Rows = Vec<(i64, [Option<u8>; 2])>;

    fn enter(hall: &mut Hall, side: usize, (key, values): (i64, [Option<u8>; 2])) -> bool {
        let key = key.to_be_bytes();
        let values: Vec<Option<[u8; 1]>> = values.iter().map(|value| value.map(|byte| [byte])).collect();
        let mut fields: Vec<Option<&[u8]>> = vec![Some(&key)];
        fields.extend(values.iter().map(|value| value.as_ref().map(<[u8; 1]>::as_slice)));
        let mut bytes = Vec::new();
        for field in &fields {
            bytes.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            bytes.extend(field.unwrap_or_default());
        }
        hall.enter(side, &Row { fields: &fields, bytes: &bytes }).is_ok()
    }

    fn shape(keys: usize) -> Shape {
        Shape { keys, columns: vec![Sent::InForm; 2], shown: 2, memory: 1 << 20 }
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let values = [prop::option::of(0_u8..2), prop::option::of(0_u8..2)];
        let map = prop::collection::btree_map(-30_i64..30, values, 0..50);
        map.prop_map(|rows| rows.into_iter().collect::<Vec<_>>()).prop_shuffle()
    }

    proptest! {
        #[test]
        fn rows_that_stream_by_are_counted_as_two_maps_are(
            a in rows(), b in rows(), turns in prop::collection::vec(any::<bool>(), 100), keys in 0_usize..2,
        ) {
            let mut hall = Hall::new(shape(keys));
            let mut left = [a.iter().copied(), b.iter().copied()];
            for turn in turns.iter().copied().chain([false; 50]).chain([true; 50]) {
                if let Some(row) = left[usize::from(turn)].next() {
                    prop_assert!(enter(&mut hall, usize::from(turn), row));
                }
            }
            let met = hall.close();
            let (of_a, of_b): (BTreeMap<_, _>, BTreeMap<_, _>) = (a.into_iter().collect(), b.into_iter().collect());
            let lone = |one: &BTreeMap<i64, _>, other: &BTreeMap<i64, _>| {
                one.keys().filter(|key| !other.contains_key(key)).count() as i64
            };
            let both: Vec<_> = of_a.iter().filter_map(|(key, row)| Some((*row, *of_b.get(key)?))).collect();
            prop_assert_eq!(met.rows, [of_a.len() as i64, of_b.len() as i64]);
            prop_assert_eq!(met.only, [lone(&of_a, &of_b), lone(&of_b, &of_a)]);
            prop_assert_eq!(met.differing, both.iter().filter(|(a, b)| a != b).count() as i64);
            let by_column = |column: usize| both.iter().filter(|(a, b)| a[column] != b[column]).count() as i64;
            prop_assert_eq!(met.by_column, vec![by_column(0), by_column(1)]);
            if keys == 0 {
                prop_assert!(met.lone[0].iter().all(|key| of_a.contains_key(key) && !of_b.contains_key(key)));
                prop_assert!(met.differ.iter().all(|key| of_a[key] != of_b[key]));
            }
        }
    }

    #[test]
    fn what_has_met_takes_no_memory_and_what_waits_does() {
        let mut hall = Hall::new(shape(1));
        for key in 0..100_000 {
            assert!(
                enter(&mut hall, 0, (key, [None, Some(1)])) && enter(&mut hall, 1, (key, [None, Some(1)]))
            );
        }
        assert!(hall.has_room());
        for key in 0..100_000 {
            assert!(enter(&mut hall, 0, (key, [None, Some(1)])));
        }
        assert!(!hall.has_room());
    }

    #[test]
    fn a_key_that_waits_twice_is_seen() {
        let mut hall = Hall::new(shape(1));
        assert!(enter(&mut hall, 0, (1, [None, None])));
        assert!(!enter(&mut hall, 0, (1, [None, Some(1)])));
    }
}
