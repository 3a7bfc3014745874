-- Slots that wait, are tried again and stand for others; pauses; the wish to cancel.

ALTER TABLE ematix_flow.slots ADD COLUMN due_at TIMESTAMPTZ;
ALTER TABLE ematix_flow.slots ADD COLUMN covers_from TIMESTAMPTZ;
ALTER TABLE ematix_flow.slots ADD COLUMN missed INTEGER DEFAULT 0;
ALTER TABLE ematix_flow.slots ADD COLUMN reason VARCHAR;
ALTER TABLE ematix_flow.run_history ADD COLUMN cancel_asked VARCHAR;
CREATE TABLE IF NOT EXISTS ematix_flow.pauses (
  pipeline_name VARCHAR     PRIMARY KEY,
  paused_at     TIMESTAMPTZ NOT NULL,
  paused_by     VARCHAR     NOT NULL,
  reason        VARCHAR
);
