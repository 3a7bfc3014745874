-- The statements of ../forget.sql that DuckDB words in its own way.

-- name: runs_to_forget
SELECT r.run_id
  FROM ematix_flow.run_history AS r
 WHERE r.pipeline_name = :pipeline
   AND r.step_name IS NULL
   AND r.status <> 'running'
   AND r.started_at < system.main.now() - system.main.to_milliseconds(:keep)
   AND EXISTS (SELECT 1
                 FROM ematix_flow.run_history AS n
                WHERE n.pipeline_name = r.pipeline_name
                  AND n.step_name IS NULL
                  AND n.started_at > r.started_at
                  AND (r.status <> 'success' OR (n.status = 'success' AND n.target = r.target)))
   AND (r.run_number IS NULL
        OR r.target <> :target
        OR r.run_number < coalesce((SELECT k.run_number
                                      FROM ematix_flow.run_history AS k
                                     WHERE k.target = :target
                                       AND k.run_number IS NOT NULL
                                       AND k.started_at >= system.main.now() - system.main.to_milliseconds(:keep)
                                     ORDER BY k.started_at
                                     LIMIT 1), r.run_number + 1))
   AND NOT EXISTS (SELECT 1 FROM ematix_flow.schema_history AS h WHERE h.run_id = r.run_id)
 ORDER BY r.started_at
 LIMIT :limit;

-- name: forget_slots
DELETE FROM ematix_flow.slots
 WHERE pipeline = :scheduled
   AND slot IN (SELECT s.slot
                  FROM ematix_flow.slots AS s
                 WHERE s.pipeline = :scheduled
                   AND s.status NOT IN ('due', 'running')
                   AND s.slot < system.main.now() - system.main.to_milliseconds(:keep)
                   AND s.slot < (SELECT l.slot
                                   FROM ematix_flow.slots AS l
                                  WHERE l.pipeline = :scheduled
                                    AND l.status = 'success'
                                  ORDER BY l.slot DESC
                                  LIMIT 1)
                 ORDER BY s.slot
                 LIMIT :limit);

-- name: remembered
SELECT count(*), system.main.replace(CAST(system.main.timezone('UTC', system.main.min(r.started_at)) AS VARCHAR), ' ', 'T') || 'Z'
  FROM ematix_flow.run_history AS r;
