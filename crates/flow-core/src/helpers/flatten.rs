//! Columns out of a JSON object, by a declared list.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::{ErrorCode, FlowError, Result};
use crate::markers::Family;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::DataType;
use serde_json::Value as Json;
use std::sync::Arc;

#[derive(Debug)]
struct Flatten {
    column: Ident,
    into: Vec<Field>,
}

/// A column that comes out of the object.
#[derive(Debug)]
struct Field {
    name: Ident,
    path: Vec<String>,
    data_type: DataType,
}

impl Helper for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        let data_type = rows.column("flatten", &self.column)?;
        if Family::of(data_type) != Family::Json {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "`flatten` takes a JSON object, and `{}` is of type {}",
                    self.column, data_type.name
                ),
            )
            .hint(format!(
                "make one of it before: {{ with_column = {{ name = \"{0}\", expression = \"{0}::jsonb\" }} }}",
                self.column
            )));
        }
        let plain = data_type.wire.name == "json";
        let fields: Vec<(Ident, Sql)> =
            self.into.iter().map(|field| (field.name.clone(), self.value(rows, field, plain))).collect();
        Ok(rows.with(&fields, &Sql::empty()))
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn before(&self, after: &mut Vec<Ident>) {
        after.retain(|name| self.into.iter().all(|field| field.name != *name) || *name == self.column);
        if !after.contains(&self.column) {
            after.push(self.column.clone());
        }
    }
}

impl Flatten {
    /// The value at a path, NULL where the object has none there.
    fn value(&self, rows: &Rows<'_>, field: &Field, plain: bool) -> Sql {
        let is_json = Family::of_declared(&field.data_type) == Some(Family::Json);
        let function = match (plain, is_json) {
            (true, true) => "json_extract_path",
            (true, false) => "json_extract_path_text",
            (false, true) => "jsonb_extract_path",
            (false, false) => "jsonb_extract_path_text",
        };
        let path = field.path.iter().map(|key| sql!("{key}", key = Literal::Text(key.clone())));
        let value = sql!(
            "{extract}(q.{column}, {path})",
            extract = rows.dialect.function(function),
            column = self.column,
            path = Sql::join(path, ", ")
        );
        match field.data_type {
            DataType::Text => value,
            _ => rows.dialect.cast_to(&value, &rows.dialect.type_name(&field.data_type)),
        }
    }
}

/// `"address.city"`, `["a.b", "c"]`, `{ path = "address.zip", type = "bigint" }`.
fn field(arguments: &Arguments<'_>, name: &str, written: &Json) -> Result<Field> {
    let wrong = |what: &str| {
        Err(arguments.wrong(format!("says of `{name}` {what}")).hint(
            "write { city = \"address.city\" }, or { zip = { path = \"address.zip\", type = \"bigint\" } }",
        ))
    };
    let (path, data_type) = match written {
        Json::Object(table) => {
            if let Some(other) = table.keys().find(|key| !matches!(key.as_str(), "path" | "type")) {
                return wrong(&format!("`{other}`, which is neither path nor type"));
            }
            let data_type = match table.get("type") {
                None => DataType::Text,
                Some(Json::String(text)) => DataType::parse(text.trim().trim_end_matches('?'))?,
                Some(_) => return wrong("a type that is no text"),
            };
            (table.get("path"), data_type)
        }
        other => (Some(other), DataType::Text),
    };
    let path: Option<Vec<String>> = match path {
        None => Some(vec![name.to_owned()]),
        Some(Json::String(text)) => Some(text.split('.').map(str::to_owned).collect()),
        Some(Json::Array(keys)) => keys.iter().map(|key| key.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    };
    match path.filter(|path| !path.is_empty() && path.iter().all(|key| !key.is_empty())) {
        Some(path) => Ok(Field { name: arguments.column(name)?, path, data_type }),
        None => wrong("a path that is none"),
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let named = arguments.named(&["column", "into"])?;
    let column = named.needed_column("column")?;
    let Json::Object(written) = named.needed("into")? else {
        return Err(arguments
            .wrong("takes the columns as a table")
            .hint("write { flatten = { column = \"payload\", into = { city = \"address.city\" } } }"));
    };
    if written.is_empty() {
        return Err(arguments.wrong("makes no column").hint("write into = { city = \"address.city\" }"));
    }
    let into = written.iter().map(|(name, path)| field(arguments, name, path)).collect::<Result<_>>()?;
    Ok(Arc::new(Flatten { column, into }))
}
