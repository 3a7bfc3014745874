-- Feature views: what readers find them by, beside the tables that hold them.

CREATE TABLE IF NOT EXISTS ematix_flow.feature_views (
  name             VARCHAR     NOT NULL,
  version          VARCHAR     NOT NULL,
  target           VARCHAR     NOT NULL,
  entity_keys      VARCHAR[]   NOT NULL,
  event_column     VARCHAR     NOT NULL,
  begin_column     VARCHAR     NOT NULL,
  end_column       VARCHAR     NOT NULL,
  current_column   VARCHAR     NOT NULL,
  deleted_column   VARCHAR     NOT NULL,
  ttl_ms           BIGINT,
  online           VARCHAR,
  online_relation  VARCHAR,
  freshness_ms     BIGINT,
  description      VARCHAR,
  owner            VARCHAR,
  tags             VARCHAR[]   NOT NULL,
  pipeline_name    VARCHAR     NOT NULL,
  is_shown         BOOLEAN     NOT NULL,
  view_digest      VARCHAR,
  online_digest    VARCHAR,
  declared_at      TIMESTAMPTZ NOT NULL,
  changed_at       TIMESTAMPTZ NOT NULL,
  digest           VARCHAR     NOT NULL,
  run_id           UUID        NOT NULL,
  PRIMARY KEY (name, version)
);

-- What a rewind has to know of the runs before it: their instant, what their reading left, and what undid them.

ALTER TABLE ematix_flow.run_history ADD COLUMN instant TIMESTAMPTZ;
ALTER TABLE ematix_flow.run_history ADD COLUMN watermark_column VARCHAR;
ALTER TABLE ematix_flow.run_history ADD COLUMN read_from VARCHAR;
ALTER TABLE ematix_flow.run_history ADD COLUMN rewound_to BIGINT;
