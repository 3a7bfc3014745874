//! What the catalogue of a file says. Every question is one statement whose answer is one JSON value.
//!
//! Names differ by more than their case: to DuckDB `Orders` and `orders` are one table.

use super::session::DuckDbSession;
use crate::session::{Inspector, Privilege, Question, Session, SourceRead, nth, unreadable};
use async_trait::async_trait;
use ematix_flow_core::declare::for_each::Relation as Named;
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::dialect::duckdb::{DuckDb, facts_of, known};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{Cap, LiveRelation, MissingPrivilege, Relation, RelationKind, SourceColumn};
use ematix_flow_core::history;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::{LiveColumn, LiveIndex, LiveTable, TypeFacts};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql, text};
use serde::Deserialize;
use std::collections::BTreeMap;

#[async_trait]
impl Inspector for DuckDbSession {
    async fn source(&self, query: &ReadQuery, capped: bool) -> Result<SourceRead> {
        let relation = match query.simple() {
            Some(simple) => self.relation(&simple.relation).await?,
            None => None,
        };
        let cap = Cap::Unknown(match capped {
            true => "DuckDB does not say which transactions are open".to_owned(),
            false => "it was not asked".to_owned(),
        });
        let clock = match capped {
            true => {
                let (question, doing) = (self.clock(), "look at the source");
                let answers = self.ask(Blame::Source, doing, &question.sql).await?;
                Some(question.read(nth(&answers, 0, doing)?, doing)?)
            }
            false => None,
        };
        Ok(SourceRead { columns: self.columns(query.text()).await?, relation, cap, clock })
    }

    async fn columns(&self, query: &str) -> Result<Vec<SourceColumn>> {
        let doing = "describe the query";
        let answers = self.ask(Blame::Source, doing, &format!("DESCRIBE\n{query}\n")).await?;
        let mut columns: Vec<SourceColumn> = Vec::new();
        for row in &nth(&answers, 0, doing)?.rows {
            let [Some(name), Some(data_type), ..] = row.as_slice() else {
                return Err(unreadable(doing, "a column without a name or a type"));
            };
            if columns.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                return Err(FlowError::new(
                    ErrorCode::DuplicateName,
                    format!("the query has two columns called `{name}`"),
                )
                .hint("give one of them another name: AS …"));
            }
            columns.push(SourceColumn {
                name: name.clone(),
                data_type: facts_of(data_type),
                stamped: false,
                inferred: None,
            });
        }
        Ok(columns)
    }

    fn table(&self, name: &QualifiedName) -> Question<(bool, Option<LiveTable>)> {
        Question::new(question(name), |answer, doing| {
            let json: TargetJson = parse(answer.only_value(doing)?)?;
            if let Some(schema) = json.like_the_file {
                return Err(like_the_file(&schema));
            }
            Ok((json.schema_exists, json.table()))
        })
    }

    fn kinds(&self, names: &[QualifiedName]) -> Question<Vec<Option<LiveRelation>>> {
        let rows = names.iter().map(|name| {
            let (schema, name) = (text(name.schema.as_str()), text(name.name.as_str()));
            sql!(
                "SELECT list_extract(list(t.table_type), 1) FROM information_schema.tables AS t WHERE t.table_catalog = current_database() AND lower(t.table_schema) = lower({schema}) AND lower(t.table_name) = lower({name})",
                schema,
                name
            )
        });
        let sql = Sql::join(rows, "\nUNION ALL ");
        Question::new(sql.to_text(&DuckDb), |answer, _| {
            let kind = |row: &Vec<Option<String>>| {
                row.first().and_then(Option::as_deref).map(|kind| LiveRelation {
                    kind: if kind == "VIEW" { RelationKind::View } else { RelationKind::Table },
                    grants: Vec::new(),
                })
            };
            Ok(answer.rows.iter().map(kind).collect())
        })
    }

    fn correlations(&self, _tables: &[String]) -> Question<Vec<BTreeMap<String, f64>>> {
        // Its joins do not ask for an order.
        Question::new("SELECT TRUE".to_owned(), |_, _| Ok(Vec::new()))
    }

    fn missing_privileges(&self, _needed: &[Privilege]) -> Question<Vec<MissingPrivilege>> {
        // Whoever may write the file may do everything in it.
        Question::new("SELECT TRUE".to_owned(), |_, _| Ok(Vec::new()))
    }

    fn relations(&self) -> Question<Vec<Named>> {
        let sql = sql!(
            "SELECT table_schema, table_name, table_type = 'BASE TABLE' FROM information_schema.tables
 WHERE table_catalog = current_database() AND table_schema NOT IN ('information_schema', 'pg_catalog', {own})
 ORDER BY table_schema, table_name",
            own = text(history::SCHEMA)
        );
        Question::new(sql.to_text(&DuckDb), |answer, doing| {
            let relation = |row: &Vec<Option<String>>| match row.as_slice() {
                [Some(schema), Some(name), Some(by_glob)] => Ok(Named {
                    schema: schema.clone(),
                    name: name.clone(),
                    by_glob: matches!(by_glob.as_str(), "t" | "true"),
                }),
                _ => Err(unreadable(doing, "a table without schema or name")),
            };
            answer.rows.iter().map(relation).collect()
        })
    }

    async fn described(&self, names: &[QualifiedName]) -> Result<Vec<Option<LiveTable>>> {
        let doing = "describe the tables";
        let mut found = Vec::new();
        for name in names {
            let table = self.table(name);
            let answers = self.ask(Blame::Source, doing, &table.sql).await?;
            found.push(table.read(nth(&answers, 0, doing)?, doing)?.1);
        }
        Ok(found)
    }

    fn clock(&self) -> Question<String> {
        let now = DuckDb.iso_instant(&DuckDb.transaction_time());
        Question::new(sql!("SELECT {now}", now).to_text(&DuckDb), |answer, doing| {
            answer.only_value(doing).map(str::to_owned)
        })
    }

    async fn native_types(&self, names: &[String]) -> Result<BTreeMap<String, TypeFacts>> {
        let mut found = BTreeMap::new();
        for name in names {
            let facts = match known(name) {
                Some(facts) => facts,
                // Somebody has made it, or nobody has.
                None => {
                    let question = format!("SELECT CAST(NULL AS {name})");
                    self.ask(Blame::Target, "look up declared types", &question).await.map_err(|error| {
                        FlowError::new(ErrorCode::UnknownType, format!("there is no type `{name}`"))
                            .detail(error.message)
                            .hint("check the type's name")
                    })?;
                    facts_of(name)
                }
            };
            found.insert(name.clone(), facts);
        }
        Ok(found)
    }

    /// A source in another database sends no rows yet.
    async fn unknown_types(&self, _names: &[&str]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn stable_text(&self, value: &str, data_type: &TypeFacts) -> Result<String> {
        let typed = DuckDb.typed_literal(value, &data_type.name);
        let question = sql!("SELECT {text}", text = DuckDb.stable_text(data_type, &typed)).to_text(&DuckDb);
        let doing = "cast the watermark";
        let answers = self.ask(Blame::Target, doing, &question).await.map_err(|error| {
            let why = error.details.first().unwrap_or(&error.message).clone();
            let message = format!("`{value}` is not a {}", data_type.name);
            FlowError::new(ErrorCode::InvalidValue, message).detail(why)
        })?;
        nth(&answers, 0, doing)?.only_value(doing).map(str::to_owned)
    }

    async fn mark_database(&self, key: i64) -> Result<()> {
        self.keep(self.file.mark(key));
        Ok(())
    }

    async fn is_marked(&self, key: i64) -> Result<bool> {
        Ok(self.file.is_marked(key))
    }

    fn settings_of_connection(&self) -> Vec<String> {
        Vec::new()
    }

    async fn settings_of_database(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Two sessions of ours on one file have the same settings, and there are no roles.
    async fn meaning(&self, _settings: &[String]) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    async fn reads_otherwise(&self, _query: &str) -> Result<Option<String>> {
        Ok(None)
    }
}

impl DuckDbSession {
    /// The plain table that a simple query reads whole.
    async fn relation(&self, written: &str) -> Result<Option<Relation>> {
        let Ok((schema, table)) = QualifiedName::parse(written) else { return Ok(None) };
        let name = QualifiedName { schema: schema.unwrap_or_else(|| Ident::fixed("main")), name: table };
        let doing = "look at the source";
        let question = question(&name);
        let answers = self.ask(Blame::Source, doing, &question).await?;
        let json: TargetJson = parse(nth(&answers, 0, doing)?.only_value(doing)?)?;
        let Some(live) = json.table().filter(|live| live.kind == 'r') else { return Ok(None) };
        let not_null =
            live.columns.iter().filter(|column| !column.nullable).map(|column| column.name.clone());
        let sql = sql!("{name}", name).to_text(&DuckDb);
        Ok(Some(Relation::of(sql, not_null.collect(), &live.indexes, live.estimated_rows)))
    }
}

/// A file's database has the name of the file without what follows its last dot, and stands where a schema could.
pub(super) fn like_the_file(schema: &str) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!("the file and the schema `{schema}` in it have one name, and DuckDB cannot tell them apart"),
    )
    .hint("rename the file, or choose another schema")
}

/// Asks for a table of that name.
fn question(name: &QualifiedName) -> String {
    let here = |alias: &'static str, column: &'static str| {
        sql!(
            "{alias}.database_name = system.main.current_database()\n   AND system.main.lower({alias}.schema_name) = system.main.lower({schema})\n   AND system.main.lower({alias}.{column}) = system.main.lower({table})",
            alias = Sql::text(alias),
            column = Sql::text(column),
            schema = text(name.schema.as_str()),
            table = text(name.name.as_str())
        )
    };
    sql!(
        "SELECT CAST(system.main.json_object(
  'schema_exists', (SELECT system.main.count(*) > 0 FROM system.main.duckdb_schemas() AS s
                     WHERE s.database_name = system.main.current_database()
                       AND system.main.lower(s.schema_name) = system.main.lower({schema})),
  'like_the_file', (SELECT {schema} WHERE system.main.lower({schema}) = system.main.lower(system.main.current_database())),
  'tables', (SELECT system.main.list(t.estimated_size) FROM system.main.duckdb_tables() AS t WHERE {a_table}),
  'views', (SELECT system.main.list(v.view_name) FROM system.main.duckdb_views() AS v WHERE {a_view}),
  'columns', (SELECT system.main.list(system.main.json_object('name', c.column_name, 'type', c.data_type,
                     'nullable', c.is_nullable, 'default', c.column_default) ORDER BY c.column_index)
                FROM system.main.duckdb_columns() AS c WHERE {a_column}),
  'keys', (SELECT system.main.list(system.main.json_object('primary', k.constraint_type = 'PRIMARY KEY',
                  'columns', k.constraint_column_names))
             FROM system.main.duckdb_constraints() AS k
            WHERE k.constraint_type IN ('PRIMARY KEY', 'UNIQUE') AND {a_key})) AS VARCHAR)",
        schema = text(name.schema.as_str()),
        a_table = here("t", "table_name"),
        a_view = here("v", "view_name"),
        a_column = here("c", "table_name"),
        a_key = here("k", "table_name")
    )
    .to_text(&DuckDb)
}

#[derive(Deserialize)]
struct TargetJson {
    schema_exists: bool,
    like_the_file: Option<String>,
    tables: Option<Vec<f64>>,
    views: Option<Vec<String>>,
    columns: Option<Vec<ColumnJson>>,
    keys: Option<Vec<KeyJson>>,
}

#[derive(Deserialize)]
struct ColumnJson {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct KeyJson {
    primary: bool,
    columns: Vec<String>,
}

impl TargetJson {
    fn table(self) -> Option<LiveTable> {
        let (kind, estimated_rows) = match (self.tables.unwrap_or_default().first(), self.views) {
            (Some(rows), _) => ('r', *rows),
            (None, Some(_)) => ('v', -1.0),
            (None, None) => return None,
        };
        let column = |column: ColumnJson| LiveColumn {
            name: column.name,
            data_type: facts_of(&column.data_type),
            nullable: column.nullable,
            default: column.default,
            generated: false,
            comment: None,
        };
        let index = |key: KeyJson| LiveIndex {
            name: key.columns.join("_"),
            unique: true,
            primary: key.primary,
            usable: true,
            columns: key.columns,
            predicate: None,
            estimated_rows: None,
        };
        Some(LiveTable {
            kind,
            spread: false,
            columns: self.columns.into_iter().flatten().map(column).collect(),
            indexes: self.keys.into_iter().flatten().map(index).collect(),
            checks: Vec::new(),
            triggers: Vec::new(),
            ours: false,
            comment: None,
            estimated_rows,
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T> {
    serde_json::from_str(answer).map_err(|error| {
        FlowError::new(ErrorCode::TargetFailed, format!("the catalogue's answer cannot be read: {error}"))
    })
}
