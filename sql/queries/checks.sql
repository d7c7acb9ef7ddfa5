-- Money and state invariants. Each query returns the rows that break it: none, at any time between transactions.
-- They run after every integration test, in `GET /ops/status`, and by the reconciler.

-- name: balance_is_sum_of_postings
SELECT account_id, unit FROM balance b
LEFT JOIN (SELECT account_id, unit, sum(amount) AS total FROM ledger_posting GROUP BY 1, 2) p USING (account_id, unit)
WHERE b.amount <> coalesce(p.total, 0);

-- name: every_posting_has_a_balance
SELECT DISTINCT p.account_id, p.unit FROM ledger_posting p
LEFT JOIN balance b USING (account_id, unit) WHERE b.account_id IS NULL;

-- name: transactions_balance
SELECT transaction_id, unit FROM ledger_posting GROUP BY 1, 2 HAVING sum(amount) <> 0 OR count(*) < 2;

-- name: transactions_have_postings
SELECT t.id FROM ledger_transaction t WHERE NOT EXISTS (SELECT FROM ledger_posting p WHERE p.transaction_id = t.id);

-- name: units_sum_to_zero
SELECT unit FROM balance GROUP BY unit HAVING sum(amount) <> 0;

-- name: paid_purchases_credited_once
SELECT c.source, c.id FROM checkout_session c
LEFT JOIN ledger_transaction t ON t.source = c.source AND t.money_object = c.id AND t.movement = 'topup'
LEFT JOIN ledger_posting p ON p.transaction_id = t.id AND p.account_id = c.account_id AND p.unit = 'credit'
WHERE c.status = 'paid'
GROUP BY c.source, c.id, c.credits HAVING count(p.transaction_id) <> 1 OR sum(p.amount) <> c.credits;

-- name: no_topup_without_a_paid_purchase
SELECT t.id FROM ledger_transaction t
WHERE t.movement = 'topup' AND NOT EXISTS (
    SELECT FROM checkout_session c WHERE c.source = t.source AND c.id = t.money_object AND c.status = 'paid');

-- name: credits_taken_is_in_proportion
WITH reversed AS (
    SELECT c.source, c.id, c.credits, c.amount_minor, c.credits_taken,
           coalesce((SELECT sum(r.amount_minor) FROM refund r
                     WHERE r.source = c.source AND r.checkout_session_id = c.id AND r.status = 'succeeded'), 0)
           + coalesce((SELECT sum(d.amount_minor) FROM dispute d
                       WHERE d.source = c.source AND d.checkout_session_id = c.id
                         AND d.funds_withdrawn AND NOT d.funds_reinstated), 0) AS amount
    FROM checkout_session c
)
SELECT source, id FROM reversed
WHERE credits_taken <> CASE WHEN amount_minor = 0 THEN 0 ELSE div(credits * amount, amount_minor) END;

-- name: credits_taken_is_posted
SELECT c.source, c.id FROM checkout_session c
WHERE c.credits_taken <> coalesce((
    SELECT -sum(p.amount) FROM ledger_transaction t JOIN ledger_posting p ON p.transaction_id = t.id
    WHERE t.source = c.source AND p.account_id = c.account_id AND p.unit = 'credit'
      AND (t.money_object IN (SELECT r.id FROM refund r WHERE r.source = c.source AND r.checkout_session_id = c.id)
        OR t.money_object IN (SELECT d.id FROM dispute d WHERE d.source = c.source AND d.checkout_session_id = c.id))
), 0);

-- name: refunds_never_exceed_payment
SELECT c.source, c.id FROM checkout_session c
JOIN refund r ON r.source = c.source AND r.checkout_session_id = c.id AND r.status = 'succeeded'
GROUP BY c.source, c.id, c.amount_minor HAVING sum(r.amount_minor) > c.amount_minor;

-- name: state_is_last_transition
SELECT k.kind, k.source, k.id FROM (
    SELECT 'checkout_session' AS kind, source, id, status, version FROM checkout_session
    UNION ALL SELECT 'refund', source, id, status, version FROM refund
    UNION ALL SELECT 'dispute', source, id, status, version FROM dispute
    UNION ALL SELECT 'subscription', source, id, status, version FROM subscription
    UNION ALL SELECT 'subscription_invoice', source, id, status, version FROM subscription_invoice
) k
LEFT JOIN state_transition t ON t.kind = k.kind AND t.source = k.source AND t.object_id = k.id AND t.seq = k.version
WHERE t.to_state IS DISTINCT FROM k.status;

-- name: subscription_state_is_explained
SELECT s.source, s.id FROM subscription s
LEFT JOIN subscription_invoice i ON i.source = s.source AND i.id = s.latest_invoice_id AND i.subscription_id = s.id
WHERE s.status <> CASE
    WHEN NOT s.deleted AND s.psp_status IN ('pending_payment', 'past_due', 'expired')
         AND i.status = 'paid' AND i.paid_at >= to_timestamp(s.psp_second) THEN 'active'
    ELSE s.psp_status END;

-- name: transitions_chain
SELECT kind, source, object_id, seq FROM (
    SELECT kind, source, object_id, seq, from_state,
           lag(to_state) OVER w AS previous_state, lag(seq) OVER w AS previous_seq
    FROM state_transition WINDOW w AS (PARTITION BY kind, source, object_id ORDER BY seq)
) t
WHERE from_state IS DISTINCT FROM previous_state OR seq <> coalesce(previous_seq, 0) + 1;

-- name: only_allowed_transitions
SELECT t.kind, t.source, t.object_id, t.seq FROM state_transition t
WHERE NOT EXISTS (
    SELECT FROM allowed_transition a
    WHERE a.kind = t.kind AND coalesce(a.from_state, '') = coalesce(t.from_state, '') AND a.to_state = t.to_state)
  -- What is mirrored follows its PSP, under a rule of that name, and may change its details and stay in its state.
  AND NOT EXISTS (SELECT FROM correction_rule c WHERE c.kind = t.kind AND (c.rule = t.rule OR t.from_state = t.to_state));

-- name: terminal_states_never_leave
SELECT t.kind, t.source, t.object_id, t.seq FROM state_transition t
JOIN (
    SELECT kind, to_state AS state FROM allowed_transition EXCEPT SELECT kind, from_state FROM allowed_transition
) terminal ON terminal.kind = t.kind AND terminal.state = t.from_state
WHERE t.to_state <> t.from_state
  AND NOT EXISTS (SELECT FROM correction_rule c WHERE c.kind = t.kind AND c.rule = t.rule);

-- name: applied_events_have_an_effect
SELECT e.source, e.event_id FROM webhook_event e
WHERE e.state = 'applied'
  AND NOT EXISTS (SELECT FROM state_transition t WHERE t.log_id = e.log_id AND t.event_id = e.event_id)
  AND NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.log_id = e.log_id AND t.event_id = e.event_id);

-- name: verified_deliveries_have_an_event
SELECT l.id FROM webhook_log l
WHERE l.verdict = 'ok' AND NOT EXISTS (
    SELECT FROM webhook_event e WHERE e.source = l.source AND e.event_id = l.event_id);

-- name: quarantine_is_explained
SELECT e.source, e.event_id FROM webhook_event e
WHERE e.state = 'quarantined' AND (e.reason IS NULL OR NOT EXISTS (
    SELECT FROM alert a WHERE a.name = 'event_quarantined' AND a.subject = e.source || ':' || e.event_id
                          AND a.resolved_at IS NULL));
