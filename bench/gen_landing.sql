-- The workload as it comes in text: blanks, capitals, times in ISO 8601, digits.
DROP TABLE IF EXISTS raw.landing;
CREATE TABLE raw.landing AS
SELECT customer_id, '  ' || name || ' ' AS name,
       to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS updated_at, age::text AS age
  FROM raw.customers;
ANALYZE raw.landing;
