//! The plan from the files alone: the table lives as it is declared, and the query gives its columns.

use super::gather::{Gathered, Path};
use super::route::Route;
use super::targets::{Target as Planned, Targets};
use super::united::with_query;
use super::{Engine, Request};
use ematix_flow_core::declare::options::ForcePath;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::engine::{Ends, EngineFacts, POSTGRES};
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::{Cap, ExecutionPath, Facts, RunFacts, SourceColumn, SourceFacts, TargetFacts};
use ematix_flow_core::markers::Families;
use ematix_flow_core::pipeline::prepared::{Prepared, declared, in_sight};
use ematix_flow_core::pipeline::strategy::Unique;
use ematix_flow_core::pipeline::{Pipeline, Source, Target, declared_keys, united};
use ematix_flow_core::plan::Plan;
use ematix_flow_core::planner::parts::OneReading;
use ematix_flow_core::schema::{Column, LiveColumn, LiveIndex, LiveTable, Table, ddl};
use ematix_flow_core::sql::Ident;
use ematix_flow_core::types::{DataType, TypeFacts};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// The engines of connections by their names, as far as the files tell: each is looked up once.
#[derive(Default)]
pub struct KnownEngines(Mutex<HashMap<String, &'static EngineFacts>>);

impl Engine {
    /// The engines as far as the files tell: a connection that cannot be resolved here may be resolved elsewhere.
    pub(super) fn assumed_ends(&self, pipeline: &Pipeline, known: &KnownEngines) -> Ends<'static> {
        let engine = |connection: &str| {
            let mut known = known.0.lock().expect("nobody fails who holds it");
            *known.entry(connection.to_owned()).or_insert_with(|| {
                let driver = self.resolve(connection).and_then(|at| Ok(self.drivers.find(&at)?.facts()));
                driver.unwrap_or(&POSTGRES)
            })
        };
        Ends { source: engine(&pipeline.source.connection), target: engine(&pipeline.target_connection) }
    }
}

/// The plan.
///
/// # Errors
/// As planning, and where only a database knows the columns.
pub fn plan(targets: &Targets, request: &Request, ends: &Ends<'_>) -> Result<Plan> {
    let mut each: Vec<Facts> = targets
        .each
        .iter()
        .map(|target| facts(target, request, ends.target.dialect))
        .collect::<Result<_>>()?;
    let united = united_by(&each[0].source, targets, ends)?;
    let targets = united.as_ref().unwrap_or(targets);
    let path = Path { path: each[0].path, reason: each[0].path_reason.clone() };
    let route = Route { path, source: None, several: Vec::new(), brought: None };
    let readings = readings_of(&each[0].source, targets, ends)?;
    let mut gathered = match targets.are_several() {
        true => {
            let source = each[0].source.clone();
            Gathered::Several(each, Box::new(source), Vec::new())
        }
        false => Gathered::One(Box::new(each.remove(0))),
    };
    gathered.readings(&readings);
    gathered.plan(targets, &route, ends)
}

/// A union whose members all have those columns.
fn united_by(source: &SourceFacts, targets: &Targets, ends: &Ends<'_>) -> Result<Option<Targets>> {
    let union = &targets.whole.source;
    if union.union.is_empty() {
        return Ok(None);
    }
    let names = source.columns.iter().map(|column| Ident::new(&column.name)).collect::<Result<Vec<_>>>()?;
    Ok(Some(with_query(targets, &united::query(union, &names, ends.source.dialect))))
}

/// What each of several connections reads; those of the target's own name are taken for its database.
fn readings_of(source: &SourceFacts, targets: &Targets, ends: &Ends<'_>) -> Result<Vec<OneReading>> {
    let whole = &targets.whole;
    if let Some(brought) = &whole.source.brought {
        return Ok(vec![OneReading::brought(brought, source.columns.clone())]);
    }
    let readings = whole.source.readings();
    if readings.len() == 1 {
        return Ok(Vec::new());
    }
    let names = source.columns.iter().map(|column| Ident::new(&column.name)).collect::<Result<Vec<_>>>()?;
    let one = |reading: &Source| OneReading {
        connection: reading.connection.clone(),
        query: united::query(reading, &names, ends.source.dialect),
        columns: source.columns.clone(),
        within: reading.connection == whole.target_connection,
        brought: None,
        asked: None,
        files: Vec::new(),
        notes: Vec::new(),
    };
    Ok(readings.iter().map(one).collect())
}

/// What markers clean has the declared type then. What it has before, the first of them says; an expression needs no
/// column.
fn clean(table: Option<&Table>, columns: &mut Vec<SourceColumn>, dialect: &dyn Dialect) -> Vec<SourceColumn> {
    let chains = table.map_or(&[][..], |table| &table.cleaning);
    let is = |column: &SourceColumn, name: &Ident| column.name == name.as_str();
    let cleaned =
        columns.iter().filter(|column| chains.iter().any(|(name, _)| is(column, name))).cloned().collect();
    for (name, chain) in chains {
        if chain.replaces() {
            columns.retain(|column| !is(column, name));
        } else if chain.takes() == Some(Families::text())
            && let Some(column) = columns.iter_mut().find(|column| is(column, name))
        {
            column.data_type = dialect.type_facts(&DataType::Text).expect("a type of ours");
        }
    }
    cleaned
}

/// The columns that the query gives where helpers make others of them. What nobody declares may be anything: it is
/// assumed to be what a helper can look into.
fn before_helpers(pipeline: &Pipeline, columns: &mut Vec<SourceColumn>, dialect: &dyn Dialect) {
    if pipeline.helpers.is_empty() {
        return;
    }
    let mut names: Vec<Ident> = columns.iter().filter_map(|column| Ident::new(&column.name).ok()).collect();
    pipeline.helpers.iter().rev().for_each(|step| step.helper.before(&mut names));
    let of = |name: Ident| {
        let declared = columns.iter().find(|column| column.name == name.as_str()).cloned();
        declared.unwrap_or_else(|| undeclared(&name, dialect))
    };
    *columns = names.into_iter().map(of).collect();
}

fn undeclared(name: &Ident, dialect: &dyn Dialect) -> SourceColumn {
    let data_type =
        dialect.type_facts(&DataType::Jsonb).unwrap_or_else(|| TypeFacts::assumed("jsonb".into()));
    SourceColumn { name: name.to_string(), data_type, stamped: false, inferred: None }
}

/// The columns behind each helper; those that are declared have their types then.
fn helped(
    pipeline: &Pipeline,
    given: &[SourceColumn],
    mut source: SourceFacts,
    dialect: &dyn Dialect,
) -> Result<SourceFacts> {
    let table = declared(&pipeline.target);
    let mut columns = source.loaded_columns();
    for count in 1..=pipeline.helpers.len() {
        let prepared = Prepared::of(pipeline, table, &pipeline.helpers[..count], &source, false, dialect)?;
        let Some(helping) = prepared.helping else { continue };
        for name in helping.added() {
            let declared = given.iter().find(|column| column.name == name.as_str()).cloned();
            columns.retain(|column| column.name != name.as_str());
            columns.push(declared.unwrap_or_else(|| undeclared(name, dialect)));
        }
        source.shown = Some(in_sight(&helping, &columns));
        source.helped.push(columns.clone());
    }
    Ok(source)
}

/// Facts for a preview: the table lives as it is declared, and the query gives its columns.
fn facts(of: &Planned, request: &Request, dialect: &dyn Dialect) -> Result<Facts> {
    let pipeline = &of.pipeline;
    let table = match &pipeline.target {
        Target::Declared(table) => Some(table),
        Target::Inferred(_) => None,
    };
    let type_of = |column: &Column| {
        dialect
            .type_facts(&column.data_type)
            .unwrap_or_else(|| TypeFacts::assumed(dialect.type_name(&column.data_type)))
    };
    let mut columns: Vec<SourceColumn> = table
        .iter()
        .flat_map(|table| &table.columns)
        .map(|column| SourceColumn {
            name: column.name.to_string(),
            data_type: type_of(column),
            stamped: false,
            inferred: None,
        })
        .collect();
    let given = columns.clone();
    before_helpers(pipeline, &mut columns, dialect);
    let cleaned = clean(table, &mut columns, dialect);
    if let Some(incremental) = &pipeline.incremental
        && !columns.iter().any(|column| column.name == incremental.column.as_str())
    {
        let data_type = dialect.type_facts(&DataType::TimestampTz).expect("a type of ours");
        columns.push(SourceColumn {
            name: incremental.column.to_string(),
            data_type,
            stamped: false,
            inferred: None,
        });
    }
    let live = table.map(|table| {
        let strategy = &pipeline.strategy;
        let mut managed = strategy.managed_columns(table);
        managed.retain(|column| strategy.keeps(&column.name, None, dialect));
        let keys = pipeline.keys.clone().unwrap_or_else(|| declared_keys(table).0);
        let index = |columns: &[Ident], among: Option<&Ident>| LiveIndex {
            name: String::new(),
            unique: true,
            primary: among.is_none(),
            usable: true,
            columns: columns.iter().map(ToString::to_string).collect(),
            predicate: among.map(ToString::to_string),
            estimated_rows: None,
        };
        let mut unique = strategy.unique(table, &keys);
        if unique.is_empty() {
            unique.push(Unique { columns: keys, among: None, primary_key: true });
        }
        let indexes = unique.iter().map(|unique| index(&unique.columns, unique.among.as_ref())).collect();
        LiveTable {
            kind: 'r',
            spread: false,
            columns: table
                .columns
                .iter()
                .chain(&managed)
                .map(|column| LiveColumn {
                    name: column.name.to_string(),
                    data_type: type_of(column),
                    nullable: column.nullable,
                    default: None,
                    generated: false,
                    comment: None,
                })
                .collect(),
            indexes,
            checks: ["period", "open"]
                .map(|suffix| ddl::object_name(&table.name.name, suffix).to_string())
                .into(),
            triggers: Vec::new(),
            ours: true,
            comment: None,
            estimated_rows: 0.0,
        }
    });
    let one_connection = pipeline.source.brought.is_none()
        && pipeline.source.members().iter().all(|member| member.connection == pipeline.target_connection)
        && matches!(pipeline.force_path, None | Some(ForcePath::SameDb));
    Ok(Facts {
        run: RunFacts {
            id: of.run_id.clone(),
            instant: "2000-01-01T00:00:00Z".to_owned(),
            dry_run: false,
            sample: 0,
            full_scan: request.reads_in_full(),
            part: request.part(),
            version: env!("CARGO_PKG_VERSION"),
        },
        path: if one_connection { ExecutionPath::SameDatabase } else { ExecutionPath::Staging },
        path_reason: if one_connection {
            format!("source and target are one connection, {}", pipeline.target_connection)
        } else if let Some(brought) = &pipeline.source.brought {
            brought.reason()
        } else {
            "assumed: a preview asks no database".to_owned()
        },
        source: helped(
            pipeline,
            &given,
            SourceFacts { columns, cleaned, ..SourceFacts::default() },
            dialect,
        )?,
        target: TargetFacts { schema_exists: true, live, ..TargetFacts::default() },
        watermark: None,
        has_ledger: false,
        cap: Cap::Unknown("a preview asks no database".to_owned()),
        client_diff_given_up: None,
        native_types: BTreeMap::new(),
        assumed: true,
        came_by: None,
        at_hand: None,
    })
}
