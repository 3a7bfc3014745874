//! Runs a comparison: one statement in one database, sums and digests of two.

use super::super::row_json;
use super::LIMITS;
use crate::session::{ResultSet, Session, nth, unreadable};
use crate::transport::digests::{Digests, Meeting, meet};
use ematix_flow_core::dialect::Digest;
use ematix_flow_core::difference::{
    BUCKETS, ColumnDifference, Comparison, DiffReport, DiffSample, SAMPLED_BUCKETS, SideReport, Which,
};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::run_value::Values;
use ematix_flow_core::secret::Secret;
use ematix_flow_core::sql::Sql;
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Digests that a side keeps at a time: two numbers a row.
const MOST_ROWS: i64 = 1_500_000;
/// Digests of single values that a side keeps at a time.
const MOST_VALUES: usize = 2_000_000;
/// Seeds that are tried, where two keys have one digest.
const SEEDS: u8 = 4;

/// A comparison with its sessions.
pub(super) struct Compared<'c> {
    /// What is compared.
    pub comparison: &'c Comparison,
    /// One for both sides, or one for each.
    pub sessions: &'c [Box<dyn Session>],
    /// The tables that each side reads.
    pub tables: Vec<Vec<String>>,
    /// The time zone that both sides have, where the first one's is the one that counts.
    pub zone: Option<&'c str>,
    /// Whether they are a pipeline's source and target.
    pub of_pipeline: bool,
    /// The keys of markers.
    pub key_of: &'c (dyn Fn(&str) -> Result<Secret> + Sync),
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub rows: [i64; 2],
    pub only: [i64; 2],
    pub differing: i64,
    pub by_column: Vec<i64>,
    pub digests_read: i64,
    /// Whether whole rows were read.
    pub whole: bool,
    /// Digests of keys for the sample, in the order in which they were found.
    pub shown: Vec<(&'static str, i64)>,
}

pub(super) const ONLY_IN_A: &str = "only_in_a";
pub(super) const ONLY_IN_B: &str = "only_in_b";
pub(super) const DIFFERS: &str = "differs";

impl Compared<'_> {
    pub(super) fn session(&self, which: Which) -> &dyn Session {
        match which {
            Which::A => self.sessions[0].as_ref(),
            Which::B => self.sessions[self.sessions.len() - 1].as_ref(),
        }
    }

    pub(super) fn blame(&self, which: Which) -> Blame {
        match which {
            Which::B if self.of_pipeline => Blame::Target,
            Which::A | Which::B => Blame::Source,
        }
    }

    /// The text to send.
    pub(super) fn text(&self, which: Which, sql: &Sql) -> Result<String> {
        text(self.comparison, which, sql, self.key_of)
    }

    async fn ask(&self, which: Which, doing: &str, sql: &Sql) -> Result<ResultSet> {
        let doing = format!("{doing} {}", which.name());
        let answers = self.session(which).ask(self.blame(which), &doing, &self.text(which, sql)?).await?;
        nth(&answers, 0, &doing).cloned()
    }

    /// Asks both sides at the same time.
    pub(super) async fn ask_both(&self, doing: &str, sql: impl Fn(Which) -> Sql) -> Result<[ResultSet; 2]> {
        let (of_a, of_b) = (sql(Which::A), sql(Which::B));
        let asked = (self.ask(Which::A, doing, &of_a), self.ask(Which::B, doing, &of_b));
        let (a, b) = tokio::try_join!(asked.0, asked.1)?;
        Ok([a, b])
    }

    /// Compares, and ends the transactions.
    pub async fn report(
        &self,
        pipeline: Option<&str>,
        [a, b]: [SideReport; 2],
        sample: usize,
    ) -> Result<DiffReport> {
        self.begin().await?;
        self.guard().await?;
        let (counted, rows) = match self.sessions.len() {
            1 => self.joined(sample).await?,
            _ => self.summed(sample).await?,
        };
        for session in self.sessions {
            session.end(Blame::Source, "end the comparison", crate::session::End::RollBack).await?;
        }
        let comparison = self.comparison;
        let columns =
            comparison.compared.iter().zip(&counted.by_column).map(|(pair, count)| ColumnDifference {
                name: pair.name.to_string(),
                rows_differing: *count,
                type_a: pair.a.name.clone(),
                type_b: pair.b.name.clone(),
                compared_as: pair.compared_as(),
            });
        let both = counted.rows[0] - counted.only[0];
        Ok(DiffReport {
            pipeline: pipeline.map(str::to_owned),
            a,
            b,
            keys: comparison.key_names(),
            keys_reason: comparison.keys_reason.clone(),
            method: match self.sessions.len() {
                1 => "join",
                _ if counted.whole => "rows",
                _ => "checksums",
            },
            equal: counted.only == [0, 0] && counted.differing == 0,
            rows_a: counted.rows[0],
            rows_b: counted.rows[1],
            only_in_a: counted.only[0],
            only_in_b: counted.only[1],
            rows_differing: counted.differing,
            rows_equal: both - counted.differing,
            digests_read: counted.digests_read,
            columns: columns.collect(),
            columns_only_in_a: comparison.only_in_a.clone(),
            columns_only_in_b: comparison.only_in_b.clone(),
            sample: (sample > 0).then_some(rows),
        })
    }

    async fn begin(&self) -> Result<()> {
        let several = self.sessions.len() > 1;
        for (index, session) in self.sessions.iter().enumerate() {
            let mut tables: Vec<String> = match several {
                true => self.tables[index].clone(),
                false => self.tables.concat(),
            };
            tables.sort();
            tables.dedup();
            session.begin_snapshot(Blame::Source, &tables, &LIMITS).await?;
            let dialect = session.facts().dialect;
            if let Some(words) = dialect.differing() {
                session.ask(Blame::Source, "begin", &words.settings().to_text(dialect)).await?;
                if let Some(zone) = self.zone {
                    session.ask(Blame::Source, "begin", &words.in_zone(zone).to_text(dialect)).await?;
                }
            }
        }
        Ok(())
    }

    /// A row is compared with the one of its key: each side has one of each, and knows its key.
    async fn guard(&self) -> Result<()> {
        for which in Which::BOTH {
            if self.comparison.keys_are_proved(which) {
                continue;
            }
            let name = &self.comparison.side(which).name;
            let keys = self.comparison.key_names().join(", ");
            let doing = "look for NULL keys in";
            let nulls = number(&self.ask(which, doing, &self.comparison.null_keys(which)).await?.rows, 0, 0)?;
            if nulls > 0 {
                let rows = if nulls == 1 { "1 row".to_owned() } else { format!("{nulls} rows") };
                let verb = if nulls == 1 { "has" } else { "have" };
                return Err(FlowError::new(
                    ErrorCode::NullKey,
                    format!("{rows} of {name} {verb} NULL in the key ({keys})"),
                )
                .context("count", nulls)
                .hint("leave them out, --where \"… IS NOT NULL\", or say other --keys"));
            }
            let found =
                self.ask(which, "look for repeated keys in", &self.comparison.repeated_keys(which)).await?;
            if !found.rows.is_empty() {
                return Err(repeated(name, &keys, &found.rows)?);
            }
        }
        Ok(())
    }

    /// One statement joins both sides.
    async fn joined(&self, sample: usize) -> Result<(Counted, Vec<DiffSample>)> {
        let doing = "compare";
        let answer = self.ask(Which::A, doing, &self.comparison.join_counts()).await?;
        let count = |column: usize| number(&answer.rows, 0, column);
        let counted = Counted {
            rows: [count(0)?, count(1)?],
            only: [count(2)?, count(3)?],
            differing: count(4)?,
            by_column: (5..5 + self.comparison.compared.len()).map(count).collect::<Result<_>>()?,
            ..Counted::default()
        };
        let mut rows = Vec::new();
        if sample > 0 && (counted.differing > 0 || counted.only != [0, 0]) {
            let answer = self.ask(Which::A, "read a sample of", &self.comparison.join_sample(sample)).await?;
            for row in &answer.rows {
                let cell = |index: usize| row.get(index).and_then(Option::as_deref);
                rows.push(self.shown(cell(0), cell(1))?);
            }
        }
        Ok((counted, rows))
    }

    /// A row of the sample; what both are equal in is left out of neither.
    fn shown(&self, a: Option<&str>, b: Option<&str>) -> Result<DiffSample> {
        let read = |text: &str| {
            row_json::read::<IndexMap<String, Value>>(text).map_err(|error| {
                unreadable("read a sample", &format!("a row that is no JSON object: {error}"))
            })
        };
        let (mut a, mut b) = (a.map(read).transpose()?, b.map(read).transpose()?);
        let mut key = IndexMap::new();
        for pair in &self.comparison.keys {
            let name = pair.name.as_str();
            let of_a = a.as_mut().and_then(|row| row.shift_remove(name));
            let of_b = b.as_mut().and_then(|row| row.shift_remove(name));
            key.insert(name.to_owned(), of_a.or(of_b).unwrap_or(Value::Null));
        }
        let change = match (&a, &b) {
            (Some(_), Some(_)) => DIFFERS,
            (Some(_), None) => ONLY_IN_A,
            _ => ONLY_IN_B,
        };
        Ok(DiffSample { change, key, a, b })
    }

    /// Sums of digests first; what differs is looked into.
    async fn summed(&self, sample: usize) -> Result<(Counted, Vec<DiffSample>)> {
        let portable = self.servers_differ().await?;
        if let Some(counted) = self.whole(Digest { portable, seed: 0 }, sample).await? {
            let rows = self.sample(Digest { portable, seed: 0 }, &counted.shown).await?;
            return Ok((counted, rows));
        }
        for seed in 0..SEEDS {
            let digest = Digest { portable, seed };
            if let Some(counted) = self.count(digest, sample).await? {
                let rows = self.sample(digest, &counted.shown).await?;
                return Ok((counted, rows));
            }
        }
        let keys = self.comparison.key_names().join(", ");
        Err(FlowError::new(
            ErrorCode::DuplicateSourceKey,
            format!("a key ({keys}) came twice while the rows were compared"),
        )
        .hint("does a side's query give other rows each time it is asked? put them into a table first"))
    }

    /// Whether the servers' quick digests are not the same.
    async fn servers_differ(&self) -> Result<bool> {
        let proof = |which: Which| {
            self.comparison.side(which).dialect.differing().expect("both sides have words").proof()
        };
        let [a, b] = self.ask_both("try the digests of", proof).await?;
        Ok(a.rows != b.rows)
    }

    /// Counts what differs; `None` where two keys of a side have one digest.
    async fn count(&self, digest: Digest, sample: usize) -> Result<Option<Counted>> {
        let mut counted =
            Counted { by_column: vec![0; self.comparison.compared.len()], ..Counted::default() };
        let first = self.sums(digest, true).await?;
        let unequal = first.values().filter(|of| of[0] != of[1]).count() as i64;
        // Where many ranges differ, summing them all costs as much as looking into them.
        if unequal * 4 > SAMPLED_BUCKETS {
            let rows: i64 = first.values().map(|of| of[0].rows.max(of[1].rows)).sum();
            let parts = (rows * (BUCKETS / SAMPLED_BUCKETS) / MOST_ROWS + 1).min(BUCKETS);
            for part in 0..parts {
                let ranges: Vec<i64> = (0..BUCKETS).filter(|range| range % parts == part).collect();
                let ranges = (parts > 1).then_some(ranges.as_slice());
                let Some(rows) = self.look_into(digest, ranges, sample, &mut counted).await? else {
                    return Ok(None);
                };
                counted.rows = [counted.rows[0] + rows[0], counted.rows[1] + rows[1]];
            }
            return Ok(Some(counted));
        }
        let all = self.sums(digest, false).await?;
        for side in [0, 1] {
            counted.rows[side] = all.values().map(|of| of[side].rows).sum();
        }
        let mut ranges: Vec<i64> = Vec::new();
        let mut rows = 0;
        let unequal = all.iter().filter(|(_, of)| of[0] != of[1]);
        for (range, of) in unequal {
            let more = of[0].rows.max(of[1].rows);
            if rows + more > MOST_ROWS && !ranges.is_empty() {
                if self.look_into(digest, Some(&ranges), sample, &mut counted).await?.is_none() {
                    return Ok(None);
                }
                (ranges, rows) = (Vec::new(), 0);
            }
            ranges.push(*range);
            rows += more;
        }
        if !ranges.is_empty() && self.look_into(digest, Some(&ranges), sample, &mut counted).await?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(counted))
    }

    /// The sums of both sides, by range.
    async fn sums(&self, digest: Digest, sampled: bool) -> Result<BTreeMap<i64, [SumOfRange; 2]>> {
        let answers = self
            .ask_both("sum the rows of", |which| self.comparison.checksums(which, digest, sampled))
            .await?;
        let mut sums: BTreeMap<i64, [SumOfRange; 2]> = BTreeMap::new();
        for (side, answer) in answers.iter().enumerate() {
            for (index, row) in answer.rows.iter().enumerate() {
                let sum = row.get(2).cloned().flatten();
                let rows = number(&answer.rows, index, 1)?;
                sums.entry(number(&answer.rows, index, 0)?).or_default()[side] = SumOfRange { rows, sum };
            }
        }
        Ok(sums)
    }

    /// Reads the digests of some ranges, or of all, and counts what differs; gives the rows of each side.
    async fn look_into(
        &self,
        digest: Digest,
        ranges: Option<&[i64]>,
        sample: usize,
        counted: &mut Counted,
    ) -> Result<Option<[i64; 2]>> {
        let [a, b] = self.digests(2, |which| self.comparison.digests(which, digest, ranges, None)).await?;
        let rows = [a.len() as i64, b.len() as i64];
        counted.digests_read += rows[0] + rows[1];
        let mut differing: Vec<i64> = Vec::new();
        let met = meet(&a, &b, |meeting| match meeting {
            Meeting::First(key) => {
                counted.only[0] += 1;
                counted.show(sample, ONLY_IN_A, key);
            }
            Meeting::Second(key) => {
                counted.only[1] += 1;
                counted.show(sample, ONLY_IN_B, key);
            }
            Meeting::Both(key, of_a, of_b) if of_a != of_b => {
                differing.push(key);
                counted.show(sample, DIFFERS, key);
            }
            Meeting::Both(..) => {}
        });
        if !met {
            return Ok(None);
        }
        drop((a, b));
        counted.differing += differing.len() as i64;
        let columns = self.comparison.compared.len();
        for keys in differing.chunks(MOST_VALUES / (columns + 1)) {
            if !self.by_column(digest, keys, counted).await? {
                return Ok(None);
            }
        }
        Ok(Some(rows))
    }

    /// Counts in which columns the rows of some keys differ.
    async fn by_column(&self, digest: Digest, keys: &[i64], counted: &mut Counted) -> Result<bool> {
        let width = self.comparison.compared.len() + 1;
        let [a, b] = self.digests(width, |which| self.comparison.value_digests(which, digest, keys)).await?;
        Ok(meet(&a, &b, |meeting| {
            if let Meeting::Both(_, of_a, of_b) = meeting {
                let values = of_a.iter().zip(of_b);
                for (count, (of_a, of_b)) in counted.by_column.iter_mut().zip(values) {
                    *count += i64::from(of_a != of_b);
                }
            }
        }))
    }

    /// Reads digests of both sides at the same time.
    pub(super) async fn digests(&self, width: usize, sql: impl Fn(Which) -> Sql) -> Result<[Digests; 2]> {
        let (of_a, of_b) = (self.text(Which::A, &sql(Which::A))?, self.text(Which::B, &sql(Which::B))?);
        let read = (
            Digests::read(self.session(Which::A), self.blame(Which::A), &of_a, width),
            Digests::read(self.session(Which::B), self.blame(Which::B), &of_b, width),
        );
        let (a, b) = tokio::try_join!(read.0, read.1)?;
        Ok([a, b])
    }

    /// Rows of these keys as they are.
    async fn sample(&self, digest: Digest, shown: &[(&'static str, i64)]) -> Result<Vec<DiffSample>> {
        if shown.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<i64> = shown.iter().map(|(_, key)| *key).collect();
        let answers =
            self.ask_both("read a sample of", |which| self.comparison.rows_of(which, digest, &keys)).await?;
        let mut found: [HashMap<i64, String>; 2] = [HashMap::new(), HashMap::new()];
        for (side, answer) in answers.iter().enumerate() {
            for (index, row) in answer.rows.iter().enumerate() {
                if let Some(Some(text)) = row.get(1) {
                    found[side].insert(number(&answer.rows, index, 0)?, text.clone());
                }
            }
        }
        let row = |key: &i64| {
            self.shown(found[0].get(key).map(String::as_str), found[1].get(key).map(String::as_str))
        };
        keys.iter().map(row).collect()
    }
}

/// The tables that each side reads.
pub(super) async fn tables_of(
    comparison: &Comparison,
    sessions: &[Box<dyn Session>],
    key_of: &(dyn Fn(&str) -> Result<Secret> + Sync),
) -> Result<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    for (which, session) in Which::BOTH.into_iter().zip([&sessions[0], &sessions[sessions.len() - 1]]) {
        let query = ematix_flow_core::sql!("SELECT * FROM {rows} AS t", rows = comparison.side(which).rows);
        let query = text(comparison, which, &query, key_of)?;
        match session.inspector().tables_of(&query).await {
            Ok(found) => tables.push(found),
            Err(error) => return Err(session.complete(error, &query).await),
        }
    }
    Ok(tables)
}

/// The text of a statement with the keys of markers.
fn text(
    comparison: &Comparison,
    which: Which,
    sql: &Sql,
    key_of: &(dyn Fn(&str) -> Result<Secret> + Sync),
) -> Result<String> {
    let dialect = comparison.side(which).dialect;
    let mut statement = sql.render(dialect);
    statement.unseal(&mut |written| key_of(written))?;
    Ok(statement.fill(&Values::default(), dialect))
}

/// The rows of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SumOfRange {
    rows: i64,
    sum: Option<String>,
}

impl Counted {
    fn show(&mut self, most: usize, change: &'static str, key: i64) {
        if self.shown.len() < most {
            self.shown.push((change, key));
        }
    }
}

fn repeated(name: &str, keys: &str, rows: &[Vec<Option<String>>]) -> Result<FlowError> {
    let count = number(rows, 0, 0)?;
    let samples: Vec<String> = rows
        .iter()
        .map(|row| {
            let values: Vec<&str> =
                row.iter().skip(2).map(|value| value.as_deref().unwrap_or("NULL")).collect();
            format!("{} ({} rows)", values.join(", "), row.get(1).and_then(Option::as_deref).unwrap_or("?"))
        })
        .collect();
    let message = match count {
        1 => format!("1 key of {name} comes more than once"),
        _ => format!("{count} keys of {name} come more than once"),
    };
    Ok(FlowError::new(ErrorCode::DuplicateSourceKey, message)
        .detail(format!("{keys}: {}", samples.join(", ")))
        .context("count", count)
        .hint("say the --keys by which each side has one row, or leave rows out with --where"))
}

fn number(rows: &[Vec<Option<String>>], row: usize, column: usize) -> Result<i64> {
    rows.get(row)
        .and_then(|row| row.get(column)?.as_deref()?.parse().ok())
        .ok_or_else(|| unreadable("compare", "a count that is no number"))
}
