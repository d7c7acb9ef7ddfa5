-- Credits that were used up for something that was not done after all are given back: a spend wholly, and once, because its
-- reversal is the same money object.

ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_movement;
ALTER TABLE ledger_transaction ADD CONSTRAINT ledger_transaction_movement CHECK (movement IN (
    'topup', 'refund_clawback', 'refund_give_back', 'dispute_clawback', 'dispute_give_back', 'grant',
    'sale', 'sale_reversal', 'transfer', 'transfer_reversal', 'spend', 'spend_reversal'
)) NOT VALID;
ALTER TABLE ledger_transaction VALIDATE CONSTRAINT ledger_transaction_movement;
