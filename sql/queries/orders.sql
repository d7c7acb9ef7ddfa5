-- Orders with their licences and transfers. Every load locks, in this order: orders, transfers; licences change with
-- their order only.

-- name: orders_of_transfers
-- The orders that these transfers belong to.
SELECT DISTINCT order_id FROM seller_transfer WHERE id = ANY($1::text[]);

-- name: lock_orders
-- Orders named by their own id or by their payment.
SELECT source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor, licences, payment_id,
       payment_status, status, reversed_minor, version
FROM orders
WHERE id = ANY($1::text::text[]) OR payment_id = ANY($2::text::text[])
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: licences_of_orders
-- How the licences of the given orders stand; all of an order are alike. Asked only once the orders are locked: in a
-- join with them, a lock that had to be waited for would show the order as it is and its licences as they were.
SELECT DISTINCT source, order_id, status, version FROM license WHERE order_id = ANY($1::text[]);

-- name: lock_transfers
-- All transfers of the given orders.
SELECT source, id, order_id, destination, amount_minor, reversed_minor, currency, status, version
FROM seller_transfer WHERE order_id = ANY($1::text[])
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: insert_orders
-- A key that exists already is a lost race: the batch is decided anew. Licences come as comma lists.
INSERT INTO orders (
    source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor, licences, payment_id, payment_status,
    status, reversed_minor, version, completed_at)
SELECT source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor, string_to_array(licences, ','),
       payment_id, payment_status, status, reversed_minor, version,
       CASE WHEN payment_status IN ('succeeded', 'reversed') THEN now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::bigint[], $13::integer[])
    AS o (source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor, licences, payment_id,
          payment_status, status, reversed_minor, version)
ORDER BY source, id;

-- name: update_orders
-- Changed orders; their rows are locked since they were loaded. What was agreed never changes.
UPDATE orders c
SET payment_id = o.payment_id, payment_status = o.payment_status, status = o.status, reversed_minor = o.reversed_minor,
    version = o.version,
    completed_at = CASE WHEN o.payment_status IN ('succeeded', 'reversed') THEN coalesce(c.completed_at, now()) END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[])
    AS o (source, id, payment_id, payment_status, status, reversed_minor, version)
WHERE c.source = o.source AND c.id = o.id;

-- name: put_licences
-- Licences as their order makes them.
INSERT INTO license (source, order_id, product, account_id, status, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[])
    AS l (source, order_id, product, account_id, status, version)
ORDER BY source, order_id, product
ON CONFLICT (source, order_id, product) DO UPDATE SET status = excluded.status, version = excluded.version;

-- name: insert_transfers
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO seller_transfer (source, id, order_id, destination, amount_minor, reversed_minor, currency, status, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                     $9::integer[])
    AS t (source, id, order_id, destination, amount_minor, reversed_minor, currency, status, version)
ORDER BY source, id;

-- name: update_transfers
-- Changed transfers; their orders are locked.
UPDATE seller_transfer t SET reversed_minor = n.reversed_minor, status = n.status, version = n.version
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::integer[])
    AS n (source, id, reversed_minor, status, version)
WHERE t.source = n.source AND t.id = n.id;
