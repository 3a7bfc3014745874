-- A table of the workload whose columns bench/tables.py declares: :n rows of :table with the key :key.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS raw;
DROP TABLE IF EXISTS :table;
CREATE TABLE :table AS SELECT g AS :key, :definition FROM generate_series(1::bigint, :n) AS g;
ALTER TABLE :table ADD PRIMARY KEY (:key);
ANALYZE :table;
