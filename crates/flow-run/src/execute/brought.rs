//! Rows that no database sends become the table of a reading: each column of the type that its target declares where
//! its values are of that type, else of the one that they have.

use super::files;
use super::keys::found_table;
use super::run::awake;
use super::targets::Targets;
use super::united::{United, of_route, with_query};
use super::{About, Engine, Request};
use crate::session::{Access, End, Session};
use arrow_schema::Schema;
use ematix_flow_arrow::{BatchSource, Column, CopyType, Encoder, UnscaledNumeric};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::SourceColumn;
use ematix_flow_core::history::FileVersion;
use ematix_flow_core::markers::Families;
use ematix_flow_core::pipeline::{Brought, Pipeline, Target, united};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::planner::parts::OneReading;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::{LiveColumn, Table};
use ematix_flow_core::types::{DataType, TypeFacts};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A column as a target declares it.
pub(super) struct Wanted {
    pub column: Column,
    /// The name of its type.
    pub declared: String,
}

/// What brings the rows of a run.
pub struct Rows {
    /// It.
    pub source: Arc<dyn BatchSource>,
    /// The files that it reads, where each is loaded once.
    pub once: Vec<FileVersion>,
}

impl Engine {
    /// What brings the rows of a source that is no database.
    ///
    /// # Errors
    /// `not_yet_supported`, `invalid_value`; what cannot be listed.
    pub(super) async fn rows_of(
        &self,
        pipeline: &Pipeline,
        brought: &Brought,
        target: &dyn Session,
        reads_in_full: bool,
    ) -> Result<Rows> {
        match brought {
            Brought::Frame(frame) => {
                let found = self.callables.as_ref().and_then(|callables| callables.frame(frame.id));
                let source = found.ok_or_else(|| {
                    FlowError::new(ErrorCode::InvalidValue, format!("nobody hands over {}", frame.words))
                })?;
                Ok(Rows { source, once: Vec::new() })
            }
            Brought::Http(http) => self.of_api(pipeline, http, target, reads_in_full).await,
            Brought::Files(files) => files::rows_of(pipeline, files, target, reads_in_full).await,
            Brought::Foreign(source) => self.of_foreign(pipeline, source, target, reads_in_full).await,
        }
    }
}

impl Engine {
    /// The columns that the rows of a frame have in a target's database, each with the name of its type, after all that a
    /// plan refuses.
    ///
    /// # Errors
    /// As [`Engine::plan`], and what it refuses.
    pub async fn columns_brought(&self, pipeline: &str, request: &Request) -> Result<Vec<(String, String)>> {
        if let Some(drift) = self.plan(pipeline, request).await?.refused {
            return Err(drift);
        }
        let targets = self.targets(pipeline, request, &About::planned())?;
        let whole = &targets.whole;
        let session = self.open_in_turn(whole, &whole.target_connection, &whole.name, |_| ()).await?;
        session.begin(Blame::Target, Access::ReadOnly, None).await?;
        let route = self.route(whole, session.as_ref(), true).await?;
        let united = of_route(&targets, &route, session.as_ref()).await?;
        session.end(Blame::Target, "end the look at the columns", End::RollBack).await?;
        session.close().await;
        let (_, readings) = united.as_parts(&targets);
        let columns = readings.iter().flat_map(|reading| &reading.columns);
        Ok(columns.map(|column| (column.name.clone(), column.data_type.name.clone())).collect())
    }
}

/// The reading of all its rows, once their columns are known.
///
/// # Errors
/// What brings the rows says; `invalid_value` for a column that no type of Postgres holds.
pub async fn as_reading(
    brought: &Brought,
    Rows { source: rows, once }: &Rows,
    targets: &Targets,
    target: &dyn Session,
) -> Result<United> {
    let rows = rows.as_ref();
    let wanted = wanted(targets, target).await?;
    let (query, columns) = columns_of(rows, &wanted, targets, target).await?;
    let reading =
        OneReading { files: once.clone(), notes: rows.notes(), ..OneReading::brought(brought, columns) };
    Ok(United::Several(Box::new(with_query(targets, &query)), vec![reading]))
}

/// The columns of the table of a reading: each of the type that its target declares where the values are of that type, else
/// of the one that they have; and a query of no rows with them.
pub(super) async fn columns_of(
    rows: &dyn BatchSource,
    wanted: &[Wanted],
    targets: &Targets,
    target: &dyn Session,
) -> Result<(ReadQuery, Vec<SourceColumn>)> {
    let dialect = target.facts().dialect;
    let columns: Vec<Column> = wanted.iter().map(|wanted| wanted.column.clone()).collect();
    let schema = awake(target, &targets.whole, rows.schema(&columns)).await?;
    if schema.fields().is_empty() {
        return Err(FlowError::new(ErrorCode::InvalidValue, format!("{} has no columns", rows.describe())));
    }
    let mut assumed: Vec<SourceColumn> = Vec::new();
    for field in schema.fields() {
        let name = field.name();
        if assumed.iter().any(|known| known.name == *name) {
            let message = format!("{} has two columns `{name}`", rows.describe());
            return Err(
                FlowError::new(ErrorCode::DuplicateName, message).hint("give one of them another name")
            );
        }
        let declared = wanted.iter().find(|wanted| wanted.column.name == *name);
        let alone = Schema::new(vec![Arc::clone(field)]);
        let declared = match declared {
            Some(wanted) if Encoder::new(vec![wanted.column.clone()], &alone).is_ok() => Some(wanted),
            // No INSERT reads text as anything else.
            Some(wanted) if CopyType::for_field(field) == Some(CopyType::Text) => {
                return Err(is_text(rows, wanted));
            }
            _ => None,
        };
        let data_type = match declared {
            Some(wanted) => wanted.declared.clone(),
            None => match CopyType::for_field(field) {
                // What has no equality is no column that a load could compare.
                Some(CopyType::Json) => CopyType::Jsonb.name(),
                Some(found) => found.name(),
                None => return Err(no_type(rows, name, field.data_type())),
            },
        };
        let data_type = TypeFacts::assumed(dialect.type_name(&DataType::Native(data_type)));
        assumed.push(SourceColumn { name: name.clone(), data_type, stamped: false, inferred: None });
    }
    let query = united::without_rows(&assumed, dialect)?;
    let columns = target.inspector().columns(query.text()).await?;
    target.tidy().await?;
    Ok((query, columns))
}

/// How the columns of a reading cross into its table.
///
/// # Errors
/// `invalid_value` for a type that does not cross.
pub fn crossing(columns: &[(String, TypeFacts)]) -> Result<Vec<Column>> {
    let one = |(name, facts): &(String, TypeFacts)| {
        Ok(Column::new(name.clone(), CopyType::of(name, facts, UnscaledNumeric::Text)?))
    };
    columns.iter().map(one).collect()
}

fn is_text(rows: &dyn BatchSource, Wanted { column, declared }: &Wanted) -> FlowError {
    let marker = match column.data_type {
        CopyType::Int2 | CopyType::Int4 | CopyType::Int8 => Some("parse_int"),
        CopyType::Float4 | CopyType::Float8 | CopyType::Numeric(..) | CopyType::NumericText => {
            Some("parse_numeric")
        }
        CopyType::Bool => Some("parse_bool"),
        CopyType::Date => Some("parse_date"),
        CopyType::Timestamp | CopyType::TimestampTz => Some("parse_timestamp"),
        _ => None,
    };
    let error = FlowError::new(
        ErrorCode::CastFailed,
        format!(
            "the column `{}` of {} holds text, and its target is of type {declared}",
            column.name,
            rows.describe()
        ),
    );
    error.hint(match marker {
        Some(marker) => format!(
            "make it {declared} before, or declare the column with a marker that reads text: {marker}()"
        ),
        None => format!("make it {declared} before"),
    })
}

fn no_type(rows: &dyn BatchSource, name: &str, found: &arrow_schema::DataType) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!(
            "the column `{name}` of {} is of the type {found}, which no type of Postgres holds",
            rows.describe()
        ),
    )
    .hint("leave it out, or make it text or JSON before")
}

/// The columns whose type the targets declare, or their live tables have. What two targets declare differently, and what
/// markers read as text, comes as it is.
pub(super) async fn wanted(targets: &Targets, target: &dyn Session) -> Result<Vec<Wanted>> {
    let mut found: BTreeMap<String, Option<Declared>> = BTreeMap::new();
    for each in &targets.each {
        for Declared { name, facts, needed } in declared(&each.pipeline, target).await? {
            found
                .entry(name.clone())
                .and_modify(|known| {
                    if known.as_ref().is_some_and(|known| known.facts.name != facts.name) {
                        *known = None;
                    }
                })
                .or_insert(Some(Declared { name, facts, needed }));
        }
    }
    let one = |(_, declared): (String, Option<Declared>)| {
        let Declared { name, facts, needed } = declared?;
        let data_type = CopyType::of(&name, &facts, UnscaledNumeric::Text).ok()?;
        let column = Column { needed, ..Column::new(name, data_type) };
        Some(Wanted { column, declared: facts.name })
    };
    Ok(found.into_iter().filter_map(one).collect())
}

/// A column of a target, before a run knows more of it.
struct Declared {
    name: String,
    facts: TypeFacts,
    /// Whether nothing else fills it.
    needed: bool,
}

async fn declared(pipeline: &Pipeline, target: &dyn Session) -> Result<Vec<Declared>> {
    let table = match &pipeline.target {
        Target::Declared(table) => table,
        Target::Inferred(name) => {
            let live = found_table(target, name).await?;
            let managed = pipeline.strategy.managed_columns(&Table::of(name.clone(), Vec::new()));
            let is_ours = |column: &LiveColumn| managed.iter().any(|own| own.name.as_str() == column.name);
            let columns = live.into_iter().flat_map(|live| live.columns).filter(|column| !is_ours(column));
            let one = |column: LiveColumn| Declared {
                needed: column.default.is_none() && !column.generated,
                name: column.name,
                facts: column.data_type,
            };
            return Ok(columns.map(one).collect());
        }
    };
    let natives: Vec<String> = table
        .columns
        .iter()
        .filter_map(|column| match &column.data_type {
            DataType::Native(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let natives = target.inspector().native_types(&natives).await?;
    target.tidy().await?;
    let dialect = target.facts().dialect;
    let is_read = |name: &ematix_flow_core::sql::Ident| {
        let chain = table.cleaning.iter().find(|(cleaned, _)| cleaned == name).map(|(_, chain)| chain);
        chain.is_some_and(|chain| chain.replaces() || chain.takes() == Some(Families::text()))
    };
    let of = |column: &ematix_flow_core::schema::Column| {
        let facts = match &column.data_type {
            DataType::Native(name) => natives.get(name).cloned(),
            known => dialect.type_facts(known),
        };
        Some(Declared { name: column.name.to_string(), facts: facts?, needed: column.default.is_none() })
    };
    Ok(table.columns.iter().filter(|column| !is_read(&column.name)).filter_map(of).collect())
}
