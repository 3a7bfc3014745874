-- What the program whose metadata were of version 1 has left after two days of version_1.toml; its days are moved back.
CREATE SCHEMA analytics;
CREATE SCHEMA app;
CREATE SCHEMA ematix_flow;
CREATE TABLE analytics.customers (
    id bigint NOT NULL,
    name text,
    city text,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    is_current boolean NOT NULL,
    row_hash bytea NOT NULL,
    CONSTRAINT customers_open CHECK ((is_current = (valid_to IS NULL))),
    CONSTRAINT customers_period CHECK (((valid_to IS NULL) OR (valid_from < valid_to)))
);
CREATE TABLE analytics.events (
    id bigint,
    kind text,
    at timestamp with time zone,
    _loaded_at timestamp with time zone DEFAULT now(),
    _batch_id uuid
);
CREATE TABLE analytics.hourly (
    said text,
    _loaded_at timestamp with time zone DEFAULT now(),
    _batch_id uuid
);
CREATE TABLE analytics.orders (
    id bigint NOT NULL,
    amount numeric(10,2),
    status text,
    is_deleted boolean DEFAULT false NOT NULL
);
CREATE TABLE analytics.prices (
    sku text,
    price numeric(10,2)
);
CREATE TABLE app.broken (
    id bigint,
    name text
);
CREATE TABLE app.customers (
    id bigint,
    name text,
    city text
);
CREATE TABLE app.events (
    id bigint,
    kind text,
    at timestamp with time zone
);
CREATE TABLE app.orders (
    id bigint,
    amount numeric(10,2),
    status text
);
CREATE TABLE app.prices (
    sku text,
    price numeric(10,2)
);
CREATE TABLE ematix_flow.append_seen (
    pipeline_name text NOT NULL,
    row_hash bytea NOT NULL,
    wm_value text,
    n bigint NOT NULL
);
CREATE TABLE ematix_flow.metadata (
    version integer NOT NULL,
    installed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE ematix_flow.run_history (
    run_id uuid NOT NULL,
    pipeline_name text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    status text NOT NULL,
    error text,
    rows_in bigint,
    rows_inserted bigint,
    rows_updated bigint,
    rows_closed_out bigint,
    watermark_before text,
    watermark_after text,
    run_number bigint,
    committed_at timestamp with time zone,
    committed boolean DEFAULT false NOT NULL,
    rows_unchanged bigint,
    rows_deleted bigint,
    rows_deduplicated bigint,
    rows_skipped bigint,
    rows_rejected bigint,
    rows_rehashed bigint,
    mode text,
    path text,
    target text NOT NULL,
    error_code text,
    parent_run_id uuid,
    step_name text,
    slot timestamp with time zone,
    attempt integer DEFAULT 1 NOT NULL,
    lease_until timestamp with time zone,
    started_by text,
    host text,
    pid integer,
    version text
);
CREATE TABLE ematix_flow.run_steps (
    run_id uuid NOT NULL,
    n integer NOT NULL,
    kind text NOT NULL,
    purpose text NOT NULL,
    rows bigint,
    milliseconds double precision NOT NULL
);
CREATE TABLE ematix_flow.schema_history (
    target text NOT NULL,
    fingerprint text NOT NULL,
    declaration jsonb NOT NULL,
    encoding_version integer NOT NULL,
    run_id uuid NOT NULL,
    created boolean NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE ematix_flow.slots (
    pipeline text NOT NULL,
    slot timestamp with time zone NOT NULL,
    status text NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    owner text,
    attempt integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone
);
CREATE TABLE ematix_flow.targets (
    target text NOT NULL,
    run_number bigint DEFAULT 0 NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    last_instant timestamp with time zone,
    compare_set text[],
    earlier_sets jsonb DEFAULT '[]'::jsonb NOT NULL,
    encoding_version integer,
    fingerprint text
);
CREATE TABLE ematix_flow.watermarks (
    pipeline_name text NOT NULL,
    column_name text NOT NULL,
    last_value text,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    read_from text,
    covered_from text,
    column_type text,
    identity text[],
    target text
);
INSERT INTO analytics.customers VALUES
	(2, 'Grace', 'New York', '2026-02-01 01:25:45.724547+00', NULL, true, '\x05e56ead28c45d8333c4bbb2af4399bb327a7ccc9015e29aeb63549abc111a3c'),
	(3, 'Edsger', NULL, '2026-02-01 01:25:45.724547+00', NULL, true, '\xe2a03a5a3006872d7aaf0f3029474c0ef96a291804187a57a595d5051da4d558'),
	(1, 'Ada', 'London', '2026-02-01 01:25:45.724547+00', '2026-02-01 01:25:48.345699+00', false, '\x19ca5216849d9b72a7a8262d426cd7eb7187fa9840a310ae04aecb495492ea1c'),
	(4, 'Barbara', 'Boston', '2026-02-01 01:25:45.724547+00', '2026-02-01 01:25:48.345699+00', false, '\xc2f9ce18d698d21937c54ff8500483442deb7f1d6fa9ade174f4d65e5802ae44'),
	(1, 'Ada', 'Cambridge', '2026-02-01 01:25:48.345699+00', NULL, true, '\x6360b9f9ededd4752478cff3dfe0af925a0576fa2c1c6607223293c2ddc4e6ed'),
	(5, 'Alan', 'Manchester', '2026-02-01 01:25:48.345699+00', NULL, true, '\x1e78af60335c6e0fdf88ca8de990b24898341b49a0315cb6b0ba29cc4c24de55');
INSERT INTO analytics.events VALUES
	(1, 'seen', '2026-01-01 10:00:00+00', '2026-02-01 01:25:46.724342+00', '01a22a0e-dc12-7716-bac9-8d473d3791b6'),
	(2, 'bought', '2026-01-01 10:30:00+00', '2026-02-01 01:25:46.724342+00', '01a22a0e-dc12-7716-bac9-8d473d3791b6'),
	(4, 'bought', '2026-01-01 11:00:00+00', '2026-02-01 01:25:49.193357+00', '01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a'),
	(3, 'late', '2026-01-01 09:50:00+00', '2026-02-01 01:25:49.193357+00', '01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a');
INSERT INTO analytics.hourly VALUES
	('alive', '2026-02-01 01:25:47.913364+00', '01a22a0e-e0d7-757f-a6aa-130e89c14502');
INSERT INTO analytics.orders VALUES
	(2, 20.50, 'open', false),
	(3, NULL, 'paid', true),
	(1, 10.00, 'paid', false);
INSERT INTO analytics.prices VALUES
	('ink', 3.00),
	('pen', 1.75);
INSERT INTO app.broken VALUES
	(1, 'a'),
	(1, 'b');
INSERT INTO app.customers VALUES
	(2, 'Grace', 'New York'),
	(3, 'Edsger', NULL),
	(1, 'Ada', 'Cambridge'),
	(5, 'Alan', 'Manchester');
INSERT INTO app.events VALUES
	(1, 'seen', '2026-01-01 10:00:00+00'),
	(2, 'bought', '2026-01-01 10:30:00+00'),
	(3, 'late', '2026-01-01 09:50:00+00'),
	(4, 'bought', '2026-01-01 11:00:00+00');
INSERT INTO app.orders VALUES
	(2, 20.50, 'open'),
	(1, 10.00, 'paid');
INSERT INTO app.prices VALUES
	('ink', 3.00),
	('pen', 1.75);
INSERT INTO ematix_flow.append_seen VALUES
	('events', '\x8ff7958f9522b59f7de4392ad95ce9ea742567ed3ec6d675523dc1fb9ebf1f68', '2026-01-01T10:00:00Z', 1),
	('events', '\xca10b23616ff2656c87ba2d70d5791f9fcff4666ec62f8e001d1ad15f5172516', '2026-01-01T10:30:00Z', 1),
	('events', '\x4c16649fc168e276e6f7377adeb40721e99e66a66f4fa03d6db41723755479ff', '2026-01-01T11:00:00Z', 1);
INSERT INTO ematix_flow.metadata VALUES
	(1, '2026-02-01 01:25:45.257348+00');
INSERT INTO ematix_flow.run_history VALUES
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 'customers', '2026-02-01 01:25:45.56315+00', '2026-02-01 01:25:45.88426+00', 'success', NULL, 4, 4, 0, 0, NULL, NULL, 1, '2026-02-01 01:25:45.919932+00', true, 0, 0, 0, 0, 0, 0, 'scd2', 'same_db', 'analytics.customers', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28858, '0.1.0'),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 'orders', '2026-02-01 01:25:46.151951+00', '2026-02-01 01:25:46.435811+00', 'success', NULL, 3, 3, 0, 0, NULL, NULL, 1, '2026-02-01 01:25:46.458002+00', true, 0, 0, 0, 0, 0, 0, 'merge', 'same_db', 'analytics.orders', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28870, '0.1.0'),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 'events', '2026-02-01 01:25:46.719693+00', '2026-02-01 01:25:47.027129+00', 'success', NULL, 2, 2, 0, 0, NULL, '2026-01-01T10:30:00Z', 1, '2026-02-01 01:25:47.037111+00', true, 0, 0, 0, 0, 0, 0, 'append', 'same_db', 'analytics.events', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28883, '0.1.0'),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 'prices', '2026-02-01 01:25:47.123286+00', '2026-02-01 01:25:47.291102+00', 'success', NULL, 2, 2, 0, 0, NULL, NULL, 1, '2026-02-01 01:25:47.306605+00', true, 0, 0, 0, 0, 0, 0, 'truncate', 'same_db', 'analytics.prices', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28890, '0.1.0'),
	('01a22a0e-df04-7717-9323-571bb1a038b1', 'broken', '2026-02-01 01:25:47.473558+00', '2026-02-01 01:25:47.687703+00', 'refused', '1 key of `broken` comes more than once from the source
  id: 1 (2 rows)', 2, 0, 0, 0, NULL, NULL, NULL, NULL, false, 0, 0, 0, 0, 0, 0, 'merge', 'same_db', 'analytics.broken', 'duplicate_source_key', NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28898, '0.1.0'),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 'hourly', '2026-02-01 01:25:47.893+00', '2026-02-01 01:25:48.071292+00', 'success', NULL, 1, 1, 0, 0, NULL, NULL, 1, '2026-02-01 01:25:48.080177+00', true, 0, 0, 0, 0, 0, 0, 'append', 'same_db', 'analytics.hourly', NULL, NULL, NULL, '2026-02-01 01:00:00+00', 1, NULL, 'run-due', 'loader', 28904, '0.1.0'),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 'customers', '2026-02-01 01:25:48.216571+00', '2026-02-01 01:25:48.485895+00', 'success', NULL, 4, 2, 0, 2, NULL, NULL, 2, '2026-02-01 01:25:48.505712+00', true, 2, 1, 0, 0, 0, 0, 'scd2', 'same_db', 'analytics.customers', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28913, '0.1.0'),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 'orders', '2026-02-01 01:25:48.584287+00', '2026-02-01 01:25:48.927505+00', 'success', NULL, 2, 0, 1, 0, NULL, NULL, 2, '2026-02-01 01:25:48.944475+00', true, 1, 1, 0, 0, 0, 0, 'merge', 'same_db', 'analytics.orders', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28920, '0.1.0'),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 'events', '2026-02-01 01:25:49.172241+00', '2026-02-01 01:25:49.488866+00', 'success', NULL, 4, 2, 0, 0, '2026-01-01T10:30:00Z', '2026-01-01T11:00:00Z', 2, '2026-02-01 01:25:49.518095+00', true, 0, 0, 0, 2, 0, 0, 'append', 'same_db', 'analytics.events', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28930, '0.1.0'),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 'prices', '2026-02-01 01:25:49.688189+00', '2026-02-01 01:25:49.939588+00', 'success', NULL, 2, 2, 0, 0, NULL, NULL, 2, '2026-02-01 01:25:49.966894+00', true, 0, 0, 0, 0, 0, 0, 'truncate', 'same_db', 'analytics.prices', NULL, NULL, NULL, NULL, 1, NULL, 'cli', 'loader', 28944, '0.1.0'),
	('01a22a0e-ea07-74e5-9007-acc0c1875075', 'prices', '2026-02-01 01:25:50.290084+00', NULL, 'running', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, 'truncate', NULL, 'analytics.prices', NULL, NULL, NULL, NULL, 1, '2026-02-01 01:26:50.290084+00', 'cli', 'loader', 28951, '0.1.0');
INSERT INTO ematix_flow.run_steps VALUES
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 1, 'ddl', 'create the schema analytics', NULL, 1.906),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 2, 'ddl', 'create the table analytics.customers', NULL, 15.36),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 3, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 8.414),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 4, 'stage', 'copy the source query into ematix_flow._ematix_stage_customers_01a22a0ed64270d38e6c52bcfba59ad6', 4, 11.77),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 5, 'guard', 'the source is not empty   expects no rows', 0, 9.794),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 6, 'guard', 'count NULL and duplicate keys (id)', NULL, 3.969),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 9, 'insert', 'open the first version of every key', 4, 7.068),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 10, 'ddl', 'unique index on id, valid_from', NULL, 11.225),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 11, 'ddl', 'unique index on id of current versions', NULL, 7.958),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 12, 'ddl', 'check: a version ends after it begins', NULL, 1.972),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 13, 'ddl', 'check: the current version is the open one', NULL, 2.518),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 14, 'ddl', 'statistics for the planner', NULL, 11.511),
	('01a22a0e-d642-70d3-8e6c-52bcfba59ad6', 15, 'finish', 'run history', NULL, 32.312),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 1, 'ddl', 'create the table analytics.orders', NULL, 24.847),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 2, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 8.625),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 3, 'stage', 'copy the source query into ematix_flow._ematix_stage_orders_01a22a0ed9f27429acbadddc44e85d33', 3, 3.248),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 4, 'guard', 'the source is not empty   expects no rows', 0, 15.63),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 5, 'guard', 'count NULL and duplicate keys (id)', NULL, 5.17),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 8, 'insert', 'insert every row', 3, 9.296),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 9, 'ddl', 'unique index on id', NULL, 19.707),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 10, 'ddl', 'statistics for the planner', NULL, 7.764),
	('01a22a0e-d9f2-7429-acba-dddc44e85d33', 11, 'finish', 'run history', NULL, 14.646),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 1, 'ddl', 'create the table analytics.events', NULL, 14.456),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 2, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 17.295),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 3, 'stage', 'copy the source query into ematix_flow._ematix_stage_events_01a22a0edc127716bac98d473d3791b6', 2, 5.139),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 4, 'guard', 'no NULL in at   expects no rows', 0, 7.79),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 5, 'guard', 'no at in the future   expects no rows', 0, 11.159),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 6, 'diff', 'rows that the ledger of what was loaded does not know', 2, 6.542),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 7, 'insert', 'append the rows that are new', 2, 6.802),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 8, 'finish', 'the watermark that this reading leaves: the greatest at', NULL, 13.185),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 9, 'finish', 'enter them into the ledger', NULL, 8.683),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 10, 'finish', 'forget what can no longer be read again', NULL, 15.82),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 11, 'ddl', 'statistics for the planner', NULL, 16.119),
	('01a22a0e-dc12-7716-bac9-8d473d3791b6', 12, 'finish', 'watermark, run history', NULL, 8.935),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 1, 'ddl', 'create the table analytics.prices', NULL, 6.671),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 2, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 16.613),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 3, 'stage', 'copy the source query into ematix_flow._ematix_stage_prices_01a22a0eddd271819f978122c671b441', 2, 2.861),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 4, 'insert', 'insert the new rows', 2, 2.192),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 5, 'ddl', 'statistics for the planner', NULL, 7.109),
	('01a22a0e-ddd2-7181-9f97-8122c671b441', 6, 'finish', 'run history', NULL, 11.409),
	('01a22a0e-df04-7717-9323-571bb1a038b1', 1, 'ddl', 'create the table analytics.broken', NULL, 7.623),
	('01a22a0e-df04-7717-9323-571bb1a038b1', 2, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 28.207),
	('01a22a0e-df04-7717-9323-571bb1a038b1', 3, 'stage', 'copy the source query into ematix_flow._ematix_stage_broken_01a22a0edf0477179323571bb1a038b1', 2, 7.763),
	('01a22a0e-df04-7717-9323-571bb1a038b1', 4, 'guard', 'count NULL and duplicate keys (id)', NULL, 2.131),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 1, 'ddl', 'create the table analytics.hourly', NULL, 8.939),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 2, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 4.636),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 3, 'insert', 'append every row of the source', 1, 4.224),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 4, 'ddl', 'statistics for the planner', NULL, 19.598),
	('01a22a0e-e0d7-757f-a6aa-130e89c14502', 5, 'finish', 'run history', NULL, 1.37),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 1, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 5.576),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 2, 'stage', 'copy the source query into ematix_flow._ematix_stage_customers_01a22a0ee2077399a0a67755d1728ac9', 4, 4.343),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 3, 'guard', 'the source is not empty   expects no rows', 0, 1.165),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 4, 'guard', 'count NULL and duplicate keys (id)', NULL, 2.412),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 7, 'lock', 'keep other writers out', NULL, 11.997),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 8, 'diff', 'rows that are new or differ in name, city', NULL, 17.775),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 9, 'diff', 'count what was found', NULL, 3.299),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 10, 'guard', 'not more than 50 % of the current keys left the source   expects no rows', 0, 0.925),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 11, 'close', 'close out the current versions of changed rows', 1, 4.072),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 12, 'close', 'close out the current versions of keys that left the source', 1, 10.137),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 13, 'insert', 'open new versions', 2, 29.945),
	('01a22a0e-e207-7399-a0a6-7755d1728ac9', 14, 'finish', 'run history', NULL, 33.855),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 1, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 5.484),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 2, 'stage', 'copy the source query into ematix_flow._ematix_stage_orders_01a22a0ee3777173a4dd1136b9be8aa2', 2, 9.744),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 3, 'guard', 'the source is not empty   expects no rows', 0, 15.708),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 4, 'guard', 'count NULL and duplicate keys (id)', NULL, 0.712),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 7, 'lock', 'keep other writers out', NULL, 25.157),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 8, 'diff', 'rows that are new or differ in amount, status', NULL, 10.128),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 9, 'diff', 'count what was found', NULL, 1.651),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 10, 'guard', 'not more than 50 % of the current keys left the source   expects no rows', 0, 18.537),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 11, 'update', 'mark rows whose key left the source: is_deleted', 1, 21.107),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 12, 'update', 'update rows that differ', 1, 18.626),
	('01a22a0e-e377-7173-a4dd-1136b9be8aa2', 14, 'finish', 'run history', NULL, 2.01),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 1, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 18.325),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 2, 'guard', 'the watermark does not lie in the future   expects no rows', 0, 5.11),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 3, 'stage', 'copy the source query into ematix_flow._ematix_stage_events_01a22a0ee5a276fab3d4a32ba87ef27a', 4, 14.803),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 4, 'guard', 'no NULL in at   expects no rows', 0, 1.135),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 5, 'guard', 'no at in the future   expects no rows', 0, 0.258),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 6, 'diff', 'rows that the ledger of what was loaded does not know', 2, 2.422),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 7, 'insert', 'append the rows that are new', 2, 7.944),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 8, 'finish', 'the watermark that this reading leaves: the greatest at', NULL, 16.136),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 9, 'finish', 'enter them into the ledger', NULL, 12.891),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 10, 'finish', 'forget what can no longer be read again', NULL, 35.458),
	('01a22a0e-e5a2-76fa-b3d4-a32ba87ef27a', 11, 'finish', 'watermark, run history', NULL, 13.756),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 1, 'lock', 'lock what the query reads, so that the reading is younger than its locks', NULL, 23.68),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 2, 'stage', 'copy the source query into ematix_flow._ematix_stage_prices_01a22a0ee7b873739f8d7e5a7eebcb9e', 2, 3.792),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 3, 'truncate', 'empty the target; readers wait from here on', NULL, 16.32),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 4, 'insert', 'insert the new rows', 2, 20.977),
	('01a22a0e-e7b8-7373-9f8d-7e5a7eebcb9e', 5, 'finish', 'run history', NULL, 14.873);
INSERT INTO ematix_flow.schema_history VALUES
	('analytics.customers', '149fd1c3581971ed124d5619b252c91110e03cb47e26f9f5b2f949ec02a909d0', '{"keys": ["id"], "mode": "scd2", "columns": {"id": "bigint?", "city": "text?", "name": "text?", "row_hash": "bytes", "valid_to": "timestamptz?", "is_current": "boolean", "valid_from": "timestamptz"}, "compared": ["name", "city"], "natural_key": [], "primary_key": []}', 1, '01a22a0e-d642-70d3-8e6c-52bcfba59ad6', true, '2026-02-01 01:25:45.593581+00'),
	('analytics.orders', '6585b08879ed912fae0e6fbc09badd29c6de898c53462272ee028915ca061f3a', '{"keys": ["id"], "mode": "merge", "columns": {"id": "bigint?", "amount": "numeric(10,2)?", "status": "text?", "is_deleted": "boolean"}, "compared": ["amount", "status"], "natural_key": [], "primary_key": []}', 1, '01a22a0e-d9f2-7429-acba-dddc44e85d33', true, '2026-02-01 01:25:46.16515+00'),
	('analytics.events', '4efc483d58e6944b31899ad815617734e6d409e5e5d5c18c4ff2fb77b29d1204', '{"keys": [], "mode": "append", "columns": {"at": "timestamp with time zone?", "id": "bigint?", "kind": "text?", "_batch_id": "uuid?", "_loaded_at": "timestamptz?"}, "compared": [], "natural_key": [], "primary_key": []}', 1, '01a22a0e-dc12-7716-bac9-8d473d3791b6', true, '2026-02-01 01:25:46.724342+00'),
	('analytics.prices', '2be79bfe827b3a7a9e3177cfed90cf8482a52cea316e98a03c6baa2baed8fca0', '{"keys": [], "mode": "truncate", "columns": {"sku": "text?", "price": "numeric(10,2)?"}, "compared": [], "natural_key": [], "primary_key": []}', 1, '01a22a0e-ddd2-7181-9f97-8122c671b441', true, '2026-02-01 01:25:47.138352+00'),
	('analytics.hourly', 'd160d3100107c3bb819dc5ae0368fe7b5aca3c8a13611cf117ecb1b925dbc427', '{"keys": [], "mode": "append", "columns": {"said": "text?", "_batch_id": "uuid?", "_loaded_at": "timestamptz?"}, "compared": [], "natural_key": [], "primary_key": []}', 1, '01a22a0e-e0d7-757f-a6aa-130e89c14502', true, '2026-02-01 01:25:47.913364+00'),
	('analytics.customers', 'fc683742ebd3bd7f7c8496982f30a4a6e47d97b36983fbe9a40d9f95598bb989', '{"keys": ["id"], "mode": "scd2", "columns": {"id": "bigint", "city": "text?", "name": "text?", "row_hash": "bytes", "valid_to": "timestamptz?", "is_current": "boolean", "valid_from": "timestamptz"}, "compared": ["name", "city"], "natural_key": [], "primary_key": ["id"]}', 1, '01a22a0e-e207-7399-a0a6-7755d1728ac9', false, '2026-02-01 01:25:48.227922+00'),
	('analytics.orders', 'c9634193fb8115a2ec3353211c5553479f19ed7ae632190d19ddb6da38e70308', '{"keys": ["id"], "mode": "merge", "columns": {"id": "bigint", "amount": "numeric(10,2)?", "status": "text?", "is_deleted": "boolean"}, "compared": ["amount", "status"], "natural_key": [], "primary_key": ["id"]}', 1, '01a22a0e-e377-7173-a4dd-1136b9be8aa2', false, '2026-02-01 01:25:48.591598+00');
INSERT INTO ematix_flow.slots VALUES
	('hourly', '2026-02-01 01:00:00+00', 'claimed', 0, '01a22a0e-e0d7-757f-a6aa-130e89c14502', 0, NULL);
INSERT INTO ematix_flow.targets VALUES
	('analytics.broken', 0, 0, NULL, NULL, '[]', NULL, NULL),
	('analytics.hourly', 1, 1, '2026-02-01 01:25:47.996655+00', NULL, '[]', NULL, 'd160d3100107c3bb819dc5ae0368fe7b5aca3c8a13611cf117ecb1b925dbc427'),
	('analytics.customers', 2, 2, '2026-02-01 01:25:48.345699+00', '{city,name}', '[]', 1, 'fc683742ebd3bd7f7c8496982f30a4a6e47d97b36983fbe9a40d9f95598bb989'),
	('analytics.orders', 2, 2, '2026-02-01 01:25:48.721188+00', NULL, '[]', NULL, 'c9634193fb8115a2ec3353211c5553479f19ed7ae632190d19ddb6da38e70308'),
	('analytics.events', 2, 2, '2026-02-01 01:25:49.314761+00', NULL, '[]', NULL, '4efc483d58e6944b31899ad815617734e6d409e5e5d5c18c4ff2fb77b29d1204'),
	('analytics.prices', 2, 2, '2026-02-01 01:25:49.819089+00', NULL, '[]', NULL, '2be79bfe827b3a7a9e3177cfed90cf8482a52cea316e98a03c6baa2baed8fca0');
INSERT INTO ematix_flow.watermarks VALUES
	('events', 'at', '2026-01-01T11:00:00Z', '2026-02-01 01:25:49.487967+00', '2026-01-01T11:00:00Z', '2026-01-01T10:00:00Z', 'timestamp with time zone', '{id,kind,at}', 'analytics.events');
ALTER TABLE ONLY analytics.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (id, valid_from);
ALTER TABLE ONLY analytics.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY ematix_flow.append_seen
    ADD CONSTRAINT append_seen_pkey PRIMARY KEY (pipeline_name, row_hash);
ALTER TABLE ONLY ematix_flow.run_history
    ADD CONSTRAINT run_history_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY ematix_flow.run_steps
    ADD CONSTRAINT run_steps_pkey PRIMARY KEY (run_id, n);
ALTER TABLE ONLY ematix_flow.slots
    ADD CONSTRAINT slots_pkey PRIMARY KEY (pipeline, slot);
ALTER TABLE ONLY ematix_flow.targets
    ADD CONSTRAINT targets_pkey PRIMARY KEY (target);
ALTER TABLE ONLY ematix_flow.watermarks
    ADD CONSTRAINT watermarks_pkey PRIMARY KEY (pipeline_name);
CREATE UNIQUE INDEX customers_id_idx ON analytics.customers USING btree (id) WHERE is_current;
CREATE INDEX run_history_by_pipeline ON ematix_flow.run_history USING btree (pipeline_name, started_at);
CREATE INDEX run_history_by_target ON ematix_flow.run_history USING btree (target, started_at);
CREATE INDEX run_history_running ON ematix_flow.run_history USING btree (lease_until) WHERE (status = 'running'::text);
CREATE INDEX schema_history_by_target ON ematix_flow.schema_history USING btree (target, recorded_at);
