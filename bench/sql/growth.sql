-- Fills a scratch database with the past: what it would hold after so many deliveries. Never run on a real one.

-- name: hurry
-- For a session that fills: no trigger and no foreign key looks at each row, sorts have room, and one day waits for
-- another to have become a partition.
SET session_replication_role = replica; SET lock_timeout = 0; SET work_mem = '192MB'; SET maintenance_work_mem = '512MB';

-- name: drop_event_key
-- The inbox's key is made again when all is in: random ids into a growing index are what costs most of a fill.
ALTER TABLE webhook_event DROP CONSTRAINT webhook_event_pkey;

-- name: make_event_key
-- The same key as the schema's.
ALTER TABLE webhook_event ADD CONSTRAINT webhook_event_pkey PRIMARY KEY (event_id, source);

-- name: make_day
-- One past day by itself; the product makes partitions from today on.
CREATE TABLE webhook_log_{name} (
    LIKE webhook_log INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING CONSTRAINTS
);

-- name: attach_day
-- Makes it a partition, which builds its indexes.
ALTER TABLE webhook_log ATTACH PARTITION webhook_log_{name} FOR VALUES FROM ('{day}') TO ('{next_day}');

-- name: fill_day
-- `rows` deliveries of one day, one in fifty refused (so that the emptiest day of the smallest past holds one too), four
-- to an object, each event decided long ago. Bodies are two bytes: what is measured finds rows and hardly reads bodies,
-- and ten million real ones would be 30 GB.
WITH made AS (
    SELECT g, $2::timestamptz + g * (interval '86000 seconds' / $1::integer) AS at,
           md5(g::text || $2::timestamptz::text) AS unique_part, g % 50 = 49 AS refused,
           'obj_' || md5((g / 4)::text || $2::timestamptz::text) AS object_id
    FROM generate_series(0, $1::integer - 1) g
), numbered AS (
    SELECT *, ((extract(epoch FROM at) * 1000)::bigint << 20) | (g & 1048575) AS id FROM made
), logged AS (
    INSERT INTO webhook_log_{name} (
        id, received_at, source, endpoint, origin, verdict, secret_id, signed_at, event_id, event_type, object_id, body,
        body_bytes, body_sha256, headers, source_ip, user_agent, request_id, batch_ordinal)
    SELECT id, at, 'stripe', 'stripe', 'psp', CASE WHEN refused THEN 'bad_sig' ELSE 'ok' END, 'bench', 1795000000,
           'evt_' || unique_part, (ARRAY['invoice.paid', 'customer.updated', 'charge.succeeded'])[g % 3 + 1],
           object_id, '\x7b7d'::bytea, 2, decode(unique_part || unique_part, 'hex'), '[]'::bytea,
           '203.0.113.7'::inet, 'Stripe/1.0', unique_part, g % 500
    FROM numbered
)
INSERT INTO webhook_event (source, event_id, log_id, received_at, event_type, object_id, psp_created, body_sha256,
                           state, reason, attempts, next_attempt_at, applied_at)
SELECT 'stripe', 'evt_' || unique_part, id, at, 'invoice.paid', object_id, 1795000000,
       decode(unique_part || unique_part, 'hex'), CASE WHEN g % 10 = 0 THEN 'applied' ELSE 'ignored' END,
       CASE WHEN g % 10 <> 0 THEN 'unhandled_type' END, 1, at, at + interval '1 ms' * (5 + g % 40)
FROM numbered WHERE NOT refused;

-- name: fill_accounts
-- Customers of the past.
INSERT INTO account (id) SELECT 'past_' || g FROM generate_series(0, $1::integer - 1) g ON CONFLICT DO NOTHING;

-- name: fill_purchases
-- One purchase for each tenth of the $1 deliveries of a day, with its journal and its movement, as the worker writes
-- them; the delivery is the one that `fill_day` has made. The $3 customers buy in turn, from one day to the next.
WITH delivered AS (
    SELECT g, md5(g::text || $2::timestamptz::text) AS unique_part,
           'past_' || ((extract(epoch FROM $2)::bigint / 86400 * (($1 + 9) / 10) + g / 10) % $3::integer) AS account_id,
           $2::timestamptz + g * (interval '86000 seconds' / $1::integer) AS at
    FROM generate_series(0, $1::integer - 1, 10) g
), made AS (
    SELECT *, ((extract(epoch FROM at) * 1000)::bigint << 20) | (g & 1048575) AS log_id FROM delivered
), bought AS (
    INSERT INTO checkout_session (source, id, kind, payment_id, account_id, credits, amount_minor, currency, status,
                                  paid_at)
    SELECT 'stripe', 'cs_' || unique_part, 'checkout', 'pi_' || unique_part, account_id, 250, 289, 'usd', 'paid', at
    FROM made
), journal AS (
    INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, event_id, log_id, at)
    SELECT 'checkout_session', 'stripe', 'cs_' || unique_part, 1, 'paid', 'topup_paid', 'evt_' || unique_part, log_id, at
    FROM made
), moved AS (
    INSERT INTO ledger_transaction (source, movement, money_object, event_id, log_id, posted_at)
    SELECT 'stripe', 'topup', 'cs_' || unique_part, 'evt_' || unique_part, log_id, at
    FROM made
    RETURNING id, money_object
)
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
SELECT m.id, leg.account_id, 'credit', leg.amount
FROM moved m JOIN made ON m.money_object = 'cs_' || made.unique_part
CROSS JOIN LATERAL (VALUES (made.account_id, 250), ('system:credits_issued', -250)) AS leg (account_id, amount);

-- name: fill_balances
-- What the ledger's trigger would have booked.
INSERT INTO balance (account_id, unit, amount)
SELECT account_id, unit, sum(amount) FROM ledger_posting GROUP BY account_id, unit;

-- name: fill_waiting
-- What waits for a person at the end of the last day: as much in each database, because persons are as many.
WITH waiting AS (
    SELECT source, event_id FROM webhook_event
    WHERE log_id >= first_log_id($1) AND received_at >= $1 ORDER BY log_id DESC LIMIT 50
), parked AS (
    UPDATE webhook_event e SET state = 'quarantined', reason = 'amount_mismatch', applied_at = NULL
    FROM waiting w WHERE e.source = w.source AND e.event_id = w.event_id
)
INSERT INTO alert (name, subject) SELECT 'event_quarantined', source || ':' || event_id FROM waiting;

-- name: fill_runs
-- A reconcile run each hour of $1 days, with what it found, one delivery in ten thousand being missing, and, for as long as
-- that is kept, with what it measured of the hour before it.
WITH run AS (
    INSERT INTO reconcile_run (id, requested_by, phases, status, started_at, picked_up_at, finished_at, counts)
    SELECT gen_random_uuid(), 'timer', '{events}', 'succeeded', at, at, at, '{"completeness": {"stripe": 1}}'
    FROM (SELECT $3::timestamptz - g * interval '1 hour' AS at FROM generate_series(1, $1::integer * 24) g) hours
    ORDER BY at
    RETURNING id, finished_at
), per_hour AS (
    SELECT greatest(1, $2::integer / ($1::integer * 24) / 3) AS events
), measure AS (
    INSERT INTO completeness_measure (run_id, source, since, until, in_time_s, begun, types, measured_at)
    SELECT id, 'stripe', extract(epoch FROM finished_at)::bigint - 3600, extract(epoch FROM finished_at)::bigint, 60, true,
           (SELECT jsonb_object_agg(event_type, jsonb_build_array(events, events))
            FROM unnest('{invoice.paid,customer.updated,charge.succeeded}'::text[]) AS event_type),
           finished_at
    FROM run, per_hour WHERE finished_at >= $3::timestamptz - interval '30 days' ORDER BY finished_at
)
INSERT INTO reconcile_finding (run_id, source, class, object_id, repaired)
SELECT id, 'stripe', 'missing_event', 'evt_' || g, true
FROM run, generate_series(1, greatest(1, $2::integer / 10000 / ($1::integer * 24))) g;

-- name: count_day
-- The roll-up of one past day, by the product's own function.
SELECT rollup_count($1, $2);

-- name: days_are_counted
-- The product counts on from here.
UPDATE rollup_progress SET rolled_until = $1;

-- name: settle_counts
-- The same for what was counted.
VACUUM (ANALYZE) delivery_minute, wait_minute;

-- name: a_day_of_throughput
-- What a dashboard draws of one day.
SELECT minute, sum(deliveries) AS deliveries FROM audit.throughput_minute
WHERE minute >= $1 AND minute < $2 GROUP BY minute ORDER BY minute;

-- name: a_run
-- Some reconcile run.
SELECT id FROM reconcile_run ORDER BY seq DESC LIMIT 1;

-- name: a_delivery
-- Some delivery of the last day, to be looked up.
SELECT id, event_id, object_id FROM webhook_log WHERE verdict = 'ok' AND received_at >= $1 ORDER BY id LIMIT 1 OFFSET 100;

-- name: a_purchase
-- Some purchase of the past, to be explained, by a customer who has ten.
SELECT min(id) AS id, account_id FROM checkout_session
WHERE account_id IN (SELECT account_id FROM checkout_session ORDER BY id LIMIT 1000)
GROUP BY account_id HAVING count(*) = 10 ORDER BY account_id LIMIT 1;

-- name: count_pages_now
-- Makes this session's own count of pages current when the statement ends.
SELECT pg_stat_force_next_flush();

-- name: pages_looked_at
-- How many pages this session has looked at, found in memory or read.
SELECT coalesce(sum(hits + reads), 0)::bigint FROM pg_stat_get_backend_io(pg_backend_pid()) WHERE object = 'relation';

-- name: delete_day
-- What retention costs without partitions: a batch of one day's rows, by DELETE.
DELETE FROM webhook_log WHERE (id, received_at) IN (
    SELECT id, received_at FROM webhook_log WHERE received_at >= $1 AND received_at < $2 LIMIT $3);
