-- ------------------------------------------------------------------------------------- the slots of schedules
-- A slot is entered when it has passed (`due`, or `skipped`; `seen`: it lies before its schedule was), claimed by one
-- UPDATE that raises its epoch (`running`), and ends with its run: `success` by the last statement before the run's own
-- COMMIT, which finds the row only in the epoch of its claim. Times are seconds since 1970, by this database's clock.

-- name: take_the_schedules()
-- Serialises those that enter and claim slots, until the transaction ends: "slots" in bytes.
SELECT pg_catalog.pg_advisory_xact_lock(495790913651);

-- name: schedules(names texts)
-- The present; the last slot, and the last whose time need not be read again; who paused it.
SELECT q.name,
       EXTRACT(epoch FROM pg_catalog.clock_timestamp()),
       EXTRACT(epoch FROM (SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       EXTRACT(epoch FROM (SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                              AND s.status NOT IN ('skipped', 'failed')
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       EXTRACT(epoch FROM p.paused_at),
       p.paused_by,
       p.reason
  FROM (SELECT pg_catalog.unnest(ARRAY[:names]) AS name) AS q
  LEFT JOIN ematix_flow.pauses AS p ON p.pipeline_name = q.name;

-- name: open_slots(names texts, alone_since text?)
SELECT s.pipeline,
       EXTRACT(epoch FROM s.slot),
       s.status = 'running',
       s.lease_until < pg_catalog.clock_timestamp(),
       s.attempt,
       EXTRACT(epoch FROM COALESCE(s.due_at, s.slot)),
       EXTRACT(epoch FROM s.covers_from),
       s.missed,
       s.epoch
  FROM ematix_flow.slots AS s
 WHERE s.status IN ('due', 'running')
   AND s.pipeline IN (:names)
 ORDER BY s.slot;

-- name: running(names texts, alone_since text?)
-- The runs that are under way, whoever started them.
SELECT COALESCE('transform ' || r.step_name, r.pipeline_name),
       r.run_id,
       r.host,
       r.pid,
       EXTRACT(epoch FROM r.started_at)
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'running'
   AND r.lease_until >= pg_catalog.clock_timestamp()
   AND r.parent_run_id IS NULL
   AND COALESCE('transform ' || r.step_name, r.pipeline_name) IN (:names);

-- name: under_way(run sql, pipelines texts, alone_since text?)
SELECT {run}
  FROM ematix_flow.run_history AS r
 WHERE r.status = 'running'
   AND r.lease_until >= pg_catalog.clock_timestamp()
   AND r.parent_run_id IS NULL
   AND r.step_name IS NULL
   AND r.pipeline_name IN (:pipelines)
 ORDER BY r.started_at;

-- name: upstreams(names texts)
-- The last slot, and the last one that succeeded; whether one of them is open; how long ago it last succeeded at all.
SELECT q.name,
       EXTRACT(epoch FROM (SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       EXTRACT(epoch FROM (SELECT s.slot
                             FROM ematix_flow.slots AS s
                            WHERE s.pipeline = q.name
                              AND s.status = 'success'
                            ORDER BY s.slot DESC
                            LIMIT 1)),
       EXISTS (SELECT 1
                 FROM ematix_flow.slots AS s
                WHERE s.pipeline = q.name
                  AND s.status IN ('due', 'running')),
       EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                          - (SELECT COALESCE(r.committed_at, r.ended_at)
                               FROM ematix_flow.run_history AS r
                              WHERE r.pipeline_name = q.name
                                AND r.status = 'success'
                                AND r.step_name IS NULL
                              ORDER BY r.started_at DESC
                              LIMIT 1))
  FROM (SELECT pg_catalog.unnest(ARRAY[:names]) AS name) AS q;

-- name: waiting_slots(name text)
SELECT pg_catalog.min(w.covers_from) AS covers_from, COALESCE(pg_catalog.sum(w.missed + 1), 0)::integer AS missed
  FROM ematix_flow.slots AS w
 WHERE w.pipeline = :name
   AND w.status = 'due'

-- name: no_waiting_slots()
SELECT NULL::timestamptz AS covers_from, 0 AS missed

-- name: enter_slot(waiting sql, name text, slot text, status text, due_at text?, covers_from text?, missed integer, reason text?, owner text?, last text?)
-- Where nobody has entered another one since the last that was looked at. It may stand for those that wait: whether they
-- do is known here alone, where nobody else claims.
INSERT INTO ematix_flow.slots (pipeline, slot, status, due_at, covers_from, missed, reason, owner)
SELECT :name, :slot::timestamptz, :status, :due_at::timestamptz, COALESCE(w.covers_from, :covers_from::timestamptz),
       :missed + w.missed, :reason, :owner
  FROM ({waiting}) AS w
 WHERE (SELECT s.slot
          FROM ematix_flow.slots AS s
         WHERE s.pipeline = :name
         ORDER BY s.slot DESC
         LIMIT 1) IS NOT DISTINCT FROM :last::timestamptz
    ON CONFLICT DO NOTHING;

-- name: supersede_slots(name text, slot text, entry text)
-- The run of this slot stands for those that wait before it: where this entry is the one that was made, which has
-- counted them.
UPDATE ematix_flow.slots
   SET status = 'skipped',
       reason = 'a later slot stands for it'
 WHERE pipeline = :name
   AND slot < :slot::timestamptz
   AND status = 'due'
   AND EXISTS (SELECT 1
                 FROM ematix_flow.slots AS n
                WHERE n.pipeline = :name
                  AND n.slot = :slot::timestamptz
                  AND n.owner = :entry);

-- name: enter_skipped(run_id text, pipeline text, mode text?, target text, started_by text, host text?, pid integer, program text, slot text, scheduled text, step_name text?, error_code text, error text)
-- A slot that is not served has a row in the history that says why.
INSERT INTO ematix_flow.run_history
       (run_id, pipeline_name, started_at, ended_at, status, error, error_code, mode, target, started_by, host, pid,
        version, slot, step_name)
SELECT :run_id, :pipeline, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp(), 'skipped', :error, :error_code,
       :mode, :target, :started_by, :host, :pid, :program, :slot::timestamptz, :step_name
 WHERE EXISTS (SELECT 1
                 FROM ematix_flow.slots AS s
                WHERE s.pipeline = :scheduled
                  AND s.slot = :slot::timestamptz
                  AND s.owner = :run_id);

-- name: claim_slot(run_id text, scheduled text, slot text, lease integer, alone_since text?, known sql)
-- Take-over and claim are one. What runs, or waits before it, of the same schedule comes first.
UPDATE ematix_flow.slots
   SET status = 'running',
       epoch = epoch + 1,
       owner = :run_id,
       attempt = attempt + 1,
       lease_until = pg_catalog.clock_timestamp() + :lease * interval '1 millisecond',
       reason = NULL
 WHERE (pipeline, slot) = (SELECT c.pipeline, c.slot
                             FROM ematix_flow.slots AS c
                            WHERE c.pipeline = :scheduled
                              AND c.slot = :slot::timestamptz
                              AND (c.status = 'due' AND COALESCE(c.due_at, c.slot) <= pg_catalog.clock_timestamp()
                                   OR c.status = 'running' AND c.lease_until < pg_catalog.clock_timestamp())
                              AND NOT EXISTS (SELECT 1
                                                FROM ematix_flow.slots AS o
                                               WHERE o.pipeline = c.pipeline
                                                 AND o.slot <> c.slot
                                                 AND (o.status = 'running' AND o.lease_until >= pg_catalog.clock_timestamp()
                                                      OR o.status IN ('due', 'running') AND o.slot < c.slot))
                              AND {known}
                              FOR UPDATE SKIP LOCKED)
RETURNING epoch, attempt;

-- name: renew_slot(name text, slot text, epoch integer, lease integer)
UPDATE ematix_flow.slots
   SET lease_until = pg_catalog.clock_timestamp() + :lease * interval '1 millisecond'
 WHERE pipeline = :name
   AND slot = :slot::timestamptz
   AND epoch = :epoch
   AND status = 'running';

-- name: fence(name text, slot text, epoch integer)
-- The last statement before COMMIT: a slot that was taken over is no longer in this epoch.
UPDATE ematix_flow.slots
   SET status = 'success',
       lease_until = NULL
 WHERE pipeline = :name
   AND slot = :slot::timestamptz
   AND epoch = :epoch
   AND status = 'running';

-- name: end_slot(name text, slot text, epoch integer, status text, delay integer, uncounted integer, reason text?)
-- Without success: once more after a time (`due`), or never (`failed`).
UPDATE ematix_flow.slots
   SET status = :status,
       lease_until = NULL,
       due_at = pg_catalog.clock_timestamp() + :delay * interval '1 millisecond',
       attempt = attempt - :uncounted,
       reason = :reason
 WHERE pipeline = :name
   AND slot = :slot::timestamptz
   AND epoch = :epoch
   AND status = 'running';

-- name: give_up_slot(name text, slot text, epoch integer, alone_since text?, reason text)
-- After its last attempt gave no sign of life. A run between its fence and COMMIT holds the row, and is passed over.
UPDATE ematix_flow.slots
   SET status = 'failed',
       lease_until = NULL,
       reason = :reason
 WHERE (pipeline, slot) = (SELECT c.pipeline, c.slot
                             FROM ematix_flow.slots AS c
                            WHERE c.pipeline = :name
                              AND c.slot = :slot::timestamptz
                              AND c.epoch = :epoch
                              AND c.status = 'running'
                              AND c.lease_until < pg_catalog.clock_timestamp()
                              FOR UPDATE SKIP LOCKED);

-- name: pass_slot(name text, slot text, owner text, reason text)
-- A slot whose upstream did not succeed is not served.
UPDATE ematix_flow.slots
   SET status = 'skipped',
       owner = :owner,
       reason = :reason
 WHERE pipeline = :name
   AND slot = :slot::timestamptz
   AND status = 'due';

-- ------------------------------------------------------------------------------------------- what operators wish

-- name: pause(name text, paused_by text, reason text?)
INSERT INTO ematix_flow.pauses (pipeline_name, paused_at, paused_by, reason)
VALUES (:name, pg_catalog.clock_timestamp(), :paused_by, :reason)
    ON CONFLICT DO NOTHING;

-- name: resume(name text)
DELETE FROM ematix_flow.pauses WHERE pipeline_name = :name;

-- name: pause_of(name text)
SELECT EXTRACT(epoch FROM p.paused_at), p.paused_by, p.reason
  FROM ematix_flow.pauses AS p
 WHERE p.pipeline_name = :name;

-- name: is_not_paused(name text)
NOT EXISTS (SELECT 1 FROM ematix_flow.pauses AS p WHERE p.pipeline_name = :name)

-- name: retry_slots(name text)
-- What failed or waits to be tried again, and the last slot where it was skipped: once more, with all attempts. What
-- failed and whose time a later slot has read since is not.
UPDATE ematix_flow.slots
   SET status = 'due',
       due_at = pg_catalog.clock_timestamp(),
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
RETURNING EXTRACT(epoch FROM slot);

-- name: ask_to_cancel(run_ids texts, asked_by text)
UPDATE ematix_flow.run_history
   SET cancel_asked = :asked_by
 WHERE run_id IN (:run_ids)
   AND status = 'running';

-- name: who_cancels(run_id text)
SELECT r.cancel_asked FROM ematix_flow.run_history AS r WHERE r.run_id = :run_id;

-- name: unlock_runs(names texts, reason text)
-- What is taken for dead by somebody who knows, before its lease has run out.
UPDATE ematix_flow.run_history
   SET status = 'lost',
       ended_at = pg_catalog.clock_timestamp(),
       lease_until = NULL,
       error_code = 'lost',
       error = :reason
 WHERE run_id IN (SELECT r.run_id
                    FROM ematix_flow.run_history AS r
                   WHERE r.status = 'running'
                     AND r.pipeline_name IN (:names)
                     FOR UPDATE SKIP LOCKED)
   AND status = 'running'
RETURNING run_id;

-- name: unlock_slots(names texts, reason text)
UPDATE ematix_flow.slots
   SET status = 'due',
       epoch = epoch + 1,
       lease_until = NULL,
       reason = :reason
 WHERE (pipeline, slot) IN (SELECT s.pipeline, s.slot
                              FROM ematix_flow.slots AS s
                             WHERE s.status = 'running'
                               AND s.pipeline IN (:names)
                               FOR UPDATE SKIP LOCKED);
