-- The two things that the API may do to money's tables, each as one function that does exactly that: it can neither
-- post anything else nor make a purchase that is paid.

-- Remembers a checkout session that our API opened at the PSP, so that its payment must match amount and currency.
-- Where its webhook was faster the row is there already, and stays. Returns whether the row is new.
CREATE FUNCTION open_own_checkout(
    psp text, session_id text, customer text, credits_bought bigint, amount bigint, paid_in text, opened_by text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO account (id) VALUES (customer) ON CONFLICT DO NOTHING;
    INSERT INTO checkout_session (source, id, kind, account_id, credits, amount_minor, currency, status, origin)
    VALUES (psp, session_id, 'checkout', customer, credits_bought, amount, paid_in, 'open', 'ours')
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO state_transition (kind, source, object_id, seq, from_state, to_state, rule, actor, money_after)
    VALUES ('checkout_session', psp, session_id, 1, NULL, 'open', 'checkout_opened', opened_by,
            jsonb_build_object('credits', credits_bought, 'amount_minor', amount));
    RETURN true;
END
$$;

-- Grants USDC from the house to a customer, once per operation; a second call for the same operation finds what the
-- first one posted. `amount` and the balance after it are in units of 10^-7 USDC.
CREATE FUNCTION grant_usdc(operation uuid, customer text, amount bigint, granted_by text)
RETURNS TABLE (transaction_id bigint, posted_at timestamptz, balance bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    IF amount IS NULL OR amount <= 0 THEN
        RAISE EXCEPTION 'a grant moves more than nothing' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger_transaction (source, movement, money_object, actor)
    VALUES ('house', 'grant', operation::text, granted_by)
    ON CONFLICT DO NOTHING
    RETURNING id INTO new_id;
    IF new_id IS NOT NULL THEN
        INSERT INTO account (id) VALUES (customer) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO state_transition (kind, source, object_id, seq, from_state, to_state, rule, actor)
            VALUES ('account', 'house', customer, 1, NULL, 'open', 'first_credit', granted_by);
        END IF;
        INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
        VALUES (new_id, customer, 'usdc', amount), (new_id, 'system:grants', 'usdc', -amount);
    END IF;
    RETURN QUERY
    SELECT t.id, t.posted_at, b.amount
    FROM ledger_transaction t
    JOIN ledger_posting p ON p.transaction_id = t.id AND p.account_id = customer AND p.unit = 'usdc'
                         AND p.amount = grant_usdc.amount
    JOIN balance b ON b.account_id = customer AND b.unit = 'usdc'
    WHERE t.source = 'house' AND t.movement = 'grant' AND t.money_object = operation::text;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this operation has granted something else' USING ERRCODE = 'unique_violation';
    END IF;
END
$$;
