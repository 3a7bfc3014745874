-- Slots that wait, are tried again and stand for others; pauses; the wish to cancel.

ALTER TABLE ematix_flow.slots
  ADD COLUMN due_at timestamptz,
  ADD COLUMN covers_from timestamptz,
  ADD COLUMN missed integer NOT NULL DEFAULT 0,
  ADD COLUMN reason text;
CREATE INDEX IF NOT EXISTS slots_open ON ematix_flow.slots (pipeline, slot) WHERE status IN ('due', 'running');
ALTER TABLE ematix_flow.run_history ADD COLUMN cancel_asked text;
CREATE TABLE IF NOT EXISTS ematix_flow.pauses (
  pipeline_name text        PRIMARY KEY,
  paused_at     timestamptz NOT NULL,
  paused_by     text        NOT NULL,
  reason        text
);
