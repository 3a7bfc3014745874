-- Events of a history: :n events of :n / 10 keys that are there, :n that come, of which :late in a hundred come late.
-- psql -v n=1000000 -v late=1 -f gen_events.sql
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS raw;
DROP TABLE IF EXISTS raw.events_before, raw.events;
CREATE TABLE raw.events_before AS
SELECT k.id AS k, timestamptz '2026-01-01 00:00+00' + e.n * interval '1 hour' AS at,
       ((e.n * 7 + k.id) % 10000 / 100.0)::numeric(10, 2) AS price, 'label ' || (k.id % 50) AS label
  FROM generate_series(0, 9) AS e(n),
       (SELECT (i * 7919) % (:n / 10) AS id FROM generate_series(0::bigint, :n / 10 - 1) AS i) AS k;
-- In order: ten hours later. Late: half an hour after one of the first.
CREATE TABLE raw.events AS
SELECT b.k,
       CASE WHEN (b.k * 31 + e.n) % 100 < :late THEN b.at + interval '30 minutes'
            ELSE b.at + interval '10 hours' END AS at,
       b.price + 1 AS price, b.label
  FROM (SELECT *, extract(hour FROM at AT TIME ZONE 'UTC')::int AS n FROM raw.events_before) AS b
 CROSS JOIN LATERAL (SELECT b.n) AS e(n);
ANALYZE raw.events_before, raw.events;
