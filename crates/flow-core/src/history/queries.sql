-- Every statement that reads or writes the tables in which runs are remembered, each by its name and with its
-- parameters: `:value` is a text, a number or a value that only the run knows, `{piece}` is SQL. How the file is read
-- stands in statements.rs. A statement without a semicolon is a part of others. What DuckDB words in its own way stands
-- once more in duckdb/queries.sql.

-- ------------------------------------------------------------------------------------------ the tables themselves

-- name: are_there()
-- The table that was the last to be made.
SELECT pg_catalog.to_regclass('ematix_flow.run_steps') IS NOT NULL;

-- name: is_of_others()
-- A table of our name without the others: an ematix-flow that came before kept another history there.
SELECT pg_catalog.to_regclass('ematix_flow.run_history') IS NOT NULL
   AND pg_catalog.to_regclass('ematix_flow.run_steps') IS NULL;

-- name: is_the_schema_there()
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'ematix_flow');

-- name: take_the_metadata()
-- Serialises those that create or migrate, until the transaction ends: "ematixfl" in bytes.
SELECT pg_catalog.pg_advisory_xact_lock(7308604922905781868);

-- name: begin_to_build()
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;

-- name: version()
SELECT m.version FROM ematix_flow.metadata AS m;

-- name: version_is(version integer)
EXISTS (SELECT 1 FROM ematix_flow.metadata AS m WHERE m.version = :version)

-- name: enter_version(version integer)
INSERT INTO ematix_flow.metadata (version)
SELECT :version
 WHERE NOT EXISTS (SELECT 1 FROM ematix_flow.metadata);

-- name: raise_version(version integer)
UPDATE ematix_flow.metadata SET version = :version;

-- name: share_tables(tables text)
-- Whoever may create in the schema may use its tables, so that several roles can share them.
DO $grants$
DECLARE
  sharer record;
BEGIN
  FOR sharer IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS name
      FROM pg_catalog.pg_namespace AS n
     CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
     WHERE n.nspname = 'ematix_flow' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    UNION
    SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner))
      FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname = 'ematix_flow' AND pg_catalog.pg_get_userbyid(n.nspowner) <> current_user
  LOOP
    EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON ' || :tables || ' TO ' || sharer.name;
  END LOOP;
END
$grants$;

-- --------------------------------------------------------------------------------------------- a run, from outside
-- These go over the executor's own connection, so that they stand whatever becomes of the load.

-- name: mark_lost(alone_since text?, known sql)
-- A run between its last statement and COMMIT holds its row, and is passed over.
UPDATE ematix_flow.run_history
   SET status = 'lost',
       ended_at = pg_catalog.clock_timestamp(),
       error_code = 'lost',
       error = 'the process gave no sign of life until its lease had run out'
 WHERE run_id IN (SELECT r.run_id
                    FROM ematix_flow.run_history AS r
                   WHERE r.status = 'running'
                     AND r.lease_until < pg_catalog.clock_timestamp()
                     AND {known}
                     FOR UPDATE SKIP LOCKED)
   AND status = 'running'
RETURNING run_id, pipeline_name, target, mode, parent_run_id IS NULL AND step_name IS NULL;

-- name: enter_target(target text, known sql)
INSERT INTO ematix_flow.targets (target)
SELECT :target
 WHERE {known}
    ON CONFLICT DO NOTHING;

-- name: enter_run(run_id text, pipeline text, mode text?, target text, started_by text, host text?, pid integer, program text, slot text?, scheduled text, parent text?, step_name text?, lease integer, may sql)
-- A run of a slot is entered where it has claimed it, with the attempts that it had.
INSERT INTO ematix_flow.run_history
       (run_id, pipeline_name, started_at, status, mode, target, started_by, host, pid, version, slot, parent_run_id,
        step_name, lease_until, attempt)
SELECT :run_id, :pipeline, pg_catalog.clock_timestamp(), 'running', :mode, :target, :started_by, :host, :pid, :program,
       :slot::timestamptz, :parent::uuid, :step_name,
       pg_catalog.clock_timestamp() + :lease * interval '1 millisecond',
       COALESCE((SELECT s.attempt
                   FROM ematix_flow.slots AS s
                  WHERE s.pipeline = :scheduled AND s.slot = :slot::timestamptz AND s.owner = :run_id), 1)
 WHERE (:slot::timestamptz IS NULL
        OR EXISTS (SELECT 1
                     FROM ematix_flow.slots AS s
                    WHERE s.pipeline = :scheduled
                      AND s.slot = :slot::timestamptz
                      AND s.owner = :run_id
                      AND s.status = 'running'))
   AND {may};

-- name: renew_leases(run_ids texts, lease integer)
UPDATE ematix_flow.run_history
   SET lease_until = pg_catalog.clock_timestamp() + :lease * interval '1 millisecond'
 WHERE run_id IN (:run_ids)
   AND status = 'running'
RETURNING cancel_asked;

-- name: fail(run_id text, status text, error text, error_code text, path text?, counts sql)
-- Whatever the run counted, nothing of it stands.
UPDATE ematix_flow.run_history
   SET status = :status,
       ended_at = pg_catalog.clock_timestamp(),
       lease_until = NULL,
       error = :error,
       error_code = :error_code,
       path = :path,
       {counts}
 WHERE run_id = :run_id
   AND status = 'running';

-- name: succeed_alone(run_id text, metrics text?)
-- What has no load of its own: a transform. One that was taken over meanwhile finds its row no longer running.
UPDATE ematix_flow.run_history
   SET status = 'success',
       committed = TRUE,
       ended_at = pg_catalog.clock_timestamp(),
       lease_until = NULL,
       metrics = :metrics::jsonb
 WHERE run_id = :run_id
   AND status = 'running';

-- name: forget_run(run_id text)
-- What was found to be wrong with files or usage is no run.
DELETE FROM ematix_flow.run_history
 WHERE run_id = :run_id AND status = 'running';

-- name: enter_commit(run_id text)
UPDATE ematix_flow.run_history
   SET committed_at = pg_catalog.clock_timestamp()
 WHERE run_id = :run_id;

-- name: record_steps(steps sql)
INSERT INTO ematix_flow.run_steps (run_id, n, kind, purpose, rows, milliseconds)
VALUES {steps}
    ON CONFLICT DO NOTHING;

-- name: wait_for_the_row()
SET LOCAL lock_timeout = '10s';

-- name: status_of(run_id text)
-- The row's lock waits for a COMMIT that the server is still about to do.
SELECT r.status
  FROM ematix_flow.run_history AS r
 WHERE r.run_id = :run_id
   FOR UPDATE;

-- ------------------------------------------------------------------------------------ what a plan needs to know

-- name: record_of(target text)
-- A table is ours when its first declaration says that we created it.
SELECT pg_catalog.json_build_object(
         'generation', t.generation,
         'compare_set', t.compare_set,
         'earlier_sets', t.earlier_sets,
         'encoding_version', t.encoding_version,
         'fingerprint', t.fingerprint,
         'keys', (SELECT h.declaration -> 'keys'
                    FROM ematix_flow.schema_history AS h
                   WHERE h.target = q.target
                     AND h.declaration -> 'keys' <> '[]'
                   ORDER BY h.recorded_at DESC
                   LIMIT 1),
         'kept_columns', (SELECT pg_catalog.json_agg(DISTINCT c.name)
                            FROM ematix_flow.schema_history AS h
                           CROSS JOIN LATERAL pg_catalog.jsonb_array_elements_text(h.declaration -> 'kept') AS c(name)
                           WHERE h.target = q.target),
         'known_columns', (SELECT pg_catalog.json_agg(DISTINCT c.name)
                             FROM ematix_flow.schema_history AS h
                            CROSS JOIN LATERAL pg_catalog.jsonb_object_keys(h.declaration -> 'columns') AS c(name)
                            WHERE h.target = q.target),
         'ttl', (SELECT h.declaration ->> 'ttl'
                   FROM ematix_flow.schema_history AS h
                  WHERE h.target = q.target
                  ORDER BY h.recorded_at DESC
                  LIMIT 1),
         'ours', COALESCE((SELECT h.created
                             FROM ematix_flow.schema_history AS h
                            WHERE h.target = q.target
                            ORDER BY h.recorded_at
                            LIMIT 1), false),
         'instant', (pg_catalog.to_json(GREATEST(pg_catalog.clock_timestamp(), t.last_instant + interval '1 microsecond')
                                        AT TIME ZONE 'UTC') #>> '{}') || 'Z')
  FROM (SELECT :target::text AS target) AS q
  LEFT JOIN ematix_flow.targets AS t ON t.target = q.target;

-- name: served_since(target text, refresh text?)
-- The last load that is shown: where it is refreshed behind the load, one whose refresh has come to its end.
SELECT pg_catalog.json_build_object(
         'as_of', (pg_catalog.to_json(max(r.started_at) AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'age_ms', (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - max(r.started_at)) * 1000)::bigint)
  FROM ematix_flow.run_history AS r
 WHERE r.target = :target
   AND r.status = 'success'
   AND r.step_name IS NULL
   AND (:refresh::text IS NULL
        OR EXISTS (SELECT 1
                     FROM ematix_flow.run_history AS c
                    WHERE c.parent_run_id IN (r.run_id, r.parent_run_id)
                      AND c.step_name = :refresh
                      AND c.status = 'success'));

-- name: versions_of(name text)
SELECT pg_catalog.json_build_object(
         'version', f.version,
         'is_shown', f.is_shown,
         'view_digest', f.view_digest,
         'online_relation', f.online_relation IS NOT NULL,
         'online_digest', f.online_digest,
         'digest', f.digest)
  FROM ematix_flow.feature_views AS f
 WHERE f.name = :name;

-- name: reading_of(name text, version text)
-- By which names the columns are read that a load keeps, and in what the newest features are kept.
SELECT pg_catalog.json_build_object(
         'effective_from', f.begin_column,
         'effective_to', f.end_column,
         'deleted_flag', f.deleted_column,
         'online', f.online)
  FROM ematix_flow.feature_views AS f
 WHERE f.name = :name
   AND f.version = :version;

-- name: was_made_beside(target text)
-- Created by a run that did not load it.
SELECT COALESCE((SELECT h.created
                   FROM ematix_flow.schema_history AS h
                  WHERE h.target = :target
                  ORDER BY h.recorded_at
                  LIMIT 1), FALSE)
       AND NOT EXISTS (SELECT 1
                         FROM ematix_flow.targets AS t
                        WHERE t.target = :target
                          AND t.fingerprint IS NOT NULL);

-- name: watermark_of(pipeline text)
SELECT pg_catalog.json_build_object(
         'column', w.column_name,
         'last_value', w.last_value,
         'read_from', w.read_from,
         'covered_from', w.covered_from,
         'identity', w.identity,
         'target', w.target)
  FROM ematix_flow.watermarks AS w
 WHERE w.pipeline_name = :pipeline;

-- name: runs_of(pipeline text)
SELECT r.run_id FROM ematix_flow.run_history AS r WHERE r.pipeline_name = :pipeline;

-- name: runs_of_those_that_run(pipeline text)
-- Of the pipeline itself, and of every other that ran since this one did for the first time.
SELECT r.run_id
  FROM ematix_flow.run_history AS r
 WHERE r.pipeline_name = :pipeline
    OR r.pipeline_name IN (SELECT a.pipeline_name
                             FROM ematix_flow.run_history AS a
                            WHERE a.started_at > (SELECT f.started_at
                                                    FROM ematix_flow.run_history AS f
                                                   WHERE f.pipeline_name = :pipeline
                                                   ORDER BY f.started_at
                                                   LIMIT 1));

-- name: has_ledger(pipeline text)
SELECT EXISTS (SELECT 1 FROM ematix_flow.append_seen AS l
                WHERE l.pipeline_name = :pipeline
                  AND l.wm_value IS NOT NULL);

-- name: knows_files()
-- Before the first run of a version that keeps them there are none.
SELECT pg_catalog.to_regclass('ematix_flow.loaded_files') IS NOT NULL;

-- name: files_of(pipeline text, target text)
SELECT l.path, l.version
  FROM ematix_flow.loaded_files AS l
 WHERE l.pipeline_name = :pipeline
   AND l.target = :target;

-- name: compare_set_of(target text, encoding_version integer)
SELECT pg_catalog.to_json(t.compare_set)
  FROM ematix_flow.targets AS t
 WHERE t.target = :target
   AND t.encoding_version = :encoding_version;

-- ----------------------------------------------------------------------------------------- the steps of a plan
-- In the load transaction. The dialect fills what databases say differently.

-- name: same_generation(target text, generation integer)
SELECT 1 AS count
  FROM ematix_flow.targets AS t
 WHERE t.target = :target
   AND t.generation <> :generation;

-- name: fresh_rows(row_number sql, hash sql, number sql, stage sql, pipeline text, fresh sql)
SELECT s.*
  FROM (SELECT s.*, {row_number}() OVER (PARTITION BY s.{hash}) AS {number}
          FROM {stage} AS s) AS s
  LEFT JOIN ematix_flow.append_seen AS l ON l.pipeline_name = :pipeline AND l.row_hash = s.{hash}
 WHERE {fresh};

-- name: known_rows(row_number sql, hash sql, number sql, stage sql, row sql, address sql, pipeline text, known sql)
SELECT s.{address}
  FROM (SELECT {row} AS {address}, s.{hash}, {row_number}() OVER (PARTITION BY s.{hash}) AS {number}
          FROM {stage} AS s) AS s
  JOIN ematix_flow.append_seen AS l ON l.pipeline_name = :pipeline AND l.row_hash = s.{hash}
 WHERE {known};

-- name: rows_of_the_ledger(pipeline text, hash sql, value sql, loaded sql, fresh sql, watermark sql)
SELECT :pipeline, f.{hash},
       {value},
       {loaded}
  FROM {fresh} AS f
 GROUP BY f.{hash}, f.{watermark};

-- name: forget_in_ledger(pipeline text, value sql, bound sql)
DELETE FROM ematix_flow.append_seen AS l
 WHERE l.pipeline_name = :pipeline
   AND {value} < {bound};

-- name: loaded_file(pipeline text, target text, path text, version text, bytes integer, modified_at text?, run_id text, now sql)
SELECT :pipeline, :target, :path, :version, :bytes, :modified_at, CAST(:run_id AS uuid), {now}

-- name: remember_target(target text, fingerprint text, generation sql, last_instant sql, compared sql)
UPDATE ematix_flow.targets AS t
   SET run_number = t.run_number + 1,
       fingerprint = :fingerprint,
       generation = {generation},
       last_instant = {last_instant}{compared}
 WHERE t.target = :target;

-- name: if_rows_were_written(rows sql, new sql, old sql)
CASE WHEN {rows} > 0
                         THEN {new} ELSE {old} END

-- name: number_of_run(target text)
-- Counted when the run is remembered, under the lock of the target; a dry-run may be the first to look at it.
COALESCE((SELECT t.run_number + 1 FROM ematix_flow.targets AS t WHERE t.target = :target), 1)

-- name: remember_declaration(target text, fingerprint text, declaration text, encoding_version integer, run_id text, created boolean)
INSERT INTO ematix_flow.schema_history (target, fingerprint, declaration, encoding_version, run_id, created)
VALUES (:target,
        :fingerprint,
        :declaration,
        :encoding_version, :run_id, :created);

-- name: row_of_the_watermark(pipeline text, column text, watermark run_value, now sql, read_from run_value, covered_from sql, column_type text, identity sql, target text, covered_row sql)
SELECT :pipeline, :column, :watermark, {now}, :read_from,
       {covered_from},
       :column_type, {identity}, :target{covered_row}
 WHERE :watermark IS NOT NULL;

-- name: hide_other_versions(name text, version text)
UPDATE ematix_flow.feature_views AS f
   SET is_shown = FALSE
 WHERE f.name = :name
   AND f.version <> :version
   AND f.is_shown;

-- name: success(run_id text, now sql, path text, before text?, after run_value, column text?, read_from run_value, counts sql)
-- A run that was taken over meanwhile finds its row no longer running. Its instant is that of the last run that wrote:
-- what came until then lies at it or before, what comes later lies after it.
UPDATE ematix_flow.run_history AS r
   SET status = 'success',
       committed = TRUE,
       ended_at = {now},
       lease_until = NULL,
       path = :path,
       watermark_before = :before,
       watermark_after = :after,
       watermark_column = :column,
       read_from = :read_from,
       run_number = (SELECT t.run_number FROM ematix_flow.targets AS t WHERE t.target = r.target),
       instant = COALESCE((SELECT t.last_instant FROM ematix_flow.targets AS t WHERE t.target = r.target), {now}),
       {counts}
 WHERE r.run_id = :run_id
   AND r.status = 'running';

-- name: success_of_several(run_id text, now sql, path text, counts sql)
-- As success, of a run of several targets, after those of its parts.
UPDATE ematix_flow.run_history AS r
   SET status = 'success',
       committed = TRUE,
       ended_at = {now},
       lease_until = NULL,
       path = :path,
       {counts}
 WHERE r.run_id = :run_id
   AND r.status = 'running';

-- ------------------------------------------------------------------------------------------ what commands ask

-- name: silent_runs()
-- They become `lost` when the next run looks.
SELECT pg_catalog.json_build_object(
         'pipeline', r.pipeline_name,
         'run_id', r.run_id,
         'since', (pg_catalog.to_json(r.lease_until AT TIME ZONE 'UTC') #>> '{}') || 'Z')
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'running'
   AND r.lease_until < pg_catalog.clock_timestamp()
 ORDER BY r.started_at;

-- name: orphaned_stages()
-- A table of a run ends with the run's id; one that others can see was left by a process that died.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = 'ematix_flow'
   AND c.relkind = 'r'
   AND c.relname ~ '^_ematix_.*_[0-9a-f]{32}$'
   AND NOT EXISTS (SELECT 1
                     FROM ematix_flow.run_history AS r
                    WHERE r.status = 'running'
                      AND r.lease_until >= pg_catalog.clock_timestamp()
                      AND pg_catalog.right(c.relname, 32) = pg_catalog.replace(r.run_id::text, '-', ''))
 ORDER BY 1;

-- name: run_row(alone_since text?, counts sql)
-- A run that gives no sign of life until its lease has run out is shown as lost, whoever sweeps it.
pg_catalog.json_build_object(
         'pipeline', r.pipeline_name,
         'run_id', r.run_id,
         'run_number', r.run_number,
         'status', CASE WHEN r.status = 'running' AND r.lease_until < pg_catalog.clock_timestamp() THEN 'lost' ELSE r.status END,
         'committed', r.committed,
         'mode', r.mode,
         'path', r.path,
         'target', r.target,
         'started_at', (pg_catalog.to_json(r.started_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'ended_at', (pg_catalog.to_json(r.ended_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'committed_at', (pg_catalog.to_json(r.committed_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'duration_ms', (EXTRACT(EPOCH FROM r.ended_at - r.started_at) * 1000)::bigint,
         {counts},
         'watermark_before', r.watermark_before,
         'watermark_after', r.watermark_after,
         'error_code', r.error_code,
         'error', r.error,
         'started_by', r.started_by,
         'host', r.host,
         'pid', r.pid,
         'version', r.version,
         'slot', (pg_catalog.to_json(r.slot AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'attempt', r.attempt,
         'parent_run_id', r.parent_run_id,
         'step_name', r.step_name)

-- name: runs(run sql, pipelines texts, limit integer, since text?, failed boolean)
-- Of loads: the transforms after them are theirs, and one that ran by itself may have the name of a pipeline.
SELECT {run}
  FROM ematix_flow.run_history AS r
 WHERE r.pipeline_name IN (:pipelines)
   AND r.step_name IS NULL
   AND (:since::timestamptz IS NULL OR r.started_at >= :since::timestamptz)
   AND (NOT :failed
        OR r.status IN ('failed', 'refused', 'locked', 'lost')
        OR (r.status = 'running' AND r.lease_until < CURRENT_TIMESTAMP))
 ORDER BY r.started_at DESC, r.run_id DESC
 LIMIT :limit;

-- name: pause_in_states()
(SELECT pg_catalog.json_build_object(
                             'since', (pg_catalog.to_json(w.paused_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
                             'by', w.paused_by,
                             'reason', w.reason)
                      FROM ematix_flow.pauses AS w
                     WHERE w.pipeline_name = p.name)

-- name: states(run sql, paused sql, pipelines texts, limit integer, alone_since text?)
-- A row a pipeline, whatever their number: each is read from its newest run on, by the index.
SELECT pg_catalog.json_build_object(
         'pipeline', p.name,
         'last_run', (SELECT {run}
                        FROM ematix_flow.run_history AS r
                       WHERE r.pipeline_name = p.name
                         AND r.step_name IS NULL
                       ORDER BY r.started_at DESC, r.run_id DESC
                       LIMIT 1),
         'last_success', (pg_catalog.to_json(g.ended_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'lag_ms', (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - g.ended_at) * 1000)::bigint,
         'last_slot', (SELECT (pg_catalog.to_json(pg_catalog.max(s.slot) AT TIME ZONE 'UTC') #>> '{}') || 'Z'
                         FROM ematix_flow.slots AS s
                        WHERE s.pipeline = p.name),
         'paused', {paused},
         'runs', (SELECT COALESCE(pg_catalog.json_agg(
                           pg_catalog.json_build_object(
                             'run_id', r.run_id,
                             'status', CASE WHEN r.status = 'running' AND r.lease_until < pg_catalog.clock_timestamp() THEN 'lost' ELSE r.status END,
                             'mode', r.mode,
                             'started_at', (pg_catalog.to_json(r.started_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
                             'duration_ms', (EXTRACT(EPOCH FROM r.ended_at - r.started_at) * 1000)::bigint,
                             'rows_in', r.rows_in,
                             'rows_inserted', r.rows_inserted,
                             'rows_updated', r.rows_updated,
                             'rows_closed_out', r.rows_closed_out,
                             'rows_deleted', r.rows_deleted,
                             'error_code', r.error_code)
                           ORDER BY r.started_at, r.run_id), '[]')
                    FROM (SELECT h.*
                            FROM ematix_flow.run_history AS h
                           WHERE h.pipeline_name = p.name
                             AND h.step_name IS NULL
                           ORDER BY h.started_at DESC, h.run_id DESC
                           LIMIT :limit) AS r))
  FROM pg_catalog.unnest(ARRAY[:pipelines]::text[]) AS p(name)
  LEFT JOIN LATERAL (SELECT h.ended_at
                       FROM ematix_flow.run_history AS h
                      WHERE h.pipeline_name = p.name
                        AND h.step_name IS NULL
                        AND h.status = 'success'
                      ORDER BY h.started_at DESC
                      LIMIT 1) AS g ON TRUE;

-- name: logs(run sql, run_ids texts)
SELECT pg_catalog.json_build_object(
         'run', {run},
         'steps', (SELECT COALESCE(pg_catalog.json_agg(
                            pg_catalog.json_build_object(
                              'n', s.n,
                              'kind', s.kind,
                              'purpose', s.purpose,
                              'rows', s.rows,
                              'milliseconds', s.milliseconds)
                            ORDER BY s.n), '[]')
                     FROM ematix_flow.run_steps AS s
                    WHERE s.run_id = r.run_id))
  FROM ematix_flow.run_history AS r
 WHERE r.run_id IN (:run_ids)
 ORDER BY r.started_at DESC, r.run_id DESC;

-- name: transforms_of(run_ids texts)
SELECT pg_catalog.json_build_object(
         'run_id', r.run_id,
         'parent', COALESCE(r.parent_run_id, r.run_id),
         'name', r.step_name,
         'status', CASE WHEN r.status = 'running' AND r.lease_until < pg_catalog.clock_timestamp() THEN 'lost' ELSE r.status END,
         'started_at', (pg_catalog.to_json(r.started_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'ended_at', (pg_catalog.to_json(r.ended_at AT TIME ZONE 'UTC') #>> '{}') || 'Z',
         'duration_ms', (EXTRACT(EPOCH FROM r.ended_at - r.started_at) * 1000)::bigint,
         'metrics', r.metrics,
         'error_code', r.error_code,
         'error', r.error)
  FROM ematix_flow.run_history AS r
 WHERE r.step_name IS NOT NULL
   AND (r.parent_run_id IN (:run_ids) OR r.run_id IN (:run_ids))
 ORDER BY r.started_at, r.run_id;

-- name: last_two_runs()
-- When each pipeline last succeeded, and when before that: seconds since 1970.
SELECT r.pipeline_name,
       EXTRACT(epoch FROM (array_agg(r.started_at ORDER BY r.started_at DESC))[1]),
       EXTRACT(epoch FROM (array_agg(r.started_at ORDER BY r.started_at DESC))[2])
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'success' AND r.step_name IS NULL
 GROUP BY r.pipeline_name;

-- name: runs_by_suffix(run sql, digits text)
SELECT {run}
  FROM ematix_flow.run_history AS r
 WHERE pg_catalog.right(r.run_id::text, pg_catalog.length(:digits)) = :digits;

-- name: steps_of(run_id text)
SELECT pg_catalog.json_build_object(
         'n', s.n,
         'kind', s.kind,
         'purpose', s.purpose,
         'rows', s.rows,
         'milliseconds', s.milliseconds)
  FROM ematix_flow.run_steps AS s
 WHERE s.run_id = :run_id
 ORDER BY s.n;

-- name: watermarks(pipelines texts)
SELECT pg_catalog.json_build_object(
         'pipeline', w.pipeline_name,
         'column', w.column_name,
         'last_value', w.last_value,
         'updated_at', (pg_catalog.to_json(w.updated_at AT TIME ZONE 'UTC') #>> '{}') || 'Z')
  FROM ematix_flow.watermarks AS w
 WHERE w.pipeline_name IN (:pipelines)
 ORDER BY w.pipeline_name;

-- name: last_run_known(target text, known_at text)
-- Runs of a target commit in the order of their numbers. One whose commit was not entered was known when the next began.
-- No row: no run is remembered.
SELECT COALESCE(pg_catalog.max(r.run_number) FILTER (WHERE r.known_at <= CAST(:known_at AS timestamp with time zone)), 0)
  FROM (SELECT h.run_number,
               COALESCE(h.committed_at, pg_catalog.lead(h.started_at) OVER (ORDER BY h.run_number), pg_catalog.now()) AS known_at
          FROM ematix_flow.run_history AS h
         WHERE h.target = :target
           AND h.status = 'success'
           AND h.run_number IS NOT NULL) AS r
HAVING pg_catalog.count(*) > 0;

-- name: forget_ledger(pipeline text)
DELETE FROM ematix_flow.append_seen AS l WHERE l.pipeline_name = :pipeline;

-- name: forget_files(pipeline text)
DELETE FROM ematix_flow.loaded_files AS l WHERE l.pipeline_name = :pipeline;

-- name: forget_watermark(pipeline text)
DELETE FROM ematix_flow.watermarks AS w WHERE w.pipeline_name = :pipeline;

-- name: set_watermark(pipeline text, column text, value text, column_type text)
-- A person says up to where was read, whatever was loaded from there.
INSERT INTO ematix_flow.watermarks
       (pipeline_name, column_name, last_value, updated_at, read_from, covered_from, column_type)
VALUES (:pipeline, :column, :value, pg_catalog.clock_timestamp(), :value, :value, :column_type)
    ON CONFLICT (pipeline_name) DO UPDATE
   SET column_name = excluded.column_name,
       last_value = excluded.last_value,
       updated_at = excluded.updated_at,
       read_from = excluded.read_from,
       covered_from = excluded.covered_from,
       column_type = excluded.column_type,
       identity = NULL,
       target = NULL;
