-- The books of the Hyperswitch-shaped merchant, beside those of schema.sql. Amounts are integers in minor units, times
-- unix milliseconds, maps JSON text.

CREATE TABLE IF NOT EXISTS hyperswitch_payment (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created_ms integer NOT NULL,
    modified_ms integer NOT NULL CHECK (modified_ms >= created_ms),
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'requires_payment_method', 'requires_confirmation', 'requires_customer_action', 'requires_capture', 'processing',
        'succeeded', 'partially_captured', 'failed', 'cancelled', 'expired'
    )),
    capture_method text NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
    amount_captured integer NOT NULL CHECK (amount_captured BETWEEN 0 AND amount),
    attempt_count integer NOT NULL,
    client_secret text NOT NULL,
    customer_id text,
    description text,
    return_url text,
    merchant_order_reference_id text,
    metadata text NOT NULL,
    card_last4 text,
    connector_transaction_id text,
    error_code text,
    error_message text,
    cancellation_reason text,
    CHECK ((status IN ('succeeded', 'partially_captured')) = (amount_captured > 0))
) STRICT;

CREATE TABLE IF NOT EXISTS hyperswitch_refund (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created_ms integer NOT NULL,
    modified_ms integer NOT NULL CHECK (modified_ms >= created_ms),
    payment_id text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'review', 'succeeded', 'failed')),
    metadata text NOT NULL,
    reason text,
    error_code text,
    error_message text
) STRICT;
CREATE INDEX IF NOT EXISTS hyperswitch_refund_by_payment ON hyperswitch_refund (payment_id);

CREATE TABLE IF NOT EXISTS hyperswitch_dispute (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created_ms integer NOT NULL,
    modified_ms integer NOT NULL CHECK (modified_ms >= created_ms),
    payment_id text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'dispute_opened', 'dispute_challenged', 'dispute_expired', 'dispute_accepted', 'dispute_cancelled', 'dispute_won',
        'dispute_lost'
    )),
    reason text NOT NULL,
    connector_dispute_id text NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS hyperswitch_dispute_by_payment ON hyperswitch_dispute (payment_id);

-- Double entry: what one account pays another receives. A kind happens once per source object.
CREATE TABLE IF NOT EXISTS hyperswitch_movement (
    seq integer PRIMARY KEY AUTOINCREMENT,
    created_ms integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('capture', 'refund', 'dispute', 'dispute_reversal')),
    source text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    payer text NOT NULL,
    payee text NOT NULL CHECK (payee <> payer),
    UNIQUE (source, kind)
) STRICT;

-- Which rows of `event` are Hyperswitch's. There is one initial event per object and type, for ever.
CREATE TABLE IF NOT EXISTS hyperswitch_event (
    id text PRIMARY KEY,
    object_id text NOT NULL,
    type text NOT NULL,
    class text NOT NULL CHECK (class IN ('payments', 'refunds', 'disputes')),
    created_ms integer NOT NULL,
    UNIQUE (object_id, type)
) STRICT, WITHOUT ROWID;
