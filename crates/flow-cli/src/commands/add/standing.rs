//! What a project says already of what is to be declared. Nothing that stands there is ever written over.

use super::wanted::{Load, Wanted};
use crate::project::{source_connection, target_connection};
use ematix_flow_core::declare::{ColumnSpec, PipelineSpec, Places, ProjectSpec, TableSpec};
use ematix_flow_core::error::{ErrorCode, FlowError};
use ematix_flow_core::sql::QualifiedName;
use ematix_flow_core::types::DataType;

/// How a table stands to the project.
pub enum Standing {
    /// Nothing has its name.
    New,
    /// Its target is declared under this key, and nothing loads it; with what differs there.
    Declared(String, Vec<String>),
    /// It is loaded already; with what differs there.
    Kept(Vec<String>),
    /// Its name belongs to something else.
    Taken(FlowError),
}

/// Looks for a table's names in a project.
pub fn of(project: &ProjectSpec, wanted: &Wanted, load: &Load) -> Standing {
    let is_ours = |spec: &PipelineSpec| {
        target_connection(spec) == load.to && target_of(project, spec).as_ref() == Some(&wanted.target)
    };
    if let Some(spec) = project.pipelines.get(&wanted.name) {
        return match reads(spec, wanted, load) && is_ours(spec) {
            true => Standing::Kept(differences(project, spec, wanted)),
            false => Standing::Taken(taken(project, wanted)),
        };
    }
    if let Some((name, spec)) = project.pipelines.iter().find(|(_, spec)| is_ours(spec)) {
        if reads(spec, wanted, load) {
            let mut notes = vec![format!("loaded by the pipeline {name}")];
            notes.extend(differences(project, spec, wanted));
            return Standing::Kept(notes);
        }
        let message = format!("{}: the pipeline `{name}` loads {} already", wanted.source, wanted.target);
        let error = FlowError::new(ErrorCode::DuplicateName, message);
        return Standing::Taken(located(project, error.hint(APART), "pipelines", name));
    }
    let (schema, table) = (wanted.target.schema.as_str(), wanted.target.name.as_str());
    if let Some((key, table)) = project.tables.called(schema, table) {
        return Standing::Declared(key.to_owned(), columns_that_differ(key, table, wanted));
    }
    if project.tables.contains_key(&wanted.key) {
        let message = format!("{}: there is a table `{}` already, another one", wanted.source, wanted.key);
        let error = FlowError::new(ErrorCode::DuplicateName, message);
        return Standing::Taken(located(project, error.hint(APART), "tables", &wanted.key));
    }
    Standing::New
}

const APART: &str =
    "it is left as it is; --name '{schema}_{table}' or --schema gives the new one other names";

fn taken(project: &ProjectSpec, wanted: &Wanted) -> FlowError {
    let message = format!("{}: there is a pipeline `{}` already, another one", wanted.source, wanted.name);
    let error = FlowError::new(ErrorCode::DuplicateName, message).hint(APART);
    located(project, error, "pipelines", &wanted.name)
}

fn located(project: &ProjectSpec, error: FlowError, of: &str, name: &str) -> FlowError {
    match project.places.find(&Places::path(of, name)) {
        Some(place) => error.at(place),
        None => error,
    }
}

/// The target of a pipeline, in whichever words.
fn target_of(project: &ProjectSpec, spec: &PipelineSpec) -> Option<QualifiedName> {
    if let Some(table) = project.tables.get(&spec.target) {
        let name = table.name.as_deref().unwrap_or(&spec.target);
        return QualifiedName::new(table.schema.as_deref().unwrap_or("public"), name).ok();
    }
    match QualifiedName::parse(&spec.target).ok()? {
        (Some(schema), name) => Some(QualifiedName { schema, name }),
        (None, _) => None,
    }
}

/// Whether a pipeline reads the table: by its name, or by a query of that connection, which may be a person's.
fn reads(spec: &PipelineSpec, wanted: &Wanted, load: &Load) -> bool {
    if source_connection(spec) != load.from {
        return false;
    }
    match &spec.source.table {
        Some(table) => matches!(
            QualifiedName::parse(table),
            Ok((Some(schema), name)) if schema == wanted.source.schema && name == wanted.source.name
        ),
        None => spec.source.query.is_some(),
    }
}

fn differences(project: &ProjectSpec, spec: &PipelineSpec, wanted: &Wanted) -> Vec<String> {
    let named = QualifiedName::parse(&spec.target).ok();
    let declared = project.tables.get_key_value(&spec.target).map(|(key, table)| (key.as_str(), table));
    let declared = declared.or_else(|| match &named {
        Some((Some(schema), name)) => project.tables.called(schema.as_str(), name.as_str()),
        _ => None,
    });
    declared.map(|(key, table)| columns_that_differ(key, table, wanted)).unwrap_or_default()
}

/// What the source has otherwise than a table that stands there.
fn columns_that_differ(key: &str, table: &TableSpec, wanted: &Wanted) -> Vec<String> {
    let type_of = |column: &ColumnSpec| {
        let written = match column {
            ColumnSpec::Type(text) => text.clone(),
            ColumnSpec::Full(full) => full.data_type.clone(),
        };
        written.trim().trim_end_matches('?').to_owned()
    };
    let mut told = Vec::new();
    for (name, column) in &wanted.table.columns {
        let own = type_of(column);
        match table.columns.get(name).map(type_of) {
            None => told.push(format!("the source has a column {name} {own}, which [tables.{key}] has not")),
            Some(written) if DataType::parse(&written).ok() != DataType::parse(&own).ok() => {
                told.push(format!("{name} is {written} in [tables.{key}] and {own} in the source"));
            }
            Some(_) => {}
        }
    }
    told
}
