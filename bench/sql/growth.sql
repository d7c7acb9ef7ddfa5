-- Fills a scratch database with the past: what it would hold after so many deliveries. Never run on a real one.

-- name: make_day
-- The partition of one past day; the product makes partitions from today on.
CREATE TABLE webhook_log_{name} PARTITION OF webhook_log FOR VALUES FROM ('{day}') TO ('{next_day}');

-- name: fill_day
-- `rows` deliveries of one day, one in a hundred refused, each event applied long ago.
WITH made AS (
    SELECT g, $2::timestamptz + g * (interval '86000 seconds' / $1::integer) AS at,
           md5(g::text || $2::timestamptz::text) AS unique_part, g % 100 = 99 AS refused
    FROM generate_series(0, $1::integer - 1) g
), numbered AS (
    SELECT *, ((extract(epoch FROM at) * 1000)::bigint << 20) | (g & 1048575) AS id FROM made
), logged AS (
    INSERT INTO webhook_log (id, received_at, source, endpoint, origin, verdict, secret_id, signed_at, event_id,
                             event_type, object_id, body, body_bytes, body_sha256, headers, source_ip, user_agent,
                             request_id, batch_ordinal)
    SELECT id, at, 'stripe', 'stripe', 'psp', CASE WHEN refused THEN 'bad_sig' ELSE 'ok' END, 'bench', 1795000000,
           'evt_' || unique_part, (ARRAY['invoice.paid', 'customer.updated', 'charge.succeeded'])[g % 3 + 1],
           'obj_' || (g % 5000), '\x7b7d'::bytea, 2, decode(unique_part || unique_part, 'hex'), '[]'::bytea,
           '203.0.113.7'::inet, 'Stripe/1.0', unique_part, g % 500
    FROM numbered
)
INSERT INTO webhook_event (source, event_id, log_id, received_at, event_type, object_id, psp_created, body_sha256,
                           state, reason, attempts, next_attempt_at, applied_at)
SELECT 'stripe', 'evt_' || unique_part, id, at, 'invoice.paid', 'obj_' || (g % 5000), 1795000000,
       decode(unique_part || unique_part, 'hex'), 'ignored', 'unhandled_type', 1, at, at + interval '20 ms'
FROM numbered WHERE NOT refused;

-- name: fill_accounts
-- Customers of the past.
INSERT INTO account (id) SELECT 'past_' || g FROM generate_series(0, $1::integer - 1) g ON CONFLICT DO NOTHING;

-- name: fill_purchases
-- One purchase for each tenth delivery of a day, with its journal and its movement, as the worker writes them.
WITH made AS (
    SELECT g, md5('p' || g::text || $2::timestamptz::text) AS unique_part, 'past_' || (g % $3::integer) AS account_id,
           $2::timestamptz + g * interval '1 ms' AS at
    FROM generate_series(0, $1::integer - 1) g
), bought AS (
    INSERT INTO checkout_session (source, id, kind, payment_id, account_id, credits, amount_minor, currency, status,
                                  paid_at)
    SELECT 'stripe', 'cs_' || unique_part, 'checkout', 'pi_' || unique_part, account_id, 250, 289, 'usd', 'paid', at
    FROM made
), journal AS (
    INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, event_id, log_id, at)
    SELECT 'checkout_session', 'stripe', 'cs_' || unique_part, 1, 'paid', 'topup_paid', 'evt_' || unique_part,
           (extract(epoch FROM at) * 1000)::bigint << 20, at
    FROM made
), moved AS (
    INSERT INTO ledger_transaction (source, movement, money_object, event_id, log_id, posted_at)
    SELECT 'stripe', 'topup', 'cs_' || unique_part, 'evt_' || unique_part,
           (extract(epoch FROM at) * 1000)::bigint << 20, at
    FROM made
    RETURNING id, money_object
)
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
SELECT m.id, leg.account_id, 'credit', leg.amount
FROM moved m JOIN made ON m.money_object = 'cs_' || made.unique_part
CROSS JOIN LATERAL (VALUES (made.account_id, 250), ('system:credits_issued', -250)) AS leg (account_id, amount);

-- name: a_delivery
-- Some delivery of the last day, to be looked up.
SELECT id, event_id, object_id FROM webhook_log WHERE verdict = 'ok' AND received_at >= $1 ORDER BY id LIMIT 1 OFFSET 100;

-- name: a_purchase
-- Some purchase of the past, to be explained.
SELECT id, account_id FROM checkout_session WHERE account_id LIKE 'past_%' LIMIT 1;

-- name: delete_day
-- What retention costs without partitions: a batch of one day's rows, by DELETE.
DELETE FROM webhook_log WHERE (id, received_at) IN (
    SELECT id, received_at FROM webhook_log WHERE received_at >= $1 AND received_at < $2 LIMIT $3);
