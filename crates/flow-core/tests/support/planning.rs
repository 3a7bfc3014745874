//! Plans without a server: pipelines from TOML through the real reader, facts from small builders,
//! and the whole plan as a text that a person can review.

use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::options::PipelineOptions;
use ematix_flow_core::declare::toml_file::read_text;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::engine::{Ends, EngineFacts, Uniqueness};
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::facts::{
    Cap, Comments, Facts, Relation, RunFacts, SourceColumn, SourceFacts, StoredWatermark, TargetFacts,
    TargetRecord,
};
use ematix_flow_core::pipeline::{Pipeline, Target, declared_keys};
use ematix_flow_core::plan::{Answer, Condition, Plan, Step};
use ematix_flow_core::planner;
use ematix_flow_core::report::ExecutionPath;
use ematix_flow_core::run_value::RunValue;
use ematix_flow_core::schema::{Column, LiveColumn, LiveIndex, LiveTable, Table, TypeFacts};
use ematix_flow_core::sql::Ident;
use ematix_flow_core::types::DataType;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The table that most plans load.
pub const DIM_CUSTOMERS: &str = r#"
[tables.dim_customers]
schema = "analytics"
primary_key = "customer_id"
[tables.dim_customers.columns]
customer_id = "bigint"
email       = "string(256)?"
name        = "text?"
score       = "numeric(10,2)?"
updated_at  = "timestamptz"
"#;

/// The source and the target of most pipelines.
pub const SOURCE_AND_TARGET: &str =
    "source = { query = 'SELECT * FROM app.customers' }\ntarget = 'dim_customers'\n";

/// Every option that a project text in these tests sets, whether or not a plan shows it.
pub struct Scene<'d> {
    engine: &'d EngineFacts,
    options: String,
    pub pipeline: Pipeline,
    pub facts: Facts,
}

/// The checked pipeline of that name.
pub fn pipeline(project: &str, name: &str) -> Pipeline {
    let project = read_text(project, "pipelines.toml", &ProcessEnvironment)
        .unwrap_or_else(|errors| panic!("the project can be read: {errors:#?}"));
    Pipeline::build(&project, name, &PipelineOptions::default())
        .unwrap_or_else(|errors| panic!("the pipeline is right: {errors:#?}"))
}

impl<'d> Scene<'d> {
    /// The pipeline `customers` into `dim_customers`, with these options; its target does not exist yet.
    pub fn new(engine: &'d EngineFacts, options: &str) -> Scene<'d> {
        Scene::of(engine, DIM_CUSTOMERS, &format!("{SOURCE_AND_TARGET}{options}"))
    }

    /// A pipeline `customers` of any source, target and options, beside the rest of a project.
    pub fn of(engine: &'d EngineFacts, project: &str, lines: &str) -> Scene<'d> {
        let dialect = engine.dialect;
        let pipeline = pipeline(&format!("{project}\n[pipelines.customers]\n{lines}"), "customers");
        let columns = match &pipeline.target {
            Target::Declared(table) => table
                .columns
                .iter()
                .map(|column| source_column(column.name.as_str(), type_of(dialect, &column.data_type)))
                .collect(),
            Target::Inferred(_) => Vec::new(),
        };
        let facts = Facts {
            run: RunFacts {
                id: "018c2f00-7d2a-7c6e-9a54-66b25d21c0fe".to_owned(),
                instant: "2026-01-02T03:04:05.678901Z".to_owned(),
                dry_run: false,
                sample: 0,
                full_scan: false,
                part: None,
                version: "0.1.0",
            },
            path: ExecutionPath::SameDatabase,
            path_reason: "source and target are one database".to_owned(),
            source: SourceFacts { columns, ..SourceFacts::default() },
            client_diff_given_up: None,
            target: TargetFacts { schema_exists: true, ..TargetFacts::default() },
            watermark: None,
            has_ledger: false,
            cap: Cap::Unknown("the role may not see the sessions of others".to_owned()),
            native_types: BTreeMap::new(),
            assumed: false,
            came_by: None,
            at_hand: None,
        };
        let options = lines.strip_prefix(SOURCE_AND_TARGET).unwrap_or(lines).trim().to_owned();
        Scene { engine, options, pipeline, facts }
    }

    /// Gives the source a column of that type, or another type to one that it has.
    pub fn source(mut self, name: &str, data_type: &str) -> Scene<'d> {
        let column = source_column(name, named_type(self.engine.dialect, data_type));
        match self.facts.source.columns.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = column,
            None => self.facts.source.columns.push(column),
        }
        self
    }

    /// Takes a column from the source.
    pub fn without_source(mut self, name: &str) -> Scene<'d> {
        self.facts.source.columns.retain(|column| column.name != name);
        self
    }

    /// The source's own clock stamps that column.
    pub fn stamped(mut self, name: &str) -> Scene<'d> {
        for column in self.facts.source.columns.iter_mut().filter(|column| column.name == name) {
            column.stamped = true;
        }
        self
    }

    /// The source is a plain table with a primary key on these columns.
    pub fn plain_table(mut self, key: &[&str]) -> Scene<'d> {
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        let relation = "`app`.`customers`";
        let quote = |name| self.engine.dialect.quote(&Ident::new(name).expect("a name"));
        let sql = relation.replace("`app`", &quote("app")).replace("`customers`", &quote("customers"));
        self.facts.source.relation = Some(Relation {
            sql,
            unique: vec![key.clone()],
            not_null: key.clone(),
            primary_key: key,
            estimated_rows: 5000.0,
            pages: Some(70_000),
            correlation: BTreeMap::new(),
            comments: Comments::default(),
        });
        self
    }

    /// The target is there, as this pipeline would have made it in a run before.
    pub fn existing(mut self) -> Scene<'d> {
        let Target::Declared(table) = &self.pipeline.target else { panic!("a declared table") };
        let strategy = &self.pipeline.strategy;
        let mut managed = strategy.managed_columns(table);
        managed.retain(|column| strategy.keeps(&column.name, None, self.engine.dialect));
        let live = live_table(self.engine, &self.pipeline, table, &managed);
        let known_columns = live.columns.iter().map(|column| column.name.clone()).collect();
        self.facts.target.live = Some(live);
        self.facts.target.record = Some(TargetRecord {
            generation: 7,
            fingerprint: Some("of before".to_owned()),
            known_columns,
            ..Default::default()
        });
        // What the hashes of the live table were made from is what this pipeline compares.
        if self.pipeline.strategy.history().is_some() {
            let mut set = self.plan().expect("a plan of the table as it is").header.compared;
            set.sort();
            let record = self.facts.target.record.as_mut().expect("set above");
            record.compare_set = Some(set);
            record.encoding_version = Some(1);
        }
        self
    }

    /// Changes the live table.
    pub fn live(mut self, change: impl FnOnce(&mut LiveTable)) -> Scene<'d> {
        change(self.facts.target.live.as_mut().expect("the target exists"));
        self
    }

    /// Gives the live table a column, or another type to one that it has.
    pub fn live_column(self, name: &str, data_type: &str) -> Scene<'d> {
        let column = LiveColumn {
            name: name.to_owned(),
            data_type: named_type(self.engine.dialect, data_type),
            nullable: true,
            default: None,
            generated: false,
            comment: None,
        };
        self.live(|live| match live.columns.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = LiveColumn { nullable: known.nullable, ..column },
            None => live.columns.push(column),
        })
    }

    /// Takes a column from the live table.
    pub fn without_live(self, name: &str) -> Scene<'d> {
        self.live(|live| live.columns.retain(|column| column.name != name))
    }

    /// Changes any fact.
    pub fn facts(mut self, change: impl FnOnce(&mut Facts)) -> Scene<'d> {
        change(&mut self.facts);
        self
    }

    /// A run before read up to `last_value`, and the next reading begins at `read_from`.
    pub fn watermark(mut self, last_value: &str, read_from: &str) -> Scene<'d> {
        let incremental = self.pipeline.incremental.as_ref().expect("an incremental pipeline");
        self.facts.has_ledger = true;
        self.facts.watermark = Some(StoredWatermark {
            column: incremental.column.to_string(),
            last_value: Some(last_value.to_owned()),
            read_from: Some(read_from.to_owned()),
            covered_from: None,
            identity: None,
            target: None,
        });
        self
    }

    /// The oldest running transaction is known.
    pub fn cap(mut self, instant: &str) -> Scene<'d> {
        self.facts.cap = Cap::At(instant.to_owned());
        self
    }

    /// The run will be rolled back, and shows a sample of so many rows.
    pub fn dry_run(mut self, sample: usize) -> Scene<'d> {
        self.facts.run.dry_run = true;
        self.facts.run.sample = sample;
        self
    }

    /// The plan.
    pub fn plan(&self) -> Result<Plan> {
        planner::plan(&self.pipeline, &self.facts, &Ends::both(self.engine))
    }

    /// The whole plan, or the error that kept it from being made, under the options that led to it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in self.options.lines() {
            writeln!(out, "# {line}").expect("a string takes text");
        }
        match self.plan() {
            Ok(plan) => {
                out.push_str(&plan_text(&plan));
                plan.refused.iter().for_each(|drift| out.push_str(&error_text(drift)));
            }
            Err(error) => out.push_str(&error_text(&error)),
        }
        out
    }
}

fn source_column(name: &str, data_type: TypeFacts) -> SourceColumn {
    SourceColumn { name: name.to_owned(), data_type, stamped: false, inferred: None }
}

fn type_of(dialect: &dyn Dialect, data_type: &DataType) -> TypeFacts {
    dialect.type_facts(data_type).unwrap_or_else(|| TypeFacts::assumed(dialect.type_name(data_type)))
}

/// What a dialect knows of a type by its spelling in TOML.
pub fn named_type(dialect: &dyn Dialect, name: &str) -> TypeFacts {
    type_of(dialect, &DataType::parse(name).expect("a type"))
}

fn live_table(engine: &EngineFacts, pipeline: &Pipeline, table: &Table, managed: &[Column]) -> LiveTable {
    let dialect = engine.dialect;
    let keys = pipeline.keys.clone().unwrap_or_else(|| declared_keys(table).0);
    let names = |columns: &[Ident]| columns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let index = |columns: Vec<String>, primary: bool, predicate: Option<&str>| LiveIndex {
        name: columns.join("_"),
        unique: true,
        primary,
        usable: true,
        columns,
        predicate: predicate.map(str::to_owned),
        estimated_rows: None,
    };
    let mut indexes = Vec::new();
    let mut checks = Vec::new();
    if let Some(history) = pipeline.strategy.history() {
        let mut versions = names(&keys);
        versions.push(history.begin.to_string());
        indexes.push(index(versions, true, None));
        indexes.push(index(names(&keys), false, Some("current")));
        for columns in [&table.primary_key, &table.natural_key].into_iter().chain(&table.unique) {
            if !columns.is_empty() && *columns != keys {
                indexes.push(index(names(columns), false, Some("current")));
            }
        }
        checks = vec![format!("{}_period", table.name.name), format!("{}_open", table.name.name)];
    } else if !keys.is_empty() {
        indexes.push(index(names(&keys), true, None));
    }
    if engine.can.unique == Uniqueness::Unenforced {
        indexes.clear();
    }
    LiveTable {
        kind: 'r',
        spread: false,
        columns: table
            .columns
            .iter()
            .chain(managed)
            .map(|column| LiveColumn {
                name: column.name.to_string(),
                data_type: type_of(dialect, &column.data_type),
                nullable: column.nullable,
                default: column.default.as_ref().map(|_| "as declared".to_owned()),
                generated: false,
                comment: None,
            })
            .collect(),
        indexes,
        checks,
        triggers: Vec::new(),
        ours: true,
        comment: None,
        estimated_rows: 5000.0,
    }
}

/// A plan as a text: its head as `flow plan` prints it, then every statement under its purpose.
pub fn plan_text(plan: &Plan) -> String {
    let mut out = String::new();
    let keys = match &plan.header.keys_reason {
        Some(reason) => format!("  keys: {} ({reason})", plan.header.keys.join(", ")),
        None => String::new(),
    };
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{}  {}{keys}  path: {} ({})",
        plan.header.target,
        plan.header.mode,
        plan.header.path.name(),
        plan.header.path_reason
    ));
    if !plan.header.compared.is_empty() {
        line(format!("compared: {}", plan.header.compared.join(", ")));
    }
    for mark in &plan.marks {
        line(format!("{} {}", mark.mark, mark.what));
    }
    for note in &plan.notes {
        line(format!("note: {note}"));
    }
    for warning in &plan.warnings {
        line(format!("warning: {warning}"));
    }
    for step in plan.steps() {
        line(format!("\n-- {} {}: {}", step.n, step.kind.name(), step.purpose));
        for remark in remarks(step) {
            line(format!("-- {remark}"));
        }
        line(format!("{};", step.action));
    }
    for child in plan.printed_children() {
        line(format!("\n-- {} {}: {}", child.n, child.kind.name(), child.purpose));
        line(format!("{};", child.sql.unwrap_or_default()));
    }
    out
}

/// What becomes of a statement's answer, in words.
fn remarks(step: &Step) -> Vec<String> {
    let names = |values: &[RunValue]| values.iter().map(|value| value.name()).collect::<Vec<_>>().join(" + ");
    let mut out = Vec::new();
    match &step.when {
        Some(Condition::Positive(value)) => out.push(format!("only if {} > 0", value.name())),
        Some(Condition::AnyPositive(values)) => out.push(format!("only if {} > 0", names(values))),
        Some(Condition::AnySuspects(places)) => {
            let places: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
            out.push(format!("only if there are suspects of expectation {}", places.join(", ")));
        }
        None => {}
    }
    match &step.answer {
        Answer::Ignore => {}
        Answer::Count(values) => out.push(format!("counts {}", names(values))),
        Answer::CountExactly(values, expected) => {
            out.push(format!("counts {}: as many as {}", names(values), names(expected)));
        }
        Answer::CountAllRead(values) => {
            out.push(format!("counts {}: as many as were read and not dropped", names(values)));
        }
        Answer::ReadExactly(values) => {
            let told =
                values.iter().map(|(value, expected)| format!("{} as {}", value.name(), expected.name()));
            out.push(format!("answers numbers: {}", told.collect::<Vec<_>>().join(", ")));
        }
        Answer::Warn(warning) => out.push(format!("else warns: {}", warning.many)),
        Answer::Sample(_) => out.push("answers a sample".to_owned()),
        Answer::Read(_) => out.push("answers numbers".to_owned()),
        Answer::NoRows(failure) => {
            out.push(format!("else {}: {}", failure.code, failure.message));
            if !failure.sample.is_empty() {
                out.push(format!("with sample keys: {}", failure.sample.join(", ")));
            }
            out.push(format!("hint: {}", failure.hint));
        }
        Answer::Suspects(expectations) => {
            out.push(format!("answers the suspects of {} expectations", expectations.len()));
        }
        Answer::Expectation(expectation) => {
            let end = if expectation.ends_the_run { "else" } else { "else warns of" };
            out.push(format!("{end} {}: {}", expectation.failure.code, expectation.failure.message));
            out.push(format!("with a sample of: {}", expectation.failure.sample.join(", ")));
        }
        Answer::ExactlyOne => out.push("touches exactly one row".to_owned()),
    }
    out
}

fn error_text(error: &FlowError) -> String {
    let mut out = format!("error[{}]: {}\n", error.code, error.message);
    for detail in &error.details {
        writeln!(out, "  {detail}").expect("a string takes text");
    }
    if let Some(hint) = &error.hint {
        writeln!(out, "hint: {hint}").expect("a string takes text");
    }
    out
}
