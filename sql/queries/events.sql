-- The log and the inbox: append, claim, load, mark.

-- name: append_deliveries
-- One group commit; the log's trigger puts verified ones into the inbox, or a note for a worker where the id was known.
INSERT INTO webhook_log (
    source, endpoint, origin, verdict, secret_id, signed_at, event_id, event_type, object_id, psp_created, body,
    body_bytes, body_sha256, headers, source_ip, user_agent, request_id, actor, requests
)
SELECT source, endpoint, origin, verdict, secret_id, signed_at, event_id, event_type, object_id, psp_created, body,
       body_bytes, body_sha256, headers, source_ip, user_agent, request_id, actor, requests
FROM unnest($1::webhook_delivery[]);

-- name: claim_due
-- Takes the oldest due events, counts the attempt and leases them; events that have failed before come alone. The rows are
-- locked, so the place where they lie finds them again: no join, whose plan would depend on how large the tables are.
-- The count must survive this process, not a crash of Postgres: the commit need not wait for the disk.
WITH head AS (
    SELECT e.ctid AS place, e.attempts
    FROM webhook_event e
    WHERE e.state = 'pending' AND e.next_attempt_at <= now()
    ORDER BY e.log_id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE webhook_event e
    SET attempts = e.attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
    WHERE e.ctid = ANY (ARRAY(
        SELECT place FROM head WHERE attempts < $3
        UNION ALL
        (SELECT place FROM head
         WHERE attempts >= $3 AND NOT EXISTS (SELECT FROM head h WHERE h.attempts < $3) LIMIT 1)))
      AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    RETURNING e.source, e.event_id, e.log_id, e.received_at, e.attempts, e.psp_created, e.reason
)
SELECT c.source, c.event_id, c.log_id, c.received_at, c.attempts, c.psp_created, c.reason, l.endpoint, l.body
FROM claimed c LEFT JOIN webhook_log l ON l.id = c.log_id AND l.received_at = c.received_at
ORDER BY c.log_id;

-- name: release_claims
-- Gives back attempts that were counted for work which the database's own absence prevented.
UPDATE webhook_event e SET attempts = e.attempts - 1, next_attempt_at = now()
FROM unnest($1::text[], $2::text[], $3::integer[]) AS c (source, event_id, attempts)
WHERE e.source = c.source AND e.event_id = c.event_id AND e.attempts = c.attempts AND coalesce(e.state, '') = 'pending';

-- name: mark_events
-- Writes the outcomes of one batch; the attempt number is the fence against a claim that was taken over meanwhile. The state is
-- compared so that no partial index offers itself: it would be read once for each outcome, all that is pending each time.
UPDATE webhook_event e
SET state = o.state, reason = o.reason, last_error = o.last_error, awaits = o.awaits,
    next_attempt_at = coalesce(now() + make_interval(secs => o.delay_s), e.next_attempt_at),
    applied_at = CASE WHEN o.state IN ('pending', 'parked', 'quarantined') THEN e.applied_at
                      ELSE coalesce(e.applied_at, now()) END
FROM unnest($1::text::text[], $2::text::text[], $3::text::integer[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[], $8::text::double precision[])
    AS o (source, event_id, attempts, state, reason, last_error, awaits, delay_s)
WHERE e.source = o.source AND e.event_id = o.event_id AND e.attempts = o.attempts AND coalesce(e.state, '') = 'pending';

-- name: add_event_notes
-- Records what happened to events besides a plain outcome.
INSERT INTO event_note (source, event_id, what, log_id, actor, detail)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[]);

-- name: wake_parked
-- Opens the events that wait for a key which has just been written; in one order, as two batches may bring one key.
UPDATE webhook_event e SET state = 'pending', awaits = NULL, attempts = 0, next_attempt_at = now()
FROM (
    SELECT source, event_id FROM webhook_event
    WHERE state = 'parked' AND (source, awaits) IN (SELECT * FROM unnest($1::text::text[], $2::text::text[]))
    ORDER BY source, event_id
    FOR UPDATE
) w
WHERE e.source = w.source AND e.event_id = w.event_id AND e.state = 'parked';

-- name: wake_parked_arrived
-- The same for keys that were written while the event was being parked: the race that a wake-up alone would lose.
UPDATE webhook_event e SET state = 'pending', awaits = NULL, attempts = 0, next_attempt_at = now()
WHERE e.state = 'parked'
  AND (e.awaits LIKE 'payment:%'
       AND (EXISTS (SELECT FROM checkout_session c
                    WHERE c.source = e.source AND c.payment_id = substr(e.awaits, 9) AND c.status = 'paid')
            OR EXISTS (SELECT FROM subscription_invoice i
                       WHERE i.source = e.source AND i.payment_id = substr(e.awaits, 9) AND i.status = 'paid')
            OR EXISTS (SELECT FROM orders o
                       WHERE o.source = e.source AND o.payment_id = substr(e.awaits, 9)
                         AND o.payment_status IN ('succeeded', 'reversed')))
       OR e.awaits LIKE 'order:%'
       AND EXISTS (SELECT FROM orders o WHERE o.source = e.source AND o.id = substr(e.awaits, 7))
       OR e.awaits LIKE 'refund:%'
       AND EXISTS (SELECT FROM refund r
                   WHERE r.source = e.source AND (r.id = substr(e.awaits, 8) OR r.psp_id = substr(e.awaits, 8)))
       OR e.awaits LIKE 'subscription:%'
       AND EXISTS (SELECT FROM subscription s WHERE s.source = e.source AND s.id = substr(e.awaits, 14)));

-- name: expire_parked
-- Events whose awaited key never came within the limit become due once more, marked so that they end in quarantine.
UPDATE webhook_event SET state = 'pending', reason = 'expired', awaits = NULL, attempts = 0, next_attempt_at = now()
WHERE state = 'parked' AND next_attempt_at <= now()
RETURNING source, event_id;

-- name: take_redeliveries
-- The oldest unjudged redeliveries with what the first delivery of their event was.
SELECT r.log_id, r.received_at, r.source, r.event_id, r.origin, e.state,
       r.body_sha256 = e.body_sha256 AS same_bytes, e.log_id AS first_log_id, e.received_at AS first_received_at
FROM webhook_redelivery r
JOIN webhook_event e ON e.source = r.source AND e.event_id = r.event_id
ORDER BY r.log_id
LIMIT $1
FOR UPDATE OF r SKIP LOCKED;

-- name: load_bodies
-- Exact bytes of deliveries by id and receipt time.
SELECT l.id, l.body, l.actor FROM webhook_log l
JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, received_at)
    ON l.id = k.id AND l.received_at = k.received_at;

-- name: flag_conflicts
-- Marks events under whose id another body came.
UPDATE webhook_event e SET conflict = true
FROM unnest($1::text[], $2::text[]) AS c (source, event_id)
WHERE e.source = c.source AND e.event_id = c.event_id;

-- name: reopen_events
-- Makes events due again at an operator's wish; what was applied stays as it is.
UPDATE webhook_event e SET state = 'pending', reason = NULL, awaits = NULL, attempts = 0, next_attempt_at = now()
FROM unnest($1::text[], $2::text[]) AS c (source, event_id)
WHERE e.source = c.source AND e.event_id = c.event_id AND e.state IN ('quarantined', 'ignored', 'parked', 'superseded');

-- name: drop_redeliveries
-- Forgets redeliveries that have been judged; the log keeps them.
DELETE FROM webhook_redelivery WHERE log_id = ANY($1::bigint[]);

-- name: durability_settings
-- The settings without which an acknowledgement would be a lie.
SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('full_page_writes') AS full_page_writes;

-- name: can_commit
-- Whether this role could append now: the tables are there and writable, and the server is no standby.
SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
       AND to_regclass('webhook_log') IS NOT NULL;
