-- Credits that customers use up. A spend is decided once, when it is said: under the lock of the account's balance, what
-- is still free is held for it in the transaction that says it in the log. The worker then posts it whatever has come in
-- between, so that a rebuild from the log decides nothing anew.

INSERT INTO account (id, kind) VALUES ('system:credits_spent', 'system');

ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_movement;
ALTER TABLE ledger_transaction ADD CONSTRAINT ledger_transaction_movement CHECK (movement IN (
    'topup', 'refund_clawback', 'refund_give_back', 'dispute_clawback', 'dispute_give_back', 'grant',
    'sale', 'sale_reversal', 'transfer', 'transfer_reversal', 'spend'
)) NOT VALID;
ALTER TABLE ledger_transaction VALIDATE CONSTRAINT ledger_transaction_movement;

-- Spends that are said and not posted yet: a few rows at any time.
CREATE TABLE credit_hold (
    spend_id text PRIMARY KEY,           -- the ledger's money object; the event in the log is `spend:` and this
    account_id text NOT NULL REFERENCES account (id),
    credits bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT credit_hold_credits CHECK (credits > 0)
);
CREATE INDEX credit_hold_by_account ON credit_hold (account_id);

-- Holds credits for a spend where the balance, less what is held already, allows it; returns whether it does. What waits
-- for nothing any more, because its event was taken off the list, holds nothing.
CREATE FUNCTION hold_credits(spend text, customer text, wanted bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    free numeric;
BEGIN
    -- The ledger books under this lock too: from here on no spend of the account comes or goes until we have ended.
    SELECT b.amount INTO free FROM balance b JOIN account a ON a.id = b.account_id AND a.kind = 'customer'
    WHERE b.account_id = customer AND b.unit = 'credit' FOR NO KEY UPDATE OF b;
    SELECT free - coalesce(sum(h.credits), 0) INTO free
    FROM credit_hold h JOIN webhook_event e ON e.source = 'sluice' AND e.event_id = 'spend:' || h.spend_id
    WHERE h.account_id = customer AND e.state IN ('pending', 'parked', 'quarantined');
    IF free IS NULL OR free < wanted THEN
        RETURN false;
    END IF;
    INSERT INTO credit_hold (spend_id, account_id, credits) VALUES (spend, customer, wanted);
    RETURN true;
END
$$;

-- What is posted is held no longer: in the same transaction, by whomever it is posted.
CREATE FUNCTION credit_hold_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM credit_hold WHERE spend_id = new.money_object;
    RETURN NULL;
END
$$;
CREATE TRIGGER credit_hold_end AFTER INSERT ON ledger_transaction
    FOR EACH ROW WHEN (new.movement = 'spend') EXECUTE FUNCTION credit_hold_end();
