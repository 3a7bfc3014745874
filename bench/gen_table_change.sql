-- Changes :pct % of the rows of :table, deterministic by key; another :seed, other rows.
UPDATE :table SET :change WHERE ((:key * 2654435761 + :seed) % 100000) < (:pct * 1000)::int;
ANALYZE :table;
