//! Key and row hash of every current version, in as little memory as they need: 54 bytes a key in blocks, and an
//! index of numbers. Blocks never move, so memory does not double when the table grows.

use ematix_flow_core::reading::client::KEY_BYTES;

const HASH_BYTES: usize = 32;
const ADDRESS_BYTES: usize = 6;
const BLOCK: usize = 1 << 15;

/// The first half of a key's digest.
pub type Key = [u8; KEY_BYTES];
/// A row hash.
pub type Hash = [u8; HASH_BYTES];
/// Where a version lies in its table, as the server sends it: block and offset.
pub type Address = [u8; ADDRESS_BYTES];

/// What is known of one key.
#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    hash: Hash,
    address: Address,
}

/// A current version that was read from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The digest of its key.
    pub key: Key,
    /// Its row hash.
    pub hash: Hash,
    /// Where it lies.
    pub address: Address,
}

/// What a row of the source turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Its key has no current version.
    New,
    /// Its current version has another hash.
    Changed(Version),
    /// Its current version is the same.
    Same,
    /// Its key came before.
    Repeated,
    /// It is new, and there is no room to remember it.
    Full,
}

/// What became of a version that was to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is known now.
    Yes,
    /// There is no room.
    Full,
    /// Its key is known already.
    Twice,
}

/// The keys of the current versions, and those that the source has sent.
pub struct KnownKeys {
    blocks: Vec<Vec<Entry>>,
    seen: Vec<u64>,
    /// Open addressing; 0 is free, else the entry's number plus one.
    index: Vec<u32>,
    versions: usize,
    limit: usize,
}

impl KnownKeys {
    /// Room for so many keys.
    pub fn new(limit: usize) -> KnownKeys {
        KnownKeys { blocks: Vec::new(), seen: Vec::new(), index: vec![0; 1 << 10], versions: 0, limit }
    }

    /// How many keys are kept.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes in a current version.
    pub fn learn(&mut self, version: Version) -> Learned {
        let Version { key, hash, address } = version;
        match self.find(&key) {
            Ok(_) => Learned::Twice,
            Err(_) if self.len() >= self.limit => Learned::Full,
            Err(slot) => {
                self.push(slot, Entry { key, hash, address });
                self.versions = self.len();
                Learned::Yes
            }
        }
    }

    /// Says what a row of the source is, and marks its key.
    pub fn meet(&mut self, key: &Key, hash: &Hash) -> Finding {
        match self.find(key) {
            Ok(number) => {
                let (word, bit) = (number / 64, 1_u64 << (number % 64));
                if self.seen[word] & bit != 0 {
                    return Finding::Repeated;
                }
                self.seen[word] |= bit;
                let Entry { key, hash: stored, address } = *self.entry(number);
                if stored == *hash {
                    Finding::Same
                } else {
                    Finding::Changed(Version { key, hash: stored, address })
                }
            }
            Err(_) if self.len() >= self.limit => Finding::Full,
            Err(slot) => {
                let number = self.len();
                self.push(slot, Entry { key: *key, hash: *hash, address: [0; ADDRESS_BYTES] });
                self.seen[number / 64] |= 1_u64 << (number % 64);
                Finding::New
            }
        }
    }

    /// The versions whose key the source has not sent.
    pub fn gone(&self) -> impl Iterator<Item = Version> + '_ {
        (0..self.versions).filter(|number| self.seen[number / 64] & (1 << (number % 64)) == 0).map(|number| {
            let Entry { key, hash, address } = *self.entry(number);
            Version { key, hash, address }
        })
    }

    fn entry(&self, number: usize) -> &Entry {
        &self.blocks[number / BLOCK][number % BLOCK]
    }

    /// The number of a key, or where it belongs in the index.
    fn find(&self, key: &Key) -> Result<usize, usize> {
        let mask = self.index.len() - 1;
        // A digest is as even as any hash of it.
        let mut slot = start(key) & mask;
        loop {
            match self.index[slot] {
                0 => return Err(slot),
                number if self.entry(number as usize - 1).key == *key => return Ok(number as usize - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn push(&mut self, slot: usize, entry: Entry) {
        let number = self.len();
        if number.is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        self.blocks.last_mut().expect("a block was just pushed").push(entry);
        if number.is_multiple_of(64) {
            self.seen.push(0);
        }
        self.index[slot] = u32::try_from(number + 1).expect("the limit is far below");
        // At four fifths full; probes stay short.
        if (number + 1) * 5 > self.index.len() * 4 {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let length = self.index.len() * 2;
        self.index = Vec::new();
        self.index = vec![0; length];
        let mask = length - 1;
        for number in 0..self.len() {
            let mut slot = start(&self.entry(number).key) & mask;
            while self.index[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.index[slot] = number as u32 + 1;
        }
    }
}

fn start(key: &Key) -> usize {
    u64::from_le_bytes(key[..8].try_into().expect("a key has 16 bytes")) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use std::collections::{BTreeMap, BTreeSet};

    fn key(number: u32) -> Key {
        Sha256::digest(number.to_be_bytes())[..KEY_BYTES].try_into().expect("16 bytes")
    }

    fn version(number: u32, value: u8) -> Version {
        Version { key: key(number), hash: [value; 32], address: [value; 6] }
    }

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(
            stored in prop::collection::btree_map(0_u32..300, 0_u8..3, 0..200),
            rows in prop::collection::vec((0_u32..400, 0_u8..3), 0..300),
        ) {
            let mut known = KnownKeys::new(1000);
            for (number, value) in &stored {
                prop_assert_eq!(known.learn(version(*number, *value)), Learned::Yes);
            }
            let mut met = BTreeSet::new();
            for (number, value) in rows {
                let expected = match (met.insert(number), stored.get(&number)) {
                    (false, _) => Finding::Repeated,
                    (true, None) => Finding::New,
                    (true, Some(old)) if *old == value => Finding::Same,
                    (true, Some(old)) => Finding::Changed(version(number, *old)),
                };
                prop_assert_eq!(known.meet(&key(number), &[value; 32]), expected);
            }
            let gone: BTreeMap<Key, Version> = known.gone().map(|version| (version.key, version)).collect();
            let left: BTreeMap<Key, Version> = stored
                .iter()
                .filter(|(number, _)| !met.contains(number))
                .map(|(number, value)| (key(*number), version(*number, *value)))
                .collect();
            prop_assert_eq!(gone, left);
        }
    }

    #[test]
    fn it_grows_over_blocks_and_stops_at_its_limit() {
        let limit = BLOCK as u32 * 2 + 5;
        let mut known = KnownKeys::new(limit as usize);
        for number in 0..limit {
            assert_eq!(known.learn(version(number, 1)), Learned::Yes);
        }
        assert_eq!(known.learn(version(limit, 1)), Learned::Full);
        assert_eq!(known.learn(version(3, 1)), Learned::Twice);
        assert_eq!(known.len(), limit as usize);
        assert_eq!(known.meet(&key(limit), &[1; 32]), Finding::Full);
        for number in 0..limit {
            assert_eq!(known.meet(&key(number), &[1; 32]), Finding::Same);
        }
        assert_eq!(known.gone().count(), 0);
    }

    #[test]
    fn an_entry_has_no_holes() {
        assert_eq!(size_of::<Entry>(), 54);
    }
}
