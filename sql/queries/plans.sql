-- Subscriptions that we run ourselves, each with the invoice of its payment, which has the subscription's id.

-- name: lock_plan_subscriptions
-- Named by their own id or by their payment.
SELECT s.source, s.id, s.account_id, s.plan_id, s.payment_status, s.version, i.amount_due_minor AS amount_minor,
       i.currency, i.payment_id, i.version AS invoice_version
FROM subscription s
JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.origin = 'ours' AND s.id = ANY(
    $1::text[] || ARRAY(SELECT id FROM subscription_invoice WHERE payment_id = ANY($2::text[]) AND origin = 'ours'))
ORDER BY s.source, s.id
FOR NO KEY UPDATE OF s, i;

-- name: insert_plan_subscriptions
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO subscription (source, id, origin, status, account_id, plan_id, payment_status, version)
SELECT source, id, 'ours', status, account_id, plan_id, payment_status, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[])
    AS s (source, id, status, account_id, plan_id, payment_status, version)
ORDER BY source, id;

-- name: update_plan_subscriptions
-- Changed ones; their rows are locked since they were loaded.
UPDATE subscription c SET status = s.status, payment_status = s.payment_status, version = s.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[])
    AS s (source, id, status, payment_status, version)
WHERE c.source = s.source AND c.id = s.id;

-- name: insert_plan_invoices
-- The invoices of new ones.
INSERT INTO subscription_invoice (
    source, id, subscription_id, origin, payment_id, status, amount_due_minor, amount_paid_minor, currency, paid_at,
    version)
SELECT source, id, id, 'ours', payment_id, status, amount_minor, CASE WHEN status = 'paid' THEN amount_minor ELSE 0 END,
       currency, CASE WHEN status = 'paid' THEN now() END, version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::integer[])
    AS i (source, id, payment_id, status, amount_minor, currency, version)
ORDER BY source, id;

-- name: update_plan_invoices
-- Changed ones; when an invoice was first paid stays as it is for as long as it is paid.
UPDATE subscription_invoice c
SET payment_id = i.payment_id, status = i.status, version = i.version,
    amount_paid_minor = CASE WHEN i.status = 'paid' THEN c.amount_due_minor ELSE 0 END,
    paid_at = CASE WHEN i.status = 'paid' THEN coalesce(c.paid_at, now()) END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[])
    AS i (source, id, payment_id, status, version)
WHERE c.source = i.source AND c.id = i.id;
