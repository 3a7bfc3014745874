-- The tables of ../schema.sql as DuckDB has them. Keys are there for ON CONFLICT; there are no partial indexes.

CREATE TABLE IF NOT EXISTS ematix_flow.metadata (
  version      INTEGER     NOT NULL,
  installed_at TIMESTAMPTZ NOT NULL DEFAULT system.main.now()
);
CREATE TABLE IF NOT EXISTS ematix_flow.targets (
  target           VARCHAR     PRIMARY KEY,
  run_number       BIGINT      NOT NULL DEFAULT 0,
  generation       BIGINT      NOT NULL DEFAULT 0,
  last_instant     TIMESTAMPTZ,
  compare_set      VARCHAR[],
  earlier_sets     JSON        NOT NULL DEFAULT '[]',
  encoding_version INTEGER,
  fingerprint      VARCHAR
);
CREATE TABLE IF NOT EXISTS ematix_flow.watermarks (
  pipeline_name VARCHAR     PRIMARY KEY,
  column_name   VARCHAR     NOT NULL,
  last_value    VARCHAR,
  updated_at    TIMESTAMPTZ NOT NULL DEFAULT system.main.now(),
  read_from     VARCHAR,
  covered_from  VARCHAR,
  column_type   VARCHAR,
  identity      VARCHAR[],
  target        VARCHAR
);
CREATE TABLE IF NOT EXISTS ematix_flow.run_history (
  run_id            UUID        PRIMARY KEY,
  pipeline_name     VARCHAR     NOT NULL,
  started_at        TIMESTAMPTZ NOT NULL,
  ended_at          TIMESTAMPTZ,
  status            VARCHAR     NOT NULL,
  error             VARCHAR,
  rows_in           BIGINT,
  rows_inserted     BIGINT,
  rows_updated      BIGINT,
  rows_closed_out   BIGINT,
  watermark_before  VARCHAR,
  watermark_after   VARCHAR,
  run_number        BIGINT,
  committed_at      TIMESTAMPTZ,
  committed         BOOLEAN     NOT NULL DEFAULT false,
  rows_unchanged    BIGINT,
  rows_deleted      BIGINT,
  rows_deduplicated BIGINT,
  rows_skipped      BIGINT,
  rows_rejected     BIGINT,
  rows_rehashed     BIGINT,
  mode              VARCHAR,
  path              VARCHAR,
  target            VARCHAR     NOT NULL,
  error_code        VARCHAR,
  parent_run_id     UUID,
  step_name         VARCHAR,
  slot              TIMESTAMPTZ,
  attempt           INTEGER     NOT NULL DEFAULT 1,
  lease_until       TIMESTAMPTZ,
  started_by        VARCHAR,
  host              VARCHAR,
  pid               INTEGER,
  version           VARCHAR
);
CREATE TABLE IF NOT EXISTS ematix_flow.schema_history (
  target           VARCHAR     NOT NULL,
  fingerprint      VARCHAR     NOT NULL,
  declaration      JSON        NOT NULL,
  encoding_version INTEGER     NOT NULL,
  run_id           UUID        NOT NULL,
  created          BOOLEAN     NOT NULL,
  recorded_at      TIMESTAMPTZ NOT NULL DEFAULT system.main.now()
);
CREATE TABLE IF NOT EXISTS ematix_flow.append_seen (
  pipeline_name VARCHAR NOT NULL,
  row_hash      BLOB    NOT NULL,
  wm_value      VARCHAR,
  n             BIGINT  NOT NULL,
  PRIMARY KEY (pipeline_name, row_hash)
);
CREATE TABLE IF NOT EXISTS ematix_flow.slots (
  pipeline    VARCHAR     NOT NULL,
  slot        TIMESTAMPTZ NOT NULL,
  status      VARCHAR     NOT NULL,
  epoch       BIGINT      NOT NULL DEFAULT 0,
  owner       VARCHAR,
  attempt     INTEGER     NOT NULL DEFAULT 0,
  lease_until TIMESTAMPTZ,
  PRIMARY KEY (pipeline, slot)
);
CREATE TABLE IF NOT EXISTS ematix_flow.run_steps (
  run_id       UUID    NOT NULL,
  n            INTEGER NOT NULL,
  kind         VARCHAR NOT NULL,
  purpose      VARCHAR NOT NULL,
  rows         BIGINT,
  milliseconds DOUBLE  NOT NULL,
  PRIMARY KEY (run_id, n)
);
