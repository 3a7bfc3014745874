-- Takes :pct % of the rows of :table out, deterministic by key; another :seed, other rows.
DELETE FROM :table WHERE ((:key * 2654435761 + :seed) % 100000) < (:pct * 1000)::int;
ANALYZE :table;
