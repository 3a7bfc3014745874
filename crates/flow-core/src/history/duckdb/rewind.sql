-- The statements of ../rewind.sql that DuckDB words in its own way.

-- name: run_of_digits
system.main.right(CAST(r.run_id AS VARCHAR), system.main.length(:digits)) = :digits

-- name: run_known_by
coalesce(r.committed_at,
                (SELECT system.main.min(n.started_at)
                   FROM ematix_flow.run_history AS n
                  WHERE n.target = r.target
                    AND n.status = 'success'
                    AND n.run_number = r.run_number + 1),
                system.main.now()) <= :instant::TIMESTAMPTZ

-- name: run_undone
(SELECT system.main.max(u.run_number)
           FROM ematix_flow.run_history AS u
          WHERE u.target = r.target
            AND u.status = 'success'
            AND u.rewound_to < r.run_number
            AND u.run_number > r.run_number)

-- name: runs_meant
SELECT system.main.json_object(
         'number', r.run_number,
         'run_id', r.run_id,
         'committed_at', system.main.replace(CAST(system.main.timezone('UTC', coalesce(r.committed_at, r.ended_at)) AS VARCHAR), ' ', 'T') || 'Z',
         'instant', system.main.replace(CAST(system.main.timezone('UTC', r.instant) AS VARCHAR), ' ', 'T') || 'Z',
         'undone_by', {undone})
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.run_number IS NOT NULL
   AND {which}
 ORDER BY r.run_number DESC
 LIMIT 2;

-- name: written_since
SELECT system.main.json_object(
         'runs', count(*),
         'inserted', CAST(coalesce(system.main.sum(r.rows_inserted), 0) AS BIGINT),
         'updated', CAST(coalesce(system.main.sum(r.rows_updated), 0) AS BIGINT),
         'closed_out', CAST(coalesce(system.main.sum(r.rows_closed_out), 0) AS BIGINT))
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.run_number > :number
   AND r.rewound_to IS NULL
   AND {undone} IS NULL;

-- name: declarations_of
SELECT system.main.json_object(
         'number', r.run_number,
         'keys', system.main.json_extract(h.declaration, '$.keys'),
         'compared', system.main.json_extract(h.declaration, '$.compared'),
         'event', system.main.json_extract_string(h.declaration, '$.event_timestamp_column'))
  FROM ematix_flow.schema_history AS h
  LEFT JOIN ematix_flow.run_history AS r ON r.run_id = h.run_id
 WHERE h.target = :target
 ORDER BY h.recorded_at;

-- name: watermarks_then
SELECT system.main.json_object(
         'pipeline', w.pipeline_name,
         'column', w.column_name,
         'now', w.last_value,
         'column_then', l.watermark_column,
         'value_then', l.watermark_after,
         'read_from_then', l.read_from)
  FROM ematix_flow.watermarks AS w
  LEFT JOIN (SELECT r.pipeline_name, r.watermark_column, r.watermark_after, r.read_from,
                    row_number() OVER (PARTITION BY r.pipeline_name ORDER BY r.run_number DESC) AS n
               FROM ematix_flow.run_history AS r
              WHERE r.target = :target
                AND r.status = 'success'
                AND r.run_number <= :number
                AND r.rewound_to IS NULL
                AND r.watermark_after IS NOT NULL
                AND {undone} IS NULL) AS l ON l.pipeline_name = w.pipeline_name AND l.n = 1
 WHERE w.target = :target OR (w.target IS NULL AND w.pipeline_name = :pipeline)
 ORDER BY w.pipeline_name;
