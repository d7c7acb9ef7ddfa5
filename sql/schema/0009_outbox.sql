-- The outbox: what must be done at a PSP, staged in the transaction that decides it and done after its commit.

CREATE TABLE outbox_effect (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,                -- the PSP to call, and whose ids these are
    kind text NOT NULL,
    object_id text NOT NULL,
    idempotency_key text NOT NULL,       -- names this one intent, however often it is tried
    arguments jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0, -- counted before the call, so that one that kills a worker counts
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,                     -- type or code of the error; never what the PSP wrote
    log_id bigint NOT NULL,              -- delivery of the event that wants it
    event_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT outbox_effect_once UNIQUE (source, idempotency_key),
    CONSTRAINT outbox_effect_kind CHECK (kind IN ('reverse_transfer', 'create_refund', 'read_object', 'read_refunds')),
    CONSTRAINT outbox_effect_state CHECK (state IN ('pending', 'done', 'failed', 'obsolete')),
    CONSTRAINT outbox_effect_key CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT outbox_effect_finished CHECK ((state = 'pending') = (finished_at IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX outbox_effect_due ON outbox_effect (source, next_attempt_at, id) WHERE state = 'pending';
