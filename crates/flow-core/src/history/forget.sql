-- What is forgotten of runs that ended long ago, and what is asked where one of before that is named; as queries.sql is
-- read.

-- name: runs_to_forget(pipeline text, target text, keep integer, limit integer)
-- Loads, the oldest first, but for the last one, the last that succeeded, and those whose declarations are compared still.
-- Those that count on the target go before the first that is kept, so that what is kept has no gap: a rewind has to know
-- of every run after the one that it is told.
SELECT r.run_id
  FROM ematix_flow.run_history AS r
 WHERE r.pipeline_name = :pipeline
   AND r.step_name IS NULL
   AND r.status <> 'running'
   AND r.started_at < pg_catalog.clock_timestamp() - :keep * interval '1 millisecond'
   AND EXISTS (SELECT 1
                 FROM ematix_flow.run_history AS n
                WHERE n.pipeline_name = r.pipeline_name
                  AND n.step_name IS NULL
                  AND n.started_at > r.started_at
                  AND (r.status <> 'success' OR (n.status = 'success' AND n.target = r.target)))
   AND (r.run_number IS NULL
        OR r.target <> :target
        OR r.run_number < COALESCE((SELECT k.run_number
                                      FROM ematix_flow.run_history AS k
                                     WHERE k.target = :target
                                       AND k.run_number IS NOT NULL
                                       AND k.started_at >= pg_catalog.clock_timestamp() - :keep * interval '1 millisecond'
                                     ORDER BY k.started_at
                                     LIMIT 1), r.run_number + 1))
   AND NOT EXISTS (SELECT 1 FROM ematix_flow.schema_history AS h WHERE h.run_id = r.run_id)
 ORDER BY r.started_at
 LIMIT :limit;

-- name: forget_steps(run_ids texts)
-- With those of the transforms that followed.
DELETE FROM ematix_flow.run_steps
 WHERE run_id IN (SELECT r.run_id
                    FROM ematix_flow.run_history AS r
                   WHERE r.run_id IN (:run_ids)
                      OR (r.step_name IS NOT NULL AND r.parent_run_id IN (:run_ids)));

-- name: forget_runs(run_ids texts)
DELETE FROM ematix_flow.run_history
 WHERE run_id IN (:run_ids)
    OR (step_name IS NOT NULL AND parent_run_id IN (:run_ids));

-- name: forget_slots(scheduled text, keep integer, limit integer)
-- What is settled, and lies before the last slot that succeeded: nothing asks for it any more.
DELETE FROM ematix_flow.slots
 WHERE pipeline = :scheduled
   AND slot IN (SELECT s.slot
                  FROM ematix_flow.slots AS s
                 WHERE s.pipeline = :scheduled
                   AND s.status NOT IN ('due', 'running')
                   AND s.slot < pg_catalog.clock_timestamp() - :keep * interval '1 millisecond'
                   AND s.slot < (SELECT l.slot
                                   FROM ematix_flow.slots AS l
                                  WHERE l.pipeline = :scheduled
                                    AND l.status = 'success'
                                  ORDER BY l.slot DESC
                                  LIMIT 1)
                 ORDER BY s.slot
                 LIMIT :limit);

-- name: forgotten_since(target text, number integer)
-- How many runs of a target after one are no longer remembered: each that stands has the next number.
SELECT t.run_number - :number - (SELECT count(*)
                                   FROM ematix_flow.run_history AS r
                                  WHERE r.target = t.target
                                    AND r.status = 'success'
                                    AND r.run_number > :number) AS forgotten
  FROM ematix_flow.targets AS t
 WHERE t.target = :target
   AND t.run_number > :number;

-- name: remembered()
-- How many runs, and since when.
SELECT count(*), (pg_catalog.to_json(pg_catalog.min(r.started_at) AT TIME ZONE 'UTC') #>> '{}') || 'Z'
  FROM ematix_flow.run_history AS r;
