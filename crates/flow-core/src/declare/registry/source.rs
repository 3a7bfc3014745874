//! What only Python says of a source: values for `:name` and `{name}`, and columns of a table.

use crate::dialect::postgres::Postgres;
use crate::error::{ErrorCode, FlowError};
use crate::query;
use crate::sql::{Ident, Literal, QualifiedName, Quote};
use serde_json::{Map, Value as Json};

/// A source as Python writes it, as TOML has it: what `params` fills, and the query that `columns` of a table make.
pub(super) fn as_in_toml(source: &mut Map<String, Json>) -> Result<(), FlowError> {
    if let Some(Json::Array(members)) = source.get_mut("union") {
        members.iter_mut().filter_map(Json::as_object_mut).try_for_each(as_in_toml)?;
    }
    if let Some(params) = source.shift_remove("params").filter(|params| !params.is_null()) {
        let query = source.get("query").and_then(Json::as_str).unwrap_or_default();
        let filled = query::filled(query, |name| literal_of(name, &params), |name| name_of(name, &params))?;
        source.insert("query".to_owned(), Json::from(filled));
    }
    if let Some(Json::Array(columns)) = source.shift_remove("columns")
        && let Some(Json::String(table)) = source.shift_remove("table")
    {
        let quote = |name: &str| Ident::new(name).map(|name| Postgres.quote(&name));
        let columns: Vec<String> =
            columns.iter().filter_map(Json::as_str).map(quote).collect::<Result<_, _>>()?;
        let (schema, name) = QualifiedName::parse(&table)?;
        let schema = schema.map_or_else(String::new, |schema| format!("{}.", Postgres.quote(&schema)));
        let query = format!("SELECT {} FROM {schema}{}", columns.join(", "), Postgres.quote(&name));
        source.insert("query".to_owned(), Json::from(query));
    }
    Ok(())
}

fn param<'p>(name: &str, params: &'p Json) -> Result<&'p Json, FlowError> {
    params.get(name).ok_or_else(|| {
        FlowError::new(ErrorCode::UnknownVariable, format!("`{name}` of the query has no value"))
            .hint(format!("give one: params={{\"{name}\": …}}"))
    })
}

fn literal_of(name: &str, params: &Json) -> Result<String, FlowError> {
    let literal = match param(name, params)? {
        Json::Null => Literal::Null,
        Json::Bool(truth) => Literal::Boolean(*truth),
        // To the last digit, as it was written.
        Json::Number(number) => return Ok(number.to_string()),
        Json::String(text) => Literal::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => {
            return Err(FlowError::new(ErrorCode::InvalidValue, format!("`:{name}` is no single value"))
                .hint("give text, a number, a truth value or None"));
        }
    };
    Ok(Postgres.literal(&literal))
}

fn name_of(name: &str, params: &Json) -> Result<String, FlowError> {
    match param(name, params)? {
        Json::String(text) => Ok(Postgres.quote(&Ident::new(text.clone())?)),
        _ => Err(FlowError::new(ErrorCode::InvalidValue, format!("`{{{name}}}` stands for a name"))
            .hint("give it as text")),
    }
}
