//! What the executor does with the answer of a statement, and what it says of rows that break a promise.

use super::Statement;
use crate::error::{ErrorCode, Location};
use crate::run_value::RunValue;

/// What the executor does with a statement's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Nothing.
    Ignore,
    /// Adds the rows touched to numbers.
    Count(Vec<RunValue>),
    /// Adds the rows touched to numbers, and fails unless they are as many as the sum of others:
    /// then somebody else wrote the table in spite of the lock.
    CountExactly(Vec<RunValue>, Vec<RunValue>),
    /// As [`Answer::CountExactly`], where all rows are written that were read and not dropped before.
    CountAllRead(Vec<RunValue>),
    /// Reads one row, whose columns are these values in this order, and fails unless each is as great as the number
    /// beside it.
    ReadExactly(Vec<(RunValue, RunValue)>),
    /// Reads one row with a count, and warns where it is not 0.
    Warn(Warning),
    /// Reads rows of a sample: the kind of change, old row, new row, the rows as JSON; with the word for what becomes
    /// of a live row that changed.
    Sample(&'static str),
    /// Reads one row, whose columns are these values in this order.
    Read(Vec<RunValue>),
    /// Every row is a violation: the run ends with this error.
    NoRows(GuardFailure),
    /// Reads one row of a number for each of these expectations: how many rows are suspected to fail it.
    Suspects(Vec<Asked>),
    /// Every row fails an expectation: the run ends, or its report says so.
    Expectation(ExpectationFailure),
    /// The last statement must touch exactly one row, else the run was taken over.
    ExactlyOne,
}

/// One of several expectations that are asked together.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// As it is written.
    pub text: String,
    /// Where that is.
    pub place: Option<Location>,
    /// What asks it by itself, where the server refuses to ask them all: it does not say which.
    pub alone: Statement,
}

/// What a report says of rows that were found although all goes well; `{count}` stands for how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// The sentence.
    pub many: String,
    /// The sentence where the count is one.
    pub one: String,
}

/// What is said of rows that fail an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectationFailure {
    /// The words.
    pub failure: GuardFailure,
    /// Whether the run ends.
    pub ends_the_run: bool,
    /// The kind of the expectation.
    pub kind: &'static str,
    /// The columns that it names.
    pub columns: Vec<String>,
    /// Where it is written.
    pub place: Option<Location>,
}

/// What a guard says when it finds something.
///
/// Its rows have a count, then a total where the message names one, or the sample's keys and how many rows each has.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardFailure {
    /// The error's code.
    pub code: ErrorCode,
    /// The message; `{count}` stands for the first column of the answer, `{total}` for the second.
    pub message: String,
    /// The message where the count is one.
    pub one: String,
    /// Where the further columns of an answer's row are sample keys: the names of the key's columns.
    pub sample: Vec<String>,
    /// What to do next.
    pub hint: String,
}

impl GuardFailure {
    /// How many columns a row of the answer has.
    pub fn columns(&self) -> usize {
        match self.sample.len() {
            0 => 1 + usize::from(self.message.starts_with("{count} of {total}")),
            keys => 1 + keys + 1,
        }
    }
}
