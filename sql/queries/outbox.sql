-- The outbox: stage, claim, end and postpone what must be done at a PSP.

-- name: stage_effects
-- Stages calls beside the state that wants them; in one order, so that two transactions never deadlock on their keys.
INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, next_attempt_at, log_id, event_id)
SELECT source, kind, object_id, idempotency_key, arguments::jsonb, now() + make_interval(secs => delay_s), log_id, event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::double precision[], $7::bigint[], $8::text[])
    AS c (source, kind, object_id, idempotency_key, arguments, delay_s, log_id, event_id)
ORDER BY source, idempotency_key
ON CONFLICT (source, idempotency_key) DO NOTHING;

-- name: retire_effects
-- Ends what is due and not wanted any more: something else has settled it since it was staged.
UPDATE outbox_effect e SET state = 'obsolete', finished_at = now()
WHERE e.state = 'pending' AND e.next_attempt_at <= now() AND (
    e.kind = 'reverse_transfer' AND NOT EXISTS (
        SELECT FROM seller_transfer t
        WHERE t.source = e.source AND t.id = e.object_id AND t.status = 'reversal_pending')
    OR e.kind = 'read_refunds' AND NOT EXISTS (
        SELECT FROM webhook_event w
        WHERE w.source = e.source AND w.state = 'parked' AND w.awaits = 'refunds:' || e.object_id)
    OR e.kind = 'read_object' AND NOT EXISTS (
        SELECT FROM subscription s WHERE s.source = e.source AND s.id = e.object_id AND s.ambiguous
        UNION ALL
        SELECT FROM subscription_invoice i WHERE i.source = e.source AND i.id = e.object_id AND i.ambiguous)
);

-- name: claim_effects
-- Takes the effects of a source that are due longest, counts the attempt and leases them.
WITH due AS (
    SELECT id FROM outbox_effect
    WHERE state = 'pending' AND source = $1 AND next_attempt_at <= now()
    ORDER BY next_attempt_at, id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox_effect e
SET attempts = e.attempts + 1, next_attempt_at = now() + make_interval(secs => $3)
FROM due WHERE e.id = due.id
RETURNING e.id, e.attempts, e.kind, e.object_id, e.idempotency_key, e.arguments::text AS arguments;

-- name: finish_effects
-- Ends effects for good; the attempt number is the fence against a claim that was taken over meanwhile.
UPDATE outbox_effect e SET state = o.state, last_error = o.last_error, finished_at = now()
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[]) AS o (id, attempts, state, last_error)
WHERE e.id = o.id AND e.attempts = o.attempts AND e.state = 'pending'
RETURNING e.id;

-- name: retry_effects
-- Lets effects wait for their next attempt; fenced in the same way.
UPDATE outbox_effect e SET last_error = o.last_error, next_attempt_at = now() + make_interval(secs => o.delay_s)
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[]) AS o (id, attempts, last_error, delay_s)
WHERE e.id = o.id AND e.attempts = o.attempts AND e.state = 'pending';

-- name: effects_waiting
-- What is due, by source and kind.
SELECT DISTINCT source, kind FROM outbox_effect WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY source, kind;
