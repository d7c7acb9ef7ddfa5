-- Orders with their licences and transfers, subscriptions that we run ourselves, and refunds and disputes of whatever a
-- payment has paid for.

INSERT INTO account (id, kind) VALUES ('system:psp_clearing', 'system'), ('system:platform_fees', 'system');

CREATE TABLE orders (
    source text NOT NULL,                -- the PSP in whose namespace its payment lives
    id text NOT NULL,                    -- ours; the payment carries it
    buyer_id text NOT NULL,
    seller_id text,                      -- NULL: the house sells
    amount_minor bigint NOT NULL,
    currency text NOT NULL REFERENCES unit (code),
    seller_amount_minor bigint NOT NULL,
    licences text[] NOT NULL,            -- products that the buyer may use while the order stands
    payment_id text,
    payment_status text NOT NULL,        -- how far its payment has climbed
    status text NOT NULL,
    reversed_minor bigint NOT NULL DEFAULT 0,  -- given back by refunds and disputes so far
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,            -- when it was first completed
    PRIMARY KEY (source, id),
    CONSTRAINT orders_status CHECK (status IN (
        'pending', 'completed', 'failed', 'cancelled', 'refund_pending', 'refunded'
    )),
    CONSTRAINT orders_payment_status CHECK (payment_status IN ('pending', 'failed', 'canceled', 'succeeded', 'reversed')),
    CONSTRAINT orders_amounts CHECK (
        amount_minor >= 0 AND seller_amount_minor BETWEEN 0 AND amount_minor AND reversed_minor >= 0
    ),
    CONSTRAINT orders_seller CHECK (seller_id IS NOT NULL OR seller_amount_minor = 0)
);
CREATE INDEX orders_by_payment ON orders (payment_id, source) WHERE payment_id IS NOT NULL;
CREATE INDEX orders_by_buyer ON orders (buyer_id, id);
CREATE INDEX orders_by_seller ON orders (seller_id, id) WHERE seller_id IS NOT NULL;
CREATE INDEX orders_open ON orders (created_at) WHERE status IN ('pending', 'refund_pending');

-- What the buyer may use. All licences of an order live and die together.
CREATE TABLE license (
    source text NOT NULL,
    order_id text NOT NULL,
    product text NOT NULL,
    account_id text NOT NULL,
    status text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, order_id, product),
    FOREIGN KEY (source, order_id) REFERENCES orders (source, id),
    CONSTRAINT license_status CHECK (status IN ('active', 'revoked'))
);
CREATE INDEX license_by_account ON license (account_id, product);

CREATE TABLE seller_transfer (
    source text NOT NULL,
    id text NOT NULL,                    -- tr_…
    order_id text NOT NULL,
    destination text NOT NULL,           -- acct_…
    amount_minor bigint NOT NULL,
    reversed_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL REFERENCES unit (code),
    status text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id),
    FOREIGN KEY (source, order_id) REFERENCES orders (source, id),
    CONSTRAINT seller_transfer_status CHECK (status IN (
        'completed', 'reversal_pending', 'reversed', 'permanently_failed'
    )),
    CONSTRAINT seller_transfer_amounts CHECK (amount_minor > 0 AND reversed_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT seller_transfer_reversed CHECK ((status = 'reversed') = (reversed_minor = amount_minor))
);
CREATE INDEX seller_transfer_by_order ON seller_transfer (order_id, source);
CREATE INDEX seller_transfer_open ON seller_transfer (status) WHERE status IN ('reversal_pending', 'permanently_failed');

-- A refund or dispute belongs to whatever its payment paid for.
ALTER TABLE refund ADD COLUMN owner_kind text, ADD COLUMN owner_id text, ADD COLUMN psp_id text;
UPDATE refund SET owner_kind = 'checkout_session', owner_id = checkout_session_id;
ALTER TABLE refund DROP COLUMN checkout_session_id,
    ALTER COLUMN owner_kind SET NOT NULL, ALTER COLUMN owner_id SET NOT NULL,
    ADD CONSTRAINT refund_owner CHECK (owner_kind IN ('checkout_session', 'order', 'subscription_invoice'));
COMMENT ON COLUMN refund.psp_id IS 'The PSP''s own id of a refund that has one of ours.';
CREATE INDEX refund_by_owner ON refund (owner_id, owner_kind, source);
CREATE UNIQUE INDEX refund_by_psp_id ON refund (psp_id, source) WHERE psp_id IS NOT NULL;
ALTER TABLE dispute ADD COLUMN owner_kind text, ADD COLUMN owner_id text;
UPDATE dispute SET owner_kind = 'checkout_session', owner_id = checkout_session_id;
ALTER TABLE dispute DROP COLUMN checkout_session_id,
    ALTER COLUMN owner_kind SET NOT NULL, ALTER COLUMN owner_id SET NOT NULL,
    ADD CONSTRAINT dispute_owner CHECK (owner_kind IN ('checkout_session', 'order', 'subscription_invoice'));
CREATE INDEX dispute_by_owner ON dispute (owner_id, owner_kind, source);
ALTER TABLE dispute DROP CONSTRAINT dispute_status;
ALTER TABLE dispute ADD CONSTRAINT dispute_status CHECK (status IN (
    'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review',
    'won', 'lost', 'prevented',
    'dispute_opened', 'dispute_challenged', 'dispute_cancelled', 'dispute_accepted', 'dispute_expired', 'dispute_lost',
    'dispute_won'
));

-- Subscriptions that we run ourselves have a plan and a payment where a PSP's have versions.
ALTER TABLE subscription
    ADD COLUMN origin text NOT NULL DEFAULT 'psp', ADD COLUMN plan_id text, ADD COLUMN payment_status text,
    ALTER COLUMN psp_status DROP NOT NULL, ALTER COLUMN customer_id DROP NOT NULL, ALTER COLUMN price_id DROP NOT NULL,
    ALTER COLUMN cancel_at_period_end SET DEFAULT false, ALTER COLUMN current_period_start DROP NOT NULL,
    ALTER COLUMN current_period_end DROP NOT NULL, ALTER COLUMN psp_second DROP NOT NULL,
    ALTER COLUMN versions DROP NOT NULL, ALTER COLUMN deleted SET DEFAULT false, ALTER COLUMN ambiguous SET DEFAULT false,
    ADD CONSTRAINT subscription_origin CHECK (
        CASE origin
            WHEN 'psp' THEN psp_status IS NOT NULL AND customer_id IS NOT NULL AND price_id IS NOT NULL
                AND current_period_start IS NOT NULL AND current_period_end IS NOT NULL AND psp_second IS NOT NULL
                AND versions IS NOT NULL
            WHEN 'ours' THEN account_id IS NOT NULL AND plan_id IS NOT NULL
                AND payment_status IN ('pending', 'failed', 'canceled', 'succeeded', 'reversed')
            ELSE false
        END);
ALTER TABLE subscription_invoice
    ADD COLUMN origin text NOT NULL DEFAULT 'psp',
    ALTER COLUMN attempt_count SET DEFAULT 0, ALTER COLUMN psp_second DROP NOT NULL,
    ALTER COLUMN versions DROP NOT NULL, ALTER COLUMN ambiguous SET DEFAULT false,
    ADD CONSTRAINT subscription_invoice_origin CHECK (
        origin = 'ours' OR origin = 'psp' AND psp_second IS NOT NULL AND versions IS NOT NULL
    );

-- What payments have paid for, in one shape: refunds and disputes name these by kind and id.
CREATE VIEW paid_object AS
SELECT source, 'checkout_session' AS kind, id, payment_id, account_id, amount_minor, currency, status = 'paid' AS is_paid
FROM checkout_session
UNION ALL
SELECT source, 'order', id, payment_id, buyer_id, amount_minor, currency, payment_status IN ('succeeded', 'reversed')
FROM orders
UNION ALL
SELECT i.source, 'subscription_invoice', i.id, i.payment_id, s.account_id,
       -- One of ours that was voided after it had been paid has nothing paid any more, and its refunds stand.
       CASE s.origin WHEN 'ours' THEN i.amount_due_minor ELSE i.amount_paid_minor END, i.currency,
       i.status = 'paid' OR s.origin = 'ours' AND s.payment_status = 'reversed'
FROM subscription_invoice i JOIN subscription s ON s.source = i.source AND s.id = i.subscription_id;

-- Refunds and disputes in one shape; one `stands` while the money that it took is gone.
CREATE VIEW reversal AS
SELECT source, 'refund' AS kind, id, owner_kind, owner_id, payment_id, amount_minor, currency,
       status = 'succeeded' AS stands
FROM refund
UNION ALL
SELECT source, 'dispute', id, owner_kind, owner_id, payment_id, amount_minor, currency,
       funds_withdrawn AND NOT funds_reinstated
FROM dispute;

-- How much of each payment is gone.
CREATE VIEW given_back AS
SELECT source, owner_kind, owner_id, sum(amount_minor) AS amount_minor FROM reversal WHERE stands GROUP BY 1, 2, 3;

-- What a body of an event says, so that two can be compared; NULL where it cannot be read. Stripe counts
-- `pending_webhooks` down from delivery to delivery of one event.
CREATE FUNCTION event_told(body bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb - 'pending_webhooks';
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;

ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_movement;
ALTER TABLE ledger_transaction ADD CONSTRAINT ledger_transaction_movement CHECK (movement IN (
    'topup', 'refund_clawback', 'refund_give_back', 'dispute_clawback', 'dispute_give_back', 'grant',
    'sale', 'sale_reversal', 'transfer', 'transfer_reversal'
));
ALTER TABLE state_transition DROP CONSTRAINT state_transition_kind;
ALTER TABLE state_transition ADD CONSTRAINT state_transition_kind CHECK (kind IN (
    'account', 'checkout_session', 'refund', 'dispute', 'subscription', 'subscription_invoice', 'order', 'license',
    'transfer'
));

INSERT INTO allowed_transition (kind, from_state, to_state) VALUES
    ('order', NULL, 'pending'), ('order', NULL, 'failed'), ('order', NULL, 'completed'), ('order', NULL, 'cancelled'),
    ('order', 'pending', 'pending'), ('order', 'pending', 'failed'), ('order', 'pending', 'completed'),
    ('order', 'pending', 'cancelled'), ('order', 'failed', 'failed'), ('order', 'failed', 'cancelled'),
    ('order', 'cancelled', 'cancelled'), ('order', 'failed', 'completed'),
    ('order', 'cancelled', 'completed'), ('order', 'completed', 'refund_pending'), ('order', 'completed', 'refunded'),
    ('order', 'refund_pending', 'refunded'), ('order', 'refund_pending', 'completed'),
    ('order', 'refunded', 'completed'), ('order', 'refunded', 'refund_pending'), ('order', 'completed', 'cancelled'),
    ('order', 'refund_pending', 'cancelled'), ('order', 'refunded', 'cancelled'), ('license', NULL, 'active'),
    ('license', NULL, 'revoked'), ('license', 'active', 'revoked'), ('license', 'revoked', 'active'),
    ('transfer', NULL, 'completed'), ('transfer', NULL, 'reversal_pending'), ('transfer', NULL, 'reversed'),
    ('transfer', 'completed', 'completed'), ('transfer', 'reversal_pending', 'reversal_pending'),
    ('transfer', 'permanently_failed', 'permanently_failed'), ('transfer', 'completed', 'reversal_pending'), ('transfer', 'completed', 'reversed'),
    ('transfer', 'reversal_pending', 'reversed'), ('transfer', 'reversal_pending', 'permanently_failed'),
    ('transfer', 'reversal_pending', 'completed'), ('transfer', 'completed', 'permanently_failed'),
    ('transfer', 'permanently_failed', 'reversed'), ('refund', 'pending', 'pending'),
    ('dispute', NULL, 'dispute_opened'), ('dispute', NULL, 'dispute_challenged'),
    ('dispute', NULL, 'dispute_cancelled'), ('dispute', NULL, 'dispute_accepted'),
    ('dispute', NULL, 'dispute_expired'), ('dispute', NULL, 'dispute_lost'), ('dispute', NULL, 'dispute_won'),
    ('dispute', 'dispute_opened', 'dispute_opened'), ('dispute', 'dispute_challenged', 'dispute_challenged'),
    ('dispute', 'dispute_cancelled', 'dispute_cancelled'), ('dispute', 'dispute_accepted', 'dispute_accepted'),
    ('dispute', 'dispute_expired', 'dispute_expired'), ('dispute', 'dispute_lost', 'dispute_lost'),
    ('dispute', 'dispute_won', 'dispute_won'), ('dispute', 'dispute_opened', 'dispute_challenged'),
    ('dispute', 'dispute_opened', 'dispute_cancelled'), ('dispute', 'dispute_opened', 'dispute_accepted'),
    ('dispute', 'dispute_opened', 'dispute_expired'), ('dispute', 'dispute_opened', 'dispute_lost'),
    ('dispute', 'dispute_opened', 'dispute_won'), ('dispute', 'dispute_challenged', 'dispute_cancelled'),
    ('dispute', 'dispute_challenged', 'dispute_accepted'), ('dispute', 'dispute_challenged', 'dispute_expired'),
    ('dispute', 'dispute_challenged', 'dispute_lost'), ('dispute', 'dispute_challenged', 'dispute_won'),
    ('dispute', 'dispute_lost', 'dispute_won');
