-- The worker names purchases, subscriptions and invoices by their id alone, many at once. Their keys begin with the source, so
-- Postgres took whatever index held the id somewhere and walked it for each of them, account by account.
CREATE INDEX checkout_session_by_id ON checkout_session (id);
CREATE INDEX subscription_by_id ON subscription (id);
CREATE INDEX subscription_invoice_by_id ON subscription_invoice (id);
