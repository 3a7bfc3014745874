//! Markers that are SQL themselves: a cast, an expression over the value, an expression instead of it.

use super::Marker;
use super::arguments::Arguments;
use super::family::{Families, Family};
use super::value::Value;
use crate::error::{ErrorCode, FlowError, Result};
use crate::query;
use crate::sql;
use crate::sql::Sql;
use crate::types::DataType;
use std::sync::Arc;

/// A cast on the way.
#[derive(Debug)]
struct CastTo(DataType);

impl Marker for CastTo {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        Family::of_declared(&self.0).map(Families::of)
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        use Family::{Date, Text, Timestamp, TimestampTz};
        let to = Family::of_declared(&self.0);
        let utc = |time: Sql| sql!("({time} AT TIME ZONE 'UTC')", time);
        // What a session's settings would say otherwise.
        let from = match (value.family, to) {
            (Some(Text), Some(Date | Timestamp | TimestampTz)) => {
                let parser = if to == Some(Date) { "parse_date" } else { "parse_timestamp" };
                let (column, data_type) = (value.column, &self.0);
                let what = format!(
                    "`cast` in column `{column}` makes {data_type} of text, which every session reads in its own way"
                );
                return Err(FlowError::new(ErrorCode::InvalidValue, what)
                    .hint(format!("write `{parser}` instead of the cast")));
            }
            (Some(family), Some(Text)) if family != Text => value.text(),
            (Some(Timestamp | Date), Some(TimestampTz)) => {
                utc(sql!("({value})::timestamp", value = value.sql()))
            }
            (Some(TimestampTz), Some(Timestamp | Date)) => utc(sql!("({value})", value = value.sql())),
            _ => value.sql(),
        };
        let type_name = value.dialect.type_name(&self.0);
        let cast = value.dialect.cast_to(&sql!("({from})", from), &type_name);
        value.set_typed(cast, &self.0);
        Ok(())
    }
}

pub fn cast(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    Ok(Arc::new(CastTo(DataType::parse(&arguments.only_text()?)?)))
}

/// An expression over the source's columns, instead of a column of that name.
#[derive(Debug)]
struct Derive(String);

impl Marker for Derive {
    fn name(&self) -> &'static str {
        "derive"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn replaces(&self) -> bool {
        true
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        value.set(Sql::user(&self.0), None);
        Ok(())
    }
}

pub fn derive(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let text = arguments.only_text()?;
    query::check_expression(&text)?;
    Ok(Arc::new(Derive(text)))
}

/// An expression in which `{col}` stands for the value.
#[derive(Debug)]
struct Expression(String);

impl Marker for Expression {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn takes(&self) -> Option<Families> {
        None
    }

    fn gives(&self) -> Option<Families> {
        None
    }

    fn depends_on_type(&self) -> bool {
        false
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        let named = value.named().to_text(value.dialect);
        let text = query::filled(&self.0, |name| Ok(format!(":{name}")), |_| Ok(named.clone()))?;
        value.set(Sql::user(&text), None);
        Ok(())
    }
}

pub fn sql(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let text = arguments.only_text()?;
    query::check_expression(&text)?;
    let named = query::names_in_braces(&text)?;
    if let Some(other) = named.iter().find(|name| *name != "col") {
        return Err(arguments.wrong(format!("knows no `{{{other}}}`")).hint("{col} stands for the value"));
    }
    if named.is_empty() {
        return Err(arguments
            .wrong("does not say where the value stands")
            .hint("write {col} for it: \"upper({col})\"; without it the marker is `derive`"));
    }
    Ok(Arc::new(Expression(text)))
}
