//! Connections that lead to no Postgres: to a file of DuckDB, and to engines that are only read.

use super::user_file::UserFile;
use super::{ConnectionTarget, DEFAULT, Declared, Found, locate, target};
use crate::declare::ProjectSpec;
use crate::declare::environment::Environment;
use crate::declare::file_dsn::{DuckDbPlace, duckdb_place, sqlite_file};
use crate::declare::mysql_dsn::mysql_dsn;
use crate::engine::Foreign;
use crate::error::{ErrorCode, FlowError, Result};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// Finds out which connections lead to engines that are only read. What such a pipeline reads is no target: unless it
/// says another, it loads into `default`.
pub fn know_engines(project: &mut ProjectSpec, environment: &dyn Environment) {
    project.foreign = foreign(project, environment);
    let foreign = &project.foreign;
    if foreign.is_empty() {
        return;
    }
    let parts = project.together.values_mut().flat_map(IndexMap::values_mut);
    for spec in project.pipelines.values_mut().chain(parts) {
        let reads = spec.source.first_connection().is_some_and(|name| foreign.contains_key(name));
        if reads && spec.options.target_connection.is_none() {
            spec.options.target_connection = Some(DEFAULT.to_owned());
        }
    }
}

fn foreign(project: &ProjectSpec, environment: &dyn Environment) -> IndexMap<String, Foreign> {
    let user_file = UserFile::new(environment);
    let engine = |name: &str| {
        let found = locate(name, project, &user_file, environment).ok()?;
        if let Found::Project(declared) | Found::User(declared) = &found
            && let Some(dsn) = &declared.spec.dsn
            // What a password's variable holds is nobody's business here.
            && !dsn.reveal().trim_start().starts_with("${")
        {
            return Foreign::of_dsn(dsn.reveal());
        }
        Foreign::of_dsn(found.dsn(environment).ok()??.0.reveal())
    };
    let named = project.pipelines.values().chain(project.together.values().flat_map(IndexMap::values));
    let of_pipelines = named.flat_map(|spec| {
        let sources = spec.source.connections().into_iter().flatten();
        sources.chain(spec.options.target_connection.as_deref()).map(str::to_owned)
    });
    let mut all: BTreeSet<String> = of_pipelines.collect();
    all.extend(project.connections.keys().cloned());
    all.insert(DEFAULT.to_owned());
    all.into_iter().filter_map(|name| Some((name.clone(), engine(&name)?))).collect()
}

impl Found<'_> {
    /// Where it leads, where that is no Postgres. A relative file lies beside the file in which it stands.
    pub(super) fn other_engine(
        &self,
        name: &str,
        found_in: &str,
        environment: &dyn Environment,
    ) -> Result<Option<ConnectionTarget>> {
        let Some((dsn, directory)) = self.dsn(environment)? else { return Ok(None) };
        let placed = |error| self.place(error, "dsn");
        if let Some(place) = duckdb_place(dsn.reveal()).map_err(placed)? {
            let place = match place {
                DuckDbPlace::File(file) => {
                    DuckDbPlace::File(directory.join(file).to_string_lossy().into_owned())
                }
                other => other,
            };
            return Ok(Some(target::of_duckdb(name, &place, found_in.to_owned())));
        }
        let found = match sqlite_file(dsn.reveal()).map_err(placed)? {
            Some(read) => target::of_sqlite(&directory.join(read), found_in.to_owned()),
            None => match mysql_dsn(dsn.reveal()).map_err(placed)? {
                Some(read) => target::of_mysql(read, &directory, found_in.to_owned()),
                None => return Ok(None),
            },
        };
        let declared = match self {
            Found::Project(declared) | Found::User(declared) => Some(declared),
            Found::Variable { .. } | Found::Unsaid => None,
        };
        match declared.and_then(|declared| declared.only_of_postgres()) {
            Some(option) => {
                let words = format!("`{option}` is for connections of Postgres");
                let error = FlowError::new(ErrorCode::UnsupportedByEngine, words);
                Err(self.place(error.hint("take it out"), option))
            }
            None => Ok(Some(found)),
        }
    }
}

impl Declared<'_> {
    /// What it says that no other engine knows.
    fn only_of_postgres(&self) -> Option<&'static str> {
        let said = [
            ("password_command", self.spec.password_command.is_some()),
            ("role", self.spec.role.is_some()),
            ("max_connections", self.spec.max_connections.is_some()),
            ("session", !self.spec.session.is_empty()),
        ];
        said.into_iter().find(|(_, is_said)| *is_said).map(|(name, _)| name)
    }
}
