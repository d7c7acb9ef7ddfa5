-- A bank may judge a dispute anew: its money goes, comes back, and goes again. The last movement is what counts, so its time
-- is kept; what an upgraded row has lived through cannot be later than its last status, and nothing of it is still to come.

ALTER TABLE dispute ADD COLUMN funds_at bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN dispute.funds_at IS 'PSP time of the last movement of its money, unix seconds; 0: none.';
UPDATE dispute SET funds_at = status_at WHERE funds_withdrawn OR funds_reinstated;

ALTER TABLE ledger_transaction ADD COLUMN moved_at bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger_transaction.moved_at IS
    'PSP time of a movement that its money object can make again, unix seconds; 0: it makes it once.';
ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_once,
    ADD CONSTRAINT ledger_transaction_once UNIQUE (money_object, movement, source, moved_at);
