-- Purchases of credits, locked by source and id; the accounts that anything opens; the journal.

-- name: lock_purchases
-- Purchases named by their own id or by their payment.
SELECT source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, credits_taken, version
FROM checkout_session
WHERE id = ANY($1::text::text[]) OR payment_id = ANY($2::text::text[])
ORDER BY source, id
FOR NO KEY UPDATE;

-- name: open_accounts
-- Makes missing accounts; tells which ones were new.
INSERT INTO account (id) SELECT id FROM unnest($1::text::text[]) AS a (id) ORDER BY id
ON CONFLICT DO NOTHING
RETURNING id;

-- name: insert_purchases
-- A key that exists already is a lost race: the batch is decided anew.
INSERT INTO checkout_session (
    source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, credits_taken, version,
    paid_at)
SELECT source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, credits_taken, version,
       CASE WHEN status = 'paid' THEN now() END
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::bigint[], $7::text::bigint[], $8::text::text[],
            $9::text::text[], $10::text::text[], $11::text::bigint[], $12::text::integer[])
    AS p (source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, credits_taken,
          version)
ORDER BY source, id;

-- name: update_purchases
-- Changed purchases; their rows are locked since they were loaded.
UPDATE checkout_session c
SET payment_id = p.payment_id, status = p.status, credits_taken = p.credits_taken, version = p.version,
    paid_at = CASE WHEN p.status = 'paid' THEN coalesce(c.paid_at, now()) END
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::bigint[], $6::text::integer[])
    AS p (source, id, payment_id, status, credits_taken, version)
WHERE c.source = p.source AND c.id = p.id;

-- name: insert_transitions
-- The journal of this batch.
INSERT INTO state_transition (kind, source, object_id, seq, from_state, to_state, rule, event_id, log_id, psp_created,
                              money_before, money_after)
SELECT kind, source, object_id, seq, from_state, to_state, rule, event_id, log_id, psp_created,
       money_before::jsonb, money_after::jsonb
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::integer[], $5::text::text[], $6::text::text[], $7::text::text[], $8::text::text[],
            $9::text::bigint[], $10::text::bigint[], $11::text::text[], $12::text::text[])
    AS t (kind, source, object_id, seq, from_state, to_state, rule, event_id, log_id, psp_created, money_before,
          money_after)
ORDER BY kind, object_id, source, seq;
