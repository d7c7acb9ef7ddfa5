-- Plans that customers may subscribe to. What was agreed stands with each subscription: a plan's price may change.

CREATE TABLE plan (
    id text PRIMARY KEY,
    name text NOT NULL,
    amount_minor bigint NOT NULL,        -- 0: free
    currency text NOT NULL REFERENCES unit (code),
    trial_days integer NOT NULL,         -- 0: none; the first trial of an account, whatever the plan
    active boolean NOT NULL,             -- may be subscribed to
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plan_id CHECK (octet_length(id) BETWEEN 1 AND 255),
    CONSTRAINT plan_amount CHECK (amount_minor >= 0),
    CONSTRAINT plan_trial CHECK (trial_days >= 0 AND (amount_minor > 0 OR trial_days = 0))
);
