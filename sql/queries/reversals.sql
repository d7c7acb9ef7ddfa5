-- Refunds and disputes of whatever a payment has paid for. They are locked after their owners, refunds before disputes,
-- each by source and id.

-- name: lock_refunds
-- All refunds of the given owners, as (kind, id) pairs.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id
FROM refund
WHERE (owner_kind, owner_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: lock_disputes
-- All disputes of the given owners, as (kind, id) pairs.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at,
       funds_withdrawn, funds_reinstated, funds_at, version
FROM dispute
WHERE (owner_kind, owner_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: owners_of_refunds
-- Whatever these refunds give back, for events that name no payment.
SELECT DISTINCT owner_kind, owner_id FROM refund WHERE id = ANY($1::text[]) OR psp_id = ANY($1::text[]);

-- name: insert_refunds
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
                     $9::integer[], $10::text[])
    AS r (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id)
ORDER BY source, id;

-- name: update_refunds
-- Changed refunds; their owners are locked.
UPDATE refund r SET status = n.status, version = n.version, psp_id = n.psp_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[]) AS n (source, id, status, version, psp_id)
WHERE r.source = n.source AND r.id = n.id;

-- name: insert_disputes
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO dispute (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at,
                     funds_withdrawn, funds_reinstated, funds_at, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
                     $9::bigint[], $10::boolean[], $11::boolean[], $12::bigint[],
                     $13::integer[])
    AS d (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at, funds_withdrawn,
          funds_reinstated, funds_at, version)
ORDER BY source, id;

-- name: update_disputes
-- Changed disputes; their owners are locked.
UPDATE dispute d SET status = n.status, status_at = n.status_at, funds_withdrawn = n.funds_withdrawn,
                     funds_reinstated = n.funds_reinstated, funds_at = n.funds_at, version = n.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::bigint[],
            $8::integer[])
    AS n (source, id, status, status_at, funds_withdrawn, funds_reinstated, funds_at, version)
WHERE d.source = n.source AND d.id = n.id;
