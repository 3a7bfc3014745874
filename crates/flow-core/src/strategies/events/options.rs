//! What options make of a history by event time, and how the columns that they name are held against the table.

use super::beside::SUPERSEDED_BY;
use crate::check::Check;
use crate::declare::options::{OnSameTime, PipelineOptions};
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Result};
use crate::query::check_expression;
use crate::schema::Table;
use crate::sql::Ident;

/// What a history by event time knows.
#[derive(Clone, Debug)]
pub struct Events {
    /// The column of the time at which something happened.
    pub event: Ident,
    /// How long an event holds at most.
    pub ttl: Option<Duration>,
    /// Which of two values of a key at one time stands.
    pub order: Option<Order>,
    /// What happens where that does not decide.
    pub on_same_time: OnSameTime,
    /// Which rows of the source delete their key.
    pub delete_when: Option<String>,
    /// Columns whose change is another value.
    pub compare_columns: Option<Vec<Ident>>,
    /// Marks an event that deletes.
    pub deleted: Ident,
    /// Where an event begins to hold.
    pub begin: Ident,
    /// Where it ends.
    pub end: Ident,
    /// Marks the newest event of a key.
    pub current: Ident,
    /// The row hash.
    pub hash: Ident,
    /// The number of the run that wrote these values.
    pub run: Ident,
}

/// The column that decides between two values of a key at one time.
#[derive(Clone, Debug)]
pub struct Order {
    /// The column.
    pub column: Ident,
    /// Whether the greater value stands, and not the lesser.
    pub greatest: bool,
}

impl Order {
    /// Reads `version`, `version DESC` or `version ASC`.
    fn read(text: &str) -> Result<Order> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (column, direction) = match words.as_slice() {
            [column] => (*column, "desc".to_owned()),
            [column, direction] => (*column, direction.to_ascii_lowercase()),
            _ => (text, String::new()),
        };
        let column = match column.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => column.to_owned(),
        };
        let plain = !column.is_empty() && !column.contains([',', '(', ')', ' ', '"']);
        match direction.as_str() {
            "asc" | "desc" if plain => {
                Ok(Order { column: Ident::new(column)?, greatest: direction == "desc" })
            }
            _ => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{text}` does not name one column, which decides between two values at one time"),
            )
            .hint("the deciding value is stored: write order_by = \"version DESC\" for the greater, or ASC")),
        }
    }
}

impl Events {
    /// What options make of it.
    pub fn of(check: &mut Check<'_>, options: &PipelineOptions) -> Events {
        let event = options.event_timestamp_column.clone().unwrap_or_default();
        if let Some(ttl) = options.ttl.as_ref().filter(|ttl| ttl.milliseconds() == 0) {
            let error = FlowError::new(ErrorCode::InvalidValue, format!("ttl = \"{ttl}\" holds for no time"));
            check.fail("ttl", error.hint("write how long an event holds: ttl = \"30d\""));
        }
        let order = options.order_by.as_ref().and_then(|text| check.keep("order_by", Order::read(text)));
        if let Some(condition) = &options.delete_when {
            check.keep("delete_when", check_expression(condition));
        }
        Events {
            event: check.name("event_timestamp_column", event),
            ttl: options.ttl.clone(),
            order,
            on_same_time: options.on_same_time(),
            delete_when: options.delete_when.clone(),
            compare_columns: check.names("compare_columns", &options.compare_columns),
            deleted: check.name("deleted_flag", options.deleted_flag()),
            begin: check.name("effective_from", options.effective_from()),
            end: check.name("effective_to", options.effective_to()),
            current: check.name("current_flag", options.current_flag()),
            hash: check.name("hash_column", options.hash_column()),
            run: Ident::fixed(super::RUN),
        }
    }

    /// Holds the columns that options name against the table.
    pub fn columns(&self, check: &mut Check<'_>, table: &Table, keys: &[Ident]) {
        let event = std::slice::from_ref(&self.event);
        check.known_columns("event_timestamp_column", event, table);
        check.not_keys("event_timestamp_column", event, keys);
        if let Some(names) = &self.compare_columns {
            check.known_columns("compare_columns", names, table);
            check.not_keys("compare_columns", names, keys);
            if names.contains(&self.event) {
                let error = FlowError::new(
                    ErrorCode::ConflictingOptions,
                    format!("`compare_columns` names `{}`, by which events are known", self.event),
                );
                check.fail("compare_columns", error.hint("leave it out: another time is another event"));
            }
        }
        if let Some(order) = &self.order {
            let column = std::slice::from_ref(&order.column);
            check.known_columns("order_by", column, table);
            check.not_keys("order_by", column, keys);
        }
        let managed = [
            ("effective_from", &self.begin),
            ("effective_to", &self.end),
            ("current_flag", &self.current),
            ("hash_column", &self.hash),
            ("deleted_flag", &self.deleted),
            ("the number of the run", &self.run),
            ("the run that corrects", &Ident::fixed(SUPERSEDED_BY)),
        ];
        check.managed_names(&managed, table);
        if let Some(column) = table.columns.iter().find(|column| column.name.as_str().starts_with("_ematix_"))
        {
            let message =
                format!("the column `{}`: names that begin with _ematix_ are the load's own", column.name);
            check.fail(
                "",
                FlowError::new(ErrorCode::DuplicateName, message)
                    .hint("rename it in the query and the declaration"),
            );
        }
    }
}
