-- The reconciler: rows to ask about, what we have of an object, and how the sources behave.

-- name: claim_candidates
-- Leases the rows of a phase that have waited longest for a look; a look without consequences leases nothing.
WITH due AS (
    SELECT c.source, c.object_id, c.read_kind, c.read_id, c.since, a.next_attempt_at
    FROM reconcile_candidate c
    LEFT JOIN reconcile_attempt a ON a.phase = c.phase AND a.source = c.source AND a.object_id = c.object_id
    WHERE c.phase = $1 AND c.source = ANY($2::text[]) AND c.since <= now() - make_interval(secs => $3)
      AND (a.object_id IS NULL
           OR a.leased_until <= now() AND a.next_attempt_at < 'infinity' AND ($5 OR a.next_attempt_at <= now()))
    ORDER BY a.next_attempt_at NULLS FIRST, c.since, c.source, c.object_id
    LIMIT $4
), leased AS (
    -- In one order, so that two reconcilers wait for each other and never deadlock; the second then gets nothing.
    INSERT INTO reconcile_attempt AS a (phase, source, object_id, leased_until)
    SELECT $1, source, object_id, now() + make_interval(secs => $6) FROM due WHERE NOT $7
    ORDER BY source, object_id
    ON CONFLICT (phase, source, object_id) DO UPDATE
    SET attempts = a.attempts + 1, leased_until = excluded.leased_until, updated_at = now()
    WHERE a.leased_until <= now()
    RETURNING source, object_id
)
SELECT d.source, d.object_id, d.read_kind, d.read_id, extract(epoch FROM now() - d.since)::double precision AS waited_s
FROM due d
WHERE $7 OR EXISTS (SELECT FROM leased l WHERE l.source = d.source AND l.object_id = d.object_id)
ORDER BY d.next_attempt_at NULLS FIRST, d.since, d.source, d.object_id;

-- name: candidates_of
-- The rows of one object that a phase would look at.
SELECT source, object_id, read_kind, read_id, extract(epoch FROM now() - since)::double precision AS waited_s
FROM reconcile_candidate
WHERE phase = $1 AND object_id = $2 AND since <= now() - make_interval(secs => $3)
ORDER BY source;

-- name: settle_attempts
-- Gives leases back: asked again after a pause that doubles with every attempt, or never where the matter is closed.
UPDATE reconcile_attempt a
SET leased_until = now(), last_error = o.last_error, updated_at = now(),
    next_attempt_at = CASE WHEN o.closed THEN 'infinity'
                           ELSE now() + make_interval(secs => least($5, $4 * 2 ^ least(a.attempts - 1, 30))) END
FROM unnest($2::text[], $3::text[], $6::text[], $7::boolean[]) AS o (source, object_id, last_error, closed)
WHERE a.phase = $1 AND a.source = o.source AND a.object_id = o.object_id;

-- name: forget_attempts
-- Removes what was not asked about for a month; a closed matter keeps its row.
DELETE FROM reconcile_attempt WHERE updated_at < now() - interval '30 days' AND next_attempt_at < 'infinity';

-- name: lock_appends
-- One reconciler at a time compares and appends: what a second one would append, it finds there.
SELECT pg_try_advisory_xact_lock(hashtextextended('sluice_reconcile_append', 0));

-- name: events_here
-- Which of these event ids the inbox has, and when they had their outcome (unix seconds).
SELECT event_id, state, extract(epoch FROM applied_at)::double precision AS applied_at
FROM webhook_event WHERE source = $1 AND event_id = ANY($2::text[]);

-- name: open_events_of
-- Events about these objects that have had no effect yet, with what they say, and whether they are so new that a worker is
-- at them.
SELECT l.object_id, e.state, e.state = 'pending' AND e.received_at > now() - make_interval(secs => $3) AS under_way, l.body
FROM webhook_log l JOIN webhook_event e ON e.source = l.source AND e.event_id = l.event_id AND e.log_id = l.id
WHERE l.object_id = ANY($2::text[]) AND l.source = $1 AND l.verdict = 'ok'
  AND e.state IN ('pending', 'parked', 'quarantined')
ORDER BY e.log_id;

-- name: payables_here
-- Orders and subscriptions of ours, by their payment or their own id.
SELECT 'order' AS kind, id, payment_id, payment_status, amount_minor, currency, version
FROM orders WHERE source = $1 AND (payment_id = ANY($2::text[]) OR id = ANY($3::text[]))
UNION ALL
SELECT 'subscription', s.id, i.payment_id, s.payment_status, s.amount_minor, s.currency, s.version
FROM subscription s LEFT JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.source = $1 AND s.origin = 'ours' AND (i.payment_id = ANY($2::text[]) OR s.id = ANY($3::text[]));

-- name: purchases_here
-- Purchases of credits by their own id or their payment, with what the ledger has posted for each.
SELECT c.id, c.payment_id, c.account_id, c.credits, c.amount_minor, c.currency, c.status, c.version,
       (SELECT sum(p.amount)::bigint FROM ledger_transaction t JOIN ledger_posting p ON p.transaction_id = t.id
        WHERE t.source = c.source AND t.movement = 'topup' AND t.money_object = c.id
          AND p.account_id = c.account_id AND p.unit = 'credit') AS posted
FROM checkout_session c
WHERE c.source = $1 AND (c.id = ANY($2::text[]) OR c.payment_id = ANY($3::text[]));

-- name: refunds_here
-- Refunds by our id or the PSP's.
SELECT id, psp_id, payment_id, amount_minor, currency, status, version
FROM refund WHERE source = $1 AND (id = ANY($2::text[]) OR psp_id = ANY($2::text[]));

-- name: disputes_here
-- Disputes by their id.
SELECT id, payment_id, amount_minor, currency, status, status_at, funds_withdrawn, funds_reinstated, funds_at, version
FROM dispute WHERE source = $1 AND id = ANY($2::text[]);

-- name: subscriptions_here
-- Mirrored subscriptions; times in unix seconds.
SELECT id, psp_status AS status, customer_id, account_id, price_id, cancel_at_period_end,
       extract(epoch FROM current_period_start)::bigint AS current_period_start,
       extract(epoch FROM current_period_end)::bigint AS current_period_end,
       extract(epoch FROM trial_end)::bigint AS trial_end, extract(epoch FROM canceled_at)::bigint AS canceled_at,
       extract(epoch FROM ended_at)::bigint AS ended_at, latest_invoice_id, psp_second, deleted, ambiguous, version
FROM subscription WHERE source = $1 AND id = ANY($2::text[]) AND origin = 'psp';

-- name: invoices_here
-- Mirrored invoices; times in unix seconds.
SELECT id, status, amount_due_minor, amount_paid_minor, attempt_count, extract(epoch FROM paid_at)::bigint AS paid_at,
       payment_id, psp_second, ambiguous, version
FROM subscription_invoice WHERE source = $1 AND id = ANY($2::text[]) AND origin = 'psp';

-- name: transfers_here
-- Transfers by their id.
SELECT id, order_id, amount_minor, reversed_minor, currency, status, version
FROM seller_transfer WHERE source = $1 AND id = ANY($2::text[]);

-- name: paid_here
-- Payments that have paid for something of ours, and the orders with these ids.
SELECT 'payment' AS kind, payment_id AS id, currency FROM paid_object WHERE source = $1 AND payment_id = ANY($2::text[]) AND is_paid
UNION ALL
SELECT 'order', id, currency FROM orders WHERE source = $1 AND id = ANY($3::text[]);

-- name: here_since
-- Objects that became known here in a span of time, by the PSP's id; those that a page of the PSP's did not show.
SELECT id FROM (
    SELECT c.id, c.created_at FROM checkout_session c WHERE $2 = 'checkout_session' AND c.source = $1 AND c.kind = 'checkout'
    UNION ALL
    SELECT o.payment_id, o.created_at FROM orders o WHERE $2 = 'payment' AND o.source = $1 AND o.payment_id IS NOT NULL
    UNION ALL
    SELECT s.id, s.created_at FROM subscription s WHERE $2 = 'subscription' AND s.source = $1 AND s.origin = 'psp'
    UNION ALL
    SELECT i.id, i.created_at FROM subscription_invoice i WHERE $2 = 'invoice' AND i.source = $1 AND i.origin = 'psp'
    UNION ALL
    SELECT r.id_there, r.created_at FROM refund_there r WHERE $2 = 'refund' AND r.source = $1 AND r.is_known_there
    UNION ALL
    SELECT d.id, d.created_at FROM dispute d WHERE $2 = 'dispute' AND d.source = $1
    UNION ALL
    SELECT t.id, t.created_at FROM seller_transfer t WHERE $2 = 'transfer' AND t.source = $1
) k
WHERE k.created_at >= to_timestamp($3::bigint) AND k.created_at <= to_timestamp($4::bigint) AND NOT k.id = ANY($5::text[])
ORDER BY k.created_at DESC
LIMIT $6;

-- name: refund_call
-- A refund that we asked for: its payment, and how the call to the PSP stands.
SELECT payment_id, status, call_state, is_known_there
FROM refund_there WHERE source = $1 AND id = $2 AND call_state IS NOT NULL;

-- name: object_to_read
-- What to ask which PSP for, to learn of an object by its kind and its id, ours or the PSP's.
SELECT source, id AS object_id, 'payment' AS read_kind, payment_id AS read_id FROM orders
WHERE $1::text = 'order' AND id = $2::text OR $1 IN ('order', 'payment') AND payment_id = $2
UNION ALL
SELECT s.source, s.id, 'payment', i.payment_id
FROM subscription s JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.origin = 'ours' AND ($1 = 'subscription' AND s.id = $2 OR $1 = 'payment' AND i.payment_id = $2)
UNION ALL
SELECT source, id, 'subscription', id FROM subscription WHERE $1 = 'subscription' AND id = $2 AND origin = 'psp'
UNION ALL
SELECT source, id, 'refund', id_there FROM refund_there
WHERE $1 = 'refund' AND (id = $2 OR id_there = $2) AND is_known_there
UNION ALL
SELECT source, id, 'dispute', id FROM dispute WHERE $1 = 'dispute' AND id = $2
UNION ALL
SELECT source, id, 'checkout_session', id FROM checkout_session
WHERE $1 = 'checkout_session' AND (id = $2 OR payment_id = $2) AND kind = 'checkout'
UNION ALL
SELECT source, id, 'transfer', id FROM seller_transfer WHERE $1 = 'transfer' AND id = $2
UNION ALL
SELECT source, id, 'invoice', id FROM subscription_invoice WHERE $1 = 'invoice' AND id = $2 AND origin = 'psp';

-- name: move_pulses
-- Takes note of the deliveries since the last look, source by source: how long the gaps were, and how far the clocks.
WITH fresh AS (
    SELECT l.source, l.id, l.received_at, l.signed_at, p.longest_gap_s, coalesce(p.deliveries, 0) AS deliveries,
           extract(epoch FROM l.received_at - lag(l.received_at, 1, p.last_received_at)
                   OVER (PARTITION BY l.source ORDER BY l.id)) AS gap_s
    FROM webhook_log l LEFT JOIN source_pulse p ON p.source = l.source
    WHERE l.id >= $1 AND l.received_at >= $2 AND l.id > coalesce(p.last_log_id, 0)
      AND l.verdict = 'ok' AND l.origin = 'psp'
)
INSERT INTO source_pulse (source, last_log_id, last_received_at, deliveries, longest_gap_s, skew_s)
SELECT source, max(id), max(received_at), max(deliveries) + count(*),
       greatest(coalesce(max(longest_gap_s), 0) * $3, coalesce(max(gap_s), 0)),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM received_at) - signed_at)
           FILTER (WHERE signed_at IS NOT NULL)
FROM fresh GROUP BY source
ORDER BY source
ON CONFLICT (source) DO UPDATE
SET last_log_id = excluded.last_log_id, last_received_at = excluded.last_received_at, deliveries = excluded.deliveries,
    longest_gap_s = excluded.longest_gap_s, skew_s = coalesce(excluded.skew_s, source_pulse.skew_s), updated_at = now()
WHERE source_pulse.last_log_id < excluded.last_log_id;

-- name: move_secret_uses
-- Takes note of when each secret last verified a delivery.
INSERT INTO secret_use (source, secret_id, last_used_at)
SELECT source, secret_id, max(received_at) FROM webhook_log
WHERE id >= $1 AND received_at >= $2 AND verdict = 'ok' AND origin = 'psp' AND secret_id IS NOT NULL
GROUP BY source, secret_id
ORDER BY source, secret_id
ON CONFLICT (source, secret_id) DO UPDATE SET last_used_at = greatest(secret_use.last_used_at, excluded.last_used_at);

-- name: move_heard_types
-- Takes note of when each type of event was last sent to us.
INSERT INTO heard_type (source, event_type, last_heard_at)
SELECT source, event_type, max(received_at) FROM webhook_log
WHERE id >= $1 AND received_at >= $2 AND verdict = 'ok' AND origin = 'psp' AND event_type IS NOT NULL
GROUP BY source, event_type
ORDER BY source, event_type
ON CONFLICT (source, event_type) DO UPDATE SET last_heard_at = greatest(heard_type.last_heard_at, excluded.last_heard_at);

-- name: heard_types
-- The types of events that a source has sent us in the last so many seconds.
SELECT event_type FROM heard_type WHERE source = $1 AND last_heard_at >= now() - make_interval(secs => $2);

-- name: read_pulses
-- How each source behaves, and the oldest event of each that has had no outcome.
SELECT p.source, p.deliveries, extract(epoch FROM now() - p.last_received_at)::double precision AS silent_s,
       p.longest_gap_s, p.skew_s,
       coalesce((SELECT extract(epoch FROM now() - min(e.received_at))::double precision FROM webhook_event e
                 WHERE e.state = 'pending' AND e.source = p.source), 0) AS oldest_unapplied_s,
       (SELECT json_object_agg(u.secret_id, u.last_used_at) FROM secret_use u WHERE u.source = p.source)::text AS secrets
FROM source_pulse p ORDER BY p.source;

-- name: last_pulse
-- Up to when the log has been taken note of.
SELECT min(last_received_at) FROM source_pulse;

-- name: resolve_alerts_but
-- Closes the open alerts of a name whose subject is not among these.
UPDATE alert SET resolved_at = now() WHERE resolved_at IS NULL AND name = $1 AND NOT subject = ANY($2::text[]);

-- name: add_measures
-- What a run has measured of how complete we are, source by source.
INSERT INTO completeness_measure (run_id, source, since, until, in_time_s, begun, types)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::boolean[], $7::jsonb[]);

-- name: completeness
-- What was measured of the last so many seconds, by source and type; a span that was walked anew counts once.
WITH counted AS (
    SELECT m.* FROM completeness_measure m
    WHERE m.until >= extract(epoch FROM now())::bigint - $1::bigint
      AND NOT EXISTS (SELECT FROM completeness_measure n
                      WHERE n.source = m.source AND n.until >= m.until AND n.since <= m.since AND n.id > m.id AND n.begun)
), spans AS (
    SELECT source, min(since) AS since, max(until) AS until, max(in_time_s) AS in_time_s, max(measured_at) AS measured_at
    FROM counted GROUP BY source
), types AS (
    SELECT c.source, t.key AS event_type, sum((t.value ->> 0)::bigint)::bigint AS listed,
           sum((t.value ->> 1)::bigint)::bigint AS in_time
    FROM counted c, jsonb_each(c.types) t GROUP BY 1, 2
)
SELECT s.source, s.since, s.until, s.in_time_s, s.measured_at, t.event_type, t.listed, t.in_time
FROM spans s LEFT JOIN types t ON t.source = s.source
ORDER BY s.source, t.event_type;

-- name: completeness_history
-- What the latest measures found, the latest first: of each type how many were listed, and how many of these in time.
SELECT measured_at, source, types::text FROM completeness_measure ORDER BY id DESC LIMIT $1;

-- name: forget_measures
-- Removes what was measured a month ago.
DELETE FROM completeness_measure WHERE measured_at < now() - interval '30 days';
