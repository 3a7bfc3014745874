-- The statements of ../queries.sql that DuckDB words in its own way, each by its name; parameters are those of the
-- statement of that name, of which one may stand in neither file alone. One process has a file at a time: there are
-- no leases to renew, and a run that was under way before this process opened the file has died.

-- name: are_there
SELECT EXISTS (SELECT 1 FROM system.main.duckdb_tables() AS t
                WHERE t.database_name = system.main.current_database()
                  AND t.schema_name = 'ematix_flow' AND t.table_name = 'run_steps');

-- name: knows_files
SELECT EXISTS (SELECT 1 FROM system.main.duckdb_tables() AS t
                WHERE t.database_name = system.main.current_database()
                  AND t.schema_name = 'ematix_flow' AND t.table_name = 'loaded_files');

-- name: is_of_others
SELECT count(*) FILTER (WHERE t.table_name = 'run_history') > 0 AND count(*) FILTER (WHERE t.table_name = 'run_steps') = 0
  FROM system.main.duckdb_tables() AS t
 WHERE t.database_name = system.main.current_database() AND t.schema_name = 'ematix_flow';

-- name: is_the_schema_there
SELECT EXISTS (SELECT 1 FROM system.main.duckdb_schemas() AS s
                WHERE s.database_name = system.main.current_database() AND s.schema_name = 'ematix_flow');

-- name: take_the_metadata
-- Who is second meets a conflict, and tries again.
SELECT TRUE;

-- name: begin_to_build
BEGIN TRANSACTION;

-- name: share_tables
SELECT TRUE;

-- name: mark_lost
UPDATE ematix_flow.run_history AS r
   SET status = 'lost',
       ended_at = system.main.now(),
       error_code = 'lost',
       error = 'the process ended while it ran'
 WHERE r.status = 'running'
   AND r.started_at < :alone_since::TIMESTAMPTZ
   AND {known}
RETURNING r.run_id, r.pipeline_name, r.target, r.mode, r.parent_run_id IS NULL AND r.step_name IS NULL;

-- name: enter_target
-- Half as long as with ON CONFLICT; of two that find none, one meets a conflict, and tries again.
INSERT INTO ematix_flow.targets (target)
SELECT :target
 WHERE {known}
   AND NOT EXISTS (SELECT 1 FROM ematix_flow.targets AS t WHERE t.target = :target);

-- name: enter_run
INSERT INTO ematix_flow.run_history
       (run_id, pipeline_name, started_at, status, mode, target, started_by, host, pid, version, slot, parent_run_id,
        step_name, attempt)
SELECT :run_id::UUID, :pipeline, system.main.now(), 'running', :mode, :target, :started_by, :host, :pid, :program,
       :slot::TIMESTAMPTZ, :parent::UUID, :step_name,
       coalesce((SELECT s.attempt
                   FROM ematix_flow.slots AS s
                  WHERE s.pipeline = :scheduled AND s.slot = :slot::TIMESTAMPTZ AND s.owner = :run_id), 1)
 WHERE (:slot::TIMESTAMPTZ IS NULL
        OR EXISTS (SELECT 1
                     FROM ematix_flow.slots AS s
                    WHERE s.pipeline = :scheduled
                      AND s.slot = :slot::TIMESTAMPTZ
                      AND s.owner = :run_id
                      AND s.status = 'running'))
   AND {may};

-- name: fail
UPDATE ematix_flow.run_history AS r
   SET status = :status,
       ended_at = system.main.now(),
       error = :error,
       error_code = :error_code,
       path = :path,
       {counts}
 WHERE r.run_id = :run_id
   AND r.status = 'running';

-- name: succeed_alone
UPDATE ematix_flow.run_history AS r
   SET status = 'success',
       committed = TRUE,
       ended_at = system.main.now(),
       metrics = :metrics::JSON
 WHERE r.run_id = :run_id
   AND r.status = 'running';

-- name: enter_commit
UPDATE ematix_flow.run_history AS r
   SET committed_at = system.main.now()
 WHERE r.run_id = :run_id;

-- name: record_steps
-- Nobody is left without the answer to a COMMIT, and records them again.
INSERT INTO ematix_flow.run_steps (run_id, n, kind, purpose, rows, milliseconds)
VALUES {steps};

-- name: wait_for_the_row
SELECT TRUE;

-- name: status_of
SELECT r.status
  FROM ematix_flow.run_history AS r
 WHERE r.run_id = :run_id;

-- name: record_of
-- The declarations are read once for all that is asked of them.
SELECT system.main.json_object(
         'generation', t.generation,
         'compare_set', t.compare_set,
         'earlier_sets', t.earlier_sets,
         'encoding_version', t.encoding_version,
         'fingerprint', t.fingerprint,
         'keys', d.keys,
         'kept_columns', d.kept_columns,
         'known_columns', d.known_columns,
         'ttl', d.ttl,
         'ours', coalesce(d.ours, false),
         'instant', system.main.replace(CAST(system.main.timezone('UTC', system.main.greatest(system.main.now(), t.last_instant + INTERVAL '1 microsecond'))
                                             AS VARCHAR), ' ', 'T') || 'Z')
  FROM (SELECT system.main.arg_max(h.keys, h.recorded_at) FILTER (WHERE system.main.json_array_length(h.keys) > 0) AS keys,
               system.main.list_distinct(system.main.flatten(system.main.list(CAST(system.main.json_extract(h.declaration, '$.kept') AS VARCHAR[]))))
                 AS kept_columns,
               system.main.list_distinct(system.main.flatten(system.main.list(system.main.json_keys(h.declaration, '$.columns'))))
                 AS known_columns,
               system.main.arg_max(coalesce(system.main.json_extract_string(h.declaration, '$.ttl'), ''), h.recorded_at) AS ttl,
               system.main.arg_min(h.created, h.recorded_at) AS ours
          FROM (SELECT e.declaration, e.created, e.recorded_at, system.main.json_extract(e.declaration, '$.keys') AS keys
                  FROM ematix_flow.schema_history AS e
                 WHERE e.target = :target) AS h) AS d
  LEFT JOIN ematix_flow.targets AS t ON t.target = :target;

-- name: last_run_known
SELECT coalesce(system.main.max(r.run_number) FILTER (WHERE r.known_at <= CAST(:known_at AS TIMESTAMPTZ)), 0)
  FROM (SELECT h.run_number,
               coalesce(h.committed_at, system.main.lead(h.started_at) OVER (ORDER BY h.run_number), system.main.now()) AS known_at
          FROM ematix_flow.run_history AS h
         WHERE h.target = :target
           AND h.status = 'success'
           AND h.run_number IS NOT NULL) AS r
HAVING system.main.count(*) > 0;

-- name: served_since
SELECT system.main.json_object(
         'as_of', system.main.replace(CAST(system.main.timezone('UTC', max(r.started_at)) AS VARCHAR), ' ', 'T') || 'Z',
         'age_ms', system.main.date_diff('millisecond', max(r.started_at), system.main.now()))
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.step_name IS NULL
   AND (CAST(:refresh AS VARCHAR) IS NULL
        OR EXISTS (SELECT 1
                     FROM ematix_flow.run_history AS c
                    WHERE c.parent_run_id IN (r.run_id, r.parent_run_id)
                      AND c.step_name = :refresh
                      AND c.status = 'success'));

-- name: versions_of
SELECT system.main.json_object(
         'version', f.version,
         'is_shown', f.is_shown,
         'view_digest', f.view_digest,
         'online_relation', f.online_relation IS NOT NULL,
         'online_digest', f.online_digest,
         'digest', f.digest)
  FROM ematix_flow.feature_views AS f
 WHERE f.name = :name;

-- name: reading_of
SELECT system.main.json_object(
         'effective_from', f.begin_column,
         'effective_to', f.end_column,
         'deleted_flag', f.deleted_column,
         'online', f.online)
  FROM ematix_flow.feature_views AS f
 WHERE f.name = :name
   AND f.version = :version;

-- name: watermark_of
SELECT system.main.json_object(
         'column', w.column_name,
         'last_value', w.last_value,
         'read_from', w.read_from,
         'covered_from', w.covered_from,
         'identity', w.identity,
         'target', w.target)
  FROM ematix_flow.watermarks AS w
 WHERE w.pipeline_name = :pipeline;

-- name: compare_set_of
SELECT system.main.to_json(t.compare_set)
  FROM ematix_flow.targets AS t
 WHERE t.target = :target
   AND t.encoding_version = :encoding_version;

-- name: run_row
system.main.json_object(
         'pipeline', r.pipeline_name,
         'run_id', r.run_id,
         'run_number', r.run_number,
         'status', CASE WHEN r.status = 'running' AND r.started_at < :alone_since::TIMESTAMPTZ THEN 'lost' ELSE r.status END,
         'committed', r.committed,
         'mode', r.mode,
         'path', r.path,
         'target', r.target,
         'started_at', system.main.replace(CAST(system.main.timezone('UTC', r.started_at) AS VARCHAR), ' ', 'T') || 'Z',
         'ended_at', system.main.replace(CAST(system.main.timezone('UTC', r.ended_at) AS VARCHAR), ' ', 'T') || 'Z',
         'committed_at', system.main.replace(CAST(system.main.timezone('UTC', r.committed_at) AS VARCHAR), ' ', 'T') || 'Z',
         'duration_ms', system.main.date_diff('millisecond', r.started_at, r.ended_at),
         {counts},
         'watermark_before', r.watermark_before,
         'watermark_after', r.watermark_after,
         'error_code', r.error_code,
         'error', r.error,
         'started_by', r.started_by,
         'host', r.host,
         'pid', r.pid,
         'version', r.version,
         'slot', system.main.replace(CAST(system.main.timezone('UTC', r.slot) AS VARCHAR), ' ', 'T') || 'Z',
         'attempt', r.attempt,
         'parent_run_id', r.parent_run_id,
         'step_name', r.step_name)

-- name: pause_in_states
(SELECT system.main.json_object(
                     'since', system.main.replace(CAST(system.main.timezone('UTC', w.paused_at) AS VARCHAR), ' ', 'T') || 'Z',
                     'by', w.paused_by,
                     'reason', w.reason)
           FROM ematix_flow.pauses AS w
          WHERE w.pipeline_name = p.name)

-- name: states
SELECT system.main.json_object(
         'pipeline', p.name,
         'last_run', n.last_run,
         'last_success', system.main.replace(CAST(system.main.timezone('UTC', n.last_success) AS VARCHAR), ' ', 'T') || 'Z',
         'lag_ms', system.main.date_diff('millisecond', n.last_success, system.main.now()),
         'last_slot', system.main.replace(CAST(system.main.timezone('UTC', t.last_slot) AS VARCHAR), ' ', 'T') || 'Z',
         'paused', {paused},
         'runs', coalesce(n.runs, system.main.list_value()))
  FROM (SELECT unnest(system.main.list_value(:pipelines)) AS name) AS p

  LEFT JOIN (SELECT r.pipeline_name,
                    system.main.any_value({run}) FILTER (WHERE r.nth = 1) AS last_run,
                    system.main.arg_max(r.ended_at, r.started_at) FILTER (WHERE r.status = 'success') AS last_success,
                    system.main.list(system.main.json_object(
                        'run_id', r.run_id,
                        'status', CASE WHEN r.status = 'running' AND r.lost THEN 'lost' ELSE r.status END,
                        'mode', r.mode,
                        'started_at', system.main.replace(CAST(system.main.timezone('UTC', r.started_at) AS VARCHAR), ' ', 'T') || 'Z',
                        'duration_ms', system.main.date_diff('millisecond', r.started_at, r.ended_at),
                        'rows_in', r.rows_in,
                        'rows_inserted', r.rows_inserted,
                        'rows_updated', r.rows_updated,
                        'rows_closed_out', r.rows_closed_out,
                        'rows_deleted', r.rows_deleted,
                        'error_code', r.error_code)
                      ORDER BY r.started_at, r.run_id) FILTER (WHERE r.nth <= :limit) AS runs
               FROM (SELECT h.*,
                            coalesce(h.started_at < :alone_since::TIMESTAMPTZ, FALSE) AS lost,
                            row_number() OVER (PARTITION BY h.pipeline_name ORDER BY h.started_at DESC, h.run_id DESC) AS nth
                       FROM ematix_flow.run_history AS h
                      WHERE h.step_name IS NULL
                        AND h.pipeline_name IN (:pipelines)) AS r
              GROUP BY r.pipeline_name) AS n ON n.pipeline_name = p.name
  LEFT JOIN (SELECT s.pipeline, system.main.max(s.slot) AS last_slot
               FROM ematix_flow.slots AS s
              GROUP BY s.pipeline) AS t ON t.pipeline = p.name;

-- name: logs
SELECT system.main.json_object(
         'run', {run},
         'steps', coalesce(s.steps, system.main.list_value()))
  FROM ematix_flow.run_history AS r
  LEFT JOIN (SELECT t.run_id,
                    system.main.list(system.main.json_object(
                        'n', t.n,
                        'kind', t.kind,
                        'purpose', t.purpose,
                        'rows', t.rows,
                        'milliseconds', t.milliseconds)
                      ORDER BY t.n) AS steps
               FROM ematix_flow.run_steps AS t
              GROUP BY t.run_id) AS s ON s.run_id = r.run_id
 WHERE CAST(r.run_id AS VARCHAR) IN (:run_ids)
 ORDER BY r.started_at DESC, r.run_id DESC;

-- name: transforms_of
SELECT system.main.json_object(
         'run_id', r.run_id,
         'parent', coalesce(r.parent_run_id, r.run_id),
         'name', r.step_name,
         'status', r.status,
         'started_at', system.main.replace(CAST(system.main.timezone('UTC', r.started_at) AS VARCHAR), ' ', 'T') || 'Z',
         'ended_at', system.main.replace(CAST(system.main.timezone('UTC', r.ended_at) AS VARCHAR), ' ', 'T') || 'Z',
         'duration_ms', system.main.date_diff('millisecond', r.started_at, r.ended_at),
         'metrics', r.metrics,
         'error_code', r.error_code,
         'error', r.error)
  FROM ematix_flow.run_history AS r
 WHERE r.step_name IS NOT NULL
   AND (CAST(r.parent_run_id AS VARCHAR) IN (:run_ids) OR CAST(r.run_id AS VARCHAR) IN (:run_ids))
 ORDER BY r.started_at, r.run_id;

-- name: runs_by_suffix
SELECT {run}
  FROM ematix_flow.run_history AS r
 WHERE system.main.right(CAST(r.run_id AS VARCHAR), system.main.length(:digits)) = :digits;

-- name: steps_of
SELECT system.main.json_object(
         'n', s.n,
         'kind', s.kind,
         'purpose', s.purpose,
         'rows', s.rows,
         'milliseconds', s.milliseconds)
  FROM ematix_flow.run_steps AS s
 WHERE s.run_id = :run_id
 ORDER BY s.n;

-- name: watermarks
SELECT system.main.json_object(
         'pipeline', w.pipeline_name,
         'column', w.column_name,
         'last_value', w.last_value,
         'updated_at', system.main.replace(CAST(system.main.timezone('UTC', w.updated_at) AS VARCHAR), ' ', 'T') || 'Z')
  FROM ematix_flow.watermarks AS w
 WHERE w.pipeline_name IN (:pipelines)
 ORDER BY w.pipeline_name;

-- name: set_watermark
INSERT INTO ematix_flow.watermarks
       (pipeline_name, column_name, last_value, updated_at, read_from, covered_from, column_type)
VALUES (:pipeline, :column, :value, system.main.now(), :value, :value, :column_type)
    ON CONFLICT (pipeline_name) DO UPDATE
   SET column_name = excluded.column_name,
       last_value = excluded.last_value,
       updated_at = excluded.updated_at,
       read_from = excluded.read_from,
       covered_from = excluded.covered_from,
       column_type = excluded.column_type,
       identity = NULL,
       target = NULL;
