-- The table of a feature view: :n events of :n / 10 entities, an hour apart, with a ttl of 30 days.
-- psql -v n=1000000 -f gen_features.sql
CREATE SCHEMA IF NOT EXISTS features;
DROP TABLE IF EXISTS features.users_v1, features.users_v1_superseded, features.users_v1__online;
CREATE TABLE features.users_v1 (
  user_id bigint NOT NULL, score numeric(10,2), visits integer, plan text, seen timestamptz NOT NULL,
  is_deleted boolean NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL,
  row_hash bytea NOT NULL, _run bigint NOT NULL);
-- As loads bring them: by time, all entities beside each other.
INSERT INTO features.users_v1
SELECT u.id, (e.n * 7 + u.id) % 1000 / 10.0, (u.id + e.n) % 50, 'plan ' || (u.id % 5), e.at, false, e.at,
       CASE WHEN e.n < 9 THEN e.at + interval '1 hour' END, e.n = 9, sha256(int8send(u.id * 10 + e.n)), 1
  FROM (SELECT n, timestamptz '2026-01-01 00:00+00' + n * interval '1 hour' AS at FROM generate_series(0, 9) AS n) AS e,
       (SELECT (k * 7919) % (:n / 10) AS id FROM generate_series(0, :n / 10 - 1) AS k) AS u
 ORDER BY e.n;
ALTER TABLE features.users_v1 ADD PRIMARY KEY (user_id, valid_from);
CREATE UNIQUE INDEX ON features.users_v1 (user_id) WHERE is_current;
CREATE TABLE features.users_v1__online AS
SELECT user_id, score, visits, plan, seen, valid_from, valid_to, _run FROM features.users_v1 WHERE is_current AND NOT is_deleted;
ALTER TABLE features.users_v1__online ADD PRIMARY KEY (user_id);
VACUUM ANALYZE features.users_v1, features.users_v1__online;
