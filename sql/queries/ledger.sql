-- The ledger: post, and read balances.

-- name: post_movements
-- Posts movements of money with all their legs; the ledger's trigger proves the sums and books the balances.
WITH movement AS (
    SELECT * FROM unnest($1::text::integer[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[], $7::text::text[],
                         $12::text::bigint[])
        AS m (ordinal, source, movement, money_object, event_id, log_id, actor, moved_at)
), posted AS (
    INSERT INTO ledger_transaction (source, movement, money_object, event_id, log_id, actor, moved_at)
    SELECT source, movement, money_object, event_id, log_id, actor, moved_at FROM movement
    ORDER BY money_object, movement, source, moved_at
    RETURNING id, source, movement, money_object, moved_at
)
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
SELECT p.id, leg.account_id, leg.unit, leg.amount
FROM unnest($8::text::integer[], $9::text::text[], $10::text::text[], $11::text::bigint[]) AS leg (ordinal, account_id, unit, amount)
JOIN movement m ON m.ordinal = leg.ordinal
JOIN posted p ON p.money_object = m.money_object AND p.movement = m.movement AND p.source = m.source
              AND p.moved_at = m.moved_at;

-- name: negative_balances
-- Which of these customers are below zero, and by how much.
SELECT b.account_id, b.unit, b.amount FROM balance b JOIN account a ON a.id = b.account_id
WHERE b.account_id = ANY($1::text::text[]) AND b.below_zero AND a.kind = 'customer'
ORDER BY b.account_id, b.unit;
