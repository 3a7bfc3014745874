//! The row hash in Rust and the row hash in SQL are one: on the golden vectors, and on random rows of every type
//! under sessions whose settings and search_path are set against it.

#[path = "hash_property/server.rs"]
mod server;
#[path = "hash_property/values.rs"]
mod values;

use ematix_flow_core::hash::SentType;
use serde::Deserialize;
use server::{Hashed, copy_rows, digest_sql, hash_rows, normals, succeeds, with_database};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use values::{COLUMNS, Column, OPTIONAL_COLUMNS, Random, TYPES};

const ROWS: u64 = 2_500;
const DEFAULT_SEED: u64 = 20_240_531;

#[derive(Deserialize)]
struct Golden {
    setup: Vec<String>,
    optional: BTreeMap<String, String>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    columns: Vec<GoldenColumn>,
    digest: String,
}

#[derive(Deserialize)]
struct GoldenColumn {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    sql: String,
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_server_hashes_every_golden_vector_as_the_file_says() {
    with_database(|database| async move {
        let client = database.connect().await;
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/row_hash.json"))
            .expect("the golden file is JSON");
        for statement in &golden.setup {
            client.batch_execute(statement).await.expect("the golden types can be made");
        }
        let mut missing = Vec::new();
        for (data_type, statement) in &golden.optional {
            if !succeeds(&client, statement).await {
                missing.push(data_type);
            }
        }
        for vector in &golden.vectors {
            if vector.columns.iter().any(|column| missing.contains(&&column.data_type)) {
                continue;
            }
            check_golden_vector(&client, vector).await;
        }
    })
    .await;
}

async fn check_golden_vector(client: &Client, vector: &Vector) {
    let values: Vec<String> = (vector.columns.iter().enumerate())
        .map(|(i, column)| format!("({})::{} AS c{i}", column.sql, column.data_type))
        .collect();
    let source = format!("SELECT {}", values.join(", "));
    // Not the types of the query's answer: the server names domains there by their base type.
    let types = (0..values.len()).map(|i| format!("pg_typeof(v.c{i})::oid")).collect::<Vec<_>>().join(", ");
    let row = client
        .query_one(&format!("SELECT {types} FROM ({source}) AS v"), &[])
        .await
        .expect("types are known");
    let oids: Vec<u32> = (0..values.len()).map(|i| row.get(i)).collect();
    let columns: Vec<Hashed> = (vector.columns.iter().zip(normals(client, &oids).await).enumerate())
        .map(|(i, (column, normal))| Hashed { name: column.name.clone(), sql: format!("v.c{i}"), normal })
        .collect();

    let sql = format!("SELECT {} FROM ({source}) AS v", digest_sql(&columns));
    let digest: Vec<u8> = client.query_one(&sql, &[]).await.expect("the digest is SQL").get(0);
    assert_eq!(to_hex(&digest), vector.digest, "{} in SQL: {sql}", vector.name);
    let rows = copy_rows(client, &source).await;
    assert_eq!(to_hex(&hash_rows(&columns, &rows)[0]), vector.digest, "{} in Rust", vector.name);
}

#[tokio::test]
async fn sent_types_are_what_the_catalogue_says() {
    with_database(|database| async move {
        let client = database.connect().await;
        for sent in SentType::ALL {
            let sql = "SELECT typname::text, typlen, typsend::oid::regproc::text FROM pg_type WHERE oid = $1";
            let row = client.query_one(sql, &[&sent.oid]).await.expect("the type exists");
            let (name, length, send): (String, i16, String) = (row.get(0), row.get(1), row.get(2));
            assert_eq!(sent.name.trim_matches('"'), name);
            assert_eq!(sent.sent_bytes, usize::try_from(length).ok(), "{name}");
            assert_eq!(sent.compared_by.unwrap_or(&send), send, "{name}");
        }
    })
    .await;
}

/// Sessions in which an encoding that leaned on a setting, or on an unqualified name, would change.
const SESSIONS: &[&[(&str, &str)]] = &[
    &[],
    &[
        ("TimeZone", "Pacific/Chatham"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
        ("lc_monetary", "C"),
        ("standard_conforming_strings", "off"),
        ("search_path", "hostile, pg_catalog, public"),
    ],
    &[
        ("TimeZone", "America/St_Johns"),
        ("DateStyle", "German, YMD"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "3"),
        ("xmlbinary", "hex"),
        ("xmloption", "document"),
        ("quote_all_identifiers", "on"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("search_path", "hostile, pg_catalog"),
    ],
    &[
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "Postgres, MDY"),
        ("IntervalStyle", "postgres_verbose"),
        ("lc_monetary", "POSIX"),
        ("default_transaction_isolation", "serializable"),
        ("max_parallel_workers_per_gather", "2"),
        ("parallel_setup_cost", "0"),
        ("parallel_tuple_cost", "0"),
        ("min_parallel_table_scan_size", "0"),
        ("search_path", "public, hostile, pg_catalog"),
    ],
];

const HOSTILE: &str = r"
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT 'trap'::pg_catalog.bytea $$;
CREATE FUNCTION hostile.record_send(record) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RETURN 'trap'; END $$;
CREATE FUNCTION hostile.array_send(anyarray) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RETURN 'trap'; END $$;
CREATE FUNCTION hostile.enum_out(anyenum) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'trap'; END $$;
CREATE FUNCTION hostile.trim_scale(numeric) RETURNS numeric LANGUAGE sql AS $$ SELECT 42::pg_catalog.numeric $$;
CREATE FUNCTION hostile.substr(bytea, integer) RETURNS bytea LANGUAGE sql AS $$ SELECT 'trap'::pg_catalog.bytea $$;
CREATE FUNCTION hostile.decode(text, text) RETURNS bytea LANGUAGE sql AS $$ SELECT 'trap'::pg_catalog.bytea $$;
CREATE FUNCTION hostile.overlay(bytea, bytea, integer, integer) RETURNS bytea LANGUAGE sql AS $$ SELECT 'trap'::pg_catalog.bytea $$;
CREATE FUNCTION hostile.equal(float8, float8) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION hostile.add(float8, float8) RETURNS float8 LANGUAGE sql AS $$ SELECT 42::pg_catalog.float8 $$;
CREATE OPERATOR hostile.= (LEFTARG = float8, RIGHTARG = float8, FUNCTION = hostile.equal);
CREATE OPERATOR hostile.+ (LEFTARG = float8, RIGHTARG = float8, FUNCTION = hostile.add);
";

/// Every type that the SQL names, as a type that would change the value.
async fn set_type_traps(client: &Client) {
    let ours = ["int8", "text", "bool", "float8", "numeric"];
    for name in ours.into_iter().chain(SentType::ALL.iter().map(|sent| sent.name)) {
        let sql = format!("CREATE DOMAIN hostile.{name} AS pg_catalog.varchar CHECK (false)");
        client.batch_execute(&sql).await.expect("a domain may have any name");
    }
}

#[tokio::test]
async fn rust_and_sql_agree_on_random_rows_in_every_session() {
    let seed =
        std::env::var("EMATIX_FLOW_TEST_SEED").map_or(DEFAULT_SEED, |seed| seed.parse().expect("a number"));
    with_database(move |database| async move {
        let client = database.connect().await;
        let columns = make_table(&client, &mut Random(seed)).await;
        let types = column_types(&client).await;
        assert_eq!(types.len(), columns);
        client.batch_execute(HOSTILE).await.expect("the traps can be set");
        set_type_traps(&client).await;

        let mut first: Option<Vec<Vec<u8>>> = None;
        for settings in SESSIONS {
            let session = database.connect().await;
            for (name, value) in *settings {
                let sql = format!(
                    "SET {name} = {}",
                    if *name == "search_path" { value.to_string() } else { format!("'{value}'") }
                );
                session.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            if settings.iter().any(|setting| setting.1.contains("hostile")) {
                let trapped = session
                    .query_one("SELECT sha256(pg_catalog.decode('00', 'hex'))", &[])
                    .await
                    .expect("a trap");
                assert_eq!(trapped.get::<_, &[u8]>(0), b"trap", "the traps work");
            }
            let hashed = hashed_columns(&session, &types).await;
            let in_rust = hash_rows(&hashed, &copy_rows(&session, &select_columns(&hashed)).await);
            let in_sql = digests(&session, &digest_sql(&hashed)).await;
            assert_eq!(in_sql.len() as u64, ROWS);
            if in_rust != in_sql {
                panic!(
                    "seed {seed}, {settings:?}: Rust and SQL differ in {:?}",
                    differing(&session, &hashed).await
                );
            }
            let first = first.get_or_insert_with(|| in_sql.clone());
            assert!(*first == in_sql, "seed {seed}, {settings:?}: the session changes the hash");
        }
        assert_comparison_agrees(&client, &hashed_columns(&client, &types).await, seed).await;
    })
    .await;
}

/// The columns that differ, with the ids of some rows.
async fn differing(session: &Client, hashed: &[Hashed]) -> Vec<(String, Vec<usize>)> {
    let mut found = Vec::new();
    for column in hashed {
        let one = std::slice::from_ref(column);
        let in_rust = hash_rows(one, &copy_rows(session, &select_columns(one)).await);
        let in_sql = digests(session, &digest_sql(one)).await;
        let ids: Vec<usize> =
            (0..in_sql.len()).filter(|i| in_rust[*i] != in_sql[*i]).map(|i| i + 1).take(5).collect();
        if !ids.is_empty() {
            found.push((column.name.clone(), ids));
        }
    }
    found
}

fn select_columns(hashed: &[Hashed]) -> String {
    let list: Vec<&str> = hashed.iter().map(|column| column.sql.as_str()).collect();
    format!("SELECT {} FROM public.sample AS t ORDER BY t.id", list.join(", "))
}

async fn digests(session: &Client, digest: &str) -> Vec<Vec<u8>> {
    let sql = format!("SELECT {digest} FROM public.sample AS t ORDER BY t.id");
    let rows = session.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    rows.iter().map(|row| row.get(0)).collect()
}

/// A table `sample` of random rows; answers how many columns it has besides its id.
async fn make_table(client: &Client, random: &mut Random) -> usize {
    client.batch_execute(TYPES).await.expect("the types can be made");
    let mut columns: Vec<&Column> = COLUMNS.iter().collect();
    for (statement, column) in OPTIONAL_COLUMNS {
        if succeeds(client, statement).await {
            columns.push(column);
        }
    }

    let declared: Vec<String> =
        columns.iter().map(|column| format!("{} {}", quote(column.name), column.data_type)).collect();
    let create = format!("CREATE TABLE sample (id bigint PRIMARY KEY, {})", declared.join(", "));
    client.batch_execute(&create).await.expect("the table can be made");
    for start in (1..=ROWS).step_by(100) {
        let rows: Vec<String> = (start..start + 100).map(|id| random_row(id, &columns, random)).collect();
        client
            .batch_execute(&format!("INSERT INTO sample VALUES {}", rows.join(",\n")))
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));
    }
    add_values_without_a_literal(client).await;
    columns.len()
}

fn random_row(id: u64, columns: &[&Column], random: &mut Random) -> String {
    let mut row = format!("({id}");
    for column in columns {
        if random.one_in(9) {
            row.push_str(", NULL");
        } else {
            row.push_str(&format!(", '{}'", (column.value)(random).replace('\'', "''")));
        }
    }
    row.push(')');
    row
}

/// What no text can say: NaNs of other bits, and arrays whose null bitmap has outlived their NULL.
async fn add_values_without_a_literal(client: &Client) {
    let doubles =
        [0x7ff8_0000_dead_beef_u64, 0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001].map(f64::from_bits);
    let singles = [0x7fc0_1234_u32, 0xffc0_0000, 0x7f80_0001].map(f32::from_bits);
    for i in 0..3 {
        let sql = r#"UPDATE sample SET "Double Precision" = $1, "real" = $2::float4, ratio = $2::float4 WHERE id % 40 = $3"#;
        client.execute(sql, &[&doubles[i], &singles[i], &(i as i64)]).await.expect("a NaN is a value");
    }
    let sql = r#"
        UPDATE sample SET "integer[]" = '{NULL,2}', "text[]" = '{NULL,b}', "mood[]" = '{NULL,ok}', numbers = '{NULL}' WHERE id % 20 = 7;
        UPDATE sample SET "integer[]"[1] = 1, "text[]"[1] = 'a', "mood[]"[1] = 'sad', numbers[1] = 1 WHERE id % 20 = 7;
        UPDATE sample SET "integer[]" = '{1,2}', "text[]" = '{a,b}', "mood[]" = '{sad,ok}', numbers = '{1}' WHERE id % 20 = 8;
        UPDATE sample SET "numeric" = '1e131071'::numeric + '1e-16383'::numeric WHERE id = 1000;
    "#;
    client.batch_execute(sql).await.expect("elements can be set");
}

/// The columns of the table under test and the oids of their types, domains not resolved.
async fn column_types(client: &Client) -> Vec<(String, u32)> {
    let sql = "SELECT attname::text, atttypid FROM pg_attribute \
               WHERE attrelid = 'public.sample'::regclass AND attnum > 1 ORDER BY attnum";
    let rows = client.query(sql, &[]).await.expect("columns are known");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The same columns with their forms, as a session finds them.
async fn hashed_columns(session: &Client, types: &[(String, u32)]) -> Vec<Hashed> {
    let oids: Vec<u32> = types.iter().map(|(_, oid)| *oid).collect();
    let hashed = types.iter().zip(normals(session, &oids).await).map(|((name, _), normal)| Hashed {
        name: name.clone(),
        sql: format!("t.{}", quote(name)),
        normal,
    });
    hashed.collect()
}

/// Where the diff compares by value, it must find what the hash finds.
async fn assert_comparison_agrees(client: &Client, hashed: &[Hashed], seed: u64) {
    for column in hashed {
        let sql = format!(
            "WITH h AS MATERIALIZED (
               SELECT t.id, {value} AS value, {digest} AS digest FROM public.sample AS t WHERE t.id <= 200
             )
             SELECT a.id, b.id FROM h AS a, h AS b
              WHERE (a.value IS DISTINCT FROM b.value) <> (a.digest IS DISTINCT FROM b.digest) LIMIT 3",
            value = column.normal.compared_sql(&column.sql),
            digest = digest_sql(std::slice::from_ref(column)),
        );
        let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        let pairs: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(
            pairs,
            [],
            "seed {seed}, column {}: rows that are equal by one and not by the other",
            column.name
        );
    }
}
