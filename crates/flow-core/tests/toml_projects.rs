//! Whole projects as people write them: what this version has is read, what it lacks is named.

#[path = "support/memory.rs"]
mod memory;

use ematix_flow_core::declare::toml_file::read_text;
use memory::Memory;
use proptest::prelude::*;

/// The names of what is refused; nothing where the project is read.
fn refused(text: &str) -> Vec<String> {
    let files = Memory::new().file("sql/product.sql", "SELECT 1").file("pipelines/more.toml", "");
    match read_text(text, "pipelines.toml", &files) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| {
                assert_eq!(error.code.name(), "not_yet_supported", "{error:?}");
                error.message.strip_suffix(" is not supported yet").unwrap().to_owned()
            })
            .collect(),
    }
}

#[test]
fn a_dimension_by_cron_from_another_server() {
    let text = r#"
[connections.app]
dsn = "${env:APP_DSN}"
read_only = true
[connections.dwh]
dsn = "${env:DWH_DSN}"
[tables.dim_customer]
schema = "analytics"
primary_key = ["customer_id"]
columns = { customer_id = "bigint", email = "text?", status = "text", updated_at = "timestamptz" }
[pipelines.dim_customer]
source = { connection = "app", query = "SELECT customer_id, email, status, updated_at FROM public.customers" }
target = "dim_customer"
target_connection = "dwh"
mode = "scd2"
compare_columns = ["email", "status"]
schedule = "5 * * * *"
"#;
    assert_eq!(refused(text), Vec::<String>::new());
}

#[test]
fn events_appended_and_a_dimension_with_names_of_its_own() {
    let text = r#"
[pipelines.events]
source = { connection = "app", table = "public.events" }
target = "raw.events"
target_connection = "dwh"
mode = "append"
incremental_column = "created_at"
lookback = "10m"
null_watermark = "skip"
every = "5m"
[tables.dim_product]
schema = "dw"
natural_key = ["sku"]
columns = { sku = "string(40)", title = "text?", price = "numeric(12,2)?", category = "text?", popularity = "integer?" }
[pipelines.dim_product]
source = { connection = "shop", query_file = "sql/product.sql" }
target = "dim_product"
target_connection = "dwh"
mode = "scd2"
compare_columns = ["title", "price", "category"]
overwrite_columns = ["popularity"]
handle_deletes = "soft"
max_delete_fraction = 0.1
effective_from = "dbt_valid_from"
effective_to = "dbt_valid_to"
current_flag = "is_active"
hash_column = "dw_hash"
"#;
    assert_eq!(refused(text), Vec::<String>::new());
}

#[test]
fn thirty_tables_mirrored_by_a_pattern() {
    let text = r#"
[defaults]
target_connection = "dwh"
mode = "merge"
every = "15m"
handle_deletes = "soft"
[pipelines."mirror_{table}"]
for_each = { connection = "app", tables = ["public.*", "!public.audit_*"] }
source = { connection = "app", table = "{schema}.{table}" }
target = "mirror.{table}"
overrides.mirror_events = { mode = "append", incremental_column = "id", handle_deletes = "ignore" }
overrides.mirror_orders = { incremental_column = "updated_at", handle_deletes = "ignore" }
"#;
    assert_eq!(refused(text), Vec::<String>::new());
}

#[test]
fn environments_with_variables() {
    let text = r#"
include = ["pipelines/*.toml"]
[vars]
schema = "analytics"
[connections.app]
dsn = "postgresql://reader@app-replica.prod/app?sslmode=verify-full"
[tables.dim_customer]
schema = "{schema}"
primary_key = ["id"]
columns = { id = "bigint", email = "text?" }
[environments.dev]
connections.app.dsn = "postgresql://localhost/app"
vars.schema = "dev_${env:USER}"
defaults.enabled = false
[environments.ci]
connections.app.dsn = "${env:CI_DSN}"
"#;
    assert_eq!(refused(text), Vec::<String>::new());
}

#[test]
fn secrets_from_files_and_commands() {
    let text = r#"
[connections.crm]
host = "crm-db.internal"
dbname = "crm"
user = "reader"
password = "${file:/run/secrets/crm_password}"
sslmode = "verify-full"
sslrootcert = "/run/secrets/ca.pem"
[connections.rds]
host = "dwh.cluster-x.eu-west-1.rds.amazonaws.com"
dbname = "dwh"
user = "flow"
password_command = ["aws", "rds", "generate-db-auth-token", "--username", "flow"]
sslmode = "verify-full"
sslrootcert = "system"
"#;
    assert_eq!(refused(text), [""; 0]);
}

#[test]
fn rows_made_clean_on_their_way() {
    let text = r#"
[tables.contacts]
schema = "staging"
primary_key = ["contact_id"]
[tables.contacts.columns]
contact_id = { type = "bigint", normalize = [{ parse_int = { on_failure = "error" } }] }
email = { type = "string(256)?", normalize = ["trim", "lower", "empty_to_null"] }
[pipelines.contacts]
source = { connection = "imports", table = "landing.contacts_csv" }
target = "contacts"
mode = "merge"
transforms_pre = [{ deduplicate_by = { keys = "contact_id", order_by = "loaded_at DESC" } }]
expect = [{ not_null = "email", policy = "warn" }, { unique = "email" }]
"#;
    assert_eq!(refused(text), [""; 0]);
}

#[test]
fn views_refreshed_and_features_served() {
    let text = r#"
[transforms.refresh_marts]
connection = "dwh"
sql = ["REFRESH MATERIALIZED VIEW CONCURRENTLY marts.revenue", "ANALYZE marts.revenue"]
[pipelines.orders]
source = { connection = "app", table = "public.orders" }
target = "core.orders"
mode = "merge"
transforms_post = [{ sql = "VACUUM (ANALYZE) core.orders", transaction = false }, { transform_ref = "refresh_marts" }]
notify = [{ on = ["failed", "refused", "lost"], webhook = "${env:SLACK_URL}" }]
[features.user_features]
schema = "features"
feature_version = "v1"
event_timestamp_column = "last_seen"
ttl = "30d"
online = true
primary_key = ["user_id"]
columns = { user_id = "bigint", score = "numeric(10,2)", last_seen = "timestamptz" }
[pipelines.user_features]
source = { connection = "dwh", query = "SELECT user_id, score, last_seen FROM marts.user_scores" }
target = "user_features"
mode = "scd2"
every = "10m"
"#;
    assert_eq!(refused(text), [""; 0]);
}

/// How long it takes to read a project of some pipelines, the best of three.
fn time_to_read(pipelines: usize) -> std::time::Duration {
    let mut text =
        "[defaults]\nlease = '30s'\ntimezone = 'UTC'\ntags = ['a', 'b']\nkeys = ['id']\n".to_owned();
    for number in 0..pipelines {
        text += &format!(
            "[connections.c{number}]\nhost = 'h'\npassword = 'x'\n\
             [tables.t{number}]\ncolumns = {{ id = 'bigint', name = 'text?' }}\n\
             [pipelines.p{number}]\nsource = {{ connection = 'c{number}', table = 'a.b' }}\n\
             target = 't{number}'\nmode = 'merge'\n"
        );
    }
    let once = || {
        let started = std::time::Instant::now();
        let project = read_text(&text, "pipelines.toml", &Memory::new()).unwrap();
        assert_eq!(project.pipelines.len(), pipelines);
        started.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn the_time_to_read_grows_with_the_file_and_not_with_its_square() {
    let (few, many) = (time_to_read(100), time_to_read(800));
    assert!(many < few * 24, "{few:?} for 100, {many:?} for 800");
}

const PIECES: &[&str] = &[
    "'",
    "\"",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\r\n",
    "#",
    ".",
    ",",
    "é",
    "\u{feff}",
    "\u{0}",
    "\\",
    "${",
    "5",
    "nan",
    "=[",
    "[[a]]\n",
    "x = ",
    "true",
    "2026-01-01",
    "[pipelines.p]\n",
    "[connections]\n",
    "dsn = '",
    "password = \"hunter2",
];

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        cuts in prop::collection::vec((0.0..1.0f64, 0..12usize, prop::sample::select(PIECES)), 0..8)
    ) {
        let mut text = include_str!("../../../pipelines.example.toml").to_owned();
        for (place, length, piece) in cuts {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let start = boundary((place * text.len() as f64) as usize);
            let end = boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, piece);
        }
        if let Err(errors) = read_text(&text, "pipelines.toml", &Memory::new()) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                let place = error.location.expect("every mistake has a place");
                let line = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').nth(place.line - 1);
                prop_assert!(line.is_some_and(|line| place.column <= line.chars().count() + 1), "{:?}", place);
            }
        }
    }
}
