//! What a server answers, whatever its engine, and questions that know how their answer is read.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};

/// The answer to one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultSet {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Rows of texts.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows returned or touched.
    pub affected: i64,
}

impl ResultSet {
    /// The only value.
    pub fn value(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    /// The only row, of so many columns.
    ///
    /// # Errors
    /// `target_failed` where there is none, or another: what was asked has then no answer, and nothing may pass for it.
    pub fn only_row(&self, columns: usize, doing: &str) -> Result<&[Option<String>]> {
        match self.rows.as_slice() {
            [row] if row.len() == columns && self.columns.len() == columns => Ok(row),
            rows => Err(unreadable(
                doing,
                &format!(
                    "{} of {} where one row of {columns} was asked for",
                    rows_in_words(rows.len()),
                    self.columns.len()
                ),
            )),
        }
    }

    /// The only row's only value, which is not NULL.
    ///
    /// # Errors
    /// As [`ResultSet::only_row`].
    pub fn only_value(&self, doing: &str) -> Result<&str> {
        self.only_row(1, doing)?[0]
            .as_deref()
            .ok_or_else(|| unreadable(doing, "NULL where a value was asked for"))
    }

    /// The only value as a whole number.
    ///
    /// # Errors
    /// As [`ResultSet::only_row`].
    pub fn only_number(&self, doing: &str) -> Result<i64> {
        let said = self.only_value(doing)?;
        said.parse().map_err(|_| unreadable(doing, &format!("`{said}` where a whole number was asked for")))
    }

    /// The only value as a truth value.
    ///
    /// # Errors
    /// As [`ResultSet::only_row`].
    pub fn only_truth(&self, doing: &str) -> Result<bool> {
        match self.only_value(doing)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            other => Err(unreadable(doing, &format!("`{other}` where a truth value was asked for"))),
        }
    }
}

/// A question and how its answer is read: whoever asks sends it with others, in one round trip.
pub struct Question<T> {
    /// The statement.
    pub sql: String,
    read: fn(&ResultSet, &str) -> Result<T>,
}

impl<T> Question<T> {
    /// A statement with one answer.
    pub fn new(sql: String, read: fn(&ResultSet, &str) -> Result<T>) -> Question<T> {
        Question { sql, read }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// `target_failed` for one of another form.
    pub fn read(&self, answer: &ResultSet, doing: &str) -> Result<T> {
        (self.read)(answer, doing)
    }
}

/// The answer at a place among those to several statements.
///
/// # Errors
/// `target_failed` where there are fewer.
pub fn nth<'a>(answers: &'a [ResultSet], index: usize, doing: &str) -> Result<&'a ResultSet> {
    answers.get(index).ok_or_else(|| {
        unreadable(doing, &format!("{} answers where at least {} were asked for", answers.len(), index + 1))
    })
}

/// The error for an answer that is not of the form that was asked for.
pub fn unreadable(doing: &str, why: &str) -> FlowError {
    FlowError::new(ErrorCode::TargetFailed, format!("the server's answer cannot be read: {doing}"))
        .detail(format!("it has {why}"))
        .hint("nothing was written; something between the server and this process changes what passes")
}

fn rows_in_words(rows: usize) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}
