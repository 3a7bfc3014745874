-- Floor: the first load of a history by event time, hash included, indexes after the rows.
\if :{?src} \else \set src raw.events_before \endif
SET client_min_messages = warning;
\set hash 'sha256(record_send(ROW(s.label, trim_scale(s.price))))'
CREATE SCHEMA IF NOT EXISTS fl; DROP TABLE IF EXISTS fl.h;
BEGIN;
CREATE TABLE fl.h AS
SELECT s.k, s.at, s.price, s.label, false AS is_deleted, s.at AS valid_from, lead(s.at) OVER w AS valid_to,
       lead(s.at) OVER w IS NULL AS is_current, :hash AS row_hash, 1::bigint AS run
  FROM (SELECT DISTINCT ON (k, at) * FROM :src ORDER BY k, at) s
WINDOW w AS (PARTITION BY s.k ORDER BY s.at);
ALTER TABLE fl.h ADD PRIMARY KEY (k, valid_from);
CREATE UNIQUE INDEX h_current ON fl.h (k) WHERE is_current;
COMMIT;
ANALYZE fl.h;
