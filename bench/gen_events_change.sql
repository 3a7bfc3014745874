-- What a source of newest events holds: one of each key, of which :pct % go on by an hour; another :seed, other keys.
UPDATE raw.events SET at = at + interval '1 hour', price = price + 1
 WHERE ((k * 2654435761 + :seed) % 100000) < (:pct * 1000)::int;
ANALYZE raw.events;
