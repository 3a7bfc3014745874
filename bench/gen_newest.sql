-- After gen_events.sql: the newest event of each key in the place of the events that come.
DROP TABLE IF EXISTS raw.events;
CREATE TABLE raw.events AS SELECT DISTINCT ON (k) k, at, price, label FROM raw.events_before ORDER BY k, at DESC;
ALTER TABLE raw.events ADD PRIMARY KEY (k);
ANALYZE raw.events;
