//! Everything that a project declares, and where each part was written.

use super::for_each::{Member, Question};
use super::places::Places;
use super::variables::Variables;
use super::{ConnectionSpec, FeatureSpec, PipelineOptions, PipelineSpec, TableSpec, TransformSpec};
use crate::engine::Foreign;
use crate::error::{ErrorCode, FlowError};
use crate::sql::QualifiedName;
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// Everything that the files of a project declare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectSpec {
    /// Connections by name.
    pub connections: IndexMap<String, ConnectionSpec>,
    /// Tables by the name under which pipelines refer to them.
    pub tables: Tables,
    /// Pipelines by name, with `[defaults]` applied.
    pub pipelines: IndexMap<String, PipelineSpec>,
    /// What `[defaults]` say, those of the environment among them.
    pub defaults: PipelineOptions,
    /// Transforms by name.
    pub transforms: IndexMap<String, TransformSpec>,
    /// Those among the transforms that are functions of Python.
    pub functions: Vec<String>,
    /// Python modules with further pipelines.
    pub python: Vec<String>,
    /// Pipelines that load several targets from one reading: what each loads, by `NAME/target`. The pipeline itself
    /// stands for its first.
    pub together: IndexMap<String, IndexMap<String, PipelineSpec>>,
    /// Pipelines whose query a function of Python answers, once per plan.
    pub called: HashSet<String>,
    /// The files that it was read from, in their order.
    pub files: Vec<String>,
    /// Where each part was written.
    pub places: Places,
    /// The environment that was chosen.
    pub environment: Option<EnvironmentSpec>,
    /// What `{name}` and `:name` stand for.
    pub variables: Variables,
    /// Pipelines that stand for many, which only a database can name: how each is written, and what is to be asked.
    pub each: IndexMap<String, (String, Question)>,
    /// Whether a database was asked which pipelines there are.
    pub asked: bool,
    /// Globs over the names of pipelines that only a database can name, and that nobody has asked for.
    pub unasked: Vec<String>,
    /// Pipelines that are one of many.
    pub members: IndexMap<String, Member>,
    /// The connections that lead to engines which are only read: what only an environment tells, put there by whoever
    /// has one.
    pub foreign: IndexMap<String, Foreign>,
    /// Pipelines whose query was filled with identifiers, which are quoted as Postgres quotes them.
    pub identified: Vec<String>,
    /// The variables that a pipeline names, where it names any.
    pub used_variables: IndexMap<String, Vec<String>>,
}

/// An environment: what of it is not laid over the files while they are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvironmentSpec {
    /// Its name.
    pub name: String,
    /// Where connections lead in it.
    pub connections: IndexMap<String, ConnectionSpec>,
}

/// A name in quotes, as TOML has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Tables by the name under which pipelines refer to them; a qualified name finds them too. A clone copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    by_key: Arc<IndexMap<String, TableSpec>>,
    /// Made when it is first asked, and again after a change: schema and name to the table's place in the list.
    by_name: OnceLock<Arc<HashMap<(String, String), usize>>>,
}

impl Tables {
    /// The first table of a schema and a name, with its key: `[tables.dim_customers]` of schema `analytics` may also be
    /// called `analytics.dim_customers`.
    pub fn called(&self, schema: &str, name: &str) -> Option<(&str, &TableSpec)> {
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name = HashMap::with_capacity(self.by_key.len());
            for (index, (key, table)) in self.by_key.iter().enumerate() {
                let schema = table.schema.as_deref().unwrap_or("public");
                let name = table.name.as_deref().unwrap_or(key);
                by_name.entry((schema.to_owned(), name.to_owned())).or_insert(index);
            }
            Arc::new(by_name)
        });
        let index = by_name.get(&(schema.to_owned(), name.to_owned()))?;
        self.by_key.get_index(*index).map(|(key, table)| (key.as_str(), table))
    }
}

impl PartialEq for Tables {
    fn eq(&self, other: &Tables) -> bool {
        self.by_key == other.by_key
    }
}

impl Deref for Tables {
    type Target = IndexMap<String, TableSpec>;

    fn deref(&self) -> &IndexMap<String, TableSpec> {
        &self.by_key
    }
}

impl DerefMut for Tables {
    fn deref_mut(&mut self) -> &mut IndexMap<String, TableSpec> {
        self.by_name = OnceLock::new();
        Arc::make_mut(&mut self.by_key)
    }
}

impl IntoIterator for Tables {
    type Item = (String, TableSpec);
    type IntoIter = indexmap::map::IntoIter<String, TableSpec>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.by_key).into_iter()
    }
}

/// A name that two projects declare: its sections, the name, the mistake.
type Clash = (&'static str, String, FlowError);

impl ProjectSpec {
    /// Whether a connection is declared to be no target.
    pub fn is_read_only(&self, connection: &str) -> bool {
        let of_environment = self.environment.iter().filter_map(|chosen| chosen.connections.get(connection));
        self.connections.get(connection).into_iter().chain(of_environment).any(|spec| spec.read_only)
    }

    /// The target of a pipeline, or of a part of one, as `schema.table`.
    pub fn target_name(&self, spec: &PipelineSpec) -> String {
        match self.tables.get(&spec.target) {
            Some(table) => {
                let schema = table.schema.as_deref().unwrap_or("public");
                format!("{schema}.{}", table.name.as_deref().unwrap_or(&spec.target))
            }
            None => spec.target.clone(),
        }
    }

    /// The declared table that a pipeline names as its target, with its key: by that key, else by its qualified name.
    pub fn declared_target(&self, target: &str) -> Option<(&str, &TableSpec)> {
        if let Some((key, table)) = self.tables.get_key_value(target) {
            return Some((key, table));
        }
        match QualifiedName::parse(target) {
            Ok((Some(schema), name)) => self.tables.called(schema.as_str(), name.as_str()),
            _ => None,
        }
    }

    /// The feature view whose table a pipeline names as its target, with its key.
    pub fn view_filled_by(&self, target: &str) -> Option<(&str, &FeatureSpec)> {
        let (key, table) = self.declared_target(target)?;
        Some((key, table.feature.as_deref()?))
    }

    /// The pipelines that fill a feature view, each with the connection of the target there.
    pub fn fillers_of(&self, key: &str) -> Vec<(&str, Option<&str>)> {
        let fills =
            |spec: &&PipelineSpec| self.view_filled_by(&spec.target).is_some_and(|(found, _)| found == key);
        let mut found = Vec::new();
        for (name, spec) in &self.pipelines {
            let parts = self.together.get(name).map(|parts| parts.values().collect::<Vec<_>>());
            let each = parts.unwrap_or_else(|| vec![spec]);
            if let Some(filler) = each.into_iter().find(fills) {
                let said = filler.options.target_connection.as_deref();
                let at = said.or_else(|| filler.source.first_connection());
                found.push((name.as_str(), at));
            }
        }
        found
    }

    /// The feature views in the order of their declaration, each with its key.
    pub fn features(&self) -> impl Iterator<Item = (&str, &TableSpec, &FeatureSpec)> {
        self.tables.iter().filter_map(|(key, table)| Some((key.as_str(), table, table.feature.as_deref()?)))
    }

    /// Every target of a pipeline as `schema.table`: several where one reading loads them together.
    pub fn target_names(&self, name: &str, spec: &PipelineSpec) -> Vec<String> {
        match self.together.get(name) {
            Some(parts) => parts.values().map(|part| self.target_name(part)).collect(),
            None => vec![self.target_name(spec)],
        }
    }

    /// The project as one of its pipelines sees it, without the others. It costs little, however many there are.
    pub fn seen_by(&self, pipeline: &str) -> ProjectSpec {
        fn own<T: Clone>(of: &IndexMap<String, T>, pipeline: &str) -> IndexMap<String, T> {
            of.get_key_value(pipeline).map(|(name, own)| (name.clone(), own.clone())).into_iter().collect()
        }
        let among = |names: &[String]| names.iter().filter(|name| *name == pipeline).cloned().collect();
        ProjectSpec {
            connections: self.connections.clone(),
            tables: self.tables.clone(),
            pipelines: own(&self.pipelines, pipeline),
            defaults: self.defaults.clone(),
            transforms: self.transforms.clone(),
            functions: self.functions.clone(),
            python: self.python.clone(),
            together: own(&self.together, pipeline),
            called: self.called.get(pipeline).into_iter().cloned().collect(),
            files: self.files.clone(),
            places: self.places.clone(),
            environment: self.environment.clone(),
            variables: self.variables.clone(),
            each: own(&self.each, pipeline),
            asked: self.asked,
            unasked: self.unasked.clone(),
            members: own(&self.members, pipeline),
            foreign: self.foreign.clone(),
            identified: among(&self.identified),
            used_variables: own(&self.used_variables, pipeline),
        }
    }

    /// Remembers which variables a pipeline names.
    pub(crate) fn uses(&mut self, pipeline: &str, variables: Vec<String>) {
        if variables.is_empty() {
            return;
        }
        let used = self.used_variables.entry(pipeline.to_owned()).or_default();
        for name in variables {
            if !used.contains(&name) {
                used.push(name);
            }
        }
    }

    /// Adds what another project declares.
    ///
    /// # Errors
    /// `duplicate_name` for every name that both declare.
    pub fn add(&mut self, other: ProjectSpec) -> Result<(), Vec<FlowError>> {
        let clashes = self.clashes(&other);
        if !clashes.is_empty() {
            return Err(clashes.into_iter().map(|(_, _, error)| error).collect());
        }
        self.take(other);
        Ok(())
    }

    /// Every name that both declare.
    pub(crate) fn clashes(&self, other: &ProjectSpec) -> Vec<Clash> {
        let clash = |sections: &'static str, name: &String| {
            let path = Places::path(sections, name);
            let kind = match sections {
                "features" => "feature view",
                _ => sections.trim_end_matches('s'),
            };
            let mut error =
                FlowError::new(ErrorCode::DuplicateName, format!("the {kind} `{name}` is declared twice"));
            let first = self.tables.get(name).filter(|_| matches!(sections, "tables" | "features"));
            let first = first.map_or(sections, |table| table.section());
            if let Some(first) = self.places.find(&Places::path(first, name)) {
                error = error.detail(format!("first at {}:{}", first.file, first.line));
            }
            error = match other.places.find(&path) {
                Some(place) => error.at(place),
                None => error,
            };
            (sections, name.clone(), error)
        };
        let connections = other.connections.keys().filter(|name| self.connections.contains_key(*name));
        let tables = other.tables.iter().filter(|(name, _)| self.tables.contains_key(*name));
        let pipelines = other.pipelines.keys().filter(|name| self.pipelines.contains_key(*name));
        let transforms = other.transforms.keys().filter(|name| self.transforms.contains_key(*name));
        connections
            .map(|name| clash("connections", name))
            .chain(tables.map(|(name, table)| clash(table.section(), name)))
            .chain(pipelines.map(|name| clash("pipelines", name)))
            .chain(transforms.map(|name| clash("transforms", name)))
            .collect()
    }

    /// Adds what another project declares, none of whose names is declared here.
    pub(crate) fn take(&mut self, other: ProjectSpec) {
        self.connections.extend(other.connections);
        self.tables.extend(other.tables);
        self.pipelines.extend(other.pipelines);
        self.transforms.extend(other.transforms);
        self.functions.extend(other.functions);
        self.python.extend(other.python);
        self.files.extend(other.files);
        self.together.extend(other.together);
        self.called.extend(other.called);
        self.identified.extend(other.identified);
        self.places.extend(other.places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_qualified_name_after_every_change() {
        let mut tables = Tables::default();
        assert_eq!(tables.called("public", "a"), None);
        tables.insert("a".to_owned(), TableSpec::default());
        assert_eq!(tables.called("public", "a").map(|(key, _)| key), Some("a"));
        let other =
            TableSpec { schema: Some("s".to_owned()), name: Some("n".to_owned()), ..TableSpec::default() };
        tables.insert("b".to_owned(), other.clone());
        tables.insert("c".to_owned(), other);
        assert_eq!(tables.called("s", "n").map(|(key, _)| key), Some("b"));
        assert_eq!(tables.called("s", "b"), None);
    }
}
