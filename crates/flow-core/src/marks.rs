//! What a plan would change in the target's definition, and what that asks of whom: data, in one place.

use crate::schema::LiveTable;
use crate::sql::Ident;
use serde::Serialize;
use std::fmt;

/// What kind of change a mark tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MarkKind {
    /// Created.
    #[serde(rename = "+")]
    Create,
    /// Declared otherwise since the last run.
    #[serde(rename = "~")]
    Change,
    /// The live table differs from its declaration.
    #[serde(rename = "!")]
    Drift,
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MarkKind::Create => "+",
            MarkKind::Change => "~",
            MarkKind::Drift => "!",
        })
    }
}

/// What a reviewer has to reckon with when the change is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Nobody reads it yet.
    New,
    /// A change of the catalog: readers wait for an instant, no row is touched.
    BriefLock,
    /// Every row is read under a lock that writers, or readers too, wait for.
    LocksTable,
    /// Some pairs of types have the server write every row anew, with readers waiting.
    MayRewriteTable,
    /// Every current version is updated.
    RewritesCurrentVersions,
    /// Every row is updated.
    RewritesEveryRow,
    /// flow does not settle it.
    NeedsPerson,
}

impl Risk {
    /// Every risk, in the order of what it costs.
    pub const ALL: [Risk; 7] = [
        Risk::New,
        Risk::BriefLock,
        Risk::LocksTable,
        Risk::MayRewriteTable,
        Risk::RewritesCurrentVersions,
        Risk::RewritesEveryRow,
        Risk::NeedsPerson,
    ];

    /// In a word or two.
    pub const fn words(self) -> &'static str {
        match self {
            Risk::New => "new",
            Risk::BriefLock => "brief lock",
            Risk::LocksTable => "locks the table",
            Risk::MayRewriteTable => "may rewrite the table",
            Risk::RewritesCurrentVersions => "rewrites current versions",
            Risk::RewritesEveryRow => "rewrites every row",
            Risk::NeedsPerson => "needs a person",
        }
    }

    /// Whether nothing that exists is touched.
    pub const fn is_none(self) -> bool {
        matches!(self, Risk::New)
    }
}

/// What a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A schema that is not there.
    NewSchema,
    /// A table that is not there.
    NewTable,
    /// A view, or what is served of it, that is made anew: nobody reads it meanwhile.
    View,
    /// A column that the live table lacks.
    NewColumn,
    /// A column whose declared type holds more than the live one.
    WiderColumn,
    /// What the table, or a column of it, is said to hold.
    Comment,
    /// An index or a constraint that the load strategy needs.
    Constraint,
    /// A column that makes a history of a table with rows.
    HistoryColumn,
    /// The columns whose change counts, or their encoding.
    RowHashes,
    /// How long an event holds.
    Ends,
    /// A difference that a run is refused for.
    Drift,
    /// A difference that `on_drift = "ignore"` leaves as it is.
    IgnoredDrift,
}

impl Subject {
    /// The sign before it, and what it risks.
    const fn facts(self) -> (MarkKind, Risk) {
        match self {
            Subject::NewSchema | Subject::NewTable => (MarkKind::Create, Risk::New),
            // With or without DEFAULT: https://www.postgresql.org/docs/current/sql-altertable.html, Notes.
            Subject::NewColumn | Subject::Comment | Subject::View => (MarkKind::Change, Risk::BriefLock),
            Subject::WiderColumn => (MarkKind::Change, Risk::MayRewriteTable),
            Subject::Constraint => (MarkKind::Change, Risk::LocksTable),
            Subject::HistoryColumn | Subject::Ends => (MarkKind::Change, Risk::RewritesEveryRow),
            Subject::RowHashes => (MarkKind::Change, Risk::RewritesCurrentVersions),
            Subject::Drift | Subject::IgnoredDrift => (MarkKind::Drift, Risk::NeedsPerson),
        }
    }
}

/// A difference to the last run, or to the live table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Its kind.
    pub mark: MarkKind,
    /// What it is, in words.
    pub what: String,
    /// What it risks.
    #[serde(skip)]
    pub risk: Risk,
    /// How many rows of what is there that touches, as the server estimates them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Where there are several targets: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Mark {
    /// A mark on a subject.
    pub fn new(subject: Subject, what: impl Into<String>) -> Mark {
        let (mark, risk) = subject.facts();
        Mark { mark, what: what.into(), risk, rows: None, part: None }
    }

    /// With the rows that it touches of this table, whose rows are matched by these keys.
    #[must_use]
    pub fn reckoned(self, live: Option<&LiveTable>, keys: &[Ident]) -> Mark {
        let rows = live.and_then(|live| match self.risk {
            Risk::RewritesCurrentVersions => live.estimated_current(keys),
            Risk::LocksTable | Risk::MayRewriteTable | Risk::RewritesEveryRow => live.estimated(),
            Risk::New | Risk::BriefLock | Risk::NeedsPerson => None,
        });
        // Never negative, and far below what a float holds exactly.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rows = rows.map(|rows| rows.round() as u64);
        Mark { rows, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_ci_has_every_risk_in_its_order() {
        let page = include_str!("../../../docs/how-to/ci.md");
        let table = page.split("| risk | what a run does |\n|---|---|\n").nth(1).expect("the table of risks");
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let words: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
        assert_eq!(words, Risk::ALL.map(Risk::words));
    }
}
