-- Subscriptions of ours that nobody has to pay for, or not yet: they have no invoice, so what was agreed stands with the
-- subscription itself.

ALTER TABLE subscription ADD COLUMN amount_minor bigint, ADD COLUMN currency text REFERENCES unit (code);
UPDATE subscription s SET amount_minor = i.amount_due_minor, currency = i.currency
FROM subscription_invoice i WHERE s.origin = 'ours' AND i.source = s.source AND i.id = s.id;
ALTER TABLE subscription ADD CONSTRAINT subscription_agreed CHECK (
    origin = 'psp' OR amount_minor IS NOT NULL AND amount_minor >= 0 AND currency IS NOT NULL
);

-- The one trial of an account: who asks twice at once still gets one.
CREATE TABLE trial (
    account_id text PRIMARY KEY,
    subscription_id text NOT NULL UNIQUE,
    started_at timestamptz NOT NULL DEFAULT now()
);
