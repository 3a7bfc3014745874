-- Floor: scd2 inside a file of DuckDB, by hand: what differs is closed out, what is new or differs is opened.
BEGIN;
CREATE TABLE IF NOT EXISTS main.history AS
SELECT *, now() AS valid_from, now() AS valid_to, true AS is_current FROM raw.customers LIMIT 0;
SELECT CASE WHEN count(*) > 0 THEN error('duplicate_keys: ' || count(*)::VARCHAR) END
  FROM (SELECT 1 FROM raw.customers GROUP BY customer_id HAVING count(*) > 1);
CREATE TEMP TABLE chg AS
SELECT s.*, d.rowid AS t_rowid
  FROM raw.customers s LEFT JOIN main.history d ON d.customer_id = s.customer_id AND d.is_current
 WHERE d.rowid IS NULL
    OR (s.email, s.name, s.status, s.age, s.balance, s.is_vip, s.signup_date, s.updated_at, s.attrs)
       IS DISTINCT FROM (d.email, d.name, d.status, d.age, d.balance, d.is_vip, d.signup_date, d.updated_at, d.attrs);
UPDATE main.history SET valid_to = now(), is_current = false
  FROM (SELECT t_rowid FROM chg WHERE t_rowid IS NOT NULL) x WHERE history.rowid = x.t_rowid;
INSERT INTO main.history SELECT * EXCLUDE (t_rowid), now(), NULL, true FROM chg;
SELECT CASE WHEN count(*) > 0 THEN error('two_current_versions: ' || count(*)::VARCHAR) END
  FROM (SELECT 1 FROM main.history WHERE is_current AND customer_id IN (SELECT customer_id FROM chg)
         GROUP BY customer_id HAVING count(*) > 1);
COMMIT;
