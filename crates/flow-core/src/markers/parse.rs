//! Markers that read text as something else. None ever ends a statement: a value is looked at before it is cast, by
//! expressions that every Postgres from 15 on answers alike.

mod iso;
mod json;
mod numbers;
mod template;
mod times;

use super::arguments::{Arguments, Named, literal_fits, literal_in};
use super::family::{Families, Family};
use super::text::WHITE_SPACE;
use super::value::{Unread, Value};
use super::{Marker, times as zones};
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::{Literal, Sql};
use serde_json::Value as Json;
use std::sync::Arc;

/// What becomes of a value that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub enum OnFailure {
    /// NULL, and it is counted.
    Null,
    /// This, and it is counted.
    Default(Json),
    /// The run ends.
    Error,
}

/// A marker that reads text.
#[derive(Debug)]
struct Parser {
    name: &'static str,
    reads: Reads,
    on_failure: OnFailure,
}

#[derive(Debug)]
enum Reads {
    Int(numbers::Marks),
    Numeric(numbers::Marks),
    Bool,
    Json,
    Timestamp { text: times::Text, zone: String },
    Date(times::Text),
}

impl Reads {
    fn gives(&self) -> Families {
        match self {
            Reads::Int(_) => Families::numbers(),
            Reads::Numeric(_) => Families::numbers(),
            Reads::Bool => Families::of(Family::Boolean),
            Reads::Json => Families::of(Family::Json),
            Reads::Timestamp { .. } => {
                Families::any_of(&[Family::Timestamp, Family::TimestampTz, Family::Date])
            }
            Reads::Date(_) => Families::of(Family::Date),
        }
    }

    /// What it reads, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Reads::Int(_) => "a whole number",
            Reads::Numeric(_) => "a number",
            Reads::Bool => "a truth value",
            Reads::Json => "JSON",
            Reads::Timestamp { .. } => "a time",
            Reads::Date(_) => "a date",
        }
    }

    /// The zone of times that name none.
    fn zone(&self) -> &str {
        match self {
            Reads::Timestamp { zone, .. } => zone,
            _ => "UTC",
        }
    }

    /// A value that is of the type already.
    fn pass(&self, value: &mut Value<'_>) -> bool {
        let Some(family) = value.family else { return false };
        match self {
            Reads::Int(_) => family == Family::Integer,
            Reads::Numeric(_) => Families::numbers().has(family),
            Reads::Bool => family == Family::Boolean,
            Reads::Json => family == Family::Json,
            Reads::Timestamp { zone, .. } => times::pass_timestamp(value, zone),
            Reads::Date(_) => times::pass_date(value),
        }
    }

    /// The text `v` as a value, NULL where it is none; sets the value.
    fn read(&self, value: &mut Value<'_>, v: &Sql) {
        match self {
            Reads::Int(marks) => numbers::integer(value, v, marks),
            Reads::Numeric(marks) => numbers::numeric(value, v, marks),
            Reads::Bool => {
                let word = sql!("{lower}({v})", lower = value.function("lower"), v);
                value.set(
                    sql!(
                        "CASE WHEN {word} IN ('true', 't', 'yes', 'y', 'on', '1') THEN TRUE\n            WHEN {word} IN ('false', 'f', 'no', 'n', 'off', '0') THEN FALSE\n       END",
                        word
                    ),
                    Some(Family::Boolean),
                );
            }
            Reads::Json => json::json(value, v),
            Reads::Timestamp { text, zone } => times::timestamp(value, v, text, zone),
            Reads::Date(text) => times::date(value, v, text),
        }
    }
}

impl Marker for Parser {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self) -> Option<Families> {
        Some(Families::text())
    }

    fn gives(&self) -> Option<Families> {
        Some(self.reads.gives())
    }

    fn reads(&self) -> bool {
        true
    }

    fn fits(&self, needed: Families) -> Result<()> {
        match &self.on_failure {
            OnFailure::Default(default) => literal_fits(self.name, default, needed),
            OnFailure::Null | OnFailure::Error => Ok(()),
        }
    }

    fn apply(&self, value: &mut Value<'_>) -> Result<()> {
        if self.reads.pass(value) {
            return Ok(());
        }
        let text = value.text();
        let white = Literal::Text(WHITE_SPACE.to_owned());
        // Under "C" a pattern means the same in every database, and no collation refuses it.
        value.set(
            sql!(
                "{btrim}({text}, {white}) COLLATE pg_catalog.\"C\"",
                btrim = value.function("btrim"),
                text,
                white
            ),
            Some(Family::Text),
        );
        let v = value.named();
        self.reads.read(value, &v);
        let family = value.family;
        let read = value.named();
        let failed = sql!("{v} IS NOT NULL AND {read} IS NULL", v, read);
        value.unread.push(Unread {
            text: sql!("CASE WHEN {failed} THEN {v} END", failed, v),
            kind: self.reads.kind(),
            marker: self.name,
            on_failure: self.on_failure.clone(),
        });
        if let OnFailure::Default(default) = &self.on_failure {
            let default = match default {
                Json::Array(_) | Json::Object(_) => {
                    sql!("{text}", text = Literal::Text(default.to_string()))
                }
                plain => literal_in(self.name, plain, family, self.reads.zone())?,
            };
            value.set(
                sql!("CASE WHEN {failed} THEN {default} ELSE {read} END", failed, default, read),
                family,
            );
        }
        Ok(())
    }
}

fn parser(name: &'static str, named: &Named<'_>, reads: Reads) -> Result<Arc<dyn Marker>> {
    let word = named.text("on_failure")?.unwrap_or_else(|| "null".to_owned());
    let default = named.get("default").cloned();
    let on_failure = match (word.as_str(), default) {
        ("default", Some(default)) => OnFailure::Default(default),
        ("default", None) => {
            return Err(FlowError::new(
                ErrorCode::MissingOption,
                format!("`{name}`: on_failure = \"default\" needs the value"),
            )
            .hint("add default = …, or write on_failure = \"null\""));
        }
        ("null", None) => OnFailure::Null,
        ("error", None) => OnFailure::Error,
        ("null" | "error", Some(_)) => {
            return Err(FlowError::new(
                ErrorCode::ConflictingOptions,
                format!("`{name}`: default has no meaning with on_failure = \"{word}\""),
            )
            .hint("add on_failure = \"default\"; NULL from the source is replaced by the marker `default`"));
        }
        _ => {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{name}`: on_failure cannot be `{word}`"),
            )
            .hint("on_failure is one of null, default, error"));
        }
    };
    Ok(Arc::new(Parser { name, reads, on_failure }))
}

pub fn parse_int(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["thousands", "on_failure", "default"])?;
    let marks = numbers::Marks::read(arguments, None, named.text("thousands")?, false)?;
    parser("parse_int", &named, Reads::Int(marks))
}

pub fn parse_numeric(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["decimal_separator", "thousands", "on_failure", "default"])?;
    let point = named.text("decimal_separator")?;
    let marks = numbers::Marks::read(arguments, point, named.text("thousands")?, true)?;
    parser("parse_numeric", &named, Reads::Numeric(marks))
}

pub fn parse_bool(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    parser("parse_bool", &arguments.named(&["on_failure", "default"])?, Reads::Bool)
}

pub fn parse_json(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    parser("parse_json", &arguments.named(&["on_failure", "default"])?, Reads::Json)
}

fn times_text(named: &Named<'_>) -> Result<times::Text> {
    let day_first = match named.get("day_first") {
        None => true,
        Some(Json::Bool(day_first)) => *day_first,
        Some(_) => {
            return Err(FlowError::new(ErrorCode::InvalidValue, "`day_first` is true or false"));
        }
    };
    Ok(match named.text("format")? {
        Some(format) => times::Text::Template(template::Template::read(&format)?),
        None => times::Text::Usual { day_first },
    })
}

pub fn parse_timestamp(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["format", "tz", "day_first", "on_failure", "default"])?;
    let zone = zones::zone(arguments, named.text("tz")?.unwrap_or_else(|| "UTC".to_owned()))?;
    parser("parse_timestamp", &named, Reads::Timestamp { text: times_text(&named)?, zone })
}

pub fn parse_date(arguments: &Arguments<'_>) -> Result<Arc<dyn Marker>> {
    let named = arguments.named(&["format", "day_first", "on_failure", "default"])?;
    parser("parse_date", &named, Reads::Date(times_text(&named)?))
}
