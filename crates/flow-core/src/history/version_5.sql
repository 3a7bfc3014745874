-- Files that a pipeline has loaded into a table, each version of a file once.

CREATE TABLE IF NOT EXISTS ematix_flow.loaded_files (
  pipeline_name  text        NOT NULL,
  target         text        NOT NULL,
  path           text        NOT NULL,
  version        text        NOT NULL,
  bytes          bigint      NOT NULL,
  modified_at    text,
  run_id         uuid        NOT NULL,
  loaded_at      timestamptz NOT NULL,
  PRIMARY KEY (pipeline_name, target, path, version)
);
