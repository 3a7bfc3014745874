-- Floor: merge inside a file of DuckDB, by hand: what differs is updated, what is new is inserted.
BEGIN;
CREATE TABLE IF NOT EXISTS main.merged AS SELECT * FROM raw.customers LIMIT 0;
SELECT CASE WHEN count(*) > 0 THEN error('duplicate_keys: ' || count(*)::VARCHAR) END
  FROM (SELECT 1 FROM raw.customers GROUP BY customer_id HAVING count(*) > 1);
CREATE TEMP TABLE chg AS
SELECT s.*, t.rowid AS t_rowid FROM raw.customers s LEFT JOIN main.merged t ON t.customer_id = s.customer_id
 WHERE t.rowid IS NULL
    OR (s.email, s.name, s.status, s.age, s.balance, s.is_vip, s.signup_date, s.updated_at, s.attrs)
       IS DISTINCT FROM (t.email, t.name, t.status, t.age, t.balance, t.is_vip, t.signup_date, t.updated_at, t.attrs);
UPDATE main.merged SET email = c.email, name = c.name, status = c.status, age = c.age, balance = c.balance,
       is_vip = c.is_vip, signup_date = c.signup_date, updated_at = c.updated_at, attrs = c.attrs
  FROM chg c WHERE merged.rowid = c.t_rowid;
INSERT INTO main.merged BY NAME SELECT * EXCLUDE (t_rowid) FROM chg WHERE t_rowid IS NULL;
COMMIT;
