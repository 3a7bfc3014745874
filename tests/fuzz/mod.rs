//! Gives a target every file of its corpus, then mutations of them until its time is over. A target fails by a panic;
//! what failed is made small, and belongs into the corpus once it is mended.
//!
//! `EMATIX_FLOW_FUZZ_SECONDS` says how long: a second unless it is said, thirty in `./do soak`.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::path::Path;
use std::time::{Duration, Instant};

/// Some cases between two looks at the clock.
const CASES: u32 = 64;
/// The longest input.
const LONGEST: usize = 4096;

/// A change of an input, with places as shares of its length.
#[derive(Clone, Debug)]
enum Change {
    Insert(f64, Vec<u8>),
    Replace(f64, u8),
    Cut(f64, usize),
    /// A part of another file of the corpus.
    Graft(f64, usize, f64, usize),
}

/// Runs a target: `words` are what its mutations are made of, beside bytes of any kind.
pub fn fuzz(target: &str, words: &[&str], test: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a target has a corpus")
        .map(|entry| entry.expect("a file of the corpus").path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> =
        files.iter().map(|file| std::fs::read(file).expect("a file of the corpus")).collect();
    for (file, input) in files.iter().zip(&corpus) {
        // Known before a panic is: the output of a test that fails is shown.
        println!("{}", file.display());
        test(input);
    }
    let seconds = std::env::var("EMATIX_FLOW_FUZZ_SECONDS").ok().and_then(|said| said.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(1));
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let inputs = inputs(&corpus, words);
    while Instant::now() < end {
        let ran = runner.run(&inputs, |input| {
            test(&input);
            Ok(())
        });
        if let Err(TestError::Fail(why, input)) = ran {
            let shown = String::from_utf8_lossy(&input).into_owned();
            panic!("{target} fails on {shown:?}, as bytes {input:?}: {why}");
        }
        ran.expect("cases are made");
    }
}

fn inputs(corpus: &[Vec<u8>], words: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let corpus = corpus.to_vec();
    let count = corpus.len();
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let some = match words.is_empty() {
        true => prop::collection::vec(any::<u8>(), 1..8).boxed(),
        false => prop_oneof![
            3 => prop::sample::select(words),
            1 => prop::collection::vec(any::<u8>(), 1..8)
        ]
        .boxed(),
    };
    let change = prop_oneof![
        4 => (0.0..=1.0, some).prop_map(|(at, what)| Change::Insert(at, what)),
        2 => (0.0..=1.0, any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        2 => (0.0..=1.0, 1_usize..40).prop_map(|(at, length)| Change::Cut(at, length)),
        1 => (0.0..=1.0, 0..count, 0.0..=1.0, 1_usize..80)
            .prop_map(|(at, of, from, length)| Change::Graft(at, of, from, length)),
    ];
    let changed = (0..count, prop::collection::vec(change, 1..8)).prop_map(move |(of, changes)| {
        let mut input = corpus[of].clone();
        for change in changes {
            changed(&mut input, change, &corpus);
        }
        input.truncate(LONGEST);
        input
    });
    prop_oneof![
        9 => changed,
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

fn changed(input: &mut Vec<u8>, change: Change, corpus: &[Vec<u8>]) {
    let place = |share: f64, length: usize| (share * length as f64) as usize;
    match change {
        Change::Insert(at, what) => {
            let at = place(at, input.len());
            input.splice(at..at, what);
        }
        Change::Replace(at, byte) => {
            let at = place(at, input.len());
            if let Some(old) = input.get_mut(at) {
                *old = byte;
            }
        }
        Change::Cut(at, length) => {
            let at = place(at, input.len());
            input.drain(at..(at + length).min(input.len()));
        }
        Change::Graft(at, of, from, length) => {
            let (at, other) = (place(at, input.len()), &corpus[of]);
            let from = place(from, other.len());
            input.splice(at..at, other[from..(from + length).min(other.len())].to_vec());
        }
    }
}
