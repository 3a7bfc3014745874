-- The statements of ../slots.sql that DuckDB words in its own way. One process has a file at a time: what was claimed
-- before it opened the file is nobody's any more.

-- name: take_the_schedules
SELECT TRUE;

-- name: schedules
SELECT q.name,
       system.main.epoch(system.main.now()),
       system.main.epoch((SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       system.main.epoch((SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                              AND s.status NOT IN ('skipped', 'failed')
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       system.main.epoch(p.paused_at),
       p.paused_by,
       p.reason
  FROM (SELECT unnest(system.main.list_value(:names)) AS name) AS q
  LEFT JOIN ematix_flow.pauses AS p ON p.pipeline_name = q.name;

-- name: open_slots
SELECT s.pipeline,
       system.main.epoch(s.slot),
       s.status = 'running',
       NOT EXISTS (SELECT 1
                 FROM ematix_flow.run_history AS r
                WHERE CAST(r.run_id AS VARCHAR) = s.owner
                  AND r.status = 'running'
                  AND r.started_at >= :alone_since::TIMESTAMPTZ),
       s.attempt,
       system.main.epoch(coalesce(s.due_at, s.slot)),
       system.main.epoch(s.covers_from),
       s.missed,
       s.epoch
  FROM ematix_flow.slots AS s
 WHERE s.status IN ('due', 'running')
   AND s.pipeline IN (:names)
 ORDER BY s.slot;

-- name: running
SELECT coalesce('transform ' || r.step_name, r.pipeline_name),
       r.run_id,
       r.host,
       r.pid,
       system.main.epoch(r.started_at)
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'running'
   AND r.started_at >= :alone_since::TIMESTAMPTZ
   AND r.parent_run_id IS NULL
   AND coalesce('transform ' || r.step_name, r.pipeline_name) IN (:names);

-- name: under_way
SELECT {run}
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'running'
   AND r.started_at >= :alone_since::TIMESTAMPTZ
   AND r.parent_run_id IS NULL
   AND r.step_name IS NULL
   AND r.pipeline_name IN (:pipelines)
 ORDER BY r.started_at;

-- name: upstreams
SELECT q.name,
       system.main.epoch((SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       system.main.epoch((SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                              AND s.status = 'success'
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       EXISTS (SELECT 1
                 FROM ematix_flow.slots AS s
                WHERE s.pipeline = q.name
                  AND s.status IN ('due', 'running')),
       system.main.epoch(system.main.now()
                          - (SELECT coalesce(r.committed_at, r.ended_at)
                               FROM ematix_flow.run_history AS r
                              WHERE r.pipeline_name = q.name
                                AND r.status = 'success'
                                AND r.step_name IS NULL
                              ORDER BY r.started_at DESC
                              LIMIT 1))
  FROM (SELECT unnest(system.main.list_value(:names)) AS name) AS q;

-- name: waiting_slots
SELECT min(w.covers_from) AS covers_from, coalesce(sum(w.missed + 1), 0)::INTEGER AS missed
  FROM ematix_flow.slots AS w
 WHERE w.pipeline = :name
   AND w.status = 'due'

-- name: enter_slot
INSERT INTO ematix_flow.slots (pipeline, slot, status, due_at, covers_from, missed, reason, owner)
SELECT :name, :slot::TIMESTAMPTZ, :status, :due_at::TIMESTAMPTZ, coalesce(w.covers_from, :covers_from::TIMESTAMPTZ),
       :missed + w.missed, :reason, :owner
  FROM ({waiting}) AS w
 WHERE (SELECT s.slot
          FROM ematix_flow.slots AS s
         WHERE s.pipeline = :name
         ORDER BY s.slot DESC
         LIMIT 1) IS NOT DISTINCT FROM :last::TIMESTAMPTZ
    ON CONFLICT DO NOTHING;

-- name: supersede_slots
UPDATE ematix_flow.slots
   SET status = 'skipped',
       reason = 'a later slot stands for it'
 WHERE pipeline = :name
   AND slot < :slot::TIMESTAMPTZ
   AND status = 'due'
   AND EXISTS (SELECT 1
                 FROM ematix_flow.slots AS n
                WHERE n.pipeline = :name
                  AND n.slot = :slot::TIMESTAMPTZ
                  AND n.owner = :entry);

-- name: enter_skipped
INSERT INTO ematix_flow.run_history
       (run_id, pipeline_name, started_at, ended_at, status, error, error_code, mode, target, started_by, host, pid,
        version, slot, step_name)
SELECT :run_id, :pipeline, system.main.now(), system.main.now(), 'skipped', :error, :error_code,
       :mode, :target, :started_by, :host, :pid, :program, :slot::TIMESTAMPTZ, :step_name
 WHERE EXISTS (SELECT 1
                 FROM ematix_flow.slots AS s
                WHERE s.pipeline = :scheduled
                  AND s.slot = :slot::TIMESTAMPTZ
                  AND s.owner = :run_id);

-- name: claim_slot
UPDATE ematix_flow.slots
   SET status = 'running',
       epoch = epoch + 1,
       owner = :run_id,
       attempt = attempt + 1,
       lease_until = system.main.now() + system.main.to_milliseconds(:lease),
       reason = NULL
 WHERE (pipeline, slot) IN (SELECT c.pipeline, c.slot
                             FROM ematix_flow.slots AS c
                            WHERE c.pipeline = :scheduled
                              AND c.slot = :slot::TIMESTAMPTZ
                              AND (c.status = 'due' AND coalesce(c.due_at, c.slot) <= system.main.now()
                                   OR c.status = 'running' AND NOT EXISTS (SELECT 1
                                                FROM ematix_flow.run_history AS r
                                               WHERE CAST(r.run_id AS VARCHAR) = c.owner
                                                 AND r.status = 'running'
                                                 AND r.started_at >= :alone_since::TIMESTAMPTZ))
                              AND NOT EXISTS (SELECT 1
                                                FROM ematix_flow.slots AS o
                                               WHERE o.pipeline = c.pipeline
                                                 AND o.slot <> c.slot
                                                 AND (o.status = 'running' AND EXISTS (SELECT 1
                                                                 FROM ematix_flow.run_history AS r
                                                                WHERE CAST(r.run_id AS VARCHAR) = o.owner
                                                                  AND r.status = 'running'
                                                                  AND r.started_at >= :alone_since::TIMESTAMPTZ)
                                                      OR o.status IN ('due', 'running') AND o.slot < c.slot))
                              AND {known})
RETURNING epoch, attempt;

-- name: renew_slot
UPDATE ematix_flow.slots
   SET lease_until = system.main.now() + system.main.to_milliseconds(:lease)
 WHERE pipeline = :name
   AND slot = :slot::TIMESTAMPTZ
   AND epoch = :epoch
   AND status = 'running';

-- name: fence
UPDATE ematix_flow.slots
   SET status = 'success',
       lease_until = NULL
 WHERE pipeline = :name
   AND slot = :slot::TIMESTAMPTZ
   AND epoch = :epoch
   AND status = 'running';

-- name: end_slot
UPDATE ematix_flow.slots
   SET status = :status,
       lease_until = NULL,
       due_at = system.main.now() + system.main.to_milliseconds(:delay),
       attempt = attempt - :uncounted,
       reason = :reason
 WHERE pipeline = :name
   AND slot = :slot::TIMESTAMPTZ
   AND epoch = :epoch
   AND status = 'running';

-- name: give_up_slot
UPDATE ematix_flow.slots
   SET status = 'failed',
       lease_until = NULL,
       reason = :reason
 WHERE (pipeline, slot) IN (SELECT c.pipeline, c.slot
                             FROM ematix_flow.slots AS c
                            WHERE c.pipeline = :name
                              AND c.slot = :slot::TIMESTAMPTZ
                              AND c.epoch = :epoch
                              AND c.status = 'running'
                              AND NOT EXISTS (SELECT 1
                                        FROM ematix_flow.run_history AS r
                                       WHERE CAST(r.run_id AS VARCHAR) = c.owner
                                         AND r.status = 'running'
                                         AND r.started_at >= :alone_since::TIMESTAMPTZ));

-- name: pass_slot
UPDATE ematix_flow.slots
   SET status = 'skipped',
       owner = :owner,
       reason = :reason
 WHERE pipeline = :name
   AND slot = :slot::TIMESTAMPTZ
   AND status = 'due';

-- name: pause
INSERT INTO ematix_flow.pauses (pipeline_name, paused_at, paused_by, reason)
VALUES (:name, system.main.now(), :paused_by, :reason)
    ON CONFLICT DO NOTHING;

-- name: pause_of
SELECT system.main.epoch(p.paused_at), p.paused_by, p.reason
  FROM ematix_flow.pauses AS p
 WHERE p.pipeline_name = :name;

-- name: retry_slots
UPDATE ematix_flow.slots
   SET status = 'due',
       due_at = system.main.now(),
       attempt = 0,
       reason = NULL
 WHERE pipeline = :name
   AND (status = 'due'
        OR status = 'failed'
           AND NOT EXISTS (SELECT 1
                             FROM ematix_flow.slots AS l
                            WHERE l.pipeline = :name
                              AND l.slot > slots.slot
                              AND l.covers_from < slots.slot
                              AND l.status NOT IN ('skipped', 'failed'))
        OR status = 'skipped'
           AND slot = (SELECT s.slot
                         FROM ematix_flow.slots AS s
                        WHERE s.pipeline = :name
                        ORDER BY s.slot DESC
                        LIMIT 1))
RETURNING system.main.epoch(slot);

-- name: unlock_runs
UPDATE ematix_flow.run_history
   SET status = 'lost',
       ended_at = system.main.now(),
       lease_until = NULL,
       error_code = 'lost',
       error = :reason
 WHERE run_id IN (SELECT r.run_id
                    FROM ematix_flow.run_history AS r
                   WHERE r.status = 'running'
                     AND r.pipeline_name IN (:names))
   AND status = 'running'
RETURNING run_id;

-- name: unlock_slots
UPDATE ematix_flow.slots
   SET status = 'due',
       epoch = epoch + 1,
       lease_until = NULL,
       reason = :reason
 WHERE (pipeline, slot) IN (SELECT s.pipeline, s.slot
                              FROM ematix_flow.slots AS s
                             WHERE s.status = 'running'
                               AND s.pipeline IN (:names));
