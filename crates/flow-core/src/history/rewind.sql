-- What is asked and remembered when a target is put back to what a run had left; as queries.sql is read.

-- name: run_of_number(number integer)
r.run_number = :number

-- name: run_of_digits(digits text)
pg_catalog.right(r.run_id::text, pg_catalog.length(:digits)) = :digits

-- name: run_known_by(instant text)
-- A run that did not come to note when it committed had done so before the next began, and before it is seen here.
COALESCE(r.committed_at,
                (SELECT n.started_at
                   FROM ematix_flow.run_history AS n
                  WHERE n.target = r.target
                    AND n.status = 'success'
                    AND n.run_number = r.run_number + 1),
                pg_catalog.clock_timestamp()) <= :instant::timestamptz

-- name: run_undone()
-- The number of the rewind that has undone a run `r`.
(SELECT pg_catalog.max(u.run_number)
           FROM ematix_flow.run_history AS u
          WHERE u.target = r.target
            AND u.status = 'success'
            AND u.rewound_to < r.run_number
            AND u.run_number > r.run_number)

-- name: runs_meant(target text, which sql, undone sql)
-- The runs of a target that somebody may mean, the newest first.
SELECT pg_catalog.json_build_object(
         'number', r.run_number,
         'run_id', r.run_id,
         'committed_at', (pg_catalog.to_json(COALESCE(r.committed_at, r.ended_at) AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'instant', (pg_catalog.to_json(r.instant AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'undone_by', {undone})
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.run_number IS NOT NULL
   AND {which}
 ORDER BY r.run_number DESC
 LIMIT 2;

-- name: written_since(target text, number integer, undone sql)
-- What the runs after one have written, but for those that are undone already.
SELECT pg_catalog.json_build_object(
         'runs', pg_catalog.count(*),
         'inserted', COALESCE(pg_catalog.sum(r.rows_inserted), 0),
         'updated', COALESCE(pg_catalog.sum(r.rows_updated), 0),
         'closed_out', COALESCE(pg_catalog.sum(r.rows_closed_out), 0))
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.run_number > :number
   AND r.rewound_to IS NULL
   AND {undone} IS NULL;

-- name: declarations_of(target text)
-- How the rows of a target were known and compared, since when.
SELECT pg_catalog.json_build_object(
         'number', r.run_number,
         'keys', h.declaration -> 'keys',
         'compared', h.declaration -> 'compared',
         'event', h.declaration ->> 'event_timestamp_column')
  FROM ematix_flow.schema_history AS h
  LEFT JOIN ematix_flow.run_history AS r ON r.run_id = h.run_id
 WHERE h.target = :target
 ORDER BY h.recorded_at;

-- name: watermarks_then(target text, pipeline text, number integer, undone sql)
-- The watermarks of those who load a target, beside what the last run that stands had left.
SELECT pg_catalog.json_build_object(
         'pipeline', w.pipeline_name,
         'column', w.column_name,
         'now', w.last_value,
         'column_then', l.watermark_column,
         'value_then', l.watermark_after,
         'read_from_then', l.read_from)
  FROM ematix_flow.watermarks AS w
  LEFT JOIN LATERAL (SELECT r.watermark_column, r.watermark_after, r.read_from
                       FROM ematix_flow.run_history AS r
                      WHERE r.pipeline_name = w.pipeline_name
                        AND r.target = :target
                        AND r.status = 'success'
                        AND r.run_number <= :number
                        AND r.rewound_to IS NULL
                        AND r.watermark_after IS NOT NULL
                        AND {undone} IS NULL
                      ORDER BY r.run_number DESC
                      LIMIT 1) AS l ON TRUE
 WHERE w.target = :target OR (w.target IS NULL AND w.pipeline_name = :pipeline)
 ORDER BY w.pipeline_name;

-- name: remember_rewind(target text, instant sql)
UPDATE ematix_flow.targets AS t
   SET run_number = t.run_number + 1,
       generation = t.generation + 1,
       last_instant = {instant}
 WHERE t.target = :target;

-- name: rewind_watermark(pipeline text, value text, read_from text, now sql)
UPDATE ematix_flow.watermarks AS w
   SET last_value = :value,
       read_from = :read_from,
       updated_at = {now}
 WHERE w.pipeline_name = :pipeline;

-- name: forget_files_since(target text, number integer)
-- The files that the runs after one have loaded are loaded again.
DELETE FROM ematix_flow.loaded_files AS l
 WHERE l.run_id IN (SELECT r.run_id
                      FROM ematix_flow.run_history AS r
                     WHERE r.target = :target
                       AND r.status = 'success'
                       AND r.run_number > :number);

-- name: rewound(run_id text, now sql, number integer, before text?, after text?, counts sql)
-- As success, of a run that puts its target back.
UPDATE ematix_flow.run_history AS r
   SET status = 'success',
       committed = TRUE,
       ended_at = {now},
       lease_until = NULL,
       watermark_before = :before,
       watermark_after = :after,
       run_number = (SELECT t.run_number FROM ematix_flow.targets AS t WHERE t.target = r.target),
       instant = (SELECT t.last_instant FROM ematix_flow.targets AS t WHERE t.target = r.target),
       rewound_to = :number,
       {counts}
 WHERE r.run_id = :run_id
   AND r.status = 'running';
