-- What operators and dashboards read: deliveries, their story, why an object is what it is, how the house is doing.
-- Reads only, but for the record of who asked.

-- name: plan_for_these_values
-- Makes the rest of this transaction plan every query for its values: absent filters fold away, indexes come into play.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: list_deliveries
-- Deliveries by filter, newest first; ids run with time, so the two ranges say the same and one of them prunes days.
SELECT l.id, l.received_at, l.source, l.endpoint, l.origin, l.verdict, l.secret_id, l.signed_at,
       l.event_id, l.event_type, l.object_id, l.body_bytes, l.body_sha256, host(l.source_ip) AS source_ip,
       l.user_agent, l.request_id, l.actor, l.requests,
       e.state, e.reason, e.attempts, e.last_error, e.applied_at, e.conflict,
       e.log_id AS first_log_id, e.received_at AS first_received_at,
       (SELECT coalesce(n.detail, '') FROM event_note n WHERE n.log_id = l.id AND n.what = 'conflict' ORDER BY n.id LIMIT 1)
           AS conflict_detail
FROM webhook_log l
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
WHERE l.id >= $1 AND l.id < $2
  AND l.received_at >= $3 AND l.received_at < $4
  AND ($5::text IS NULL OR l.source = $5)
  AND ($6::text IS NULL OR l.endpoint = $6)
  AND ($7::text IS NULL OR l.origin = $7)
  AND ($8::text IS NULL OR l.verdict = $8)
  AND ($9::text IS NULL OR e.state = $9)
  AND ($10::text IS NULL OR l.event_type = $10)
  AND ($11::text IS NULL OR l.event_id = $11)
  AND ($12::text IS NULL OR l.object_id = $12)
  AND ($13::text IS NULL OR l.source_ip <<= $13::text::inet)
ORDER BY l.id DESC
LIMIT $14;

-- name: read_payload
-- Exact bytes and allow-listed headers of one delivery.
SELECT body, headers FROM webhook_log WHERE id = $1 AND received_at >= $2 AND received_at < $3;

-- name: log_access
-- Who asked for what; written before the answer.
INSERT INTO access_log (actor, action, object, request_id, source_ip) VALUES ($1, $2, $3, $4, $5::text::inet);

-- name: deliveries_of_event
-- The verified deliveries of one event since its first, newest first.
SELECT id, received_at, endpoint, origin, actor, request_id, body_sha256 FROM webhook_log
WHERE event_id = $2 AND source = $1 AND verdict = 'ok' AND received_at >= $3
ORDER BY id DESC
LIMIT $4;

-- name: notes_of_event
-- What happened to one event besides its plain outcome, newest first.
SELECT at, what, log_id, actor, detail FROM event_note
WHERE source = $1 AND event_id = $2
ORDER BY id DESC
LIMIT $3;

-- name: transitions_of_deliveries
-- Changes of state that these deliveries caused.
SELECT at, kind, source, object_id, seq, from_state, to_state, rule, money_before::text, money_after::text,
       event_id, log_id, actor
FROM state_transition
WHERE log_id = ANY($1::bigint[])
ORDER BY at DESC, kind, object_id, seq DESC
LIMIT $2;

-- name: movements_of_deliveries
-- Movements of money that these deliveries caused, with their legs.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, t.actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs
FROM ledger_transaction t
WHERE t.log_id = ANY($1::bigint[])
ORDER BY t.id DESC
LIMIT $2;

-- name: appended_event
-- The delivery that this very transaction appended, and how its event stands.
SELECT l.id, e.state, e.reason FROM webhook_log l
JOIN webhook_event e ON e.source = l.source AND e.event_id = l.event_id
WHERE l.source = $1 AND l.event_id = $2 AND l.request_id = $3 AND l.received_at = now()
ORDER BY l.id DESC
LIMIT 1;

-- name: explain_account
-- One account as it is today.
SELECT id, kind, created_at FROM account WHERE id = $1;

-- name: balances_of_account
-- Its balances in minor units.
SELECT b.unit, u.exponent, b.amount, b.updated_at FROM balance b JOIN unit u ON u.code = b.unit
WHERE b.account_id = $1
ORDER BY b.unit;

-- name: explain_checkout_session
-- Purchases of this id as they are today, with what was taken back.
SELECT c.source, c.id, c.kind, c.payment_id, c.account_id, c.credits, c.amount_minor, c.currency, u.exponent, c.status,
       c.origin, c.credits_taken, c.version, c.created_at, c.paid_at,
       ARRAY(SELECT r.id FROM refund r WHERE r.checkout_session_id = c.id AND r.source = c.source ORDER BY r.id) AS refunds,
       ARRAY(SELECT d.id FROM dispute d WHERE d.checkout_session_id = c.id AND d.source = c.source ORDER BY d.id) AS disputes
FROM checkout_session c JOIN unit u ON u.code = c.currency
WHERE c.id = $1
ORDER BY c.source;

-- name: explain_refund
-- Refunds of this id as they are today.
SELECT r.source, r.id, r.checkout_session_id, r.payment_id, c.account_id, r.amount_minor, r.currency, u.exponent,
       r.status, r.version, r.created_at
FROM refund r
JOIN checkout_session c ON c.source = r.source AND c.id = r.checkout_session_id
JOIN unit u ON u.code = r.currency
WHERE r.id = $1
ORDER BY r.source;

-- name: explain_dispute
-- Disputes of this id as they are today.
SELECT d.source, d.id, d.checkout_session_id, d.payment_id, c.account_id, d.amount_minor, d.currency, u.exponent,
       d.status, d.status_at, d.funds_withdrawn, d.funds_reinstated, d.version, d.created_at
FROM dispute d
JOIN checkout_session c ON c.source = d.source AND c.id = d.checkout_session_id
JOIN unit u ON u.code = d.currency
WHERE d.id = $1
ORDER BY d.source;

-- name: explain_subscription
-- Subscriptions of this id as they are today; `psp_status` is what the PSP itself says.
SELECT s.source, s.id, s.status, s.psp_status, s.customer_id, s.account_id, s.price_id, s.cancel_at_period_end,
       s.current_period_start, s.current_period_end, s.trial_end, s.canceled_at, s.ended_at, s.latest_invoice_id,
       s.deleted, s.ambiguous, s.version, s.created_at,
       ARRAY(SELECT i.id FROM subscription_invoice i WHERE i.subscription_id = s.id AND i.source = s.source ORDER BY i.id)
           AS invoices
FROM subscription s
WHERE s.id = $1
ORDER BY s.source;

-- name: subjects_of_account
-- Everything that has a history and belongs to one account.
SELECT DISTINCT 'account' AS kind, source, object_id AS id FROM state_transition WHERE kind = 'account' AND object_id = $1
UNION ALL
SELECT 'checkout_session', source, id FROM checkout_session WHERE account_id = $1
UNION ALL
SELECT 'refund', r.source, r.id FROM checkout_session c
JOIN refund r ON r.checkout_session_id = c.id AND r.source = c.source WHERE c.account_id = $1
UNION ALL
SELECT 'dispute', d.source, d.id FROM checkout_session c
JOIN dispute d ON d.checkout_session_id = c.id AND d.source = c.source WHERE c.account_id = $1
UNION ALL
SELECT 'subscription', source, id FROM subscription WHERE account_id = $1
UNION ALL
SELECT 'subscription_invoice', i.source, i.id FROM subscription s
JOIN subscription_invoice i ON i.subscription_id = s.id AND i.source = s.source WHERE s.account_id = $1;

-- name: transitions_of_subjects
-- The newest changes of state of these objects, each with the delivery that caused it.
SELECT t.at, t.kind, t.source, t.object_id, t.seq, t.from_state, t.to_state, t.rule, t.money_before::text,
       t.money_after::text, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor, coalesce(l.event_type, e.event_type)
       AS event_type, l.origin, l.received_at
FROM (
    SELECT s.* FROM unnest($1::text[], $2::text[], $3::text[]) AS k (kind, source, id)
    JOIN state_transition s ON s.kind = k.kind AND s.source = k.source AND s.object_id = k.id
    ORDER BY s.at DESC, s.log_id DESC, s.seq DESC
    LIMIT $4
) t
LEFT JOIN webhook_event e ON e.source = t.source AND e.event_id = t.event_id
LEFT JOIN webhook_log l ON l.id = t.log_id
    AND l.received_at >= to_timestamp((t.log_id >> 20) / 1000.0) - interval '1 ms'
    AND l.received_at < to_timestamp((t.log_id >> 20) / 1000.0) + interval '2 ms';

-- name: movements_of_account
-- The newest movements of money on one account, each with its legs and the delivery that caused it.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs,
       coalesce(l.event_type, e.event_type) AS event_type, l.origin, l.received_at
FROM (
    SELECT DISTINCT p.transaction_id FROM ledger_posting p WHERE p.account_id = $1
    ORDER BY p.transaction_id DESC
    LIMIT $2
) newest
JOIN ledger_transaction t ON t.id = newest.transaction_id
LEFT JOIN webhook_event e ON e.source = t.source AND e.event_id = t.event_id
LEFT JOIN webhook_log l ON l.id = t.log_id
    AND l.received_at >= to_timestamp((t.log_id >> 20) / 1000.0) - interval '1 ms'
    AND l.received_at < to_timestamp((t.log_id >> 20) / 1000.0) + interval '2 ms';

-- name: movements_of_money_object
-- The movements of money of one purchase, refund or dispute, each with its legs and the delivery that caused it.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs,
       coalesce(l.event_type, e.event_type) AS event_type, l.origin, l.received_at
FROM ledger_transaction t
LEFT JOIN webhook_event e ON e.source = t.source AND e.event_id = t.event_id
LEFT JOIN webhook_log l ON l.id = t.log_id
    AND l.received_at >= to_timestamp((t.log_id >> 20) / 1000.0) - interval '1 ms'
    AND l.received_at < to_timestamp((t.log_id >> 20) / 1000.0) + interval '2 ms'
WHERE t.money_object = $2 AND t.source = $1;

-- name: answers
-- Whether the database takes questions.
SELECT 1;

-- name: list_processes
-- Every process that has not taken its heartbeat away, with the age of the last one in seconds.
SELECT process, instance, started_at, beat_at, extract(epoch FROM now() - beat_at)::double precision AS age_s,
       counters::text
FROM process_heartbeat
ORDER BY process, instance;

-- name: queue_figures
-- What waits, by the partial indexes of what is still to do.
SELECT (SELECT count(*) FROM webhook_event WHERE state = 'pending') AS pending,
       (SELECT count(*) FROM webhook_event WHERE state = 'pending' AND next_attempt_at <= now()) AS due,
       (SELECT count(*) FROM webhook_redelivery) AS redeliveries,
       (SELECT extract(epoch FROM now() - received_at)::double precision FROM webhook_event
        WHERE state = 'pending' ORDER BY log_id LIMIT 1) AS oldest_pending_s,
       (SELECT count(*) FROM webhook_event WHERE state = 'parked') AS parked,
       (SELECT count(*) FROM webhook_event WHERE state = 'quarantined') AS quarantined;

-- name: open_alerts
-- Open alerts by name.
SELECT name, count(*) AS open FROM alert WHERE resolved_at IS NULL GROUP BY name ORDER BY name;

-- name: latest_run
-- The reconcile run that was started last.
SELECT id::text, requested_by, phases, dry_run, status, started_at, finished_at, counts::text
FROM reconcile_run ORDER BY started_at DESC LIMIT 1;

-- name: count_deliveries
-- Deliveries by bucket of time, source, verdict and state; counted refusals included.
SELECT date_bin(make_interval(secs => $3), l.received_at, timestamptz '2000-01-01 00:00:00Z') AS bucket,
       l.source, l.verdict, e.state, sum(l.requests) AS deliveries
FROM webhook_log l
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
WHERE l.received_at >= $1 AND l.received_at < $2
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

-- name: measure_apply_latency
-- Seconds from receipt to outcome of the events first received in this span.
SELECT count(*) AS events,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM e.applied_at - e.received_at)) AS p50_s,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM e.applied_at - e.received_at)) AS p99_s
FROM webhook_log l
JOIN webhook_event e ON e.source = l.source AND e.event_id = l.event_id AND e.log_id = l.id
WHERE l.received_at >= $1 AND l.received_at < $2 AND l.verdict = 'ok' AND e.applied_at IS NOT NULL;
