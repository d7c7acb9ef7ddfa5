-- The outbox: stage, claim, end and postpone what must be done at a PSP.

-- name: stage_effects
-- Stages calls beside the state that wants them; in one order, so that two transactions never deadlock on their keys.
INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, next_attempt_at, log_id, event_id)
SELECT source, kind, object_id, idempotency_key, arguments::jsonb, now() + make_interval(secs => delay_s), log_id, event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::double precision[], $7::bigint[], $8::text[])
    AS c (source, kind, object_id, idempotency_key, arguments, delay_s, log_id, event_id)
ORDER BY source, idempotency_key
ON CONFLICT (source, idempotency_key) DO NOTHING;

-- name: stage_checkout
-- Stages the call that opens a page, with the event of the same transaction that wants it.
SELECT stage_checkout($1, $2, $3::text::jsonb, $4);

-- name: retire_effects
-- Ends what is due and not wanted any more: something else has settled it since it was staged.
UPDATE outbox_effect e SET state = 'obsolete', finished_at = now()
WHERE e.state = 'pending' AND e.next_attempt_at <= now() AND (
    e.kind = 'reverse_transfer' AND NOT EXISTS (
        SELECT FROM seller_transfer t
        WHERE t.source = e.source AND t.id = e.object_id AND t.status = 'reversal_pending')
    OR e.kind = 'open_payment' AND NOT EXISTS (
        SELECT FROM orders o
        WHERE o.source = e.source AND o.id = e.object_id AND o.payment_id IS NULL AND o.payment_status = 'pending'
        UNION ALL
        SELECT FROM subscription s JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id
        WHERE s.source = e.source AND s.id = e.object_id AND i.payment_id IS NULL AND s.payment_status = 'pending')
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
SET attempts = e.attempts + 1, next_attempt_at = now() + make_interval(secs => $3), under_way = true
FROM due WHERE e.id = due.id
RETURNING e.id, e.attempts, e.kind, e.object_id, e.idempotency_key, e.arguments::text AS arguments;

-- name: claim_effect
-- Takes one effect by its key in the same way, where it is due or nobody has tried it: its first try waits for nobody.
UPDATE outbox_effect
SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $3), under_way = true
WHERE source = $1 AND idempotency_key = $2 AND state = 'pending' AND (attempts = 0 OR next_attempt_at <= now())
RETURNING id, attempts, kind, object_id, idempotency_key, arguments::text AS arguments;

-- name: effect_standing
-- How an effect stands, and in how many seconds it is tried again unless somebody is at it.
SELECT id, kind, state, made_id, CASE WHEN under_way AND next_attempt_at > now() THEN NULL
    ELSE extract(epoch FROM next_attempt_at - now())::double precision END AS tried_in_s
FROM outbox_effect WHERE source = $1 AND idempotency_key = $2;

-- name: effects_that_made
-- Which of these things of the PSP are known to have been opened by one of our calls.
SELECT made_id FROM outbox_effect WHERE source = $1 AND kind = $2 AND made_id = ANY($3::text[]);

-- name: finish_effects
-- Ends effects for good; the attempt number is the fence against a claim that was taken over meanwhile.
UPDATE outbox_effect e SET state = o.state, last_error = o.last_error, made_id = o.made_id, finished_at = now()
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[]) AS o (id, attempts, state, last_error, made_id)
WHERE e.id = o.id AND e.attempts = o.attempts AND e.state = 'pending'
RETURNING e.id;

-- name: retry_effects
-- Lets effects wait for their next attempt; fenced in the same way.
UPDATE outbox_effect e
SET last_error = o.last_error, next_attempt_at = now() + make_interval(secs => o.delay_s), under_way = false
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[]) AS o (id, attempts, last_error, delay_s)
WHERE e.id = o.id AND e.attempts = o.attempts AND e.state = 'pending';

-- name: effects_waiting
-- What is due, by source and kind.
SELECT DISTINCT source, kind FROM outbox_effect WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY source, kind;
