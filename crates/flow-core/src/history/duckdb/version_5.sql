-- Files that a pipeline has loaded into a table, each version of a file once.

CREATE TABLE IF NOT EXISTS ematix_flow.loaded_files (
  pipeline_name  VARCHAR     NOT NULL,
  target         VARCHAR     NOT NULL,
  path           VARCHAR     NOT NULL,
  version        VARCHAR     NOT NULL,
  bytes          BIGINT      NOT NULL,
  modified_at    VARCHAR,
  run_id         UUID        NOT NULL,
  loaded_at      TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (pipeline_name, target, path, version)
);
