-- Refunds and disputes of whatever a payment has paid for. They are locked after their owners, refunds before disputes,
-- each by source and id.

-- name: lock_refunds
-- All refunds of the given owners, as (kind, id) pairs.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id
FROM refund
WHERE (owner_kind, owner_id) IN (SELECT * FROM unnest($1::text::text[], $2::text::text[]))
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: lock_disputes
-- All disputes of the given owners, as (kind, id) pairs.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at,
       funds_withdrawn, funds_reinstated, funds_at, version
FROM dispute
WHERE (owner_kind, owner_id) IN (SELECT * FROM unnest($1::text::text[], $2::text::text[]))
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: owners_of_refunds
-- Whatever these refunds give back, for events that name no payment.
SELECT DISTINCT owner_kind, owner_id FROM refund WHERE id = ANY($1::text::text[]) OR psp_id = ANY($1::text::text[]);

-- name: insert_refunds
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id)
SELECT * FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[], $7::text::text[], $8::text::text[],
                     $9::text::integer[], $10::text::text[])
    AS r (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, version, psp_id)
ORDER BY source, id;

-- name: update_refunds
-- Changed refunds; their owners are locked.
UPDATE refund r SET status = n.status, version = n.version, psp_id = n.psp_id
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::integer[], $5::text::text[]) AS n (source, id, status, version, psp_id)
WHERE r.source = n.source AND r.id = n.id;

-- name: insert_disputes
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO dispute (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at,
                     funds_withdrawn, funds_reinstated, funds_at, version)
SELECT * FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[], $7::text::text[], $8::text::text[],
                     $9::text::bigint[], $10::text::boolean[], $11::text::boolean[], $12::text::bigint[],
                     $13::text::integer[])
    AS d (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at, funds_withdrawn,
          funds_reinstated, funds_at, version)
ORDER BY source, id;

-- name: update_disputes
-- Changed disputes; their owners are locked.
UPDATE dispute d SET status = n.status, status_at = n.status_at, funds_withdrawn = n.funds_withdrawn,
                     funds_reinstated = n.funds_reinstated, funds_at = n.funds_at, version = n.version
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::bigint[], $5::text::boolean[], $6::text::boolean[], $7::text::bigint[],
            $8::text::integer[])
    AS n (source, id, status, status_at, funds_withdrawn, funds_reinstated, funds_at, version)
WHERE d.source = n.source AND d.id = n.id;
