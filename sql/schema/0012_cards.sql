-- Cards. The first two tables mirror what the card processor knows of a customer and hold no secret; the third is for
-- development only.

CREATE TABLE credential (
    id text PRIMARY KEY,
    account_id text NOT NULL UNIQUE,     -- whose it is: a user's account id is their user id
    panda_id text UNIQUE,                -- the customer at the card processor; NULL: not admitted there
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE card (
    id text PRIMARY KEY,                 -- the processor's id
    credential_id text NOT NULL REFERENCES credential (id),
    status text NOT NULL DEFAULT 'ACTIVE',
    last_four text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT card_status CHECK (status IN ('ACTIVE', 'FROZEN', 'DELETED')),
    CONSTRAINT card_last_four CHECK (last_four ~ '^[0-9]{4}$')
);
CREATE INDEX card_by_credential ON card (credential_id, created_at, id);

-- One simulated card per account, made by `python -m api.dev`. Of a provisioning token only the hash is kept.
CREATE TABLE virtual_card (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id text NOT NULL UNIQUE REFERENCES account (id),
    cardholder_name text NOT NULL,
    last4 text NOT NULL,
    exp_month smallint NOT NULL,
    exp_year smallint NOT NULL,
    status text NOT NULL DEFAULT 'active',
    token_sha256 bytea,
    token_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT virtual_card_status CHECK (status IN ('active', 'blocked')),
    CONSTRAINT virtual_card_last4 CHECK (last4 ~ '^[0-9]{4}$'),
    CONSTRAINT virtual_card_expiry CHECK (exp_month BETWEEN 1 AND 12 AND exp_year BETWEEN 2000 AND 9999),
    CONSTRAINT virtual_card_token CHECK ((token_sha256 IS NULL) = (token_expires_at IS NULL))
);
