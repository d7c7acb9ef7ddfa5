-- Mirrored subscriptions with their invoices. Every load locks, in this order: subscriptions, invoices; within each by
-- source and id.

-- name: lock_subscriptions
-- Subscriptions named by their own id; the columns besides `versions` are made from it.
SELECT source, id, status, versions, version
FROM subscription
WHERE id = ANY($1::text::text[]) AND origin = 'psp'
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: lock_invoices
-- Invoices named by their own id or by their payment.
SELECT source, id, subscription_id, currency, payment_id, versions, version
FROM subscription_invoice
WHERE (id = ANY($1::text::text[]) OR payment_id = ANY($2::text::text[])) AND origin = 'psp'
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
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[], $8::text::boolean[],
            $9::text::bigint[], $10::text::bigint[], $11::text::bigint[], $12::text::bigint[], $13::text::bigint[], $14::text::text[], $15::text::bigint[],
            $16::text::text[], $17::text::boolean[], $18::text::boolean[], $19::text::integer[])
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
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[], $8::text::boolean[],
            $9::text::bigint[], $10::text::bigint[], $11::text::bigint[], $12::text::bigint[], $13::text::bigint[], $14::text::text[], $15::text::bigint[],
            $16::text::text[], $17::text::boolean[], $18::text::boolean[], $19::text::integer[])
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
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::bigint[], $8::text::bigint[],
            $9::text::bigint[], $10::text::bigint[], $11::text::bigint[], $12::text::text[], $13::text::boolean[], $14::text::integer[])
    AS i (source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor,
          attempt_count, paid_at, psp_second, versions, ambiguous, version)
ORDER BY source, id;

-- name: update_invoices
-- Changed invoices; their rows are locked since they were loaded. What they belong to never changes.
UPDATE subscription_invoice c
SET payment_id = i.payment_id, status = i.status, amount_due_minor = i.amount_due_minor,
    amount_paid_minor = i.amount_paid_minor, attempt_count = i.attempt_count, paid_at = to_timestamp(i.paid_at),
    psp_second = i.psp_second, versions = i.versions::jsonb, ambiguous = i.ambiguous, version = i.version
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::bigint[], $8::text::bigint[],
            $9::text::bigint[], $10::text::bigint[], $11::text::bigint[], $12::text::text[], $13::text::boolean[], $14::text::integer[])
    AS i (source, id, subscription_id, currency, payment_id, status, amount_due_minor, amount_paid_minor,
          attempt_count, paid_at, psp_second, versions, ambiguous, version)
WHERE c.source = i.source AND c.id = i.id;
