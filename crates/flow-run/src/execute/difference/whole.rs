//! Reads both sides whole and compares here, where that is quicker than sums: many rows differ, and the way is quick. To
//! take a digest of a row costs a server more than to send it.

use super::compared::{Compared, Counted, DIFFERS, ONLY_IN_A, ONLY_IN_B};
use crate::transport::meeting::{Met, Reading, Shape, meet};
use ematix_flow_core::dialect::Digest;
use ematix_flow_core::difference::Which;
use ematix_flow_core::error::Result;
use std::time::{Duration, Instant};

/// Smaller tables are summed in no time.
const FEWEST_ROWS: f64 = 50_000.0;
/// Rows that are read to see how wide they are.
const FIRST: i64 = 64;
/// Bytes that are read to see how many rows differ, and what is sent sooner.
const TRIED: i64 = 1 << 20;
const MOST_TRIED: i64 = 6_000;
/// Of a thousand rows, so many must differ.
const FEWEST_OF_THOUSAND: i64 = 1;
/// Bytes that rows may take that have not met their other.
const MEMORY: usize = 64 << 20;

impl Compared<'_> {
    /// Counts what differs from whole rows; `None` where sums are the better way.
    pub(super) async fn whole(&self, digest: Digest, sample: usize) -> Result<Option<Counted>> {
        let is_large =
            |which| self.comparison.side(which).estimated_rows.is_some_and(|rows| rows >= FEWEST_ROWS);
        if !Which::BOTH.into_iter().all(is_large) {
            return Ok(None);
        }
        // Two tables that lie alike meet early, where not several processes read each.
        self.in_order(true).await?;
        let counted = self.met(digest, sample).await?;
        self.in_order(false).await?;
        Ok(counted)
    }

    async fn in_order(&self, in_order: bool) -> Result<()> {
        let words = |which| {
            let words = self.comparison.side(which).dialect.differing().expect("both sides have words");
            words.in_order(in_order)
        };
        self.ask_both("say how to read", words).await.map(|_| ())
    }

    async fn met(&self, digest: Digest, sample: usize) -> Result<Option<Counted>> {
        // Rows are found again by the server's digest of their keys; it costs, and nobody may want it.
        let of_key = (sample > 0).then_some(digest);
        let Some(first) = self.read(of_key, sample, Some(FIRST)).await? else { return Ok(None) };
        let width = (first.bytes as i64 / (first.rows[0] + first.rows[1]).max(1)).max(1);
        let tried = (TRIED / width).clamp(FIRST, MOST_TRIED);
        match self.read(of_key, sample, Some(tried)).await? {
            // Where many rows differ, most ranges do: their sums are taken, and then a digest of each row.
            Some(rows) if many_differ(&rows) && rows.waited < self.digesting(digest, tried).await? * 2 => {}
            _ => return Ok(None),
        }
        let Some(met) = self.read(of_key, sample, None).await? else { return Ok(None) };
        let lone = |side: usize, change| met.lone[side].iter().map(move |key| (change, *key));
        let differ = met.differ.iter().map(|key| (DIFFERS, *key));
        let shown = differ.chain(lone(0, ONLY_IN_A)).chain(lone(1, ONLY_IN_B)).take(sample).collect();
        Ok(Some(Counted {
            rows: met.rows,
            only: met.only,
            differing: met.differing,
            by_column: met.by_column,
            whole: true,
            shown,
            ..Counted::default()
        }))
    }

    /// How long the servers take for the digests of so many rows.
    async fn digesting(&self, digest: Digest, rows: i64) -> Result<Duration> {
        let began = Instant::now();
        self.digests(2, |which| self.comparison.digests(which, digest, None, Some(rows))).await?;
        Ok(began.elapsed())
    }

    async fn read(&self, digest: Option<Digest>, shown: usize, at_most: Option<i64>) -> Result<Option<Met>> {
        let reading = |which| -> Result<Reading<'_>> {
            let statement = self.text(which, &self.comparison.whole_rows(which, digest, at_most))?;
            Ok(Reading { session: self.session(which), blame: self.blame(which), statement })
        };
        let shape = Shape {
            keys: if digest.is_some() { 0 } else { self.comparison.keys.len() },
            columns: self.comparison.sent(),
            shown,
            memory: MEMORY,
        };
        meet([reading(Which::A)?, reading(Which::B)?], shape).await
    }
}

/// Whether the first rows of both are mostly of the same keys, and some of them differ.
fn many_differ(tried: &Met) -> bool {
    let all = tried.rows[0].max(tried.rows[1]);
    let lone = tried.only[0].max(tried.only[1]);
    lone * 2 < all && (tried.differing + lone) * 1000 >= all * FEWEST_OF_THOUSAND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_rows_are_read_where_some_differ_among_rows_of_one_order() {
        let tried = |lone: i64, differing: i64| Met {
            rows: [20_000, 20_000],
            only: [lone, lone],
            differing,
            ..Met::default()
        };
        assert!(many_differ(&tried(0, 200)));
        assert!(many_differ(&tried(200, 0)));
        assert!(!many_differ(&tried(0, 10)), "sums find the few ranges that differ");
        assert!(!many_differ(&tried(15_000, 0)), "the two are in another order: too many would wait");
    }
}
