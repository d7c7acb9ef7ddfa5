-- The sandbox's books. Amounts are integers in minor units, times unix seconds, maps JSON text.

CREATE TABLE IF NOT EXISTS setting (
    name text PRIMARY KEY,
    value text NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS checkout_session (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    expires_at integer NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'complete', 'expired')),
    payment_status text NOT NULL CHECK (payment_status IN ('unpaid', 'paid')),
    amount_total integer NOT NULL CHECK (amount_total > 0),
    currency text NOT NULL,
    success_url text,
    cancel_url text,
    client_reference_id text,
    customer text,
    customer_email text,
    metadata text NOT NULL,
    intent_metadata text NOT NULL,
    line_items text NOT NULL,
    payment_intent text UNIQUE
) STRICT;

CREATE TABLE IF NOT EXISTS payment_intent (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'requires_payment_method', 'requires_confirmation', 'processing', 'succeeded', 'canceled'
    )),
    metadata text NOT NULL,
    client_secret text NOT NULL,
    checkout_session text UNIQUE,
    customer text,
    description text,
    payment_method text,
    payment_method_type text NOT NULL,
    latest_charge text,
    last_error text,
    canceled_at integer,
    cancellation_reason text
) STRICT;

CREATE TABLE IF NOT EXISTS charge (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    payment_intent text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    metadata text NOT NULL,
    customer text,
    payment_method text NOT NULL,
    payment_method_type text NOT NULL,
    failure_code text,
    amount_refunded integer NOT NULL CHECK (amount_refunded BETWEEN 0 AND amount),
    disputed integer NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS charge_by_payment_intent ON charge (payment_intent);

CREATE TABLE IF NOT EXISTS refund (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    charge text NOT NULL,
    payment_intent text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
    metadata text NOT NULL,
    reason text,
    failure_reason text,
    reference_status text NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refund_by_charge ON refund (charge);
CREATE INDEX IF NOT EXISTS refund_by_payment_intent ON refund (payment_intent);

CREATE TABLE IF NOT EXISTS dispute (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    charge text NOT NULL,
    payment_intent text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'warning_needs_response', 'warning_under_review', 'warning_closed',
        'needs_response', 'under_review', 'won', 'lost'
    )),
    reason text NOT NULL,
    evidence_submitted integer NOT NULL,
    funds_withdrawn integer NOT NULL,
    funds_reinstated integer NOT NULL CHECK (funds_reinstated <= funds_withdrawn)
) STRICT;
CREATE INDEX IF NOT EXISTS dispute_by_charge ON dispute (charge);
CREATE INDEX IF NOT EXISTS dispute_by_payment_intent ON dispute (payment_intent);

-- Double entry: what one account pays another receives. A kind happens once per source object.
CREATE TABLE IF NOT EXISTS movement (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal')),
    source text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    payer text NOT NULL,
    payee text NOT NULL CHECK (payee <> payer),
    UNIQUE (source, kind)
) STRICT;

CREATE TABLE IF NOT EXISTS event (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    type text NOT NULL,
    created integer NOT NULL,
    object_id text NOT NULL,
    body blob NOT NULL,
    body_sha256 text NOT NULL,
    chaos_index integer NOT NULL,
    dropped integer NOT NULL,
    delivered_at integer,
    gave_up integer NOT NULL,
    attempts integer NOT NULL,
    acknowledged integer NOT NULL,
    conflict_sha256 text,
    conflict_acknowledged integer NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_undelivered ON event (seq) WHERE delivered_at IS NULL;

CREATE TABLE IF NOT EXISTS saved_answer (
    key text PRIMARY KEY,
    created integer NOT NULL,
    request_sha256 text NOT NULL,
    request_id text NOT NULL,
    status integer NOT NULL,
    body blob NOT NULL
) STRICT;
