-- Second edition of the books: prices, subscriptions, invoices, transfers. Runs once per file, which remembers
-- it in `user_version`; amounts and times as in schema.sql.

BEGIN IMMEDIATE;

ALTER TABLE payment_intent ADD COLUMN transfer_group text;
ALTER TABLE charge ADD COLUMN transfer_group text;

CREATE TABLE price (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    currency text NOT NULL,
    unit_amount integer NOT NULL CHECK (unit_amount >= 0),
    interval text NOT NULL CHECK (interval IN ('day', 'week', 'month', 'year')),
    product text NOT NULL,
    nickname text,
    metadata text NOT NULL
) STRICT;

CREATE TABLE subscription (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    customer text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'canceled'
    )),
    item text NOT NULL,
    price text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    currency text NOT NULL,
    metadata text NOT NULL,
    default_payment_method text,
    current_period_start integer NOT NULL,
    current_period_end integer NOT NULL CHECK (current_period_end > current_period_start),
    trial_end integer,
    cancel_at_period_end integer NOT NULL,
    canceled_at integer,
    ended_at integer,
    latest_invoice text
) STRICT;

CREATE TABLE invoice (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    subscription text NOT NULL,
    customer text NOT NULL,
    status text NOT NULL CHECK (status IN ('draft', 'open', 'paid', 'void')),
    billing_reason text NOT NULL,
    number text NOT NULL,
    amount_due integer NOT NULL CHECK (amount_due >= 0),
    amount_paid integer NOT NULL CHECK (amount_paid IN (0, amount_due)),
    currency text NOT NULL,
    subscription_metadata text NOT NULL,
    period_start integer NOT NULL,
    period_end integer NOT NULL,
    attempt_count integer NOT NULL,
    payment text NOT NULL,
    payment_intent text UNIQUE,
    finalized_at integer,
    paid_at integer CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    voided_at integer
) STRICT;
CREATE INDEX invoice_by_subscription ON invoice (subscription);
CREATE INDEX invoice_by_customer ON invoice (customer);

CREATE TABLE transfer (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    amount_reversed integer NOT NULL CHECK (amount_reversed BETWEEN 0 AND amount),
    currency text NOT NULL,
    destination text NOT NULL,
    description text,
    transfer_group text,
    source_transaction text,
    metadata text NOT NULL,
    chaos_number integer NOT NULL
) STRICT;
CREATE INDEX transfer_by_source_transaction ON transfer (source_transaction);

CREATE TABLE transfer_reversal (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    transfer text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    metadata text NOT NULL
) STRICT;
CREATE INDEX transfer_reversal_by_transfer ON transfer_reversal (transfer);

-- SQLite cannot change a CHECK in place, so the movements move house.
CREATE TABLE movement_2 (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal', 'transfer', 'transfer_reversal'
    )),
    source text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    payer text NOT NULL,
    payee text NOT NULL CHECK (payee <> payer),
    UNIQUE (source, kind)
) STRICT;
INSERT INTO movement_2 SELECT * FROM movement;
DROP TABLE movement;
ALTER TABLE movement_2 RENAME TO movement;

CREATE INDEX event_of_the_plan ON event (seq) WHERE chaos_index >= 0;
CREATE INDEX event_beside_the_plan ON event (seq) WHERE chaos_index < 0;

PRAGMA user_version = 2;

COMMIT;
