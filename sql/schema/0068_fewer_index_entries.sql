-- Fewer index entries for each event that is applied: what a batch writes is mostly indexes.

-- What a PSP names is looked up by its id, whatever the source, so each of these had an index for that beside its key. A
-- key that begins with the id does for both. What refers to a key has to be made anew with it, under a lock, for as long as
-- these tables and `balance` below take to be read: let it run while little comes in.
ALTER TABLE checkout_session DROP CONSTRAINT checkout_session_pkey,
    ADD CONSTRAINT checkout_session_pkey PRIMARY KEY (id, source);
DROP INDEX checkout_session_by_id;

ALTER TABLE subscription_invoice DROP CONSTRAINT subscription_invoice_source_subscription_id_fkey;
ALTER TABLE subscription DROP CONSTRAINT subscription_pkey,
    ADD CONSTRAINT subscription_pkey PRIMARY KEY (id, source);
DROP INDEX subscription_by_id;
ALTER TABLE subscription_invoice DROP CONSTRAINT subscription_invoice_pkey,
    ADD CONSTRAINT subscription_invoice_pkey PRIMARY KEY (id, source),
    ADD CONSTRAINT subscription_invoice_source_subscription_id_fkey
        FOREIGN KEY (source, subscription_id) REFERENCES subscription (source, id);
DROP INDEX subscription_invoice_by_id;

ALTER TABLE license DROP CONSTRAINT license_source_order_id_fkey;
ALTER TABLE seller_transfer DROP CONSTRAINT seller_transfer_source_order_id_fkey;
ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD CONSTRAINT orders_pkey PRIMARY KEY (id, source);
DROP INDEX orders_by_id;
ALTER TABLE license ADD CONSTRAINT license_source_order_id_fkey
    FOREIGN KEY (source, order_id) REFERENCES orders (source, id);
ALTER TABLE seller_transfer ADD CONSTRAINT seller_transfer_source_order_id_fkey
    FOREIGN KEY (source, order_id) REFERENCES orders (source, id);

-- A balance changes with every movement, and an index that asks for the amount made each change write all indexes anew.
-- Whether it is below zero hardly ever changes; with that alone in the index, and room on the page, a change touches none
-- (HOT).
ALTER TABLE balance ADD COLUMN below_zero boolean NOT NULL GENERATED ALWAYS AS (amount < 0) STORED;
DROP INDEX balance_negative;
CREATE INDEX balance_negative ON balance (account_id, unit) WHERE below_zero;
ALTER TABLE balance SET (fillfactor = 50);
