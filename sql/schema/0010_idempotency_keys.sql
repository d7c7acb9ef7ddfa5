-- What a caller has asked for under an idempotency key, and what it was answered. A key is kept as long as the ledger
-- entry that it guards: for ever.

CREATE TABLE idempotency_key (
    caller text NOT NULL,                -- role:name, so that no customer can meet an operator's key
    key text NOT NULL,
    request_sha256 bytea NOT NULL,       -- of method, path and what the body says
    operation_id uuid NOT NULL DEFAULT gen_random_uuid(),  -- the effect's own name, the same on every attempt
    state text NOT NULL DEFAULT 'running',
    attempt integer NOT NULL DEFAULT 1,  -- above 1: the one before ended without an answer
    leased_until timestamptz NOT NULL,   -- a running attempt that is older has died; the next request takes over
    status integer,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    PRIMARY KEY (caller, key),
    CONSTRAINT idempotency_key_operation UNIQUE (operation_id),
    CONSTRAINT idempotency_key_length CHECK (octet_length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_key_state CHECK (state IN ('running', 'answered')),
    CONSTRAINT idempotency_key_answer CHECK (
        (state = 'answered') = (status IS NOT NULL AND body IS NOT NULL AND answered_at IS NOT NULL)
    ),
    -- A failure of ours or of a provider is no answer: it must be possible to try again.
    CONSTRAINT idempotency_key_status CHECK (status BETWEEN 200 AND 499)
) WITH (fillfactor = 80);
