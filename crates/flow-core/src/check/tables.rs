//! Checks the declaration of a table.

use super::Check;
use crate::declare::{ColumnSpec, DefaultSpec, FullColumnSpec, IndexSpec, Places, ScalarSpec, TableSpec};
use crate::error::{ErrorCode, FlowError};
use crate::markers::Chain;
use crate::schema::{Column, ColumnDefault, Index, Table};
use crate::sql::{Ident, Literal, QualifiedName};
use crate::types::DataType;

impl Check<'_> {
    pub(crate) fn table(&mut self, key: &str, spec: &TableSpec) -> Option<Table> {
        let outer = std::mem::replace(&mut self.path, Places::path(spec.section(), key));
        let table = self.table_inner(key, spec);
        self.path = outer;
        table
    }

    fn table_inner(&mut self, key: &str, spec: &TableSpec) -> Option<Table> {
        let errors = self.errors.len();
        let schema = self.keep("schema", Ident::new(spec.schema.as_deref().unwrap_or("public")));
        let name = self.keep("name", Ident::new(spec.name.as_deref().unwrap_or(key)));
        let (mut columns, mut cleaning) = (Vec::new(), Vec::new());
        let (mut primary_key, mut natural_key, mut unique) = (Vec::new(), Vec::new(), Vec::new());
        for (column_name, column) in &spec.columns {
            let part = format!("columns.{column_name}");
            let Some(ident) = self.keep(&part, Ident::new(column_name)) else { continue };
            let full = match column {
                ColumnSpec::Type(data_type) => {
                    FullColumnSpec { data_type: data_type.clone(), ..FullColumnSpec::default() }
                }
                ColumnSpec::Full(full) => (**full).clone(),
            };
            let written = full.data_type.trim();
            let (type_text, nullable) = match written.strip_suffix('?') {
                Some(text) => (text, true),
                None => (written, false),
            };
            let Some(data_type) = self.keep(&part, DataType::parse(type_text)) else { continue };
            if full.primary_key {
                primary_key.push(ident.clone());
            }
            if full.natural_key {
                natural_key.push(ident.clone());
            }
            if full.unique {
                unique.push(vec![ident.clone()]);
            }
            let default = full.default.as_ref().map(|default| match default {
                DefaultSpec::Sql { sql } => ColumnDefault::Expression(sql.clone()),
                DefaultSpec::Value(value) => ColumnDefault::Value(literal(value)),
            });
            match Chain::read(&full.normalize, &data_type) {
                Ok(chain) if !full.normalize.is_empty() => {
                    let place =
                        |index| self.project.places.find(&format!("{}.{part}.normalize.{index}", self.path));
                    let places = (0..full.normalize.len()).map(place).collect();
                    cleaning.push((ident.clone(), chain.at(places)));
                }
                Ok(_) => {}
                Err(mistakes) => mistakes.into_iter().for_each(|(index, error)| {
                    let error = of_column(error, column_name, key);
                    self.fail(&format!("{part}.normalize.{index}"), error);
                }),
            }
            columns.push(Column {
                name: ident,
                data_type,
                nullable,
                default,
                description: full.description.clone(),
            });
        }
        if spec.columns.is_empty() {
            let error =
                FlowError::new(ErrorCode::MissingOption, format!("table `{key}` declares no columns"));
            self.fail(
                "",
                error.hint(format!(
                    "add [tables.{key}.columns], or name the target with its schema to take the live table's"
                )),
            );
        }
        for (part, list, from_columns) in [
            ("primary_key", &spec.primary_key, &mut primary_key),
            ("natural_key", &spec.natural_key, &mut natural_key),
        ] {
            if let Some(names) = self.names(part, list) {
                if !from_columns.is_empty() && *from_columns != names {
                    let error = FlowError::new(
                        ErrorCode::ConflictingOptions,
                        format!("table `{key}` declares its {part} twice, and differently"),
                    );
                    self.fail(part, error.hint("declare it on the columns or on the table, not both"));
                }
                *from_columns = names;
            }
        }
        for names in &spec.unique {
            unique.extend(self.names("unique", &Some(names.clone())));
        }
        let mut indexes = Vec::new();
        for index in &spec.indexes {
            let built = match index {
                IndexSpec::Columns(names) => self.names("indexes", &Some(names.clone())).map(|columns| {
                    Index { name: None, columns, unique: false, method: None, condition: None }
                }),
                IndexSpec::Full(full) => {
                    let name = full.name.as_ref().and_then(|name| self.keep("indexes", Ident::new(name)));
                    let method = full.using.as_ref().and_then(|name| self.keep("indexes", Ident::new(name)));
                    self.names("indexes", &Some(full.columns.clone())).map(|columns| Index {
                        name,
                        columns,
                        unique: full.unique,
                        method,
                        condition: full.condition.clone(),
                    })
                }
            };
            indexes.extend(built);
        }
        let options = spec
            .options
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    ScalarSpec::Boolean(value) => value.to_string(),
                    ScalarSpec::Integer(value) => value.to_string(),
                    ScalarSpec::Float(value) => value.to_string(),
                    ScalarSpec::Text(value) => value.clone(),
                };
                (name.clone(), value)
            })
            .collect();
        let table = Table {
            name: QualifiedName { schema: schema?, name: name? },
            columns,
            primary_key,
            natural_key,
            unique,
            indexes,
            options,
            description: spec.description.clone(),
            cleaning,
        };
        let lists = [("primary_key", &table.primary_key), ("natural_key", &table.natural_key)];
        for (part, names) in lists
            .into_iter()
            .chain(table.unique.iter().map(|names| ("unique", names)))
            .chain(table.indexes.iter().map(|index| ("indexes", &index.columns)))
        {
            self.known_columns(part, names, &table);
        }
        (self.errors.len() == errors).then_some(table)
    }
}

/// A mistake in a marker, with the column whose it is.
fn of_column(error: FlowError, column: &str, table: &str) -> FlowError {
    let message = format!("{}, in column `{column}` of table `{table}`", error.message);
    FlowError { message, ..error }
}

fn literal(value: &ScalarSpec) -> Literal {
    match value {
        ScalarSpec::Boolean(value) => Literal::Boolean(*value),
        ScalarSpec::Integer(value) => Literal::Integer(*value),
        ScalarSpec::Float(value) => Literal::Float(*value),
        ScalarSpec::Text(value) => Literal::Text(value.clone()),
    }
}
