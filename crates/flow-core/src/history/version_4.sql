-- Feature views: what readers find them by, beside the tables that hold them.

CREATE TABLE IF NOT EXISTS ematix_flow.feature_views (
  name             text        NOT NULL,
  version          text        NOT NULL,
  target           text        NOT NULL,
  entity_keys      text[]      NOT NULL,
  event_column     text        NOT NULL,
  begin_column     text        NOT NULL,
  end_column       text        NOT NULL,
  current_column   text        NOT NULL,
  deleted_column   text        NOT NULL,
  ttl_ms           bigint,
  online           text,
  online_relation  text,
  freshness_ms     bigint,
  description      text,
  owner            text,
  tags             text[]      NOT NULL,
  pipeline_name    text        NOT NULL,
  is_shown         boolean     NOT NULL,
  view_digest      text,
  online_digest    text,
  declared_at      timestamptz NOT NULL,
  changed_at       timestamptz NOT NULL,
  digest           text        NOT NULL,
  run_id           uuid        NOT NULL,
  PRIMARY KEY (name, version)
);

-- What a rewind has to know of the runs before it: their instant, what their reading left, and what undid them.

ALTER TABLE ematix_flow.run_history ADD COLUMN instant timestamptz;
ALTER TABLE ematix_flow.run_history ADD COLUMN watermark_column text;
ALTER TABLE ematix_flow.run_history ADD COLUMN read_from text;
ALTER TABLE ematix_flow.run_history ADD COLUMN rewound_to bigint;
