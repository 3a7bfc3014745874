//! What is known of a side that somebody has named.

use super::super::Engine;
use super::super::keys::live_table;
use super::{DiffRows, DiffSide};
use crate::session::{Session, nth};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::difference::{Side, SideColumn, SideReport, Which};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::Relation;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::pipeline::prepared::declared;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql};
use ematix_flow_core::types::DataType;
use std::collections::BTreeSet;

/// A side, and what is told of it.
pub(super) struct Found {
    /// The side.
    pub side: Side,
    /// How it was named.
    pub report: SideReport,
    /// The tables that it reads.
    pub tables: Vec<String>,
    /// Whether it is a history, read as of an instant.
    pub is_history: bool,
}

impl Engine {
    /// Looks at a side, in a transaction that is open.
    pub(super) async fn side(
        &self,
        which: Which,
        session: &dyn Session,
        named: &DiffSide,
        as_of: Option<&str>,
        hides: bool,
    ) -> Result<Found> {
        let dialect = session.facts().dialect;
        let mut report =
            SideReport { connection: named.connection.clone(), table: None, query: None, as_of: None };
        let (query, columns, relation) = match &named.rows {
            DiffRows::Table(name) => {
                report.table = Some(name.to_string());
                let live = live(session, name, &named.connection).await?;
                let sql = sql!("{name}", name).to_text(dialect);
                let columns =
                    live.columns.iter().map(|column| (column.name.clone(), column.data_type.clone()));
                let not_null =
                    live.columns.iter().filter(|column| !column.nullable).map(|column| column.name.clone());
                let relation =
                    Relation::of(sql.clone(), not_null.collect(), &live.indexes, live.estimated_rows);
                (ReadQuery::of_table(&sql), columns.collect::<Vec<_>>(), Some(relation))
            }
            DiffRows::Query(query) => {
                report.query = Some(query.text().to_owned());
                let read = match session.inspector().source(query, false).await {
                    Ok(read) => read,
                    Err(error) => return Err(session.complete(error, query.text()).await),
                };
                let columns = read.columns.into_iter().map(|column| (column.name, column.data_type));
                let relation = read.relation.filter(|relation| has_columns(relation, query));
                (query.clone(), columns.collect(), relation)
            }
        };
        let mut names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        let mut side = Side {
            name: String::new(),
            rows: Sql::user(query.text()),
            columns: Vec::new(),
            keys: relation.as_ref().map(|relation| relation.primary_key.clone()).unwrap_or_default(),
            keys_reason: format!("the primary key of {}", which.name()),
            unique: relation.as_ref().map(|relation| relation.unique.clone()).unwrap_or_default(),
            estimated_rows: relation.as_ref().map(|relation| relation.estimated_rows),
            not_null: relation.map(|relation| relation.not_null).unwrap_or_default(),
            dialect,
        };
        let history = match (&named.rows, as_of) {
            (DiffRows::Table(name), Some(_)) => self.history_of(&named.connection, name),
            _ => None,
        };
        let is_history = history.is_some();
        if let (Some(pipeline), Some(instant)) = (history, as_of) {
            let kept = pipeline.strategy.history().expect("it was looked for");
            side.rows = sql!(
                "(SELECT * FROM {name} AS t WHERE {then})",
                name = pipeline.target.name(),
                then = kept.as_of(dialect, instant)
            );
            names.retain(|name| !kept.names().iter().any(|own| own.as_str() == name));
            let live = live_table(session, &pipeline).await?;
            let keys = self.keys_of(session, &pipeline, &live).await?;
            side.keys = keys.iter().map(ToString::to_string).collect();
            side.keys_reason = format!("the keys of {}", pipeline.name);
            side.unique.clear();
            report.as_of = Some(instant.to_owned());
        }
        side.name = format!("{} ({})", which.name(), report.title());
        let hidden = if hides { self.hidden_on(&named.connection) } else { BTreeSet::new() };
        for (name, data_type) in columns {
            if names.contains(&name) {
                let hidden = hidden.contains(&name);
                side.columns.push(SideColumn { name: Ident::new(name)?, data_type, hidden });
            }
        }
        let tables = match session.inspector().tables_of(query.text()).await {
            Ok(tables) => tables,
            Err(error) => return Err(session.complete(error, query.text()).await),
        };
        Ok(Found { side, report, tables, is_history })
    }

    /// The pipeline that keeps a history in a table.
    fn history_of(&self, connection: &str, name: &QualifiedName) -> Option<Pipeline> {
        self.all_built().find(|pipeline| {
            pipeline.strategy.history().is_some()
                && pipeline.target_connection == connection
                && pipeline.target.name() == name
        })
    }

    /// Columns of sources on a connection whose values markers hide before they are loaded.
    fn hidden_on(&self, connection: &str) -> BTreeSet<String> {
        let mut hidden = BTreeSet::new();
        for pipeline in self.all_built() {
            let reads = pipeline.source.members().iter().any(|member| member.connection == connection);
            let cleaning = declared(&pipeline.target).into_iter().flat_map(|table| &table.cleaning);
            if reads {
                hidden.extend(cleaning.filter(|(_, chain)| chain.hides()).map(|(name, _)| name.to_string()));
            }
        }
        hidden
    }

    /// Every pipeline without faults, those of several targets part by part.
    fn all_built(&self) -> impl Iterator<Item = Pipeline> + '_ {
        let options = PipelineOptions::default();
        self.project.pipelines.keys().flat_map(move |name| match self.project.together.get(name) {
            Some(parts) => parts
                .keys()
                .filter_map(|part| Pipeline::build_part(&self.project, name, part, &options).ok())
                .collect::<Vec<_>>(),
            None => Pipeline::build(&self.project, name, &options).ok().into_iter().collect(),
        })
    }
}

/// Whether what the table promises holds of the query's columns: each is one of the table's own.
fn has_columns(relation: &Relation, query: &ReadQuery) -> bool {
    match query.simple().and_then(|simple| simple.columns.as_ref()) {
        None => true,
        Some(columns) => relation.primary_key.iter().all(|key| columns.contains(key)),
    }
}

/// The table as it lives, or words of ours that it is not there.
async fn live(session: &dyn Session, name: &QualifiedName, connection: &str) -> Result<LiveTable> {
    let doing = "look at the table";
    let table = session.inspector().table(name);
    let answers = session.ask(Blame::Source, doing, &table.sql).await?;
    let (_, live) = table.read(nth(&answers, 0, doing)?, doing)?;
    live.ok_or_else(|| {
        FlowError::new(
            ErrorCode::UnknownTable,
            format!("there is no table {name} on the connection {connection}"),
        )
        .hint("name another connection before it, CONNECTION:schema.table, or by --from and --to")
    })
}

/// An instant by its text, with its offset: the same on both sides.
pub(super) async fn instant(session: &dyn Session, text: &str) -> Result<String> {
    let dialect = session.facts().dialect;
    let data_type = dialect.type_facts(&DataType::TimestampTz).expect("every engine has instants");
    session.inspector().stable_text(text, &data_type).await
}
