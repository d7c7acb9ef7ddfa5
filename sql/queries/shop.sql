-- What customers read of their orders and subscriptions, and what these let them use.

-- name: read_order
-- An order by our own id; the same id under two sources was never ours, and the first of them will do.
SELECT o.source, o.id, o.buyer_id, o.seller_id, o.amount_minor, o.currency, o.seller_amount_minor, o.licences, o.payment_id,
       o.status, t.rule AS reason, o.created_at, o.completed_at
FROM orders o
JOIN state_transition t ON t.kind = 'order' AND t.source = o.source AND t.object_id = o.id AND t.seq = o.version
WHERE o.id = $1 ORDER BY o.source LIMIT 1;

-- name: refunds_of_order
-- Its refunds, oldest first.
SELECT id, status, amount_minor FROM refund
WHERE source = $1 AND owner_kind = 'order' AND owner_id = $2 ORDER BY created_at, id;

-- name: subscriptions_of_account
-- Every subscription of an account, ours and a PSP's, newest first.
SELECT s.source, s.id, s.origin = 'ours' AS ours, coalesce(s.plan_id, s.price_id) AS plan_id, s.status, s.amount_minor,
       s.currency, extract(epoch FROM s.trial_end)::bigint AS trial_ends_at, i.payment_id, s.created_at
FROM subscription s
LEFT JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.account_id = $1
ORDER BY s.created_at DESC, s.id DESC;

-- name: licences_of_account
-- The products that an account may use because of its orders.
SELECT DISTINCT product FROM license WHERE account_id = $1 AND status = 'active' ORDER BY product;

-- name: take_trial
-- An account's one trial, for the subscription that is first; who comes at the same time waits and is second.
INSERT INTO trial (account_id, subscription_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: has_trial
-- Whether the account's one trial is this subscription's.
SELECT EXISTS (SELECT FROM trial WHERE account_id = $1 AND subscription_id = $2);
