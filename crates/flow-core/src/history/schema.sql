-- The tables in which runs are remembered, as version 1 has them. What a later version adds is a migration in
-- mod.rs: a database that has none of this gets this file and then every migration, so there is one way to each table.

CREATE TABLE IF NOT EXISTS ematix_flow.metadata (
  version      integer     NOT NULL,
  installed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TABLE IF NOT EXISTS ematix_flow.targets (
  target           text        PRIMARY KEY,
  run_number       bigint      NOT NULL DEFAULT 0,
  generation       bigint      NOT NULL DEFAULT 0,
  last_instant     timestamptz,
  compare_set      text[],
  earlier_sets     jsonb       NOT NULL DEFAULT '[]',
  encoding_version integer,
  fingerprint      text
);
CREATE TABLE IF NOT EXISTS ematix_flow.watermarks (
  pipeline_name text        PRIMARY KEY,
  column_name   text        NOT NULL,
  last_value    text,
  updated_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
  read_from     text,
  covered_from  text,
  column_type   text,
  identity      text[],
  target        text
);
CREATE TABLE IF NOT EXISTS ematix_flow.run_history (
  run_id            uuid        PRIMARY KEY,
  pipeline_name     text        NOT NULL,
  started_at        timestamptz NOT NULL,
  ended_at          timestamptz,
  status            text        NOT NULL,
  error             text,
  rows_in           bigint,
  rows_inserted     bigint,
  rows_updated      bigint,
  rows_closed_out   bigint,
  watermark_before  text,
  watermark_after   text,
  run_number        bigint,
  committed_at      timestamptz,
  committed         boolean     NOT NULL DEFAULT false,
  rows_unchanged    bigint,
  rows_deleted      bigint,
  rows_deduplicated bigint,
  rows_skipped      bigint,
  rows_rejected     bigint,
  rows_rehashed     bigint,
  mode              text,
  path              text,
  target            text        NOT NULL,
  error_code        text,
  parent_run_id     uuid,
  step_name         text,
  slot              timestamptz,
  attempt           integer     NOT NULL DEFAULT 1,
  lease_until       timestamptz,
  started_by        text,
  host              text,
  pid               integer,
  version           text
);
CREATE INDEX IF NOT EXISTS run_history_by_pipeline ON ematix_flow.run_history (pipeline_name, started_at);
CREATE INDEX IF NOT EXISTS run_history_by_target ON ematix_flow.run_history (target, started_at);
CREATE INDEX IF NOT EXISTS run_history_running ON ematix_flow.run_history (lease_until) WHERE status = 'running';
CREATE TABLE IF NOT EXISTS ematix_flow.schema_history (
  target           text        NOT NULL,
  fingerprint      text        NOT NULL,
  declaration      jsonb       NOT NULL,
  encoding_version integer     NOT NULL,
  run_id           uuid        NOT NULL,
  created          boolean     NOT NULL,
  recorded_at      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX IF NOT EXISTS schema_history_by_target ON ematix_flow.schema_history (target, recorded_at);
CREATE TABLE IF NOT EXISTS ematix_flow.append_seen (
  pipeline_name text   NOT NULL,
  row_hash      bytea  NOT NULL,
  wm_value      text,
  n             bigint NOT NULL,
  PRIMARY KEY (pipeline_name, row_hash)
);
CREATE TABLE IF NOT EXISTS ematix_flow.slots (
  pipeline    text        NOT NULL,
  slot        timestamptz NOT NULL,
  status      text        NOT NULL,
  epoch       bigint      NOT NULL DEFAULT 0,
  owner       text,
  attempt     integer     NOT NULL DEFAULT 0,
  lease_until timestamptz,
  PRIMARY KEY (pipeline, slot)
);
CREATE TABLE IF NOT EXISTS ematix_flow.run_steps (
  run_id       uuid             NOT NULL,
  n            integer          NOT NULL,
  kind         text             NOT NULL,
  purpose      text             NOT NULL,
  rows         bigint,
  milliseconds double precision NOT NULL,
  PRIMARY KEY (run_id, n)
);
