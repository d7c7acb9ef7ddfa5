-- What the reconciler remembers of its own work: which rows it has asked about, and how its sources behave.

-- One row per object that a phase has asked its PSP about. A lease keeps two reconcilers from asking at once; the next
-- attempt moves away with each one that changed nothing, so that a row nobody can mend never stands before the others.
CREATE TABLE reconcile_attempt (
    phase text NOT NULL,
    source text NOT NULL,
    object_id text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    leased_until timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,                     -- type or code of the error; never what the PSP wrote
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (phase, source, object_id)
);
CREATE INDEX reconcile_attempt_by_age ON reconcile_attempt (updated_at);

CREATE INDEX subscription_period_end ON subscription (current_period_end)
    WHERE origin = 'psp' AND status IN ('trialing', 'active', 'past_due');
CREATE INDEX webhook_event_never_generated ON webhook_event (log_id) WHERE reason = 'generation_failure';

-- Refunds, with whether the PSP is known to know them: by an id of its own, or because it made them.
CREATE VIEW refund_there AS
SELECT r.source, r.id, r.payment_id, r.status, r.created_at, coalesce(r.psp_id, r.id) AS id_there,
       e.state AS call_state, e.finished_at AS call_ended_at, r.psp_id IS NOT NULL OR e.id IS NULL AS is_known_there
FROM refund r
LEFT JOIN outbox_effect e ON e.source = r.source AND e.idempotency_key = r.id AND e.kind = 'create_refund';

-- What each phase looks at, in one shape: `read_kind` and `read_id` are what to ask the PSP for, `since` is since when
-- the row waits.
CREATE VIEW reconcile_candidate AS
SELECT 'stuck_orders' AS phase, o.source, o.id AS object_id, 'payment' AS read_kind, o.payment_id AS read_id,
       o.created_at AS since
FROM orders o
WHERE o.status = 'pending' AND o.payment_id IS NOT NULL
UNION ALL
SELECT 'stuck_refunds', r.source, r.id, 'refund', r.id_there, r.created_at
FROM refund_there r
WHERE r.status IN ('pending', 'requires_action') AND r.is_known_there
UNION ALL
-- A refund that we asked for and that the PSP is not known to know, when nobody is asking any more. It waits since the last try:
-- a call may still be on its way for as long.
SELECT 'orphan_refunds', r.source, r.id, 'refund', r.id, greatest(r.created_at, r.call_ended_at)
FROM refund_there r
WHERE r.status = 'pending' AND NOT r.is_known_there AND r.call_state <> 'pending'
UNION ALL
SELECT 'stuck_subscriptions', s.source, s.id, 'payment', i.payment_id, s.created_at
FROM subscription s
JOIN subscription_invoice i ON i.source = s.source AND i.id = s.id AND i.origin = 'ours'
WHERE s.origin = 'ours' AND s.status = 'pending_payment' AND i.payment_id IS NOT NULL
UNION ALL
SELECT 'stuck_subscriptions', s.source, s.id, 'subscription', s.id, s.created_at
FROM subscription s
WHERE s.origin = 'psp' AND s.status = 'pending_payment'
UNION ALL
-- Its period is over, and nobody has told what comes next.
SELECT 'stuck_subscriptions', s.source, s.id, 'subscription', s.id, s.current_period_end
FROM subscription s
WHERE s.origin = 'psp' AND s.status IN ('trialing', 'active', 'past_due') AND s.current_period_end < now()
UNION ALL
SELECT 'stuck_checkout_sessions', c.source, c.id, 'checkout_session', c.id, c.created_at
FROM checkout_session c
WHERE c.status = 'open' AND c.kind = 'checkout'
UNION ALL
-- The PSP says that it could not make an event, and names the object.
SELECT 'generation_failures', e.source, e.event_id, NULL, e.object_id, e.received_at
FROM webhook_event e
WHERE e.reason = 'generation_failure' AND e.object_id IS NOT NULL;
