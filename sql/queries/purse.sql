-- What customers' endpoints do to money, through the functions made for it, and what moved on an account.

-- name: grant_usdc
-- Grants once per operation, and tells what it became.
SELECT transaction_id, posted_at, balance FROM grant_usdc($1, $2, $3, $4);

-- name: hold_credits
-- Holds credits for a spend; false: the balance, less what is held already, does not allow it.
SELECT hold_credits($1, $2, $3);

-- name: read_spend
-- A spend, or its reversal, of an account as it was posted: what it moved, and the balance of now.
SELECT t.id, t.posted_at, p.amount AS moved, b.amount
FROM ledger_transaction t
JOIN ledger_posting p ON p.transaction_id = t.id AND p.account_id = $4 AND p.unit = 'credit'
JOIN balance b ON b.account_id = p.account_id AND b.unit = p.unit
WHERE t.source = $1 AND t.movement = $2 AND t.money_object = $3;

-- name: reversal_said
-- The id of the one reversal of a spend that was said, as its event's object.
SELECT object_id FROM webhook_event WHERE source = $1 AND event_id = $2;

-- name: postings_of_account
-- Postings of one account, newest first, each with its cause; from below a place in that order, where one is given.
SELECT p.transaction_id, p.unit, u.exponent, p.amount, t.movement, t.source, t.money_object, t.posted_at, t.event_id,
       e.event_type
FROM (
    SELECT transaction_id, unit, amount FROM ledger_posting
    WHERE account_id = $1 AND (transaction_id, unit) < ($2::bigint, $3::text)
    ORDER BY transaction_id DESC, unit DESC
    LIMIT $4
) p
JOIN unit u ON u.code = p.unit
JOIN ledger_transaction t ON t.id = p.transaction_id
LEFT JOIN webhook_event e ON e.source = t.source AND e.event_id = t.event_id
ORDER BY p.transaction_id DESC, p.unit DESC;
