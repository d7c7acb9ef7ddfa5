-- Idempotency keys have a lifetime now (`idempotency_key_days`): retention finds the old ones by this, however many there
-- are.

CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
