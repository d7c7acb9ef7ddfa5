-- Subscriptions that a PSP runs and we mirror, and their invoices. All times but `created_at` are the PSP's.

CREATE TABLE subscription (
    source text NOT NULL,
    id text NOT NULL,                    -- sub_…
    status text NOT NULL,                -- its state
    psp_status text NOT NULL,            -- the state that its latest version reports; a later payment may revive it
    customer_id text NOT NULL,           -- cus_…
    account_id text,                     -- from the metadata, where they name one
    price_id text NOT NULL,              -- the price, or the plan, of its first item
    cancel_at_period_end boolean NOT NULL,
    current_period_start timestamptz NOT NULL,
    current_period_end timestamptz NOT NULL,
    trial_end timestamptz,
    canceled_at timestamptz,
    ended_at timestamptz,
    latest_invoice_id text,              -- in_…; may be one that we have not seen
    psp_second bigint NOT NULL,          -- when the PSP made its latest version, unix seconds
    versions jsonb NOT NULL,             -- all versions of that second: see billing/ordering.py
    deleted boolean NOT NULL,            -- the PSP has deleted it, and nothing brings it back
    ambiguous boolean NOT NULL,          -- nothing that the PSP said tells which of `versions` is the latest
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id),
    CONSTRAINT subscription_status CHECK (status IN (
        'pending_payment', 'trialing', 'active', 'past_due', 'suspended', 'canceled', 'expired'
    )),
    CONSTRAINT subscription_psp_status CHECK (psp_status IN (
        'pending_payment', 'trialing', 'active', 'past_due', 'suspended', 'canceled', 'expired'
    )),
    CONSTRAINT subscription_deleted CHECK (NOT deleted OR status IN ('canceled', 'expired'))
);
CREATE INDEX subscription_by_account ON subscription (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX subscription_ambiguous ON subscription (source, id) WHERE ambiguous;

CREATE TABLE subscription_invoice (
    source text NOT NULL,
    id text NOT NULL,                    -- in_…
    subscription_id text NOT NULL,
    payment_id text,                     -- pi_…, where an event named it
    status text NOT NULL,
    amount_due_minor bigint NOT NULL,
    amount_paid_minor bigint NOT NULL,
    currency text NOT NULL REFERENCES unit (code),
    attempt_count bigint NOT NULL,
    paid_at timestamptz,
    psp_second bigint NOT NULL,
    versions jsonb NOT NULL,
    ambiguous boolean NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id),
    FOREIGN KEY (source, subscription_id) REFERENCES subscription (source, id),
    CONSTRAINT subscription_invoice_status CHECK (status IN ('draft', 'open', 'paid', 'uncollectible', 'void')),
    CONSTRAINT subscription_invoice_amounts CHECK (amount_due_minor >= 0 AND amount_paid_minor >= 0),
    CONSTRAINT subscription_invoice_attempts CHECK (attempt_count >= 0),
    CONSTRAINT subscription_invoice_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);
CREATE INDEX subscription_invoice_by_subscription ON subscription_invoice (subscription_id, source);
CREATE INDEX subscription_invoice_by_payment ON subscription_invoice (payment_id, source) WHERE payment_id IS NOT NULL;
CREATE INDEX subscription_invoice_ambiguous ON subscription_invoice (source, id) WHERE ambiguous;

ALTER TABLE state_transition DROP CONSTRAINT state_transition_kind;
ALTER TABLE state_transition ADD CONSTRAINT state_transition_kind CHECK (kind IN (
    'account', 'checkout_session', 'refund', 'dispute', 'subscription', 'subscription_invoice'
));
