-- Subscriptions that we run ourselves, each with the invoice of its payment, which has the subscription's id.

-- name: lock_plan_subscriptions
-- Named by their own id or by their payment.
SELECT s.source, s.id, s.account_id, s.plan_id, s.amount_minor, s.currency, s.payment_status, s.version,
       extract(epoch FROM s.trial_end)::bigint AS trial_ends_at, i.payment_id, i.version AS invoice_version
FROM subscription s
LEFT JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.origin = 'ours' AND s.id = ANY(
    $1::text::text[] || ARRAY(SELECT id FROM subscription_invoice WHERE payment_id = ANY($2::text::text[]) AND origin = 'ours'))
ORDER BY s.source, s.id
FOR NO KEY UPDATE OF s;

-- name: insert_plan_subscriptions
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO subscription (
    source, id, origin, status, account_id, plan_id, amount_minor, currency, trial_end, payment_status, version)
SELECT source, id, 'ours', status, account_id, plan_id, amount_minor, currency, to_timestamp(trial_ends_at),
       payment_status, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[],
            $9::text[], $10::integer[])
    AS s (source, id, status, account_id, plan_id, amount_minor, currency, trial_ends_at, payment_status, version)
ORDER BY source, id;

-- name: update_plan_subscriptions
-- Changed ones; their rows are locked since they were loaded.
UPDATE subscription c SET status = s.status, payment_status = s.payment_status, version = s.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[])
    AS s (source, id, status, payment_status, version)
WHERE c.source = s.source AND c.id = s.id;

-- name: put_plan_invoices
-- Their invoices, which change with them only. When one was first paid stays as it is for as long as it is paid.
INSERT INTO subscription_invoice AS c (
    source, id, subscription_id, origin, payment_id, status, amount_due_minor, amount_paid_minor, currency, paid_at,
    version)
SELECT source, id, id, 'ours', payment_id, status, amount_minor, CASE WHEN status = 'paid' THEN amount_minor ELSE 0 END,
       currency, CASE WHEN status = 'paid' THEN now() END, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::integer[])
    AS i (source, id, payment_id, status, amount_minor, currency, version)
ORDER BY source, id
ON CONFLICT (source, id) DO UPDATE
SET payment_id = excluded.payment_id, status = excluded.status, version = excluded.version,
    amount_paid_minor = excluded.amount_paid_minor,
    paid_at = CASE WHEN excluded.status = 'paid' THEN coalesce(c.paid_at, now()) END;
