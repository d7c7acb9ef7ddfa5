-- Mirrored subscriptions with their invoices. Every load locks, in this order: subscriptions, invoices; within each by
-- source and id.

-- name: lock_subscriptions
-- Subscriptions named by their own id; the columns besides `versions` are made from it.
SELECT source, id, status, versions, version
FROM subscription
WHERE id = ANY($1::text[]) AND origin = 'psp'
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: lock_invoices
-- Invoices named by their own id or by their payment.
SELECT source, id, subscription_id, currency, payment_id, versions, version
FROM subscription_invoice
WHERE (id = ANY($1::text[]) OR payment_id = ANY($2::text[])) AND origin = 'psp'
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: insert_subscriptions
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO subscription (
    source, id, status, psp_status, customer_id, account_id, price_id, cancel_at_period_end, current_period_start,
    current_period_end, trial_end, canceled_at, ended_at, latest_invoice_id, psp_second, versions, deleted, ambiguous,
    version)
SELECT source, id, status, psp_status, customer_id, account_id, price_id, cancel_at_period_end,
       to_timestamp(current_period_start), to_timestamp(current_period_end), to_timestamp(trial_end),
       to_timestamp(canceled_at), to_timestamp(ended_at), latest_invoice_id, psp_second, versions::jsonb, deleted,
       ambiguous, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
            $16::text[], $17::boolean[], $18::boolean[], $19::integer[])
    AS s (source, id, status, psp_status, customer_id, account_id, price_id, cancel_at_period_end,
          current_period_start, current_period_end, trial_end, canceled_at, ended_at, latest_invoice_id, psp_second,
          versions, deleted, ambiguous, version)
ORDER BY source, id;

-- name: update_subscriptions
-- Changed subscriptions; their rows are locked since they were loaded.
UPDATE subscription c
SET status = s.status, psp_status = s.psp_status, customer_id = s.customer_id, account_id = s.account_id,
    price_id = s.price_id, cancel_at_period_end = s.cancel_at_period_end,
    current_period_start = to_timestamp(s.current_period_start),
    current_period_end = to_timestamp(s.current_period_end), trial_end = to_timestamp(s.trial_end),
    canceled_at = to_timestamp(s.canceled_at), ended_at = to_timestamp(s.ended_at),
    latest_invoice_id = s.latest_invoice_id, psp_second = s.psp_second, versions = s.versions::jsonb,
    deleted = s.deleted, ambiguous = s.ambiguous, version = s.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
            $16::text[], $17::boolean[], $18::boolean[], $19::integer[])
    AS s (source, id, status, psp_status, customer_id, account_id, price_id, cancel_at_period_end,
          current_period_start, current_period_end, trial_end, canceled_at, ended_at, latest_invoice_id, psp_second,
          versions, deleted, ambiguous, version)
WHERE c.source = s.source AND c.id = s.id;

-- name: insert_invoices
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO subscription_invoice (
    source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor, attempt_count,
    paid_at, psp_second, versions, ambiguous, version)
SELECT source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor, attempt_count,
       to_timestamp(paid_at), psp_second, versions::jsonb, ambiguous, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::boolean[], $14::integer[])
    AS i (source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor,
          attempt_count, paid_at, psp_second, versions, ambiguous, version)
ORDER BY source, id;

-- name: update_invoices
-- Changed invoices; their rows are locked since they were loaded. What they belong to never changes.
UPDATE subscription_invoice c
SET payment_id = i.payment_id, status = i.status, amount_due_minor = i.amount_due_minor,
    amount_paid_minor = i.amount_paid_minor, attempt_count = i.attempt_count, paid_at = to_timestamp(i.paid_at),
    psp_second = i.psp_second, versions = i.versions::jsonb, ambiguous = i.ambiguous, version = i.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::boolean[], $14::integer[])
    AS i (source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor,
          attempt_count, paid_at, psp_second, versions, ambiguous, version)
WHERE c.source = i.source AND c.id = i.id;
