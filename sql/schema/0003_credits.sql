-- The subjects of the credit machine and the journal that explains every row.

-- One purchase of credits. `kind` tells a hosted checkout from an off-session payment: both credit an account once
-- and both are refunded and disputed through their payment.
CREATE TABLE checkout_session (
    source text NOT NULL,
    id text NOT NULL,                    -- cs_… of a checkout, pi_… of an off-session payment
    kind text NOT NULL,
    payment_id text,                     -- pi_…; refunds and disputes name this
    account_id text NOT NULL REFERENCES account (id),
    credits bigint NOT NULL,
    amount_minor bigint NOT NULL,        -- what the customer paid, or is asked to pay
    currency text NOT NULL REFERENCES unit (code),
    status text NOT NULL,
    origin text NOT NULL DEFAULT 'psp',  -- ours: made by our own API, so amount and currency must match exactly
    credits_taken bigint NOT NULL DEFAULT 0,  -- by refunds and disputes so far
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    PRIMARY KEY (source, id),
    CONSTRAINT checkout_session_kind CHECK (kind IN ('checkout', 'off_session')),
    CONSTRAINT checkout_session_status CHECK (status IN ('open', 'paid', 'expired', 'failed')),
    CONSTRAINT checkout_session_origin CHECK (origin IN ('ours', 'psp')),
    CONSTRAINT checkout_session_credits CHECK (credits > 0 AND credits_taken BETWEEN 0 AND credits),
    CONSTRAINT checkout_session_amount CHECK (amount_minor >= 0),
    CONSTRAINT checkout_session_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);
CREATE INDEX checkout_session_by_payment ON checkout_session (payment_id, source) WHERE payment_id IS NOT NULL;
CREATE INDEX checkout_session_by_account ON checkout_session (account_id, id);

CREATE TABLE refund (
    source text NOT NULL,
    id text NOT NULL,
    checkout_session_id text NOT NULL,
    payment_id text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL REFERENCES unit (code),
    status text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id),
    FOREIGN KEY (source, checkout_session_id) REFERENCES checkout_session (source, id),
    CONSTRAINT refund_status CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
    CONSTRAINT refund_amount CHECK (amount_minor > 0)
);
CREATE INDEX refund_by_checkout_session ON refund (checkout_session_id, source);

CREATE TABLE dispute (
    source text NOT NULL,
    id text NOT NULL,
    checkout_session_id text NOT NULL,
    payment_id text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL REFERENCES unit (code),
    status text NOT NULL,                -- the PSP's own word; money moves on funds events only
    status_at bigint NOT NULL,           -- PSP time of that status, unix seconds
    funds_withdrawn boolean NOT NULL DEFAULT false,
    funds_reinstated boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id),
    FOREIGN KEY (source, checkout_session_id) REFERENCES checkout_session (source, id),
    CONSTRAINT dispute_status CHECK (status IN (
        'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review',
        'won', 'lost', 'prevented'
    )),
    CONSTRAINT dispute_amount CHECK (amount_minor >= 0)
);
CREATE INDEX dispute_by_checkout_session ON dispute (checkout_session_id, source);

-- The effect journal: why a row is what it is. `seq` is the subject's version after the change.
CREATE TABLE state_transition (
    kind text NOT NULL,
    source text NOT NULL,
    object_id text NOT NULL,
    seq integer NOT NULL,
    from_state text,                     -- NULL: the object became known
    to_state text NOT NULL,
    rule text NOT NULL,                  -- which rule of billing decided
    event_id text,
    log_id bigint,
    actor text,
    psp_created bigint,
    money_before jsonb,                  -- the amounts that the change is about, before and after
    money_after jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, object_id, source, seq),
    CONSTRAINT state_transition_kind CHECK (kind IN ('account', 'checkout_session', 'refund', 'dispute')),
    CONSTRAINT state_transition_caused CHECK (log_id IS NOT NULL OR actor IS NOT NULL)
);
CREATE INDEX state_transition_by_log ON state_transition (log_id) WHERE log_id IS NOT NULL;
