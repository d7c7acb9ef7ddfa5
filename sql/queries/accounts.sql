-- What customers read about their own money.

-- name: read_credits
-- Credits of a customer: what is left, and what was ever granted less what refunds and disputes took back.
SELECT coalesce(b.amount, 0) AS remaining,
       (SELECT coalesce(sum(p.amount), 0)::bigint
        FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id
        WHERE p.account_id = k.id AND p.unit = 'credit' AND t.movement IN (
            'topup', 'grant', 'refund_clawback', 'refund_give_back', 'dispute_clawback', 'dispute_give_back')) AS total,
       coalesce(b.updated_at, a.created_at) AS changed_at,
       EXISTS (SELECT FROM subscription s WHERE s.account_id = k.id AND s.status = ANY($2::text[])
                 -- A PSP ends its trials by itself; nobody tells us of the end of ours.
                 AND NOT (s.origin = 'ours' AND s.status = 'trialing' AND s.trial_end <= now())) AS is_pro
FROM (SELECT $1::text AS id) k
LEFT JOIN account a ON a.id = k.id AND a.kind = 'customer'
LEFT JOIN balance b ON b.account_id = a.id AND b.unit = 'credit';

-- name: read_usdc
-- The prepaid balance of a customer.
SELECT b.amount, u.exponent, b.created_at, b.updated_at
FROM balance b JOIN unit u ON u.code = b.unit
WHERE b.account_id = $1 AND b.unit = 'usdc';

-- name: open_customer
-- Makes the account of a customer who asks for the first time; whoever else is first does no harm.
INSERT INTO account (id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: open_usdc
-- Makes the empty prepaid balance likewise.
INSERT INTO balance (account_id, unit) VALUES ($1, 'usdc') ON CONFLICT DO NOTHING;
