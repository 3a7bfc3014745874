-- Floor: the training set of a spine, by hand. The spine stands in pg_temp.spine(user_id, as_of, n).
SELECT s.user_id, s.as_of, f.score, f.visits, f.plan, f.seen
  FROM (SELECT * FROM pg_temp.spine ORDER BY user_id, as_of) AS s
  LEFT JOIN LATERAL (
       SELECT t.score, t.visits, t.plan, t.seen, t.valid_to, t.is_deleted
         FROM features.users_v1 AS t
        WHERE t.user_id = s.user_id AND t.valid_from <= s.as_of
        ORDER BY t.valid_from DESC
        LIMIT 1) AS f ON NOT f.is_deleted AND (f.valid_to IS NULL OR s.as_of < f.valid_to)
 ORDER BY s.n
