-- What operators and dashboards read: deliveries, their story, why an object is what it is, how the house is doing.
-- Reads only, but for the record of who asked.

-- name: plan_for_these_values
-- Makes the rest of this transaction plan every query for its values and by index: absent filters fold away. By index,
-- because these queries show one page, and a table is read whole for a page only by mistake; not kept in memory for a join
-- either, as a plan would that was made while the table was small.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_material', 'off', true), set_config('max_parallel_workers_per_gather', '0', true);

-- name: plan_by_index_once
-- Makes the rest of this transaction plan a query once per connection and by index only, which days it opens being seen
-- when it runs: planning over some seventy partitions costs ten times what the answer costs. Tells the time as well.
SELECT now(), set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_material', 'off', true), set_config('max_parallel_workers_per_gather', '0', true);

-- name: find_any
-- Places of deliveries that pass the filters, among the newest $5 of a span. The event is looked up for its delivery
-- alone, and only where it is asked about; who looks behind a backlog for what has an outcome passes it by the small
-- index of what is pending.
SELECT l.id, l.received_at
FROM (
    SELECT * FROM webhook_log
    WHERE id >= $1 AND id < $2 AND received_at >= $3 AND received_at < $4
    ORDER BY id DESC
    LIMIT $5
) l
WHERE ($6::text IS NULL OR l.source = $6)
  AND ($7::text IS NULL OR l.endpoint = $7)
  AND ($8::text IS NULL OR l.origin = $8)
  AND ($9::text IS NULL OR l.verdict = $9)
  AND ($10::text IS NULL OR l.event_type = $10)
  AND ($11::text IS NULL OR l.source_ip <<= $11::text::inet)
  AND ($12::text IS NULL OR $12 = 'pending' OR (
      SELECT p.log_id FROM webhook_event p WHERE p.state = 'pending' AND p.log_id = l.id LIMIT 1) IS NULL)
  AND ($12::text IS NULL AND $13::text IS NULL OR (
      SELECT ($12 IS NULL OR e.state = $12) AND ($13 IS NULL OR e.reason = $13) FROM webhook_event e
      WHERE l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id))
ORDER BY l.id DESC
LIMIT $14;

-- name: look_back
-- How many deliveries of a span there are among its newest $5, and the id of the oldest of these.
SELECT count(*) AS deliveries, min(id) AS oldest_id FROM (
    SELECT id FROM webhook_log
    WHERE id >= $1 AND id < $2 AND received_at >= $3 AND received_at < $4
    ORDER BY id DESC
    LIMIT $5
) newest;

-- name: find_by_event
-- Places of the newest deliveries of a span with this event id, claimed or proven. `+ 0` keeps the log's own key out of it,
-- which would find the whole span; and so does BETWEEN: as a range the id seems to find little even on a day of few ids.
SELECT id, received_at FROM webhook_log
WHERE id + 0 >= $1 AND id < $2 AND received_at >= $3 AND received_at < $4 AND event_id = $5 AND event_id BETWEEN $5 AND $5
ORDER BY id DESC
LIMIT $6;

-- name: find_by_object
-- The same about this object.
SELECT id, received_at FROM webhook_log
WHERE id + 0 >= $1 AND id < $2 AND received_at >= $3 AND received_at < $4 AND object_id = $5 AND object_id BETWEEN $5 AND $5
ORDER BY id DESC
LIMIT $6;

-- name: find_refused
-- The same refused with this verdict.
SELECT id, received_at FROM webhook_log
WHERE id + 0 >= $1 AND id < $2 AND received_at >= $3 AND received_at < $4 AND verdict = $5 AND verdict BETWEEN $5 AND $5
  AND verdict <> 'ok'
ORDER BY id DESC
LIMIT $6;

-- name: find_open
-- The same whose event is in this open state. Each event's deliveries are found by its id and never the other way round:
-- OFFSET 0 keeps the order of the join, `+ 0` the log's own key out of it.
SELECT l.id, l.received_at
FROM (
    SELECT source, event_id, received_at FROM webhook_event WHERE $5 = 'pending' AND state = 'pending'
    UNION ALL
    SELECT source, event_id, received_at FROM webhook_event WHERE state = $5 AND state IN ('parked', 'quarantined')
) e
CROSS JOIN LATERAL (
    SELECT id, received_at FROM webhook_log
    WHERE event_id = e.event_id AND source = e.source AND verdict = 'ok' AND received_at >= e.received_at
      AND id + 0 >= $1 AND id + 0 < $2 AND received_at >= $3 AND received_at < $4
    OFFSET 0
) l
ORDER BY l.id DESC
LIMIT $6;

-- name: count_open
-- How many events are in this open state, counted up to a limit.
SELECT count(*) FROM (
    (SELECT FROM webhook_event WHERE $1 = 'pending' AND state = 'pending' LIMIT $2)
    UNION ALL
    (SELECT FROM webhook_event WHERE state = $1 AND state IN ('parked', 'quarantined') LIMIT $2)
) o;

-- name: list_deliveries
-- The deliveries at these places, all between two times, that pass the filter; newest first. OFFSET 0 keeps the order of
-- the joins: while tables are small a plan would read all that lies between the two times, and be kept when they have grown.
SELECT l.id, l.received_at, l.source, l.endpoint, l.origin, l.verdict, l.secret_id, l.signed_at,
       l.event_id, l.event_type, l.object_id, l.body_bytes, l.body_sha256, host(l.source_ip) AS source_ip,
       l.user_agent, l.request_id, l.actor, l.requests,
       e.state, e.reason, e.attempts, e.last_error, e.applied_at, e.conflict,
       e.log_id AS first_log_id, e.received_at AS first_received_at,
       (SELECT coalesce(n.detail, '') FROM event_note n WHERE n.log_id = l.id AND n.what = 'conflict' ORDER BY n.id LIMIT 1)
           AS conflict_detail
FROM unnest($1::bigint[], $2::timestamptz[]) AS place (id, received_at)
CROSS JOIN LATERAL (
    SELECT * FROM webhook_log
    WHERE id = place.id AND received_at = place.received_at AND received_at >= $3 AND received_at <= $4
    OFFSET 0
) l
LEFT JOIN LATERAL (
    SELECT * FROM webhook_event WHERE l.verdict = 'ok' AND source = l.source AND event_id = l.event_id OFFSET 0
) e ON true
WHERE ($5::text IS NULL OR l.source = $5)
  AND ($6::text IS NULL OR l.endpoint = $6)
  AND ($7::text IS NULL OR l.origin = $7)
  AND ($8::text IS NULL OR l.verdict = $8)
  AND ($9::text IS NULL OR e.state = $9)
  AND ($10::text IS NULL OR l.event_type = $10)
  AND ($11::text IS NULL OR l.event_id = $11)
  AND ($12::text IS NULL OR l.object_id = $12)
  AND ($13::text IS NULL OR l.source_ip <<= $13::text::inet)
  AND ($14::text IS NULL OR e.reason = $14)
ORDER BY l.id DESC;

-- name: read_payload
-- Exact bytes and allow-listed headers of one delivery, and when it came.
SELECT received_at, body, headers FROM webhook_log WHERE id = $1 AND received_at >= $2 AND received_at < $3;

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
       ARRAY(SELECT r.id FROM refund r
             WHERE r.owner_id = c.id AND r.owner_kind = 'checkout_session' AND r.source = c.source ORDER BY r.id) AS refunds,
       ARRAY(SELECT d.id FROM dispute d
             WHERE d.owner_id = c.id AND d.owner_kind = 'checkout_session' AND d.source = c.source ORDER BY d.id) AS disputes
FROM checkout_session c JOIN unit u ON u.code = c.currency
WHERE c.id = ANY (ARRAY(  -- one list: of two conditions neither would go by index
    SELECT $1 UNION ALL SELECT made_id FROM outbox_effect WHERE kind = 'open_checkout' AND object_id = $1))
UNION ALL
-- One of ours that the PSP has not opened, by our own id: still to be, or refused.
SELECT e.source, e.object_id, 'checkout', NULL, e.arguments ->> 'account_id', (e.arguments ->> 'credits')::bigint,
       (e.arguments ->> 'amount_minor')::bigint, u.code, u.exponent, CASE e.state WHEN 'pending' THEN 'requested' ELSE e.state END,
       'ours', 0, 0, e.created_at, NULL, '{}', '{}'
FROM outbox_effect e JOIN unit u ON u.code = e.arguments ->> 'currency'
WHERE e.object_id = $1 AND e.kind = 'open_checkout' AND e.state <> 'done'
ORDER BY source;

-- name: explain_order
-- Orders of this id as they are today, or of this payment, with what hangs on them.
SELECT o.source, o.id, o.buyer_id, o.seller_id, o.amount_minor, o.seller_amount_minor, o.currency, u.exponent,
       o.payment_id, o.payment_status, o.status, o.reversed_minor, o.version, o.created_at, o.completed_at,
       ARRAY(SELECT l.order_id || ':' || l.product FROM license l
             WHERE l.order_id = o.id AND l.source = o.source ORDER BY l.product) AS licenses,
       ARRAY(SELECT r.id FROM refund r
             WHERE r.owner_id = o.id AND r.owner_kind = 'order' AND r.source = o.source ORDER BY r.id) AS refunds,
       ARRAY(SELECT d.id FROM dispute d
             WHERE d.owner_id = o.id AND d.owner_kind = 'order' AND d.source = o.source ORDER BY d.id) AS disputes,
       ARRAY(SELECT t.id FROM seller_transfer t WHERE t.order_id = o.id AND t.source = o.source ORDER BY t.id) AS transfers
FROM orders o JOIN unit u ON u.code = o.currency
WHERE o.id = $1 OR o.payment_id = $1
ORDER BY o.source;

-- name: explain_transfer
-- Transfers of this id as they are today.
SELECT t.source, t.id, t.order_id, o.seller_id, t.destination, t.amount_minor, t.reversed_minor, t.currency, u.exponent,
       t.status, t.version, t.created_at
FROM seller_transfer t
JOIN orders o ON o.source = t.source AND o.id = t.order_id
JOIN unit u ON u.code = t.currency
WHERE t.id = $1
ORDER BY t.source;

-- name: explain_refund
-- Refunds of this id, ours or the PSP's, as they are today.
SELECT r.source, r.id, r.psp_id, r.owner_kind, r.owner_id, r.payment_id, p.account_id, r.amount_minor, r.currency,
       u.exponent, r.status, r.version, r.created_at
FROM refund r
LEFT JOIN paid_object p ON p.source = r.source AND p.kind = r.owner_kind AND p.id = r.owner_id
JOIN unit u ON u.code = r.currency
WHERE r.id = $1 OR r.psp_id = $1
ORDER BY r.source;

-- name: explain_dispute
-- Disputes of this id as they are today.
SELECT d.source, d.id, d.owner_kind, d.owner_id, d.payment_id, p.account_id, d.amount_minor, d.currency, u.exponent,
       d.status, d.status_at, d.funds_withdrawn, d.funds_reinstated, d.version, d.created_at
FROM dispute d
LEFT JOIN paid_object p ON p.source = d.source AND p.kind = d.owner_kind AND p.id = d.owner_id
JOIN unit u ON u.code = d.currency
WHERE d.id = $1
ORDER BY d.source;

-- name: explain_subscription
-- Subscriptions of this id as they are today; `psp_status` is what the PSP itself says.
SELECT s.source, s.id, s.origin, s.status, s.psp_status, s.plan_id, s.payment_status, s.customer_id, s.account_id,
       s.price_id, s.cancel_at_period_end,
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
SELECT 'order', source, id FROM orders WHERE buyer_id = $1 OR seller_id = $1
UNION ALL
SELECT 'license', source, order_id || ':' || product FROM license WHERE account_id = $1
UNION ALL
SELECT 'transfer', t.source, t.id FROM orders o
JOIN seller_transfer t ON t.order_id = o.id AND t.source = o.source WHERE o.seller_id = $1
UNION ALL
SELECT 'refund', r.source, r.id FROM paid_object p
JOIN refund r ON r.owner_id = p.id AND r.owner_kind = p.kind AND r.source = p.source WHERE p.account_id = $1
UNION ALL
SELECT 'dispute', d.source, d.id FROM paid_object p
JOIN dispute d ON d.owner_id = p.id AND d.owner_kind = p.kind AND d.source = p.source WHERE p.account_id = $1
UNION ALL
SELECT 'subscription', source, id FROM subscription WHERE account_id = $1
UNION ALL
SELECT 'subscription_invoice', i.source, i.id FROM subscription s
JOIN subscription_invoice i ON i.subscription_id = s.id AND i.source = s.source WHERE s.account_id = $1;

-- name: transitions_of_subjects
-- The newest changes of state of these objects, each with the delivery that caused it. Its event is looked up only where
-- retention has taken the delivery.
SELECT t.at, t.kind, t.source, t.object_id, t.seq, t.from_state, t.to_state, t.rule, t.money_before::text,
       t.money_after::text, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor,
       coalesce(l.event_type, (SELECT e.event_type FROM webhook_event e
                               WHERE e.source = t.source AND e.event_id = t.event_id)) AS event_type, l.origin, l.received_at
FROM (
    SELECT s.* FROM unnest($1::text[], $2::text[], $3::text[]) AS k (kind, source, id)
    JOIN state_transition s ON s.kind = k.kind AND s.source = k.source AND s.object_id = k.id
    ORDER BY s.at DESC, s.log_id DESC, s.seq DESC
    LIMIT $4
) t
LEFT JOIN LATERAL delivery_of(t.log_id) l ON true;

-- name: calls_of_objects
-- What was wanted of the PSP for these objects, oldest first, how it stands, and the delivery that wanted it.
SELECT c.created_at AS at, c.kind, c.object_id, c.idempotency_key, c.made_id, c.state, c.attempts, c.last_error,
       CASE c.state WHEN 'pending' THEN c.next_attempt_at END AS next_attempt_at, c.finished_at, c.event_id, c.log_id,
       l.actor, coalesce(l.event_type, (SELECT e.event_type FROM webhook_event e
                                        WHERE e.event_id = c.event_id AND e.log_id = c.log_id)) AS event_type,
       l.origin, l.received_at
FROM (
    SELECT * FROM outbox_effect WHERE source = $1 AND object_id = ANY($2::text[])
    UNION
    SELECT * FROM outbox_effect WHERE source = $1 AND made_id = ANY($2::text[])
) c
LEFT JOIN LATERAL delivery_of(c.log_id) l ON true
ORDER BY c.id
LIMIT $3;

-- name: movements_of_account
-- The newest movements of money on one account, each with its legs and the delivery that caused it.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs,
       coalesce(l.event_type, (SELECT e.event_type FROM webhook_event e
                               WHERE e.source = t.source AND e.event_id = t.event_id)) AS event_type, l.origin, l.received_at
FROM (
    SELECT DISTINCT p.transaction_id FROM ledger_posting p WHERE p.account_id = $1
    ORDER BY p.transaction_id DESC
    LIMIT $2
) newest
JOIN ledger_transaction t ON t.id = newest.transaction_id
LEFT JOIN LATERAL delivery_of(t.log_id) l ON true;

-- name: movements_of_money_objects
-- The movements of money of these objects, each with its legs and the delivery that caused it. What came back of a
-- transfer is an object of its own: the transfer and how much had come back by then.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, coalesce(t.actor, l.actor) AS actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs,
       coalesce(l.event_type, (SELECT e.event_type FROM webhook_event e
                               WHERE e.source = t.source AND e.event_id = t.event_id)) AS event_type, l.origin, l.received_at
FROM ledger_transaction t
LEFT JOIN LATERAL delivery_of(t.log_id) l ON true
WHERE t.source = $1 AND t.money_object = ANY(
    $2::text[] || ARRAY(
        SELECT s.object_id || ':' || (s.money_after ->> 'reversed_minor') FROM state_transition s
        WHERE s.kind = 'transfer' AND s.object_id = ANY($2::text[]) AND s.source = $1));

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
-- What waits, by the partial indexes of what is still to do; each is gone through once.
SELECT p.pending, p.due, (SELECT count(*) FROM webhook_redelivery) AS redeliveries, p.oldest_pending_s,
       (SELECT count(*) FROM webhook_event WHERE state = 'parked') AS parked,
       (SELECT count(*) FROM webhook_event WHERE state = 'quarantined') AS quarantined
FROM (SELECT count(*) AS pending, count(*) FILTER (WHERE next_attempt_at <= now()) AS due,
             coalesce(extract(epoch FROM now() - min(received_at)), 0)::double precision AS oldest_pending_s
      FROM webhook_event WHERE state = 'pending') p;

-- name: open_alerts
-- Open alerts by name.
SELECT name, count(*) AS open FROM alert WHERE resolved_at IS NULL GROUP BY name ORDER BY name;

-- name: latest_run
-- The reconcile run that was started last.
SELECT id::text, requested_by, phases, dry_run, status, started_at, finished_at, counts::text
FROM reconcile_run ORDER BY started_at DESC LIMIT 1;
