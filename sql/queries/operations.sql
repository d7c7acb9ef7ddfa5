-- Heartbeats, alerts, partitions, retention, reconcile records.

-- name: beat
-- A process says that it is alive, with its counters since start.
INSERT INTO process_heartbeat (process, instance, started_at, beat_at, counters)
VALUES ($1, $2, $3, now(), $4::text::jsonb)
ON CONFLICT (process, instance) DO UPDATE SET beat_at = now(), started_at = excluded.started_at, counters = excluded.counters;

-- name: forget_heartbeats
-- Removes processes that have been silent for a day.
DELETE FROM process_heartbeat WHERE beat_at < now() - interval '1 day';

-- name: stop_beating
-- A process that ends in order takes its heartbeat away.
DELETE FROM process_heartbeat WHERE process = $1 AND instance = $2;

-- name: raise_alerts
-- Opens alerts; one that is open already stays one row.
INSERT INTO alert (name, subject, detail)
SELECT name, subject, detail FROM unnest($1::text[], $2::text[], $3::text[]) AS a (name, subject, detail)
ORDER BY name, subject
ON CONFLICT (name, subject) WHERE resolved_at IS NULL DO NOTHING;

-- name: close_settled_alerts
-- Closes the alerts whose matter has settled itself: the event has left quarantine, the latest version is certain, the
-- debt is paid, a call that nobody could make waits no more, the coming days have their partitions. All others wait for a
-- person.
UPDATE alert a SET resolved_at = now()
WHERE a.resolved_at IS NULL AND CASE a.name
    WHEN 'event_quarantined' THEN NOT EXISTS (
        SELECT FROM webhook_event e WHERE e.state = 'quarantined' AND a.subject = e.source || ':' || e.event_id)
    WHEN 'ambiguous_order' THEN NOT EXISTS (
        SELECT FROM subscription s WHERE s.ambiguous AND a.subject = s.source || ':subscription:' || s.id
        UNION ALL
        SELECT FROM subscription_invoice i
        WHERE i.ambiguous AND a.subject = i.source || ':subscription_invoice:' || i.id)
    WHEN 'negative_balance' THEN NOT EXISTS (
        SELECT FROM balance b WHERE b.account_id = a.subject AND b.below_zero)
    WHEN 'psp_not_configured' THEN NOT EXISTS (
        SELECT FROM outbox_effect e WHERE e.state = 'pending' AND a.subject = e.source || ':' || e.kind)
    WHEN 'partitions_missing' THEN NOT webhook_log_lacks_partitions()
    ELSE false
END;

-- name: make_partitions
-- Daily partitions of the log, this many days ahead.
SELECT webhook_log_make_partitions($1);

-- name: lacks_partitions
-- Whether today or tomorrow has no partition.
SELECT webhook_log_lacks_partitions();

-- name: drop_partitions
-- Daily partitions wholly before this date that hold nothing open.
SELECT webhook_log_drop_partitions($1);

-- name: delete_expired_tail
-- One batch of expired rows that no dropped partition took: pinned by a neighbour that is still open.
WITH expired AS (
    SELECT l.id, l.received_at FROM webhook_log l
    WHERE l.received_at < $1
      AND NOT EXISTS (SELECT FROM webhook_event e WHERE e.state = 'pending' AND e.log_id = l.id)
      AND NOT EXISTS (SELECT FROM webhook_event e WHERE e.state IN ('parked', 'quarantined') AND e.log_id = l.id)
    LIMIT $2
)
DELETE FROM webhook_log l USING expired x WHERE l.id = x.id AND l.received_at = x.received_at;

-- name: delete_expired_keys
-- One batch of idempotency keys that have had their time, unless an attempt is under way.
DELETE FROM idempotency_key k USING (
    SELECT caller, key FROM idempotency_key
    WHERE created_at < $1 AND (state = 'answered' OR leased_until < now())
    ORDER BY created_at LIMIT $2
) old
WHERE k.caller = old.caller AND k.key = old.key AND (k.state = 'answered' OR k.leased_until < now());

-- name: start_run
-- Opens the record of a reconcile run that begins now.
INSERT INTO reconcile_run (id, requested_by, phases, dry_run, object, instance, picked_up_at)
VALUES ($1, $2, $3, $4, $5, $6, now());

-- name: pick_up_run
-- Takes the oldest run that somebody asked for and nobody has begun.
UPDATE reconcile_run SET picked_up_at = now(), instance = $1
WHERE id = (SELECT id FROM reconcile_run WHERE status = 'running' AND picked_up_at IS NULL
            ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, requested_by, phases, dry_run, object;

-- name: fail_abandoned_runs
-- Ends the runs whose process has been silent for so many seconds; one from a command line beats not and has a day.
UPDATE reconcile_run r SET status = 'failed', finished_at = now(), errors = '["the process that ran this has ended"]'
WHERE r.status = 'running' AND r.picked_up_at < now() - make_interval(secs => $1)
  AND CASE WHEN r.instance IS NULL THEN r.picked_up_at < now() - interval '1 day'
      ELSE NOT EXISTS (SELECT FROM process_heartbeat h
                       WHERE h.instance = r.instance AND h.beat_at >= now() - make_interval(secs => $1)) END;

-- name: finish_run
-- Closes the record of a reconcile run.
UPDATE reconcile_run SET status = $2, counts = $3::text::jsonb, errors = $4::text::jsonb, finished_at = now() WHERE id = $1;

-- name: add_findings
-- What a run found, and whether it was repaired.
INSERT INTO reconcile_finding (run_id, source, class, object_id, detail, repaired)
SELECT $1, source, class, object_id, detail, repaired
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[])
    AS f (source, class, object_id, detail, repaired);

-- name: read_cursor
-- Where the last run of a phase ended.
SELECT position FROM psp_cursor WHERE source = $1 AND name = $2;

-- name: move_cursor
-- Remembers where a phase ended.
INSERT INTO psp_cursor (source, name, position) VALUES ($1, $2, $3)
ON CONFLICT (source, name) DO UPDATE SET position = excluded.position, updated_at = now();
