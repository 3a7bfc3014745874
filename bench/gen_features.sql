-- What a feature view is filled from: :n events of :n / 10 entities, an hour apart, as they are brought: by time, all entities
-- beside each other.
-- psql -v n=1000000 -f gen_features.sql
CREATE SCHEMA IF NOT EXISTS raw;
DROP TABLE IF EXISTS raw.user_events;
CREATE TABLE raw.user_events AS
SELECT u.id AS user_id, ((e.n * 7 + u.id) % 1000 / 10.0)::numeric(10,2) AS score, ((u.id + e.n) % 50)::integer AS visits,
       'plan ' || (u.id % 5) AS plan, e.at AS seen
  FROM (SELECT n, timestamptz '2026-01-01 00:00+00' + n * interval '1 hour' AS at FROM generate_series(0, 9) AS n) AS e,
       (SELECT ((k * 7919::bigint) % (:n / 10)) AS id FROM generate_series(0, :n / 10 - 1) AS k) AS u
 ORDER BY e.n;
VACUUM ANALYZE raw.user_events;
