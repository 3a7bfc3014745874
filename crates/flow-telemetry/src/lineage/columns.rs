//! What flows from where to where: tables by the names that OpenLineage gives them, and columns as far as the
//! declaration tells it for certain. What a query computes is not guessed at.

use super::facets::facet;
use crate::address::Address;
use ematix_flow_core::check::{Brought, ForeignRows, Source};
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::engine::{DUCKDB, POSTGRES};
use ematix_flow_core::facts::Facts;
use ematix_flow_core::pipeline::{Pipeline, Target};
use ematix_flow_core::report::RunReport;
use ematix_flow_core::sql::{Ident, QualifiedName};
use serde_json::{Map, Value, json};

/// Helpers that leave every column as it is.
const KEEP_COLUMNS: &[&str] = &["deduplicate_by", "filter_where", "limit", "sample_pct"];

/// The flow of rows into one target.
pub struct Flow {
    inputs: Vec<Input>,
    output: Option<Dataset>,
    duckdb: bool,
    fields: Option<Value>,
    columns: Option<Value>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dataset {
    namespace: String,
    name: String,
}

struct Input {
    dataset: Dataset,
    /// Whether the rows that come are its rows alone.
    alone: bool,
    fields: Option<Value>,
}

impl Flow {
    /// As it is declared.
    pub fn declared(pipeline: &Pipeline, address: impl Fn(&str) -> Option<Address>) -> Flow {
        let dataset = |at: &Address, name: &QualifiedName| Dataset {
            namespace: at.namespace(),
            name: at.table(name.schema.as_str(), name.name.as_str()),
        };
        let mut inputs: Vec<Input> = Vec::new();
        let alone = pipeline.source.members().len() == 1;
        for member in pipeline.source.members() {
            if let Some(Brought::Foreign(source)) = &member.brought {
                if let (ForeignRows::Table(schema, name), Some(at)) =
                    (&source.rows, address(&source.connection))
                {
                    let name = at.table(schema.as_deref().unwrap_or_default(), name);
                    let dataset = Dataset { namespace: at.namespace(), name };
                    inputs.push(Input { dataset, alone: true, fields: None });
                }
                continue;
            }
            let Some(at) = address(&member.connection) else { continue };
            for table in member.query.relations() {
                let dataset = dataset(&at, &table);
                if !inputs.iter().any(|input| input.dataset == dataset) {
                    inputs.push(Input { dataset, alone: alone && is_plain(member), fields: None });
                }
            }
        }
        let at = address(&pipeline.target_connection);
        let output = at.as_ref().map(|at| dataset(at, pipeline.target.name()));
        let duckdb = at.is_some_and(|at| at.system == DUCKDB.name);
        Flow { inputs, output, duckdb, fields: None, columns: None }
    }

    /// With what the databases said.
    pub fn looked(&mut self, pipeline: &Pipeline, facts: &Facts) {
        let engine = if self.duckdb { &DUCKDB } else { &POSTGRES };
        self.fields = Some(output_fields(pipeline, facts, engine.dialect));
        let query = &pipeline.source.query;
        let Some(simple) = query.simple() else { return };
        let [input] = self.inputs.as_mut_slice() else { return };
        if !input.alone {
            return;
        }
        if simple.columns.is_none() {
            let columns = facts.source.columns.iter();
            let fields: Vec<Value> =
                columns.map(|column| field(&column.name, &column.data_type.name)).collect();
            input.fields = Some(schema(fields));
        }
        self.columns = column_lineage(pipeline, facts, &input.dataset);
    }

    /// What is read.
    pub fn inputs(&self, report: Option<&RunReport>) -> Vec<Value> {
        let input = |input: &Input| {
            let Dataset { namespace, name } = &input.dataset;
            let facets: Map<String, Value> =
                input.fields.iter().map(|fields| ("schema".to_owned(), fields.clone())).collect();
            let rows = report.filter(|_| input.alone).map(|report| report.rows_in);
            let counted =
                rows.map(|rows| facet("1-0-0/InputStatisticsInputDatasetFacet", json!({ "rowCount": rows })));
            let counted: Map<String, Value> =
                counted.into_iter().map(|facet| ("inputStatistics".to_owned(), facet)).collect();
            json!({ "namespace": namespace, "name": name, "facets": facets, "inputFacets": counted })
        };
        self.inputs.iter().map(input).collect()
    }

    /// What is written; with counts where the load stands.
    pub fn output(&self, report: Option<&RunReport>) -> Option<Value> {
        let Dataset { namespace, name } = self.output.as_ref()?;
        let mut facets = Map::new();
        if let Some(fields) = &self.fields {
            facets.insert("schema".to_owned(), fields.clone());
        }
        if let Some(columns) = &self.columns {
            facets.insert("columnLineage".to_owned(), columns.clone());
        }
        let mut counted = Map::new();
        if let Some(report) = report.filter(|report| report.committed) {
            let written = json!({ "rowCount": report.rows_inserted + report.rows_updated });
            let written = facet("1-0-2/OutputStatisticsOutputDatasetFacet", written);
            counted.insert("outputStatistics".to_owned(), written);
        }
        Some(json!({ "namespace": namespace, "name": name, "facets": facets, "outputFacets": counted }))
    }
}

/// Whether a source is a table, or plain columns of one.
fn is_plain(source: &Source) -> bool {
    source.query.simple().is_some()
}

fn field(name: &str, data_type: &str) -> Value {
    json!({ "name": name, "type": data_type })
}

fn schema(fields: Vec<Value>) -> Value {
    facet("1-2-0/SchemaDatasetFacet", json!({ "fields": fields }))
}

/// The columns of the target as declared, with those that the strategy keeps; of one that is only named as they stand.
fn output_fields(pipeline: &Pipeline, facts: &Facts, dialect: &dyn Dialect) -> Value {
    let fields = match (&pipeline.target, &facts.target.live) {
        (Target::Declared(table), _) => {
            let (strategy, live) = (&pipeline.strategy, facts.target.live.as_ref());
            let mut managed = strategy.managed_columns(table);
            managed.retain(|column| strategy.keeps(&column.name, live, dialect));
            let columns = table.columns.iter().chain(&managed);
            columns.map(|column| field(column.name.as_str(), &dialect.type_name(&column.data_type))).collect()
        }
        (Target::Inferred(_), Some(live)) => {
            live.columns.iter().map(|column| field(&column.name, &column.data_type.name)).collect()
        }
        (Target::Inferred(_), None) => {
            let columns = facts.source.given().iter();
            columns.map(|column| field(&column.name, column.inferred_type())).collect()
        }
    };
    schema(fields)
}

/// Which column of the source fills which of the target: one of the same name, unless something is made of several.
fn column_lineage(pipeline: &Pipeline, facts: &Facts, from: &Dataset) -> Option<Value> {
    if !pipeline.helpers.iter().all(|step| KEEP_COLUMNS.contains(&step.helper.name())) {
        return None;
    }
    let source = |name: &str| facts.source.columns.iter().any(|column| column.name == name);
    let (names, cleaning): (Vec<&str>, &[_]) = match &pipeline.target {
        Target::Declared(table) => {
            (table.columns.iter().map(|column| column.name.as_str()).collect(), &table.cleaning)
        }
        Target::Inferred(_) => {
            let live = facts.target.live.as_ref();
            let stands = |name: &str| live.is_none_or(|live| live.column(name).is_some());
            let columns = facts.source.columns.iter().map(|column| column.name.as_str());
            (columns.filter(|name| stands(name)).collect(), &[])
        }
    };
    let mut fields = Map::new();
    for name in names.into_iter().filter(|name| source(name)) {
        let chain = cleaning.iter().find(|(column, _): &&(Ident, _)| column.as_str() == name);
        // What `derive` computes comes from columns that only its SQL names.
        if chain.is_some_and(|(_, chain)| chain.replaces()) {
            continue;
        }
        let subtype = if chain.is_some() { "TRANSFORMATION" } else { "IDENTITY" };
        let masking = chain.is_some_and(|(_, chain)| chain.hides());
        let made = json!({ "type": "DIRECT", "subtype": subtype, "description": "", "masking": masking });
        let Dataset { namespace, name: table } = from;
        let input =
            json!({ "namespace": namespace, "name": table, "field": name, "transformations": [made] });
        fields.insert(name.to_owned(), json!({ "inputFields": [input] }));
    }
    (!fields.is_empty()).then(|| facet("1-2-0/ColumnLineageDatasetFacet", json!({ "fields": fields })))
}
