//! The tables in which runs are remembered, in the schema `ematix_flow` of the target: their
//! definition, and every statement that writes them.

use crate::sql::{Ident, QualifiedName};

/// The schema of our metadata and of every intermediate table.
pub const SCHEMA: &str = "ematix_flow";

/// The version of the metadata that this program writes.
pub const VERSION: i32 = 1;

/// The advisory lock under which metadata are created and migrated: "ematixfl" in bytes.
pub const METADATA_LOCK: i64 = 0x656d_6174_6978_666c;

/// A table of ours.
pub fn table(name: &'static str) -> QualifiedName {
    QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(name) }
}

/// Creates what is missing. Runs inside a transaction that holds [`METADATA_LOCK`].
///
/// Whoever may create in the schema may use its tables, so that several roles can share them.
pub const CREATE: &str = r#"
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
DO $grants$
DECLARE
  sharer record;
BEGIN
  FOR sharer IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS name
      FROM pg_catalog.pg_namespace AS n
     CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
     WHERE n.nspname = 'ematix_flow' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    UNION
    SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner))
      FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname = 'ematix_flow' AND pg_catalog.pg_get_userbyid(n.nspowner) <> current_user
  LOOP
    EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON ematix_flow.metadata, ematix_flow.targets, ematix_flow.watermarks, '
         || 'ematix_flow.run_history, ematix_flow.schema_history, ematix_flow.append_seen, ematix_flow.slots, '
         || 'ematix_flow.run_steps TO ' || sharer.name;
  END LOOP;
END
$grants$;
INSERT INTO ematix_flow.metadata (version) SELECT 1 WHERE NOT EXISTS (SELECT FROM ematix_flow.metadata)
"#;
