-- Money and state invariants. Each query returns the rows that break it: none, at any time between transactions.
-- They run after every integration test, in `GET /ops/status`, and by the reconciler. The number of each is that of the
-- faults that it is after; some of them are proved better by the sender's or the PSP's own books, which the tests have.

-- name: balance_is_sum_of_postings
-- I12.
SELECT account_id, unit FROM balance b
LEFT JOIN (SELECT account_id, unit, sum(amount) AS total FROM ledger_posting GROUP BY 1, 2) p USING (account_id, unit)
WHERE b.amount <> coalesce(p.total, 0);

-- name: every_posting_has_a_balance
-- I13.
SELECT DISTINCT p.account_id, p.unit FROM ledger_posting p
LEFT JOIN balance b USING (account_id, unit) WHERE b.account_id IS NULL;

-- name: transactions_balance
-- I14: each transaction sums to zero in each unit, with two legs at least.
SELECT transaction_id, unit FROM ledger_posting GROUP BY 1, 2 HAVING sum(amount) <> 0 OR count(*) < 2;

-- name: transactions_have_postings
-- I14: and moves something.
SELECT t.id FROM ledger_transaction t WHERE NOT EXISTS (SELECT FROM ledger_posting p WHERE p.transaction_id = t.id);

-- name: units_sum_to_zero
-- I23, inside: nothing of a unit appeared or vanished.
SELECT unit FROM balance GROUP BY unit HAVING sum(amount) <> 0;

-- name: paid_purchases_credited_once
-- I15.
SELECT c.source, c.id FROM checkout_session c
LEFT JOIN ledger_transaction t ON t.source = c.source AND t.money_object = c.id AND t.movement = 'topup'
LEFT JOIN ledger_posting p ON p.transaction_id = t.id AND p.account_id = c.account_id AND p.unit = 'credit'
WHERE c.status = 'paid'
GROUP BY c.source, c.id, c.credits HAVING count(p.transaction_id) <> 1 OR sum(p.amount) <> c.credits;

-- name: no_topup_without_a_paid_purchase
-- I17 of purchases.
SELECT t.id FROM ledger_transaction t
WHERE t.movement = 'topup' AND NOT EXISTS (
    SELECT FROM checkout_session c WHERE c.source = t.source AND c.id = t.money_object AND c.status = 'paid');

-- name: credits_taken_is_in_proportion
-- I20 of purchases: what was taken back is the share of what was given back.
SELECT c.source, c.id FROM checkout_session c
LEFT JOIN given_back g ON g.source = c.source AND g.owner_kind = 'checkout_session' AND g.owner_id = c.id
WHERE c.credits_taken <> CASE WHEN c.amount_minor = 0 THEN 0
                              ELSE div(c.credits * coalesce(g.amount_minor, 0), c.amount_minor) END;

-- name: credits_taken_is_posted
-- I20 of purchases: and was posted under the refunds and disputes.
SELECT c.source, c.id FROM checkout_session c
LEFT JOIN (
    SELECT r.source, r.owner_id, p.account_id, -sum(p.amount) AS amount
    FROM reversal r
    JOIN ledger_transaction t ON t.source = r.source AND t.money_object = r.id
    JOIN ledger_posting p ON p.transaction_id = t.id AND p.unit = 'credit'
    WHERE r.owner_kind = 'checkout_session'
    GROUP BY 1, 2, 3
) posted ON posted.source = c.source AND posted.owner_id = c.id AND posted.account_id = c.account_id
WHERE c.credits_taken <> coalesce(posted.amount, 0);

-- name: refunds_never_exceed_payment
-- I19. A pending refund may still fail, and its failure be late; what stands is what succeeded.
SELECT p.source, p.kind, p.id FROM paid_object p
JOIN refund r ON r.source = p.source AND r.owner_kind = p.kind AND r.owner_id = p.id AND r.status = 'succeeded'
GROUP BY p.source, p.kind, p.id, p.amount_minor HAVING sum(r.amount_minor) > p.amount_minor;

-- name: state_is_last_transition
-- I27.
SELECT k.kind, k.source, k.id FROM (
    SELECT 'checkout_session' AS kind, source, id, status, version FROM checkout_session
    UNION ALL SELECT 'refund', source, id, status, version FROM refund
    UNION ALL SELECT 'dispute', source, id, status, version FROM dispute
    UNION ALL SELECT 'order', source, id, status, version FROM orders
    UNION ALL SELECT 'license', source, order_id || ':' || product, status, version FROM license
    UNION ALL SELECT 'transfer', source, id, status, version FROM seller_transfer
    UNION ALL SELECT 'subscription', source, id, status, version FROM subscription
    UNION ALL SELECT 'subscription_invoice', source, id, status, version FROM subscription_invoice
) k
LEFT JOIN state_transition t ON t.kind = k.kind AND t.source = k.source AND t.object_id = k.id AND t.seq = k.version
WHERE t.to_state IS DISTINCT FROM k.status;

-- name: subscription_state_is_explained
-- I30 of subscriptions: by payment, or by its latest version and the payment of its invoice.
SELECT s.source, s.id FROM subscription s
LEFT JOIN subscription_invoice i ON i.source = s.source AND i.id = s.latest_invoice_id AND i.subscription_id = s.id
WHERE s.status <> CASE
    WHEN s.origin = 'ours' THEN CASE
        WHEN s.payment_status = 'succeeded' THEN 'active' WHEN s.payment_status = 'reversed' THEN 'expired'
        WHEN s.amount_minor = 0 THEN 'active' WHEN s.trial_end IS NOT NULL THEN 'trialing'
        WHEN s.payment_status = 'pending' THEN 'pending_payment' ELSE 'expired' END
    WHEN NOT s.deleted AND s.psp_status IN ('pending_payment', 'past_due', 'expired')
         AND i.status = 'paid' AND i.paid_at >= to_timestamp(s.psp_second) THEN 'active'
    ELSE s.psp_status END
UNION ALL
SELECT i.source, i.id FROM subscription_invoice i
JOIN subscription s ON s.source = i.source AND s.id = i.id AND s.origin = 'ours'
WHERE i.origin = 'ours' AND (i.status, i.amount_paid_minor) IS DISTINCT FROM (
    CASE s.payment_status WHEN 'pending' THEN 'open' WHEN 'succeeded' THEN 'paid' WHEN 'reversed' THEN 'void'
        ELSE 'uncollectible' END,
    CASE s.payment_status WHEN 'succeeded' THEN i.amount_due_minor ELSE 0 END);

-- name: transitions_chain
-- I27: a journal without a gap or a branch.
SELECT kind, source, object_id, seq FROM (
    SELECT kind, source, object_id, seq, from_state,
           lag(to_state) OVER w AS previous_state, lag(seq) OVER w AS previous_seq
    FROM state_transition WINDOW w AS (PARTITION BY kind, source, object_id ORDER BY seq)
) t
WHERE from_state IS DISTINCT FROM previous_state OR seq <> coalesce(previous_seq, 0) + 1;

-- name: only_allowed_transitions
-- I25.
SELECT t.kind, t.source, t.object_id, t.seq FROM state_transition t
WHERE NOT EXISTS (
    SELECT FROM allowed_transition a
    WHERE a.kind = t.kind AND coalesce(a.from_state, '') = coalesce(t.from_state, '') AND a.to_state = t.to_state)
  -- What is mirrored follows its PSP, under a rule of that name, and may change its details and stay in its state.
  AND NOT EXISTS (SELECT FROM correction_rule c WHERE c.kind = t.kind AND (c.rule = t.rule OR t.from_state = t.to_state));

-- name: terminal_states_never_leave
-- I26.
SELECT t.kind, t.source, t.object_id, t.seq FROM state_transition t
JOIN (
    SELECT kind, to_state AS state FROM allowed_transition EXCEPT SELECT kind, from_state FROM allowed_transition
) terminal ON terminal.kind = t.kind AND terminal.state = t.from_state
WHERE t.to_state <> t.from_state
  AND NOT EXISTS (SELECT FROM correction_rule c WHERE c.kind = t.kind AND c.rule = t.rule);

-- name: applied_events_have_an_effect
-- I10: an applied event has an effect: it moves something, or wants it moved.
SELECT e.source, e.event_id FROM webhook_event e
WHERE e.state = 'applied'
  AND NOT EXISTS (SELECT FROM state_transition t WHERE t.log_id = e.log_id AND t.event_id = e.event_id)
  AND NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.log_id = e.log_id AND t.event_id = e.event_id)
  AND NOT EXISTS (SELECT FROM outbox_effect o WHERE o.log_id = e.log_id AND o.event_id = e.event_id);

-- name: verified_deliveries_have_an_event
-- I7.
SELECT l.id FROM webhook_log l
WHERE l.verdict = 'ok' AND NOT EXISTS (
    SELECT FROM webhook_event e WHERE e.source = l.source AND e.event_id = l.event_id);

-- name: quarantine_is_explained
-- I9.
SELECT e.source, e.event_id FROM webhook_event e
WHERE e.state = 'quarantined' AND (e.reason IS NULL OR NOT EXISTS (
    SELECT FROM alert a WHERE a.name = 'event_quarantined' AND a.subject = e.source || ':' || e.event_id
                          AND a.resolved_at IS NULL));

-- name: events_take_effect_once
-- I10: whatever an event did, one delivery of it did.
SELECT source, event_id FROM (
    SELECT source, event_id, log_id FROM state_transition WHERE log_id IS NOT NULL
    UNION SELECT source, event_id, log_id FROM ledger_transaction WHERE log_id IS NOT NULL
) effect
GROUP BY source, event_id HAVING count(*) > 1;

-- name: one_event_one_body
-- I11: bodies of one event that tell different things are flagged, or about to be judged.
SELECT l.source, l.event_id FROM webhook_log l
JOIN (
    SELECT source, event_id FROM webhook_log WHERE verdict = 'ok'
    GROUP BY source, event_id HAVING count(DISTINCT body_sha256) > 1
) several USING (source, event_id)
WHERE l.verdict = 'ok'
  AND NOT EXISTS (SELECT FROM webhook_event e WHERE e.source = l.source AND e.event_id = l.event_id AND e.conflict)
  AND NOT EXISTS (SELECT FROM webhook_redelivery r WHERE r.source = l.source AND r.event_id = l.event_id)
GROUP BY l.source, l.event_id HAVING count(DISTINCT event_told(l.body)) > 1;

-- name: paid_because_a_delivery_said_so
-- I16, as far as our own books tell: what is paid here became so by an event that we hold.
SELECT k.kind, k.source, k.id FROM (
    SELECT 'checkout_session' AS kind, source, id, 'paid' AS state FROM checkout_session WHERE status = 'paid'
    UNION ALL SELECT 'order', source, id, 'completed' FROM orders WHERE payment_status = 'succeeded'
    UNION ALL SELECT 'subscription', source, id, 'active' FROM subscription
              WHERE origin = 'ours' AND payment_status = 'succeeded'
) k
WHERE NOT EXISTS (
    SELECT FROM state_transition t
    WHERE t.kind = k.kind AND t.source = k.source AND t.object_id = k.id AND t.to_state = k.state
      AND t.log_id IS NOT NULL);

-- name: movements_have_their_object
-- I17: nothing moved without an order, refund, dispute or transfer that wants it; what was spent is held no longer, and what
-- was given back of it is what was spent, on the same account.
SELECT t.id FROM ledger_transaction t
WHERE CASE
    WHEN t.movement = 'sale' THEN NOT EXISTS (
        SELECT FROM orders o
        WHERE o.source = t.source AND o.id = t.money_object AND o.payment_status IN ('succeeded', 'reversed'))
    WHEN t.movement = 'spend' THEN t.log_id IS NULL OR EXISTS (SELECT FROM credit_hold h WHERE h.spend_id = t.money_object)
    WHEN t.movement = 'spend_reversal' THEN NOT EXISTS (
        SELECT FROM ledger_transaction s
        JOIN ledger_posting p ON p.transaction_id = s.id
        JOIN ledger_posting r ON r.transaction_id = t.id AND r.account_id = p.account_id AND r.unit = p.unit
        WHERE s.source = t.source AND s.money_object = t.money_object AND s.movement = 'spend' AND r.amount = -p.amount)
    WHEN t.movement = 'sale_reversal' THEN NOT EXISTS (
        SELECT FROM orders o
        WHERE o.source = t.source AND o.id = t.money_object AND o.payment_status = 'reversed')
    WHEN t.movement LIKE 'refund%' THEN NOT EXISTS (
        SELECT FROM refund r WHERE r.source = t.source AND r.id = t.money_object)
    WHEN t.movement LIKE 'dispute%' THEN NOT EXISTS (
        SELECT FROM dispute d WHERE d.source = t.source AND d.id = t.money_object)
    WHEN t.movement LIKE 'transfer%' THEN NOT EXISTS (
        SELECT FROM seller_transfer s
        WHERE s.source = t.source AND s.id = regexp_replace(t.money_object, ':[0-9]+$', ''))
    ELSE false END;

-- name: below_zero_is_alarmed
-- I18: a clawback may take a customer below zero, and somebody was told.
SELECT b.account_id, b.unit FROM balance b
JOIN account a ON a.id = b.account_id AND a.kind = 'customer'
WHERE b.below_zero
  AND EXISTS (
      SELECT FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id
      WHERE p.account_id = b.account_id AND p.unit = b.unit AND p.amount < 0 AND t.log_id IS NOT NULL)
  AND NOT EXISTS (SELECT FROM alert l WHERE l.name = 'negative_balance' AND l.subject = b.account_id);

-- name: orders_sold_once
-- I15 of orders: a sale is posted once, with seller, house and PSP as agreed; a voided one and its sale cancel out.
SELECT o.source, o.id FROM orders o
LEFT JOIN (
    SELECT t.source, t.money_object, t.movement, p.unit,
           coalesce(sum(p.amount) FILTER (WHERE p.account_id = 'system:psp_clearing'), 0) AS cleared,
           coalesce(sum(p.amount) FILTER (WHERE p.account_id = 'system:platform_fees'), 0) AS kept,
           jsonb_object_agg(p.account_id, p.amount) AS legs
    FROM ledger_transaction t JOIN ledger_posting p ON p.transaction_id = t.id
    WHERE t.movement IN ('sale', 'sale_reversal')
    GROUP BY 1, 2, 3, 4
) s ON s.source = o.source AND s.money_object = o.id
WHERE o.amount_minor > 0
GROUP BY o.source, o.id
HAVING count(s.movement) FILTER (WHERE s.movement = 'sale')
           - count(s.movement) FILTER (WHERE s.movement = 'sale_reversal')
       <> CASE o.payment_status WHEN 'succeeded' THEN 1 ELSE 0 END
    OR count(s.movement) FILTER (WHERE s.movement = 'sale') > 1
    OR bool_or(s.unit <> o.currency)
    OR bool_or((s.cleared, s.kept, coalesce((s.legs ->> coalesce(o.seller_id, ''))::bigint, 0)) IS DISTINCT FROM (
           CASE s.movement WHEN 'sale' THEN -o.amount_minor ELSE o.amount_minor END,
           CASE s.movement WHEN 'sale' THEN 1 ELSE -1 END * (o.amount_minor - o.seller_amount_minor),
           CASE s.movement WHEN 'sale' THEN 1 ELSE -1 END * o.seller_amount_minor)) FILTER (WHERE s.movement IS NOT NULL);

-- name: order_reversed_is_what_went_back
-- I20 of orders: the sum of refunds that stand and of funds that disputes hold.
SELECT o.source, o.id FROM orders o
LEFT JOIN given_back g ON g.source = o.source AND g.owner_kind = 'order' AND g.owner_id = o.id
WHERE o.reversed_minor <> coalesce(g.amount_minor, 0);

-- name: order_reversals_posted_under_their_own_id
-- I20 of orders: each refund and dispute took exactly its amount through the PSP, or gave it back again.
SELECT r.source, r.id FROM reversal r
LEFT JOIN (
    SELECT t.source, t.money_object, split_part(t.movement, '_', 1) AS kind, p.unit, sum(p.amount) AS amount
    FROM ledger_transaction t
    JOIN ledger_posting p ON p.transaction_id = t.id AND p.account_id = 'system:psp_clearing'
    WHERE t.movement LIKE 'refund%' OR t.movement LIKE 'dispute%'
    GROUP BY 1, 2, 3, 4
) m ON m.source = r.source AND m.money_object = r.id AND m.kind = r.kind AND m.unit = r.currency
WHERE r.owner_kind = 'order' AND coalesce(m.amount, 0) <> CASE WHEN r.stands THEN r.amount_minor ELSE 0 END;

-- name: sellers_have_their_share
-- I20 of orders: a seller's net is their share, less its part of what was given back, rounded once over the sum.
SELECT o.source, o.id FROM orders o
LEFT JOIN (
    SELECT k.source, k.order_id, p.account_id, p.unit, sum(p.amount) AS amount
    FROM (
        SELECT source, id AS order_id, id AS money_object, 'sale' AS kind FROM orders
        UNION ALL SELECT source, owner_id, id, kind FROM reversal WHERE owner_kind = 'order'
    ) k
    JOIN ledger_transaction t ON t.source = k.source AND t.money_object = k.money_object
                             AND split_part(t.movement, '_', 1) = k.kind
    JOIN ledger_posting p ON p.transaction_id = t.id
    GROUP BY 1, 2, 3, 4
) m ON m.source = o.source AND m.order_id = o.id AND m.account_id = o.seller_id AND m.unit = o.currency
WHERE o.seller_id IS NOT NULL AND o.amount_minor > 0
  AND coalesce(m.amount, 0) <> CASE o.payment_status WHEN 'succeeded' THEN o.seller_amount_minor ELSE 0 END
                               - div(o.seller_amount_minor::numeric * o.reversed_minor, o.amount_minor);

-- name: transfers_are_posted
-- I20 of transfers: what went to the seller and what of it came back, each to the unit.
SELECT s.source, s.id FROM seller_transfer s
JOIN orders o ON o.source = s.source AND o.id = s.order_id
LEFT JOIN (
    SELECT t.source, regexp_replace(t.money_object, ':[0-9]+$', '') AS id, p.account_id, p.unit,
           coalesce(sum(p.amount) FILTER (WHERE t.movement = 'transfer'), 0) AS sent,
           coalesce(sum(p.amount) FILTER (WHERE t.movement = 'transfer_reversal'), 0) AS back
    FROM ledger_transaction t JOIN ledger_posting p ON p.transaction_id = t.id
    WHERE t.movement IN ('transfer', 'transfer_reversal')
    GROUP BY 1, 2, 3, 4
) m ON m.source = s.source AND m.id = s.id AND m.unit = s.currency AND m.account_id = o.seller_id
WHERE (coalesce(-m.sent, 0), coalesce(m.back, 0)) <> (s.amount_minor, s.reversed_minor);

-- name: clearing_is_what_moved
-- I23: what PSPs hold for us is what orders brought, less what was given back and what is with sellers.
WITH moved AS (
    SELECT currency, -amount_minor AS amount FROM orders WHERE payment_status = 'succeeded'
    UNION ALL SELECT currency, amount_minor FROM reversal WHERE owner_kind = 'order' AND stands
    UNION ALL SELECT currency, amount_minor - reversed_minor FROM seller_transfer
), due AS (
    SELECT currency AS unit, sum(amount) AS amount FROM moved GROUP BY 1
), held AS (
    SELECT unit, amount FROM balance WHERE account_id = 'system:psp_clearing'
)
SELECT unit FROM due FULL JOIN held USING (unit) WHERE coalesce(due.amount, 0) <> coalesce(held.amount, 0);

-- name: reversals_have_their_payment
-- I30 of refunds and disputes: what they give back is there, and was paid by the payment that they name.
SELECT r.source, r.kind, r.id FROM reversal r
LEFT JOIN paid_object p ON p.source = r.source AND p.kind = r.owner_kind AND p.id = r.owner_id
WHERE p.id IS NULL OR p.currency <> r.currency
   -- An invoice that a PSP runs may be paid anew by another payment, or be voided.
   OR p.kind <> 'subscription_invoice' AND (NOT p.is_paid OR p.payment_id IS DISTINCT FROM r.payment_id);

-- name: order_state_is_explained
-- I30 of orders: the state is what payment and refunds make it.
SELECT o.source, o.id FROM orders o
LEFT JOIN (
    SELECT source, owner_id, coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS refunded_minor,
           bool_or(status IN ('pending', 'requires_action')) AS is_open
    FROM refund WHERE owner_kind = 'order' GROUP BY 1, 2
) r ON r.source = o.source AND r.owner_id = o.id
WHERE (o.completed_at IS NULL) = (o.payment_status IN ('succeeded', 'reversed'))
   OR o.status <> CASE
    WHEN o.payment_status IN ('pending', 'failed') THEN o.payment_status
    WHEN o.payment_status IN ('canceled', 'reversed') THEN 'cancelled'
    WHEN o.amount_minor > 0 AND r.refunded_minor >= o.amount_minor THEN 'refunded'
    WHEN r.is_open THEN 'refund_pending'
    ELSE 'completed' END;

-- name: licence_follows_its_order
-- I30 of licences: all that were sold and no others, the buyer's while the order stands.
SELECT coalesce(sold.source, l.source) AS source, coalesce(sold.id, l.order_id) AS order_id FROM (
    SELECT source, id, buyer_id, unnest(licences) AS product,
           CASE WHEN status IN ('completed', 'refund_pending') THEN 'active' ELSE 'revoked' END AS status
    FROM orders WHERE payment_status IN ('succeeded', 'reversed')
) sold
FULL JOIN license l ON l.source = sold.source AND l.order_id = sold.id AND l.product = sold.product
WHERE (l.status, l.account_id) IS DISTINCT FROM (sold.status, sold.buyer_id);

-- name: transfer_state_is_explained
-- I30 of transfers: back when all has come back, on the way back while nothing of the order is left to its seller.
SELECT s.source, s.id FROM seller_transfer s
JOIN orders o ON o.source = s.source AND o.id = s.order_id
WHERE s.status <> 'permanently_failed' AND s.status <> CASE
    WHEN s.reversed_minor = s.amount_minor THEN 'reversed'
    WHEN o.status = 'refunded' OR o.payment_status = 'reversed' THEN 'reversal_pending'
    ELSE 'completed' END;

-- name: wanted_calls_are_staged
-- I21: what a state wants of the PSP stands in the outbox, a refund exactly once.
SELECT o.source, o.id FROM orders o
WHERE o.status = 'pending' AND o.payment_id IS NULL AND NOT EXISTS (
    SELECT FROM outbox_effect e WHERE e.source = o.source AND e.object_id = o.id AND e.kind = 'open_payment')
UNION ALL
SELECT s.source, s.id FROM subscription s JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id
WHERE s.origin = 'ours' AND s.status = 'pending_payment' AND i.payment_id IS NULL AND NOT EXISTS (
    SELECT FROM outbox_effect e WHERE e.source = s.source AND e.object_id = s.id AND e.kind = 'open_payment')
UNION ALL
SELECT s.source, s.id FROM seller_transfer s
WHERE s.status = 'reversal_pending' AND NOT EXISTS (
    SELECT FROM outbox_effect e
    WHERE e.source = s.source AND e.object_id = s.id AND e.kind = 'reverse_transfer')
UNION ALL
SELECT e.source, e.event_id FROM webhook_event e
WHERE e.source = 'sluice' AND e.event_type = 'refund.requested' AND e.state = 'applied' AND NOT EXISTS (
    SELECT FROM outbox_effect o WHERE o.log_id = e.log_id AND o.event_id = e.event_id AND o.kind = 'create_refund')
UNION ALL
SELECT source, object_id FROM outbox_effect WHERE kind = 'create_refund'
GROUP BY source, object_id HAVING count(*) > 1;

-- name: psp_objects_are_known_once
-- I21 and I22, as far as our own books tell: a refund that the PSP took on has its id here, under one refund only.
SELECT r.source, r.id FROM refund r
JOIN outbox_effect o ON o.source = r.source AND o.object_id = r.id AND o.kind = 'create_refund' AND o.state = 'done'
JOIN webhook_event e ON e.source = 'sluice' AND e.event_id = 'effect_' || o.id
WHERE e.event_type = 'refund.accepted' AND e.state IN ('applied', 'superseded') AND r.psp_id IS NULL
UNION ALL
SELECT r.source, r.id FROM refund r JOIN refund other ON other.source = r.source AND other.id = r.psp_id
UNION ALL
SELECT p.source, p.id FROM outbox_effect o
JOIN (SELECT source, id, payment_id FROM orders UNION ALL SELECT source, id, payment_id FROM subscription_invoice) p
    ON p.source = o.source AND p.id = o.object_id
JOIN webhook_event e ON e.source = 'sluice' AND e.event_id = 'effect_' || o.id
WHERE o.kind = 'open_payment' AND o.state = 'done' AND e.state IN ('applied', 'superseded') AND p.payment_id IS NULL;

-- name: ledger_rows_never_change
-- I24: a transaction and its postings were written together, so a row written by another transaction was rewritten.
SELECT t.id FROM ledger_transaction t JOIN ledger_posting p ON p.transaction_id = t.id
WHERE t.xmin <> p.xmin
GROUP BY t.id;

-- name: every_change_has_its_event
-- I28: what names an event as its cause, names one that was applied; a constraint keeps the rest from naming nobody.
SELECT k.source, k.event_id FROM (
    SELECT DISTINCT source, event_id, log_id FROM state_transition WHERE log_id IS NOT NULL
    UNION SELECT source, event_id, log_id FROM ledger_transaction WHERE log_id IS NOT NULL
) k
LEFT JOIN webhook_event e ON e.log_id = k.log_id AND e.event_id = k.event_id
WHERE e.state IS DISTINCT FROM 'applied';

-- name: no_older_version_stands
-- I29: nothing mirrored is older than a version of its own that was applied, unless the PSP has deleted it.
SELECT k.kind, k.source, k.id FROM (
    SELECT 'subscription' AS kind, source, id, psp_second FROM subscription WHERE origin = 'psp' AND NOT deleted
    UNION ALL SELECT 'subscription_invoice', source, id, psp_second FROM subscription_invoice WHERE origin = 'psp'
) k
JOIN state_transition t ON t.kind = k.kind AND t.source = k.source AND t.object_id = k.id
JOIN webhook_event e ON e.source = t.source AND e.event_id = t.event_id AND e.object_id = k.id
WHERE t.psp_created > k.psp_second
GROUP BY 1, 2, 3;
