//! The slots of schedules, and what operators wish of pipelines.

use super::HistoryStore;
use super::store::{RunStart, host};
use super::tables::hinted;
use crate::session::{ResultSet, nth, unreadable};
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::history::{self, Value};
use ematix_flow_core::schedule::slots::{Entry, Fate, Holder, OpenSlot, Pause, Remembered};
use ematix_flow_core::sql::Sql;
use ematix_flow_core::statement;
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

/// What is remembered of schedules, by the database's own clock.
#[derive(Clone, Debug, Default)]
pub struct Schedules {
    /// The present.
    pub now: Timestamp,
    /// What is remembered of each, by its name.
    pub of: HashMap<String, Remembered>,
}

/// What is known of a pipeline that another one waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream {
    /// Its last slot.
    pub last: Option<Timestamp>,
    /// The last that succeeded.
    pub succeeded: Option<Timestamp>,
    /// Whether one is open.
    pub is_open: bool,
    /// How long ago it last succeeded, with a slot or without.
    pub age: Option<std::time::Duration>,
}

/// A slot that a run has claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What the schedule is of.
    pub of: String,
    /// When it was due, RFC 3339.
    pub at: String,
    /// What the claim counted.
    pub epoch: i64,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

/// What a slot is entered for.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled<'a> {
    /// What the schedule is of.
    pub of: &'a str,
    /// The name in the history: that of the pipeline, or of the transform.
    pub name: &'a str,
    /// The load strategy; a transform has none.
    pub mode: Option<&'a str>,
    /// The target, or the transform.
    pub target: &'a str,
    /// Who asks.
    pub started_by: &'a str,
}

impl Scheduled<'_> {
    fn step_name(&self) -> Option<&str> {
        self.mode.is_none().then_some(self.name)
    }
}

/// How a claim ends that did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimEnd {
    /// It is tried again after a time.
    Retry(std::time::Duration),
    /// It was no attempt, and the slot is to be served still.
    Released,
    /// It is not served any more.
    Failed,
}

impl HistoryStore<'_> {
    /// What is remembered of some schedules, in one round trip; makes or migrates the metadata where it must.
    ///
    /// # Errors
    /// As the server says.
    pub async fn schedules(&self, names: &[String]) -> Result<Schedules> {
        let doing = "look at the schedules";
        let alone_since = self.alone_since();
        let questions = [
            statement!("version"),
            statement!("schedules", names = names),
            statement!("open_slots", names = names, alone_since = alone_since.as_deref()),
            statement!("running", names = names, alone_since = alone_since.as_deref()),
        ];
        let sql = self.text(&Sql::join(questions, ";\n"));
        let answers = match self.session.write(doing, &sql).await {
            Err(error) if self.session.says_missing(&error) => {
                self.prepare(true).await?;
                self.session.write(doing, &sql).await
            }
            answers => answers,
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Err(self.session.complete(hinted(error), "").await),
        };
        self.read_version(nth(&answers, 0, doing)?)?;
        let mut found = Schedules::default();
        for row in &nth(&answers, 1, doing)?.rows {
            let row = Row { cells: row, doing };
            found.now = row.needed_instant(1)?;
            let paused = row.instant(4)?.map(|since| Pause {
                since,
                by: row.text(5).unwrap_or_default().to_owned(),
                why: row.text(6).map(str::to_owned),
            });
            let remembered = Remembered {
                last: row.instant(2)?,
                served: row.instant(3)?,
                paused,
                ..Remembered::default()
            };
            found.of.insert(row.needed(0)?.to_owned(), remembered);
        }
        for row in &nth(&answers, 2, doing)?.rows {
            let row = Row { cells: row, doing };
            let open = OpenSlot {
                slot: row.needed_instant(1)?,
                is_claimed: row.truth(2)?,
                is_expired: row.text(3).is_some() && row.truth(3)?,
                attempts: row.number(4)?,
                due_at: row.needed_instant(5)?,
                from: row.instant(6)?,
                missed: row.number(7)?,
                epoch: row.number(8)?,
            };
            if let Some(remembered) = found.of.get_mut(row.needed(0)?) {
                remembered.open.push(open);
            }
        }
        for row in &nth(&answers, 3, doing)?.rows {
            let row = Row { cells: row, doing };
            let holder = Holder {
                run_id: row.needed(1)?.to_owned(),
                process: process(row.text(2), row.text(3)),
                since: row.needed_instant(4)?,
            };
            if let Some(remembered) = found.of.get_mut(row.needed(0)?) {
                remembered.running = Some(holder);
            }
        }
        Ok(found)
    }

    /// What is known of pipelines that others wait for.
    ///
    /// # Errors
    /// As the server says.
    pub async fn upstreams(&self, names: &[String]) -> Result<HashMap<String, Upstream>> {
        let doing = "look at what others wait for";
        let sql = self.text(&statement!("upstreams", names = names));
        let answers = self.session.write(doing, &sql).await?;
        let mut found = HashMap::new();
        for row in &nth(&answers, 0, doing)?.rows {
            let row = Row { cells: row, doing };
            let age: Option<f64> = row.text(4).map(|_| row.number(4)).transpose()?;
            let upstream = Upstream {
                last: row.instant(1)?,
                succeeded: row.instant(2)?,
                is_open: row.truth(3)?,
                age: age.map(|seconds| std::time::Duration::from_secs_f64(seconds.max(0.0))),
            };
            found.insert(row.needed(0)?.to_owned(), upstream);
        }
        Ok(found)
    }

    /// Enters slots that have passed, in their order, where nobody else has since `last`; those that are not served
    /// have a row in the history.
    ///
    /// # Errors
    /// As the server says.
    pub async fn enter_slots(
        &self,
        scheduled: &Scheduled<'_>,
        last: Option<Timestamp>,
        entries: &[Entry],
    ) -> Result<()> {
        let mut statements = vec![statement!("take_the_schedules")];
        let mut last = last.map(|last| last.to_string());
        for entry in entries {
            let run_id = Uuid::now_v7().to_string();
            let (status, reason, owner) = match &entry.fate {
                Fate::Due => ("due", None, None),
                Fate::DueForAll => ("due", None, Some(run_id.as_str())),
                Fate::Seen => ("seen", None, None),
                Fate::Skipped(error) => ("skipped", Some(error.code.name()), Some(run_id.as_str())),
            };
            let (slot, due_at) = (entry.slot.to_string(), entry.due_at.to_string());
            let from = entry.from.map(|from| from.to_string());
            let waiting = match entry.fate {
                Fate::DueForAll => statement!("waiting_slots", name = scheduled.of),
                _ => statement!("no_waiting_slots"),
            };
            statements.push(statement!(
                "enter_slot",
                waiting = waiting,
                name = scheduled.of,
                slot = &slot,
                status = status,
                due_at = Some(due_at.as_str()),
                covers_from = from.as_deref(),
                missed = entry.missed,
                reason = reason,
                owner = owner,
                last = last.as_deref()
            ));
            match &entry.fate {
                Fate::DueForAll => {
                    let (name, entry) = (scheduled.of, &run_id);
                    statements.push(statement!("supersede_slots", name = name, slot = &slot, entry = entry));
                }
                Fate::Skipped(error) => statements.push(enter_skipped(scheduled, &slot, &run_id, error)),
                Fate::Due | Fate::Seen => {}
            }
            last = Some(slot);
        }
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.write("enter the slots", &sql).await.map(|_| ())
    }

    /// Passes a slot over that cannot be served, with a row in the history.
    ///
    /// # Errors
    /// As the server says.
    pub async fn pass_slot(
        &self,
        scheduled: &Scheduled<'_>,
        slot: &Timestamp,
        error: &FlowError,
    ) -> Result<()> {
        let (run_id, slot) = (Uuid::now_v7().to_string(), slot.to_string());
        let statements = [
            statement!("take_the_schedules"),
            statement!(
                "pass_slot",
                name = scheduled.of,
                slot = &slot,
                owner = &run_id,
                reason = error.code.name()
            ),
            enter_skipped(scheduled, &slot, &run_id, error),
        ];
        let sql = self.text(&Sql::join(statements, ";\n"));
        self.session.write("pass the slot over", &sql).await.map(|_| ())
    }

    /// Ends a slot whose every attempt gave no sign of life.
    ///
    /// # Errors
    /// As the server says.
    pub async fn give_up_slot(&self, of: &str, open: &OpenSlot) -> Result<()> {
        let reason =
            format!("{} attempts gave no sign of life until their leases had run out", open.attempts);
        let sql = statement!(
            "give_up_slot",
            name = of,
            slot = &open.slot.to_string(),
            epoch = open.epoch,
            alone_since = self.alone_since().as_deref(),
            reason = &reason
        );
        self.session.write("give the slot up", &self.text(&sql)).await.map(|_| ())
    }

    /// Records how a claim ended that did not succeed.
    ///
    /// # Errors
    /// As the server says.
    pub async fn end_claim(&self, claim: &Claim, end: &ClaimEnd, error: &FlowError) -> Result<()> {
        let (status, delay, uncounted) = match end {
            ClaimEnd::Retry(delay) => ("due", delay.as_millis() as i64, 0),
            ClaimEnd::Released => ("due", 0, 1),
            ClaimEnd::Failed => ("failed", 0, 0),
        };
        let sql = statement!(
            "end_slot",
            name = &claim.of,
            slot = &claim.at,
            epoch = claim.epoch,
            status = status,
            delay = delay,
            uncounted = uncounted,
            reason = Some(error.code.name())
        );
        // What is due again may be taken over by a later slot, which counts it while it enters.
        let sql = Sql::join([statement!("take_the_schedules"), sql], ";\n");
        self.session.write("record how the slot ended", &self.text(&sql)).await.map(|_| ())
    }

    /// The last statement of a transaction that serves a slot, before its COMMIT: it finds one row, or the slot was
    /// taken over.
    pub fn fence(&self, claim: &Claim) -> String {
        self.text(&fence(claim))
    }

    /// Who paused a pipeline.
    ///
    /// # Errors
    /// As the server says.
    pub async fn pause_of(&self, name: &str) -> Result<Option<Pause>> {
        let doing = "look whether it is paused";
        let answers = self.ask(doing, &statement!("pause_of", name = name)).await?;
        let Some(row) = nth(&answers, 0, doing)?.rows.first() else { return Ok(None) };
        let row = Row { cells: row, doing };
        let (by, why) = (row.needed(1)?.to_owned(), row.text(2).map(str::to_owned));
        Ok(Some(Pause { since: row.needed_instant(0)?, by, why }))
    }

    /// Pauses pipelines. Those that are paused already stay so, with who did it.
    ///
    /// # Errors
    /// As the server says.
    pub async fn pause(&self, names: &[String], by: &str, why: Option<&str>) -> Result<()> {
        if !self.is_current().await? {
            self.prepare(true).await?;
        }
        let pauses = names.iter().map(|name| statement!("pause", name = name, paused_by = by, reason = why));
        self.wish("pause", pauses.collect()).await.map(|_| ())
    }

    /// Lets pipelines run again; which of them were paused.
    ///
    /// # Errors
    /// As the server says.
    pub async fn resume(&self, names: &[String]) -> Result<Vec<bool>> {
        let answers =
            self.wish("resume", names.iter().map(|name| statement!("resume", name = name)).collect());
        Ok(answers.await?.iter().map(|answer| answer.affected > 0).collect())
    }

    /// Makes the last slot of each due once more that failed or was skipped; the slots, where there are such.
    ///
    /// # Errors
    /// As the server says.
    pub async fn retry_slots(&self, names: &[String]) -> Result<Vec<Option<Timestamp>>> {
        let doing = "retry";
        let mut statements = vec![statement!("take_the_schedules")];
        statements.extend(names.iter().map(|name| statement!("retry_slots", name = name)));
        let answers = self.wish(doing, statements).await?;
        let slots = answers.iter().skip(1).map(|answer| match answer.rows.first() {
            Some(row) => Row { cells: row, doing }.instant(0),
            None => Ok(None),
        });
        slots.collect()
    }

    /// Notes the wish to cancel runs; how many of them were under way.
    ///
    /// # Errors
    /// As the server says.
    pub async fn ask_to_cancel(&self, run_ids: &[String], by: &str) -> Result<i64> {
        let wish = vec![statement!("ask_to_cancel", run_ids = run_ids, asked_by = by)];
        Ok(self.wish("cancel", wish).await?.iter().map(|answer| answer.affected).sum())
    }

    /// Who wished a run to be cancelled.
    ///
    /// # Errors
    /// As the server says.
    pub async fn who_cancels(&self, run_id: &str) -> Result<Option<String>> {
        let doing = "look whether it is to be cancelled";
        let answers =
            self.session.write(doing, &self.text(&statement!("who_cancels", run_id = run_id))).await?;
        Ok(nth(&answers, 0, doing)?.value().map(str::to_owned))
    }

    /// Takes the runs of some pipelines for dead before their leases have run out; their ids.
    ///
    /// # Errors
    /// As the server says.
    pub async fn unlock(&self, names: &[String], by: &str) -> Result<Vec<String>> {
        let reason = format!("unlocked by {by}");
        let statements = vec![
            statement!("take_the_schedules"),
            statement!("unlock_runs", names = names, reason = &reason),
            statement!("unlock_slots", names = names, reason = &reason),
        ];
        let answers = self.wish("unlock", statements).await?;
        let rows = answers.get(1).map(|answer| answer.rows.as_slice()).unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row.first()?.clone()).collect())
    }

    async fn wish(&self, doing: &str, statements: Vec<Sql>) -> Result<Vec<ResultSet>> {
        match self.session.write(doing, &self.text(&Sql::join(statements, ";\n"))).await {
            Ok(answers) => Ok(answers),
            Err(error) => Err(self.session.complete(hinted(error), "").await),
        }
    }
}

/// What claims the slot of a run, before the run is entered.
pub(super) fn claim(start: &RunStart<'_>, alone_since: Option<&str>, known: &Sql) -> [Sql; 2] {
    match start.slot {
        None => [Sql::text("SELECT 1"), Sql::text("SELECT 1")],
        Some(slot) => [
            statement!("take_the_schedules"),
            statement!(
                "claim_slot",
                run_id = start.run_id,
                scheduled = slot.of,
                slot = slot.at,
                lease = milliseconds(start.lease),
                alone_since = alone_since,
                known = known.clone()
            ),
        ],
    }
}

/// What the answer to a claim says.
///
/// # Errors
/// `target_failed` for an answer of another form.
pub(super) fn claimed(start: &RunStart<'_>, answer: &ResultSet, doing: &str) -> Result<Option<Claim>> {
    let (Some(slot), Some(row)) = (start.slot, answer.rows.first()) else { return Ok(None) };
    let row = Row { cells: row, doing };
    Ok(Some(Claim {
        of: slot.of.to_owned(),
        at: slot.at.to_owned(),
        epoch: row.number(0)?,
        attempt: row.number(1)?,
    }))
}

/// The last statement of what serves a slot, before its COMMIT.
pub(super) fn fence(claim: &Claim) -> Sql {
    history::fence(&claim.of, &claim.at, claim.epoch)
}

/// Renews the lease of a claim.
pub(super) fn renew(claim: &Claim, lease: &Duration) -> Sql {
    statement!(
        "renew_slot",
        name = &claim.of,
        slot = &claim.at,
        epoch = claim.epoch,
        lease = milliseconds(lease)
    )
}

fn enter_skipped(scheduled: &Scheduled<'_>, slot: &str, run_id: &str, error: &FlowError) -> Sql {
    statement!(
        "enter_skipped",
        run_id = run_id,
        pipeline = scheduled.name,
        mode = scheduled.mode,
        target = scheduled.target,
        started_by = scheduled.started_by,
        host = host().as_deref(),
        pid = i64::from(std::process::id()),
        program = env!("CARGO_PKG_VERSION"),
        slot = slot,
        scheduled = scheduled.of,
        step_name = scheduled.step_name(),
        error_code = error.code.name(),
        error = &error.message
    )
}

fn milliseconds(length: &Duration) -> Value {
    Value::from(i64::try_from(length.milliseconds()).unwrap_or(i64::MAX))
}

/// A process as messages name it.
fn process(host: Option<&str>, pid: Option<&str>) -> String {
    format!("process {} on {}", pid.unwrap_or("?"), host.unwrap_or("another machine"))
}

/// A row of an answer.
struct Row<'a> {
    cells: &'a [Option<String>],
    doing: &'a str,
}

impl<'a> Row<'a> {
    fn text(&self, column: usize) -> Option<&'a str> {
        self.cells.get(column)?.as_deref()
    }

    fn needed(&self, column: usize) -> Result<&'a str> {
        self.text(column).ok_or_else(|| unreadable(self.doing, "NULL where a value was asked for"))
    }

    fn number<N: std::str::FromStr>(&self, column: usize) -> Result<N> {
        let text = self.needed(column)?;
        text.parse().map_err(|_| unreadable(self.doing, &format!("`{text}` where a number was asked for")))
    }

    fn truth(&self, column: usize) -> Result<bool> {
        match self.needed(column)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            other => Err(unreadable(self.doing, &format!("`{other}` where a truth value was asked for"))),
        }
    }

    fn needed_instant(&self, column: usize) -> Result<Timestamp> {
        self.instant(column)?.ok_or_else(|| unreadable(self.doing, "NULL where an instant was asked for"))
    }

    /// Seconds since 1970, exact to the microsecond.
    fn instant(&self, column: usize) -> Result<Option<Timestamp>> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let wrong = || unreadable(self.doing, &format!("`{text}`, which is no instant"));
        let (seconds, part) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
        let micros: i64 = format!("{part:0<6.6}").parse().map_err(|_| wrong())?;
        let micros = if text.starts_with('-') { -micros } else { micros };
        Timestamp::from_microsecond(seconds * 1_000_000 + micros).map(Some).map_err(|_| wrong())
    }
}
