//! Rows of a side that wait for the other's: the newest as they are, of the others digests.

use super::values::Values;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of rows that are kept as they are. What is kept longer waits for a row that lies elsewhere.
const NEWEST: usize = 8 << 20;
/// Bytes of rows that are kept, and let go, together.
const PAGE: usize = 256 << 10;
/// Before a row in its page: its key and its length.
const BEFORE: usize = 12;
/// The bits of a place that say where in its page a row begins.
const BITS_IN_PAGE: u32 = 24;
/// A place among the digests, not in a page.
const DIGESTED: u64 = 1 << 63;

/// Rows that wait.
pub(super) struct Waiting {
    keys: usize,
    /// Two halves of the digest of a row, and half of that of each value.
    width: usize,
    places: HashMap<u64, Place, BuildHasherDefault<AsItIs>>,
    pages: VecDeque<Page>,
    /// The number of the first page.
    first: u64,
    /// The memory of a page that was let go.
    spare: Vec<u8>,
    digests: Vec<u32>,
    free: Vec<u32>,
}

/// Where a row waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

/// What is left of a row that waited.
pub(super) enum Kept<'w> {
    /// Its fields, each with its length before it.
    AsItIs(&'w [u8]),
    /// As [`Values::digests`] makes them.
    Digests(&'w [u32]),
}

#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    /// How many rows wait in it.
    rows: usize,
}

impl Waiting {
    pub(super) fn new(keys: usize, columns: usize) -> Waiting {
        Waiting {
            keys,
            width: 2 + columns,
            places: HashMap::default(),
            pages: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
            digests: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Has a row wait; `false` where its key waits already.
    pub(super) fn wait(&mut self, key: u64, row: &[u8], values: &Values) -> bool {
        let has_room = |page: &Page| page.bytes.len() + BEFORE + row.len() <= PAGE;
        if !self.pages.back().is_some_and(has_room) {
            self.turn(values);
        }
        let number = self.first + self.pages.len() as u64 - 1;
        let page = self.pages.back_mut().expect("a page was just begun");
        let place = Place((number << BITS_IN_PAGE) | page.bytes.len() as u64);
        page.bytes.extend_from_slice(&key.to_ne_bytes());
        page.bytes.extend_from_slice(&(row.len() as u32).to_ne_bytes());
        page.bytes.extend_from_slice(row);
        page.rows += 1;
        self.places.insert(key, place).is_none()
    }

    /// Begins a page. What is too old to be kept as it is becomes digests.
    fn turn(&mut self, values: &Values) {
        while let Some(page) = self.pages.front()
            && (page.rows == 0 || self.held() > NEWEST)
        {
            let page = self.pages.pop_front().expect("there is one");
            if page.rows > 0 {
                self.digest(&page.bytes, values);
            }
            self.first += 1;
            self.spare(page.bytes);
        }
        self.pages.push_back(Page { bytes: std::mem::take(&mut self.spare), rows: 0 });
    }

    /// Keeps the memory of a page for the next, unless it held a row larger than pages are.
    fn spare(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= 2 * PAGE {
            bytes.clear();
            self.spare = bytes;
        }
    }

    fn held(&self) -> usize {
        self.pages.iter().map(|page| page.bytes.capacity()).sum()
    }

    /// Makes digests of the rows of the first page that wait still.
    fn digest(&mut self, page: &[u8], values: &Values) {
        let mut at = 0;
        while at < page.len() {
            let place = Place((self.first << BITS_IN_PAGE) | at as u64);
            let (key, row) = row_at(page, at);
            at += BEFORE + row.len();
            let Some(known) = self.places.get_mut(&key).filter(|known| **known == place) else { continue };
            let slot = self.free.pop().unwrap_or_else(|| {
                let slot = self.digests.len() / self.width;
                self.digests.resize(self.digests.len() + self.width, 0);
                u32::try_from(slot).expect("memory is bounded far below")
            });
            let kept = &mut self.digests[slot as usize * self.width..][..self.width];
            for (kept, digest) in kept.iter_mut().zip(values.digests(row, self.keys)) {
                *kept = digest;
            }
            *known = Place(DIGESTED | u64::from(slot));
        }
    }

    /// Where the row of a key waited, which does so no longer.
    pub(super) fn leave(&mut self, key: u64) -> Option<Place> {
        self.places.remove(&key)
    }

    /// What stands at a place, until it is forgotten.
    pub(super) fn kept(&self, place: Place) -> Kept<'_> {
        match place.in_page() {
            Some((page, at)) => Kept::AsItIs(row_at(&self.pages[(page - self.first) as usize].bytes, at).1),
            None => Kept::Digests(&self.digests[place.slot() * self.width..][..self.width]),
        }
    }

    /// Gives a place free.
    pub(super) fn forget(&mut self, place: Place) {
        match place.in_page() {
            Some((page, _)) => {
                let index = (page - self.first) as usize;
                let is_newest = index + 1 == self.pages.len();
                let page = &mut self.pages[index];
                page.rows -= 1;
                match (page.rows, is_newest) {
                    // It begins anew, in memory that was touched just now.
                    (0, true) => page.bytes.clear(),
                    (0, false) => {
                        let bytes = std::mem::take(&mut page.bytes);
                        self.spare(bytes);
                    }
                    _ => {}
                }
            }
            None => self.free.push(place.slot() as u32),
        }
    }

    /// The keys that wait.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// The memory that waiting takes, but for that of the newest rows.
    pub(super) fn bytes(&self) -> usize {
        // A place in the table is a key, what it stands for and a byte.
        self.places.capacity() * 17 + (self.digests.capacity() + self.free.capacity()) * 4
    }
}

impl Place {
    /// The number of its page, and where in that the row begins.
    fn in_page(self) -> Option<(u64, usize)> {
        let at = self.0 & ((1 << BITS_IN_PAGE) - 1);
        (self.0 & DIGESTED == 0).then_some((self.0 >> BITS_IN_PAGE, at as usize))
    }

    fn slot(self) -> usize {
        (self.0 & !DIGESTED) as usize
    }
}

fn row_at(page: &[u8], at: usize) -> (u64, &[u8]) {
    let number = |from: usize| page[from..from + 4].try_into().expect("four bytes are four");
    let key = page[at..at + 8].try_into().expect("eight bytes are eight");
    let length = u32::from_ne_bytes(number(at + 8)) as usize;
    (u64::from_ne_bytes(key), &page[at + BEFORE..at + BEFORE + length])
}

/// Digests need no further hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ematix_flow_core::difference::Sent;

    #[test]
    fn a_row_is_kept_as_it_is_for_a_while_and_its_digests_as_long_as_it_waits() {
        let values = Values::new(7, &[Sent::InForm]);
        let row = |key: u64| {
            let mut bytes = [0, 0, 0, 8].to_vec();
            bytes.extend(key.to_be_bytes());
            bytes.extend(1000_u32.to_be_bytes());
            bytes.extend([key as u8; 1000]);
            bytes
        };
        let mut waiting = Waiting::new(1, 1);
        let count = 3 * (NEWEST / 1000) as u64;
        for key in 0..count {
            assert!(waiting.wait(key, &row(key), &values));
            // Most leave soon.
            if key % 7 > 0 {
                let place = waiting.leave(key).expect("it waits");
                assert!(matches!(waiting.kept(place), Kept::AsItIs(kept) if kept == row(key)));
                waiting.forget(place);
            }
        }
        assert!(waiting.held() <= NEWEST + PAGE);
        let (mut digested, mut left) = (0, 0);
        for key in (0..count).step_by(7) {
            let place = waiting.leave(key).expect("it waits");
            match waiting.kept(place) {
                Kept::AsItIs(kept) => {
                    left += 1;
                    assert_eq!(kept, row(key));
                }
                Kept::Digests(kept) => {
                    digested += 1;
                    assert!(kept.iter().copied().eq(values.digests(&row(key), 1)), "{key}");
                }
            }
            waiting.forget(place);
        }
        assert_eq!((waiting.places.len(), waiting.leave(0)), (0, None));
        assert!(digested > left && left > 0, "{digested} digests, and {left} of the newest rows");
    }
}
