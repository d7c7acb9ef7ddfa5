-- A payment that was refunded and disputed away has cost its money twice: both take their credits, and the account owes
-- what is beyond the purchase.

ALTER TABLE checkout_session DROP CONSTRAINT checkout_session_credits;
ALTER TABLE checkout_session ADD CONSTRAINT checkout_session_credits CHECK (credits > 0 AND credits_taken >= 0);
