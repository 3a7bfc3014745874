//! Whole plans of every load strategy and every option, as people review them.
//!
//! `INSTA_UPDATE=always cargo test --test plan_snapshots` rewrites `tests/snapshots`; read the diff
//! before you commit it.

#[path = "support/planning.rs"]
#[allow(dead_code)] // each test file uses a part
mod planning;
#[path = "support/snapshots.rs"]
#[macro_use]
mod snapshots;

use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::schema::{LiveColumn, rejected_rows};
use planning::Scene;
use snapshots::{LAST, READ_FROM};

fn scene(options: &str) -> Scene<'static> {
    Scene::new(&POSTGRES, options)
}

fn of(project: &str, lines: &str) -> Scene<'static> {
    Scene::of(&POSTGRES, project, lines)
}

// append
plans! {
    append_first_load => scene("mode = 'append'");
    append_to_an_existing_table => scene("mode = 'append'").existing();
    append_casts_by_insert => scene("mode = 'append'").source("email", "text").source("score", "numeric");
    append_renames_its_columns =>
        scene("mode = 'append'\nloaded_at_column = 'seen at'\nbatch_id_column = 'Batch'").existing();
    append_without_its_columns =>
        scene("mode = 'append'\nloaded_at_column = false\nbatch_id_column = false").existing();
    append_adds_its_columns_to_an_older_table =>
        scene("mode = 'append'").existing().without_live("_loaded_at").without_live("_batch_id");
    append_refuses_an_empty_source => scene("mode = 'append'\non_empty_source = 'error'").existing();
    append_incremental_first_load => scene("mode = 'append'\nincremental_column = 'updated_at'");
    append_incremental =>
        scene("mode = 'append'\nincremental_column = 'updated_at'").existing().watermark(LAST, READ_FROM);
    append_incremental_with_lookback_and_a_ledger =>
        scene("mode = 'append'\nincremental_column = 'updated_at'\nlookback = '10m'")
            .existing()
            .watermark(LAST, READ_FROM)
            .facts(|facts| {
                let stored = facts.watermark.as_mut().expect("a watermark");
                stored.covered_from = Some("2026-01-01T11:00:00Z".to_owned());
                stored.identity = Some(["customer_id", "email", "name", "score", "updated_at"].map(str::to_owned).to_vec());
            });
    append_incremental_by_keys =>
        scene("mode = 'append'\nkeys = 'customer_id'\nincremental_column = 'updated_at'")
            .existing()
            .watermark(LAST, READ_FROM);
    append_incremental_by_a_number =>
        scene("mode = 'append'\nincremental_column = 'customer_id'\nlookback = 100")
            .existing()
            .watermark("4711", "4711");
    append_incremental_includes_null =>
        scene("mode = 'append'\nincremental_column = 'updated_at'\nnull_watermark = 'include'")
            .existing()
            .watermark(LAST, READ_FROM);
    append_ledger_of_columns_that_are_gone =>
        scene("mode = 'append'\nincremental_column = 'updated_at'").existing().watermark(LAST, READ_FROM).facts(
            |facts| {
                facts.watermark.as_mut().expect("a watermark").identity =
                    Some(vec!["customer_id".to_owned(), "legacy".to_owned()]);
            },
        );
}

// truncate
plans! {
    truncate_first_load => scene("mode = 'truncate'");
    truncate_an_existing_table => scene("mode = 'truncate'").existing();
    merge_incremental_by_the_clock => scene("mode = 'merge'\nincremental_column = 'updated_at'")
        .existing()
        .watermark("2026-01-01 00:00:00+00", "2026-01-01 00:00:00+00")
        .facts(|facts| facts.source.clock = Some("2026-01-02T03:04:05.678901Z".to_owned()));
    merge_incremental_includes_the_future => scene(
        "mode = 'merge'\nincremental_column = 'updated_at'\nfuture_watermark = 'include'",
    )
    .existing()
    .facts(|facts| facts.source.clock = Some("2026-01-02T03:04:05.678901Z".to_owned()));
    append_whose_watermark_is_gone => scene("mode = 'append'\nincremental_column = 'updated_at'")
        .existing()
        .facts(|facts| facts.has_ledger = true);
    truncate_by_diff => scene("mode = 'truncate'\nreplace_method = 'diff'").existing();
    truncate_by_diff_watched_by_a_trigger => scene("mode = 'truncate'\nreplace_method = 'diff'")
        .existing()
        .live(|live| live.triggers.push("audit".to_owned()));
    append_watched_by_a_trigger => scene("mode = 'append'")
        .existing()
        .live(|live| live.triggers.push("audit".to_owned()));
    truncate_by_delete => scene("mode = 'truncate'\nreplace_method = 'delete'").existing();
    truncate_keeps_the_latest_row_of_a_key =>
        scene("mode = 'truncate'\non_duplicate = 'latest'\norder_by = 'updated_at, name ASC'").existing();
    truncate_refuses_an_empty_source => scene("mode = 'truncate'\non_empty_source = 'error'").existing();
    truncate_dry_run => scene("mode = 'truncate'").existing().dry_run(0);
    truncate_dry_run_of_a_first_load => scene("mode = 'truncate'").dry_run(0);
}

/// A scene whose two helpers leave the columns as they are.
fn helped(options: &str) -> Scene<'static> {
    scene(options).existing().facts(|facts| facts.source.helped = vec![facts.source.columns.clone(); 2])
}

// merge
plans! {
    merge_first_load_read_in_place => scene("mode = 'merge'").plain_table(&["customer_id"]);
    merge_first_load_staged => scene("mode = 'merge'");
    merge_read_in_place => scene("mode = 'merge'").existing().plain_table(&["customer_id"]);
    merge_staged => scene("mode = 'merge'").existing();
    merge_staged_with_casts_by_insert =>
        scene("mode = 'merge'").existing().plain_table(&["customer_id"]).source("email", "text").source("score", "numeric");
    merge_read_in_place_with_widening =>
        scene("mode = 'merge'").existing().plain_table(&["customer_id"]).source("customer_id", "integer").source("email", "string(64)");
    merge_update_columns => scene("mode = 'merge'\nupdate_columns = ['email', 'name']").existing();
    merge_soft_deletes =>
        scene("mode = 'merge'\nhandle_deletes = 'soft'\nmax_delete_fraction = 0.25").existing().plain_table(&["customer_id"]);
    merge_soft_deletes_staged_with_another_flag =>
        scene("mode = 'merge'\nhandle_deletes = 'soft'\ndeleted_flag = 'gone'").existing();
    merge_adds_a_missing_flag =>
        scene("mode = 'merge'\nhandle_deletes = 'soft'").existing().without_live("is_deleted");
    merge_hard_deletes => scene("mode = 'merge'\nhandle_deletes = 'hard'").existing();
    merge_hard_deletes_of_an_empty_source_allowed =>
        scene("mode = 'merge'\nhandle_deletes = 'hard'\non_empty_source = 'ignore'").existing();
    merge_keeps_the_latest_row_of_a_key =>
        scene("mode = 'merge'\non_duplicate = 'latest'\norder_by = 'updated_at, name ASC'")
            .existing()
            .plain_table(&["customer_id"]);
    merge_of_deduplicated_rows =>
        helped("mode = 'merge'\ntransforms_pre = [{ filter_where = 'score > 0' }, { deduplicate_by = { keys = 'customer_id', order_by = 'updated_at DESC' } }]");
    merge_of_rows_filtered_behind_a_count =>
        helped("mode = 'merge'\ntransforms_pre = [{ deduplicate_by = { keys = 'customer_id', order_by = 'updated_at DESC' } }, { filter_where = 'score > 0' }]");
    merge_incremental_of_helped_rows =>
        helped("mode = 'merge'\nincremental_column = 'updated_at'\ntransforms_pre = [{ sample_pct = 0.1 }, { filter_where = 'score > 0' }]")
            .watermark(LAST, READ_FROM);
    merge_dry_run_counts_every_layer =>
        helped("mode = 'merge'\ntransforms_pre = [{ filter_where = 'score > 0' }, { limit = 5 }]").dry_run(0);
    merge_incremental =>
        scene("mode = 'merge'\nincremental_column = 'updated_at'\nlookback = '90s'").existing().watermark(LAST, READ_FROM);
    merge_incremental_skips_null =>
        scene("mode = 'merge'\nincremental_column = 'updated_at'\nnull_watermark = 'skip'")
            .existing()
            .watermark(LAST, READ_FROM);
    merge_missing_index_is_made_on_our_table => scene("mode = 'merge'").existing().live(|live| live.indexes.clear());
    merge_missing_index_on_a_table_of_others =>
        scene("mode = 'merge'").existing().live(|live| {
            live.indexes.clear();
            live.ours = false;
        });
    merge_migrate_makes_the_index_on_a_table_of_others =>
        scene("mode = 'merge'\nmigrate = true").existing().live(|live| {
            live.indexes.clear();
            live.ours = false;
        });
    merge_of_keys_alone => of(
        "[tables.members]\nschema = 'analytics'\nprimary_key = ['team', 'person']\n[tables.members.columns]\nteam = 'integer'\nperson = 'integer'",
        "source = { query = 'SELECT * FROM app.members' }\ntarget = 'members'\nmode = 'merge'",
    ).existing();
    merge_dry_run_with_a_sample => scene("mode = 'merge'\nhandle_deletes = 'soft'").existing().dry_run(5);
    merge_correlated_keys_take_a_merge_join =>
        scene("mode = 'merge'").existing().plain_table(&["customer_id"]).facts(|facts| {
            facts.source.relation.as_mut().expect("a plain table").correlation.insert("customer_id".to_owned(), 1.0);
            facts.target.correlation.insert("customer_id".to_owned(), 0.99);
        });
}

// scd2
plans! {
    scd2_first_load_read_in_place => scene("mode = 'scd2'").plain_table(&["customer_id"]);
    scd2_first_load_staged => scene("mode = 'scd2'").facts(|facts| facts.target.schema_exists = false);
    scd2_read_in_place => scene("mode = 'scd2'").existing().plain_table(&["customer_id"]);
    scd2_staged => scene("mode = 'scd2'").existing();
    scd2_compare_columns_leave_columns_out => scene("mode = 'scd2'\ncompare_columns = ['email', 'name']").existing();
    scd2_deletes =>
        scene("mode = 'scd2'\nhandle_deletes = 'soft'").existing().plain_table(&["customer_id"]);
    scd2_deletes_staged => scene("mode = 'scd2'\nhandle_deletes = 'soft'\nmax_delete_fraction = 1.0").existing();
    scd2_overwrite_columns => scene("mode = 'scd2'\noverwrite_columns = 'name'").existing();
    scd2_first_valid_from_epoch => scene("mode = 'scd2'\nfirst_valid_from = 'epoch'").existing();
    scd2_first_valid_from_a_column =>
        scene("mode = 'scd2'\nfirst_valid_from = 'updated_at'").existing().plain_table(&["customer_id"]);
    scd2_first_valid_from_a_column_first_load => scene("mode = 'scd2'\nfirst_valid_from = 'updated_at'");
    scd2_without_a_hash => scene("mode = 'scd2'\nrow_hash = 'none'");
    scd2_without_a_hash_existing => scene("mode = 'scd2'\nrow_hash = 'none'").existing();
    scd2_open_end_infinity => scene("mode = 'scd2'\nopen_end = 'infinity'");
    scd2_open_end_infinity_existing => scene("mode = 'scd2'\nopen_end = 'infinity'").existing();
    events_first_load => scene("mode = 'scd2'\nevent_timestamp_column = 'updated_at'");
    events_existing => scene("mode = 'scd2'\nevent_timestamp_column = 'updated_at'").existing();
    events_that_run_out_and_delete => scene(
        "mode = 'scd2'\nevent_timestamp_column = 'updated_at'\nttl = '30d'\non_same_time = 'error'\ndelete_when = 'name IS NULL'",
    )
    .existing();
    events_that_are_ordered =>
        scene("mode = 'scd2'\nevent_timestamp_column = 'updated_at'\norder_by = 'email DESC'").existing();
    events_that_collapse =>
        scene("mode = 'scd2'\nevent_timestamp_column = 'updated_at'\nrepeats = 'collapse'").existing();
    scd2_renamed_columns =>
        scene("mode = 'scd2'\neffective_from = 'from'\neffective_to = 'to'\ncurrent_flag = 'Is Current'\nhash_column = 'row\"hash'")
            .existing();
    scd2_changed_compare_set =>
        scene("mode = 'scd2'").existing().plain_table(&["customer_id"]).facts(|facts| {
            facts.target.record.as_mut().expect("a record").compare_set =
                Some(["email", "phone", "updated_at"].map(str::to_owned).to_vec());
        });
    scd2_changed_encoding_of_hashes =>
        scene("mode = 'scd2'").existing().facts(|facts| {
            facts.target.record.as_mut().expect("a record").encoding_version = Some(0);
        });
    scd2_return_to_an_earlier_compare_set =>
        scene("mode = 'scd2'").existing().facts(|facts| {
            let record = facts.target.record.as_mut().expect("a record");
            record.earlier_sets = vec![record.compare_set.replace(vec!["email".to_owned()]).expect("a set")];
        });
    scd2_incremental_with_a_cap =>
        scene("mode = 'scd2'\nincremental_column = 'updated_at'")
            .existing()
            .stamped("updated_at")
            .watermark(LAST, READ_FROM)
            .cap("2026-01-02T03:04:00Z");
    scd2_incremental_first_load => scene("mode = 'scd2'\nincremental_column = 'updated_at'\nlate_commits = 'cap'").cap("2026-01-02T03:04:00Z");
    scd2_incremental_of_a_coarse_column =>
        scene("mode = 'scd2'\nincremental_column = 'seen'\nlate_commits = 'cap'")
            .source("seen", "timestamp(0) with time zone")
            .facts(|facts| {
                let column = facts.source.columns.last_mut().expect("the column seen");
                column.data_type.normal = planning::named_type(&Postgres, "timestamptz").normal;
            })
            .cap("2026-01-02T03:04:00Z")
            .existing()
            .watermark(LAST, READ_FROM);
    scd2_incremental_with_a_changed_compare_set =>
        scene("mode = 'scd2'\nincremental_column = 'updated_at'\nlate_commits = 'lookback'").existing().watermark(LAST, READ_FROM).facts(|facts| {
            facts.target.record.as_mut().expect("a record").compare_set = Some(vec!["email".to_owned()]);
        });
    scd2_full_scan_ignores_the_watermark =>
        scene("mode = 'scd2'\nincremental_column = 'updated_at'")
            .existing()
            .watermark(LAST, READ_FROM)
            .facts(|facts| facts.run.full_scan = true);
    scd2_natural_key_before_the_primary_key => of(
        "[tables.dim_products]\nschema = 'analytics'\nunique = [['name']]\nindexes = [{ columns = 'name', using = 'hash' }]\noptions = { fillfactor = 90 }\ndescription = 'What we sell'\n[tables.dim_products.columns]\nid = { type = 'bigint', primary_key = true }\ncode = { type = 'string(20)', natural_key = true, description = 'As printed on the box' }\nname = 'text?'\ndata = 'jsonb?'\nraw = 'json?'\npicture = 'bytes?'\nprice = { type = 'double?', default = 0.5 }\nadded = { type = 'date', default = { sql = 'now()' } }",
        "source = { query = \"SELECT * FROM app.products -- all of them\" }\ntarget = 'dim_products'\nmode = 'scd2'",
    );
    scd2_migrate_adds_and_widens =>
        scene("mode = 'scd2'\nmigrate = true").existing().without_live("score").live_column("email", "string(64)");
    scd2_migrate_gives_a_table_of_others_what_it_lacks =>
        scene("mode = 'scd2'\nmigrate = true").existing().live(|live| {
            live.indexes.clear();
            live.checks.clear();
            live.ours = false;
        });
    scd2_drift => scene("mode = 'scd2'").existing().live_column("email", "string(64)").live_column("legacy", "text").without_live("score");
    scd2_drift_ignored =>
        scene("mode = 'scd2'\non_drift = 'ignore'").existing().live_column("email", "string(64)").live_column("legacy", "text");
    scd2_shown_differences =>
        scene("mode = 'scd2'").existing().live(|live| live.columns[1].nullable = false).source("extra", "text");
    scd2_dry_run_with_a_sample => scene("mode = 'scd2'\nhandle_deletes = 'soft'").existing().plain_table(&["customer_id"]).dry_run(3);
}

// expectations
plans! {
    merge_with_expectations => scene(
        "mode = 'merge'\nexpect = [{ not_null = 'email' }, { unique = ['name', 'email'], policy = 'warn' }, { unique = 'customer_id' }, { accepted_values = { column = 'name', values = ['a', \"b's\"] } }, { in_range = { column = 'score', min = 0, max = 9.5 } }, { matches = { column = 'email', pattern = '^.+@.+$' } }, { row_count = { min = 1 } }, { freshness = { column = 'updated_at', max_age = '2h' } }, { references = { columns = 'name', table = 'app.names', to = 'id' } }, { sql = 'score >= 0 -- never less' }]",
    ).existing().plain_table(&["customer_id"]);
    merge_puts_rows_aside => scene(
        "mode = 'merge'\nhandle_deletes = 'soft'\non_duplicate = 'latest'\norder_by = 'updated_at'\nexpect = [{ not_null = 'email', policy = 'quarantine' }, { unique = 'email', policy = 'quarantine' }, { sql = 'score > 0', policy = 'quarantine' }]",
    ).existing();
    append_incremental_puts_rows_aside => scene(
        "mode = 'append'\nkeys = 'customer_id'\nincremental_column = 'updated_at'\nexpect = [{ not_null = 'email', policy = 'quarantine' }]",
    )
    .existing()
    .watermark(LAST, READ_FROM)
    .facts(|facts| {
        let mut live = facts.target.live.clone().expect("the target exists");
        live.columns.retain(|column| !column.name.starts_with('_') && column.name != "name");
        for (name, data_type) in rejected_rows::own_columns() {
            let data_type = Postgres.type_facts(&data_type).expect("a type of ours");
            let name = name.to_string();
            live.columns.push(LiveColumn { name, data_type, nullable: false, default: None, generated: false, comment: None });
        }
        facts.target.rejected = Some(Box::new(live));
    });
    append_with_an_expectation_of_rows_without_keys => of(
        "",
        "source = { table = 'app.events' }\ntarget = 'mirror.events'\nmode = 'append'\nexpect = [{ not_null = 'what' }]",
    )
    .source("id", "bigint")
    .source("what", "text");
}

// names and inferred targets
plans! {
    odd_names => of(
        "[tables.odd]\nschema = 'Ana\"lytics'\nname = 'select; DROP TABLE x --'\nprimary_key = 'Größe {{a}}'\n[tables.odd.columns]\n'Größe {{a}}' = 'bigint'\n'a b' = 'text?'\n'{{b}}' = 'text?'\n'user' = 'text?'",
        "source = { query = \"\"\"SELECT '{x}' AS \"a b\", ';' FROM \"O'dd\".\"ta\"\"ble\" -- {y} :z\"\"\" }\ntarget = 'odd'\nmode = 'scd2'\nhandle_deletes = 'soft'\non_duplicate = 'latest'\norder_by = '\"a b\" NULLS FIRST'",
    ).existing();
    inferred_target_of_a_plain_table => of("", "source = { table = 'app.customers' }\ntarget = 'mirror.customers'\nmode = 'merge'")
        .source("customer_id", "bigint")
        .source("email", "string(256)")
        .plain_table(&["customer_id"])
        .facts(|facts| facts.target.schema_exists = false);
    inferred_target_that_exists => of("", "source = { table = 'app.customers' }\ntarget = 'mirror.customers'\nmode = 'merge'")
        .source("customer_id", "bigint")
        .source("email", "string(256)")
        .facts(|facts| facts.target.live = Scene::new(&POSTGRES, "mode = 'merge'").existing().without_live("name").without_live("score").without_live("updated_at").facts.target.live);
    inferred_target_of_append => of("", "source = { table = 'app.events' }\ntarget = 'mirror.events'\nmode = 'append'")
        .source("id", "bigint")
        .source("what", "jsonb")
        .plain_table(&["id"]);
}

// what follows the commit
plans! {
    transforms_after_a_load => scene(
        "mode = 'append'\ntransforms_post = [\"ANALYZE analytics.dim -- ;\\n;\", { sql = 'VACUUM', transaction = false, on_failure = 'continue' }, { transform_ref = 'refresh' }]\n[transforms.refresh]\nconnection = 'marts'\nsql = ['REFRESH MATERIALIZED VIEW marts.v', 'ANALYZE marts.v']",
    )
    .existing();
}
