-- Payments and checkout sessions are opened through the outbox like every other call: wanted in the transaction that agrees
-- to them, tried by the API at once, and by the workers whatever becomes of the API.

ALTER TABLE outbox_effect DROP CONSTRAINT outbox_effect_kind;
ALTER TABLE outbox_effect ADD CONSTRAINT outbox_effect_kind CHECK (kind IN (
    'open_payment', 'open_checkout', 'reverse_transfer', 'create_refund', 'read_object', 'read_refunds'
)) NOT VALID;
ALTER TABLE outbox_effect VALIDATE CONSTRAINT outbox_effect_kind;

-- What the PSP calls the thing that it has opened. Its secret, or the address of its page, is never kept: whoever may have
-- it gets it from the PSP again.
ALTER TABLE outbox_effect ADD COLUMN made_id text;
CREATE INDEX outbox_effect_by_object ON outbox_effect (object_id);
CREATE INDEX outbox_effect_by_made ON outbox_effect (made_id) WHERE made_id IS NOT NULL;

-- What was agreed to before this migration: the same calls, as today's rules make them of the log. Where no payment is known
-- and none has failed, nobody has opened one yet, or nobody knows; then the workers look, and open it.
INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, state, log_id, event_id, finished_at)
SELECT a.source, 'open_payment', a.id, a.id,
       jsonb_build_object('claim', a.claim, 'amount_minor', a.amount_minor, 'currency', a.currency,
                          'placed_at', t.psp_created),
       CASE WHEN a.is_wanted THEN 'pending' ELSE 'obsolete' END, t.log_id, t.event_id,
       CASE WHEN NOT a.is_wanted THEN now() END
FROM (
    SELECT 'order' AS kind, source, id, 'order:' || id AS claim, amount_minor, currency,
           payment_id IS NULL AND payment_status = 'pending' AS is_wanted
    FROM orders
    UNION ALL
    SELECT 'subscription', s.source, s.id, 'subscription:' || s.id, s.amount_minor, s.currency,
           i.payment_id IS NULL AND s.payment_status = 'pending'
    FROM subscription s JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
    WHERE s.origin = 'ours'
) a
JOIN state_transition t ON t.kind = a.kind AND t.source = a.source AND t.object_id = a.id AND t.seq = 1
WHERE t.rule IN ('placed', 'payment_awaited') AND t.event_id = a.claim AND a.source LIKE 'stripe%'
ON CONFLICT DO NOTHING;

-- A session of ours is remembered by the worker now, as the event tells it that says that it was opened.
DROP FUNCTION open_own_checkout(text, text, text, bigint, bigint, text, text);
