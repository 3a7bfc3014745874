//! A server as a session finds it: version, encryption, what stands between, clock, room.

use super::super::Engine;
use crate::session::{Access, Condition, End, Session, nth};
use ematix_flow_core::connections::{ConnectionTarget, is_local};
use ematix_flow_core::error::Result;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::Check;
use jiff::{SignedDuration, Timestamp};

/// The newest Postgres that this version was tested with.
const NEWEST: u32 = 18;

/// A clock that is further off than this makes watermarks and leases hard to read.
const CLOCK_LIMIT: SignedDuration = SignedDuration::from_secs(1);

/// Where the server begins to fear for its transaction ids (`vacuum_failsafe_age`).
const FAILSAFE_AGE: i64 = 1_600_000_000;

/// Where it stops to take writes.
const LAST_AGE: i64 = 2_147_483_647;

/// How often the way is tried.
const ROUNDS: usize = 3;

/// The version, which was refused before where it is too old.
pub(super) fn version(session: &dyn Session) -> Check {
    let (engine, version) = (session.facts().name, session.server_version());
    let name = if engine == "postgres" { "Postgres" } else { "DuckDB" };
    let message = format!("{name} {}", version.split(' ').next().unwrap_or_default());
    let major =
        version.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u32>().ok());
    match major {
        Some(major) if name == "Postgres" && major > NEWEST => Check::warning(
            "version",
            format!("{message} is newer than {NEWEST}, the newest that this version was tested with"),
            "look for a newer ematix-flow",
        ),
        _ => Check::ok("version", message),
    }
}

impl Engine {
    /// Everything else that the server says; nothing where there is none.
    pub(super) async fn server(
        &self,
        name: &str,
        at: &ConnectionTarget,
        session: &dyn Session,
        is_target: bool,
    ) -> Result<Vec<Check>> {
        let Some(condition) = session.condition().await? else { return Ok(Vec::new()) };
        let pooled = self.is_pooled(name, session, &condition).await?;
        Ok(vec![
            tls(at, &condition, pooled),
            match pooled {
                true => Check::ok(
                    "pooler",
                    "one that gives each transaction any session; everything works behind it",
                ),
                false => Check::ok("pooler", "none seen: the session stays with its process of the server"),
            },
            writable(&condition, is_target),
            clock(session).await?,
            Check::ok("time zone", condition.time_zone.clone()),
            encoding(&condition),
            room(&condition),
            wraparound(&condition),
        ])
    }

    /// Whether transactions of one session are served by several processes. A pooler gives the process that was used last
    /// to whoever begins next; while that one holds it, the first is given another.
    async fn is_pooled(&self, name: &str, session: &dyn Session, first: &Condition) -> Result<bool> {
        let other = self.open(name, "doctor").await?;
        let mut pooled = false;
        for _ in 0..ROUNDS {
            other.begin(Blame::Target, Access::ReadOnly, None).await?;
            let theirs = other.condition().await?;
            let again = session.condition().await?;
            other.end(Blame::Target, "end the question", End::RollBack).await?;
            pooled = [&theirs, &again].into_iter().flatten().any(|found| found.process == first.process)
                && theirs.as_ref().is_some_and(|found| found.process == first.process)
                || again.as_ref().is_some_and(|found| found.process != first.process);
            if pooled {
                break;
            }
        }
        other.close().await;
        Ok(pooled)
    }
}

fn tls(at: &ConnectionTarget, condition: &Condition, pooled: bool) -> Check {
    // What the server sees is the pooler's own connection to it.
    let whose = if pooled { " between pooler and server" } else { "" };
    match &condition.tls {
        Some(tls) => Check::ok("tls", format!("{tls}{whose}")),
        None if at.addresses().iter().all(|(host, _)| is_local(host)) => {
            Check::ok("tls", "none: the server is on this machine")
        }
        None if pooled => Check::ok("tls", format!("none{whose}")),
        None => Check::warning(
            "tls",
            "none: everything but the password travels in the clear",
            "set sslmode = \"verify-full\" with sslrootcert on the connection",
        ),
    }
}

fn writable(condition: &Condition, is_target: bool) -> Check {
    const CHECK: &str = "writable";
    match (condition.standby, is_target) {
        (true, true) => Check::failed(
            CHECK,
            "the server is a standby, and nothing can be loaded into it",
            "let the connection lead to the primary, or set target_session_attrs = \"read-write\" with several hosts",
        ),
        (true, false) => Check::ok(CHECK, "no: a standby, which is read only"),
        // Our transactions say what they do.
        (false, _) if condition.read_only => {
            Check::ok(CHECK, "yes; transactions that do not say otherwise only read")
        }
        (false, _) => Check::ok(CHECK, "yes"),
    }
}

/// The server's clock against ours, at the middle of the question's way.
async fn clock(session: &dyn Session) -> Result<Check> {
    let doing = "ask for the server's clock";
    let question = session.inspector().clock();
    let asked = Timestamp::now();
    let answers = session.ask(Blame::Target, doing, &question.sql).await?;
    let way = Timestamp::now().duration_since(asked);
    let said = question.read(nth(&answers, 0, doing)?, doing)?;
    let Ok(theirs) = said.parse::<Timestamp>() else {
        return Ok(Check::warning(
            "clock",
            format!("it cannot be read: {said}"),
            "look at the server's clock",
        ));
    };
    let ahead = theirs.duration_since(asked + way / 2);
    let off = ahead.abs();
    let seconds = format!("{:.3} s", off.as_secs_f64());
    let words = if ahead.is_negative() { "behind" } else { "ahead of" };
    let message = format!("{seconds} {words} this machine's");
    Ok(match off > CLOCK_LIMIT + way / 2 {
        true => Check::warning("clock", message, "let both machines follow one time server (NTP)"),
        false => Check::ok("clock", message),
    })
}

fn encoding(condition: &Condition) -> Check {
    match condition.encoding.as_str() {
        "SQL_ASCII" => Check::warning(
            "encoding",
            "SQL_ASCII: the database does not say what its bytes mean",
            "say it in the query: convert_from(column::bytea, 'LATIN1') AS column",
        ),
        encoding => Check::ok("encoding", encoding),
    }
}

fn room(condition: &Condition) -> Check {
    let free = "the server does not tell how much room is left";
    match condition.bytes {
        Some(bytes) => Check::ok("disk", format!("the database has {:.1} MB; {free}", bytes as f64 / 1e6)),
        None => Check::ok("disk", format!("not visible to the role; {free}")),
    }
}

fn wraparound(condition: &Condition) -> Check {
    const CHECK: &str = "wraparound";
    let Condition { age, freeze_max_age, .. } = condition;
    let message = format!(
        "{:.1} of {:.0} million transactions are used; the server freezes by itself at {:.0}",
        *age as f64 / 1e6,
        LAST_AGE as f64 / 1e6,
        *freeze_max_age as f64 / 1e6
    );
    let remedy = "VACUUM (FREEZE) the oldest tables, and end what keeps them: long transactions, prepared ones, replication slots";
    match *age {
        age if age >= FAILSAFE_AGE => Check::failed(CHECK, message, remedy),
        // A tenth more is what a vacuum that has begun still needs.
        age if age > freeze_max_age + freeze_max_age / 10 => Check::warning(CHECK, message, remedy),
        _ => Check::ok(CHECK, message),
    }
}
