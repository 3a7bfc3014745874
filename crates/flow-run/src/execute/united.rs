//! The members of a union are asked for their columns, and become one query for each connection.

use super::Engine;
use super::gather::with_types_of;
use super::route::Route;
use super::run::awake;
use super::targets::Targets;
use super::{asked, brought};
use crate::session::Session;
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::facts::{SourceColumn, SourceFacts};
use ematix_flow_core::pipeline::{Pipeline, Source, united};
use ematix_flow_core::planner::parts::OneReading;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::sql::Ident;

/// A source whose members have become queries.
pub enum United {
    /// It is no union.
    Plain,
    /// One query has the rows of all members.
    One(Box<Targets>),
    /// Each connection has one; what is loaded has their columns.
    Several(Box<Targets>, Vec<OneReading>),
}

impl United {
    /// What is loaded, and what each of several connections reads.
    pub fn as_parts<'u>(&'u self, targets: &'u Targets) -> (&'u Targets, &'u [OneReading]) {
        match self {
            United::Plain => (targets, &[]),
            United::One(targets) => (targets, &[]),
            United::Several(targets, readings) => (targets, readings),
        }
    }
}

/// Asks the members for their columns, by the sessions that read them.
///
/// # Errors
/// What the server says of a member, `unknown_column` for one that lacks a column of another, `invalid_value` for types
/// that do not go together.
pub async fn of_route(targets: &Targets, route: &Route, target: &dyn Session) -> Result<United> {
    let source = &targets.whole.source;
    if let (Some(brought), Some(rows)) = (&source.brought, &route.brought) {
        return brought::as_reading(brought, rows, targets, target).await;
    }
    if source.union.is_empty() {
        return match route.several.as_slice() {
            [Some(own)] => asked::asked_of(own.as_ref(), targets, target).await,
            _ => Ok(United::Plain),
        };
    }
    let readings = source.readings();
    let by = |member: &Source| {
        let from = readings.iter().position(|reading| reading.connection == member.connection);
        route.reads(from.unwrap_or_default())
    };
    let mut columns: Vec<Vec<SourceColumn>> = Vec::new();
    for (index, member) in source.members().iter().enumerate() {
        let asked = columns_of(member.query.text(), by(member), targets, target).await;
        columns.push(asked.map_err(|error| of_member(error, source, index))?);
    }
    let names = united::names(source, &columns)?;
    let dialect = target.facts().dialect;
    // From one connection the server would widen by rules of its own, and round.
    let together = united::together(source, &names, &columns, dialect)?;
    if readings.len() == 1 {
        let reads = route.reads(0).unwrap_or(target);
        // As they are where all have the same: the server says of which types they are.
        let of = |name: &str, columns: &[SourceColumn]| {
            columns.iter().find(|column| column.name == name).map(|column| column.data_type.name.clone())
        };
        let alike = together.iter().all(|column| {
            let wanted = Some(&column.data_type.name);
            columns.iter().all(|own| of(&column.name, own).as_ref() == wanted)
        });
        let query = match alike {
            true => united::query(source, &names, reads.facts().dialect),
            false => united::query_of_types(source, &together, reads.facts().dialect),
        };
        return Ok(United::One(Box::new(with_query(targets, &query))));
    }
    let mut each = Vec::new();
    for (from, reading) in readings.iter().enumerate() {
        each.push(one_reading(reading, &names, route.reads(from), targets, target).await?);
    }
    let whole = SourceFacts { columns: together, ..SourceFacts::default() };
    let whole = with_types_of(target, whole, |_| true).await?;
    target.tidy().await?;
    let query = united::without_rows(&whole.columns, dialect)?;
    Ok(United::Several(Box::new(with_query(targets, &query)), each))
}

async fn one_reading(
    reading: &Source,
    names: &[Ident],
    own: Option<&dyn Session>,
    targets: &Targets,
    target: &dyn Session,
) -> Result<OneReading> {
    let query = united::query(reading, names, own.unwrap_or(target).facts().dialect);
    let columns = columns_of(query.text(), own, targets, target).await?;
    Ok(OneReading {
        connection: reading.connection.clone(),
        query,
        columns,
        within: own.is_none(),
        brought: None,
        asked: None,
        files: Vec::new(),
        notes: Vec::new(),
    })
}

impl Engine {
    /// The columns of a pipeline's source (of a union those of its first member), by a session that reads it.
    ///
    /// # Errors
    /// As connecting, and what the server says of the query.
    pub(super) async fn columns_of_source(
        &self,
        pipeline: &Pipeline,
        target: &dyn Session,
        what: &str,
    ) -> Result<Vec<SourceColumn>> {
        let member = &pipeline.source.members()[0];
        if member.connection == pipeline.target_connection {
            return target.inspector().columns(member.query.text()).await;
        }
        let source = self.open(&member.connection, what).await?;
        let columns = source.inspector().columns(member.query.text()).await?;
        source.close().await;
        Ok(columns)
    }
}

/// The columns of a query, by a session of its own or by the target's.
async fn columns_of(
    query: &str,
    own: Option<&dyn Session>,
    targets: &Targets,
    target: &dyn Session,
) -> Result<Vec<SourceColumn>> {
    match own {
        None => {
            let columns = target.inspector().columns(query).await?;
            target.tidy().await?;
            Ok(columns)
        }
        Some(own) => {
            let asking = own.inspector();
            match awake(target, &targets.whole, asking.columns(query)).await {
                // Its own session knows which privilege is missing.
                Err(error) => Err(own.complete(error, query).await),
                Ok(columns) => {
                    own.tidy().await?;
                    Ok(columns)
                }
            }
        }
    }
}

fn of_member(error: FlowError, source: &Source, index: usize) -> FlowError {
    let error =
        FlowError { message: format!("{}: {}", united::member(source, index), error.message), ..error };
    match error.hint {
        Some(_) => error,
        None => error.hint(format!("mend what member {} of `union` reads", index + 1)),
    }
}

/// What is loaded, with that query as its source.
pub fn with_query(targets: &Targets, query: &ReadQuery) -> Targets {
    let mut targets = targets.clone();
    let each = targets.each.iter_mut().map(|each| &mut each.pipeline);
    for pipeline in std::iter::once(&mut targets.whole).chain(each) {
        pipeline.source.query = query.clone();
    }
    targets
}
