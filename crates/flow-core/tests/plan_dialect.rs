//! A second dialect is added without touching a strategy: plans of all four render through `Duck`,
//! which quotes, names types and writes statements in its own way, and no word of Postgres is left.

#[path = "support/planning.rs"]
#[allow(dead_code)] // each test file uses a part
mod planning;

use ematix_flow_core::dialect::{Cast, ColumnValue, Crossing, Dialect, Measure, Merged, RowOrder, Upsert};
use ematix_flow_core::hash::{Normal, SentType};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Literal, QualifiedName, Quote, Sql};
use ematix_flow_core::types::{DataType, TypeFacts};
use planning::Scene;
use std::time::Duration;

/// A database that does not exist, and is as unlike Postgres as the trait allows.
struct Duck;

impl Quote for Duck {
    fn quote(&self, name: &Ident) -> String {
        format!("`{}`", name.as_str().replace('`', "``"))
    }

    fn literal(&self, value: &Literal) -> String {
        match value {
            Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Literal::Integer(number) => number.to_string(),
            Literal::Float(number) => number.to_string(),
            Literal::Boolean(truth) => if *truth { "yes" } else { "no" }.to_owned(),
            Literal::Null => "NOTHING".to_owned(),
        }
    }
}

impl Dialect for Duck {
    fn type_name(&self, data_type: &DataType) -> String {
        match data_type {
            DataType::SmallInt | DataType::Integer | DataType::BigInt => "WHOLE".to_owned(),
            DataType::Numeric(_) | DataType::Float | DataType::Double => "DECIMAL".to_owned(),
            DataType::String(_) | DataType::Text => "WORDS".to_owned(),
            DataType::Boolean => "YESNO".to_owned(),
            DataType::Date => "DAY".to_owned(),
            DataType::Timestamp => "WALLTIME".to_owned(),
            DataType::TimestampTz => "MOMENT".to_owned(),
            DataType::Json | DataType::Jsonb => "TREE".to_owned(),
            DataType::Uuid => "TICKET".to_owned(),
            DataType::Bytes => "OCTETS".to_owned(),
            DataType::Native(name) => name.clone(),
        }
    }

    fn type_facts(&self, data_type: &DataType) -> Option<TypeFacts> {
        let normal = match data_type {
            DataType::BigInt | DataType::Integer => Normal::Int8,
            DataType::TimestampTz => Normal::AsSent(SentType::by_oid(1184).expect("a sent type")),
            _ => Normal::Text,
        };
        Some(TypeFacts { normal: Some(normal), ..TypeFacts::assumed(self.type_name(data_type)) })
    }

    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast {
        match (from.name.as_str(), to.name.as_str()) {
            (from, to) if from == to => Cast::Same,
            ("WHOLE", "DECIMAL") => Cast::Widening,
            _ => Cast::ByInsert,
        }
    }

    fn crossing(&self, from: &TypeFacts, to: &TypeFacts) -> Crossing {
        match self.cast(from, to) {
            Cast::Same => Crossing::AsIs,
            Cast::Widening => Crossing::CastAtSource(to.name.clone()),
            Cast::ByInsert => Crossing::ByInsert { arrives: from.name.clone(), cast: false },
        }
    }

    fn measure(&self, data_type: &TypeFacts) -> Measure {
        match data_type.name.as_str() {
            "MOMENT" => Measure::Instant { unit: Some(Duration::from_millis(1)) },
            "WHOLE" | "DECIMAL" => Measure::Number,
            _ => Measure::Unmeasured,
        }
    }

    fn cast_to(&self, value: &Sql, type_name: &str) -> Sql {
        sql!("CONVERT({value}, {type_name})", value, type_name = Sql::from_dialect(type_name.to_owned()))
    }

    fn to_instant(&self, _data_type: &TypeFacts, value: &Sql) -> Sql {
        sql!("MOMENT_OF({value})", value)
    }

    fn stable_text(&self, _data_type: &TypeFacts, value: &Sql) -> Sql {
        sql!("WORDS_OF({value})", value)
    }

    fn text_settings(&self, _data_type: &TypeFacts) -> Option<Sql> {
        None
    }

    fn duration(&self, length: Duration) -> Sql {
        sql!("{count} TICKS", count = Literal::Integer(length.as_millis() as i64))
    }

    fn end_of_time(&self) -> Sql {
        Sql::text("DOOMSDAY")
    }

    fn transaction_time(&self) -> Sql {
        Sql::text("STARTED")
    }

    fn clock(&self) -> Sql {
        Sql::text("THE_CLOCK")
    }

    fn text_list(&self, texts: &[String]) -> Sql {
        let texts = texts.iter().map(|text| sql!("{text}", text = Literal::Text(text.clone())));
        sql!("WORD_LIST({texts})", texts = Sql::join(texts, ", "))
    }

    fn json_row(&self, columns: Sql) -> Sql {
        sql!("TREE OF ({columns})", columns)
    }

    fn differs(&self, _data_type: &TypeFacts, left: &Sql, right: &Sql) -> Sql {
        sql!("DIFFERS({left}, {right})", left, right)
    }

    fn row_digest(&self, columns: &[ColumnValue<'_>]) -> Sql {
        let columns = columns.iter().map(|column| column.sql.clone());
        sql!("DIGEST({columns})", columns = Sql::join(columns, ", "))
    }

    fn count_where(&self, condition: &Sql) -> Sql {
        sql!("COUNT_IF({condition})", condition)
    }

    fn row_address(&self, alias: &'static str, _spread: bool) -> Sql {
        sql!("{alias}.rowid", alias = Sql::text(alias))
    }

    fn row_address_type(&self, _spread: bool) -> &'static str {
        "ROWID"
    }

    fn create_schema(&self, name: &Ident) -> Sql {
        sql!("DIG {name}", name)
    }

    fn probe(&self, query: &Sql) -> Sql {
        sql!("PROBE {query}", query)
    }

    fn create_stage_as(&self, name: &QualifiedName, select: Sql, order: RowOrder) -> Sql {
        let hint = match order {
            RowOrder::ByKey => Sql::text(" MERGING"),
            RowOrder::Unknown => Sql::empty(),
        };
        sql!("CREATE PUDDLE {name}{hint} AS\n{select}", name, hint, select)
    }

    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql {
        let columns =
            columns.into_iter().map(|(name, data_type)| sql!("{name} {data_type}", name, data_type));
        sql!("CREATE PUDDLE {name} ({columns})", name, columns = Sql::join(columns, ", "))
    }

    fn lock_table(&self, name: &QualifiedName) -> Sql {
        sql!("HOLD {name}", name)
    }

    fn truncate(&self, name: &QualifiedName) -> Sql {
        sql!("DRAIN {name}", name)
    }

    fn update_from(&self, target: &QualifiedName, assignments: Vec<Sql>, from: Sql, condition: Sql) -> Sql {
        sql!(
            "MERGE INTO {target} AS t\n USING {from}\n    ON {condition}\n  WHEN MATCHED THEN UPDATE SET {assignments}",
            target,
            from,
            condition,
            assignments = Sql::join(assignments, ", ")
        )
    }

    fn delete_using(&self, target: &QualifiedName, using: Sql, condition: Sql) -> Sql {
        sql!(
            "MERGE INTO {target} AS t\n USING {using}\n    ON {condition}\n  WHEN MATCHED THEN DELETE",
            target,
            using,
            condition
        )
    }

    fn upsert(&self, upsert: Upsert<'_>) -> Sql {
        let updates = upsert.updates.iter().map(|(name, merged)| match merged {
            Merged::Replaced => sql!("{name} = n.{name}", name),
            Merged::Added => sql!("{name} = t.{name} + n.{name}", name),
        });
        sql!(
            "UPSERT INTO {table} ({columns})\n{rows}\n BY {keys}\n SET {updates}",
            table = upsert.table,
            columns = upsert.columns,
            rows = upsert.rows,
            keys = upsert.keys,
            updates = Sql::join(updates, ", ")
        )
    }

    fn analyze(&self, name: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!("SURVEY {name} BY [{columns}]", name, columns)
    }

    fn copy_out(&self, query: &Sql) -> Sql {
        sql!("SEND {query}", query)
    }

    fn copy_in(&self, name: &QualifiedName, columns: &[Ident]) -> Sql {
        sql!("RECEIVE {name} {columns}", name, columns)
    }
}

fn scene(options: &str) -> Scene<'static> {
    Scene::new(&Duck, options)
}

/// Plans that together take every way through planner and strategies.
fn scenes() -> Vec<(&'static str, Scene<'static>)> {
    const LAST: &str = "the last moment";
    const READ_FROM: &str = "the moment before";
    let incremental = "incremental_column = 'updated_at'\nlookback = '10m'\nlate_commits = 'cap'";
    vec![
        ("append_first_load", scene("mode = 'append'")),
        ("append_incremental", {
            scene(&format!("mode = 'append'\n{incremental}"))
                .existing()
                .watermark(LAST, READ_FROM)
                .cap("the oldest moment")
                .facts(|facts| {
                    let stored = facts.watermark.as_mut().expect("a watermark");
                    stored.covered_from = Some("long ago".to_owned());
                })
        }),
        ("truncate", scene("mode = 'truncate'").existing()),
        (
            "truncate_by_delete",
            scene("mode = 'truncate'\nreplace_method = 'delete'\non_duplicate = 'latest'\norder_by = 'name'")
                .existing()
                .source("email", "boolean"),
        ),
        ("merge_first_load", scene("mode = 'merge'")),
        (
            "merge_soft_deletes",
            scene("mode = 'merge'\nhandle_deletes = 'soft'")
                .existing()
                .plain_table(&["customer_id"])
                .dry_run(5),
        ),
        (
            "merge_hard_deletes",
            scene("mode = 'merge'\nhandle_deletes = 'hard'")
                .existing()
                .plain_table(&["customer_id"])
                .source("score", "bigint"),
        ),
        ("scd2_first_load", scene("mode = 'scd2'\nfirst_valid_from = 'updated_at'")),
        ("scd2", {
            scene("mode = 'scd2'\nhandle_deletes = 'soft'\noverwrite_columns = 'name'\nfirst_valid_from = 'epoch'")
                .existing()
                .plain_table(&["customer_id"])
        }),
        ("scd2_infinity", scene("mode = 'scd2'\nopen_end = 'infinity'")),
        ("scd2_changed_compare_set", {
            scene(&format!("mode = 'scd2'\n{incremental}"))
                .existing()
                .watermark(LAST, READ_FROM)
                .cap("the oldest moment")
                .facts(|facts| {
                    facts.target.record.as_mut().expect("a record").compare_set =
                        Some(vec!["email".to_owned()]);
                })
        }),
        (
            "scd2_migrate",
            scene("mode = 'scd2'\nmigrate = true").existing().without_live("score").live(|live| {
                live.indexes.clear();
                live.checks.clear();
            }),
        ),
    ]
}

/// Words that only Postgres understands, or that say how Postgres is told.
const POSTGRES_WORDS: &[&str] = &[
    "::",
    "\"",
    "ctid",
    "pg_",
    "FILTER",
    "UNLOGGED",
    "INTERVAL",
    "infinity",
    "jsonb",
    "now()",
    "clock_timestamp",
    "ARRAY[",
    "SELECT FROM",
    "ON CONFLICT",
    "excluded",
    "LOCK TABLE",
    "EXCLUSIVE",
    "SET LOCAL",
    "TRUNCATE",
    "ANALYZE",
    "bytea",
    "bigint",
    "uuid",
    "timestamp",
    "character varying",
    "numeric",
    "text[]",
];

/// SQL without what stands in single quotes: a declaration that is recorded says "bigint" in any dialect.
fn without_strings(sql: &str) -> String {
    sql.split('\'').step_by(2).collect()
}

#[test]
fn plans_of_every_strategy_render_in_another_dialect() {
    for (name, scene) in scenes() {
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("duck_{name}"), scene.text());
        });
    }
}

#[test]
fn no_word_of_postgres_is_left_in_another_dialect() {
    let mut leaks = Vec::new();
    for (name, scene) in scenes() {
        let plan = scene.plan().expect("a plan");
        for step in &plan.steps {
            let sql = without_strings(&step.action.to_string());
            for word in POSTGRES_WORDS {
                if sql.contains(word) {
                    leaks.push(format!("{name}, step {} ({}): {word}\n{sql}", step.n, step.purpose));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n\n"));
}

#[test]
fn the_order_of_rows_reaches_the_dialect() {
    let scene = scene("mode = 'merge'").existing().plain_table(&["customer_id"]).facts(|facts| {
        let relation = facts.source.relation.as_mut().expect("a plain table");
        relation.correlation.insert("customer_id".to_owned(), -1.0);
        facts.target.live.as_mut().expect("a live table").indexes[0].correlation = Some(0.95);
    });
    assert!(scene.text().contains(" MERGING AS"));
}
