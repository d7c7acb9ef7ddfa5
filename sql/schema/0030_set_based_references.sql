-- References of the rows that are written by the hundred are proved by the statement, not row by row: a foreign key asks
-- once for each row and locks what it asks about, and the accounts of the house and the few currencies are what every
-- row of every worker refers to.

-- Every posting is booked to the balance of its account and unit by the statement that writes it, and a balance refers to
-- both; the transaction is looked for here. Neither a balance nor a transaction can go away again.
ALTER TABLE ledger_posting
    DROP CONSTRAINT ledger_posting_transaction_id_fkey,
    DROP CONSTRAINT ledger_posting_account_id_fkey,
    DROP CONSTRAINT ledger_posting_unit_fkey;

CREATE OR REPLACE FUNCTION ledger_post() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM posted GROUP BY transaction_id, unit HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'postings of a transaction do not sum to zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_posting_balanced';
    END IF;
    -- One look by key for each: as a join Postgres may read the whole ledger, whose size its plan does not know.
    IF EXISTS (
        SELECT FROM posted p WHERE (SELECT t.id FROM ledger_transaction t WHERE t.id = p.transaction_id) IS NULL
    ) THEN
        RAISE EXCEPTION 'a posting belongs to no transaction'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'ledger_posting_transaction_id_fkey';
    END IF;
    INSERT INTO balance AS b (account_id, unit, amount)
    SELECT account_id, unit, sum(amount) FROM posted GROUP BY account_id, unit ORDER BY account_id, unit
    ON CONFLICT (account_id, unit) DO UPDATE SET amount = b.amount + excluded.amount, updated_at = now();
    RETURN NULL;
END
$$;

-- A purchase names an account and a currency.
ALTER TABLE checkout_session
    DROP CONSTRAINT checkout_session_account_id_fkey,
    DROP CONSTRAINT checkout_session_currency_fkey;

CREATE FUNCTION checkout_session_refers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT account_id FROM written) w
        WHERE (SELECT a.id FROM account a WHERE a.id = w.account_id) IS NULL
    ) OR EXISTS (
        SELECT FROM (SELECT DISTINCT currency FROM written) w
        WHERE (SELECT u.code FROM unit u WHERE u.code = w.currency) IS NULL
    ) THEN
        RAISE EXCEPTION 'a purchase names an account or a currency that nobody knows'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'checkout_session_refers';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER checkout_session_refers AFTER INSERT ON checkout_session
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION checkout_session_refers();
CREATE TRIGGER checkout_session_still_refers AFTER UPDATE ON checkout_session
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION checkout_session_refers();

-- The other side: what a purchase names does not go away. Nobody may delete there anyway; this is for the owner's hand.
CREATE FUNCTION checkout_session_keeps() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    named boolean;
BEGIN
    IF tg_table_name = 'account' THEN
        named := EXISTS (SELECT FROM checkout_session WHERE account_id = old.id);
    ELSE
        named := EXISTS (SELECT FROM checkout_session WHERE currency = old.code);
    END IF;
    IF named THEN
        RAISE EXCEPTION 'a purchase names this row of %', tg_table_name
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'checkout_session_keeps';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER checkout_session_keeps AFTER DELETE OR UPDATE OF id ON account
    FOR EACH ROW EXECUTE FUNCTION checkout_session_keeps();
CREATE TRIGGER checkout_session_keeps AFTER DELETE OR UPDATE OF code ON unit
    FOR EACH ROW EXECUTE FUNCTION checkout_session_keeps();
