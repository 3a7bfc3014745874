//! Markers that are SQL themselves: a cast, an expression over the value, an expression instead of it.

use super::Marker;
use super::arguments::Arguments;
use super::family::{Families, Family};
use super::value::Value;
use crate::error::Result;
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
        let type_name = value.dialect.type_name(&self.0);
        let cast = value.dialect.cast_to(&sql!("({value})", value = value.sql()), &type_name);
        value.set(cast, Family::of_declared(&self.0));
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
