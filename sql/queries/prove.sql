-- Proving: the log in the order of its ids out of one snapshot, what the log does not hold, the scratch database, and
-- every table that events make in the shape in which live and rebuilt state are compared.

-- name: scratch_to_make
-- The statement that makes a scratch database.
SELECT format('CREATE DATABASE %I', $1::text);

-- name: scratch_to_drop
-- The statement that removes one.
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text);

-- name: snapshot_to_join
-- The statement that makes a fresh transaction see what another one sees.
SELECT format('SET TRANSACTION SNAPSHOT %L', $1::text);

-- name: share_snapshot
-- A name for what this transaction sees, and when that was.
SELECT pg_export_snapshot() AS name, now() AS at;

-- name: may_rest
-- Lets this transaction rest between statements for as long as it takes.
SELECT set_config('idle_in_transaction_session_timeout', '0', true);

-- name: waive_durability
-- A scratch database need not survive a crash.
SELECT set_config('synchronous_commit', 'off', false);

-- name: payloads_gone
-- Events with an outcome whose payload retention has taken: how many, and the last of them.
SELECT count(*) AS events, max(e.log_id) AS last_id FROM webhook_event e
WHERE e.state <> 'pending' AND e.log_id >= $1
  AND NOT EXISTS (SELECT FROM webhook_log l WHERE l.id = e.log_id AND l.received_at = e.received_at);

-- name: events_to_rebuild
-- How many events have an outcome, and how many wait for theirs.
SELECT count(*) FILTER (WHERE state <> 'pending') AS decided, count(*) FILTER (WHERE state = 'pending') AS waiting
FROM webhook_event WHERE log_id >= $1;

-- name: log_to_replay
-- First deliveries of events with an outcome, and operators' replays of them, in the order of the log.
SELECT e.source, e.event_id, e.log_id, e.received_at, e.psp_created, e.body_sha256, e.state, e.applied_at,
       e.next_attempt_at, l.id AS delivery_id, l.received_at AS delivered_at, l.endpoint, l.body
FROM webhook_log l
JOIN webhook_event e ON e.source = l.source AND e.event_id = l.event_id
WHERE l.id >= $1 AND l.received_at >= $2 AND l.verdict = 'ok' AND e.state <> 'pending' AND e.log_id >= $1
  AND (l.id = e.log_id OR l.origin = 'operator')
ORDER BY l.id;

-- name: bodies_again
-- Payloads of events that were parked and are due again.
SELECT l.id, l.endpoint, l.body FROM webhook_log l
JOIN unnest($1::bigint[], $2::timestamptz[]) AS k (id, received_at) ON l.id = k.id AND l.received_at = k.received_at;

-- name: put_events
-- The next events into the scratch inbox. What fails fails for good: a rebuild tries nothing twice.
INSERT INTO webhook_event (source, event_id, log_id, received_at, psp_created, body_sha256, attempts)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bytea[], $7::integer[]);

-- name: claim_woken
-- Everything that is due in the scratch inbox, whatever the clock says there.
UPDATE webhook_event SET attempts = $1 WHERE state = 'pending'
RETURNING source, event_id, log_id, received_at, attempts, psp_created, reason;

-- name: expire_these
-- Ends the wait of these events, as the sweep does when their time is over.
UPDATE webhook_event e SET state = 'pending', reason = 'expired', awaits = NULL, attempts = 0
FROM unnest($1::text[], $2::text[]) AS k (source, event_id)
WHERE e.source = k.source AND e.event_id = k.event_id AND e.state = 'parked';

-- name: keys_from_before
-- Whatever had a history before this log id: its state cannot be rebuilt from what comes after.
SELECT DISTINCT t.source, CASE t.kind
    WHEN 'checkout_session' THEN 'checkout' WHEN 'subscription_invoice' THEN 'invoice' ELSE t.kind END
    || ':' || t.object_id AS key
FROM state_transition t
WHERE t.log_id < $1
  AND t.kind IN ('checkout_session', 'order', 'subscription', 'subscription_invoice', 'refund', 'transfer')
UNION
SELECT p.source, 'payment:' || p.payment_id
FROM paid_object p
JOIN state_transition t ON t.kind = p.kind AND t.source = p.source AND t.object_id = p.id
WHERE t.log_id < $1 AND p.payment_id IS NOT NULL;

-- name: accounts_from_before
-- Accounts that money moved on before this log id.
SELECT DISTINCT p.account_id FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id
WHERE t.log_id < $1;

-- name: given_accounts
-- Accounts that no event has opened, and those that sessions of our own API need from their beginning.
SELECT a.id, a.kind FROM account a
WHERE a.kind = 'customer'
  AND (NOT EXISTS (SELECT FROM state_transition t
                   WHERE t.kind = 'account' AND t.object_id = a.id AND t.log_id IS NOT NULL)
       OR EXISTS (SELECT FROM checkout_session c
                  JOIN state_transition o ON o.kind = 'checkout_session' AND o.source = c.source
                       AND o.object_id = c.id AND o.seq = 1
                  WHERE c.account_id = a.id AND o.log_id IS NULL));

-- name: given_sessions
-- Checkout sessions as our own API has opened them: what events made of them since is taken off.
SELECT c.source, c.id, c.kind, CASE WHEN c.version = 1 THEN c.payment_id END AS payment_id, c.account_id, c.credits,
       c.amount_minor, c.currency, o.to_state AS status, c.origin, 0::bigint AS credits_taken, 1 AS version
FROM checkout_session c
JOIN state_transition o ON o.kind = 'checkout_session' AND o.source = c.source AND o.object_id = c.id AND o.seq = 1
WHERE o.log_id IS NULL;

-- name: given_transitions
-- What the journal holds without an event, and how the accounts of such sessions were opened.
SELECT t.kind, t.source, t.object_id, t.seq, t.from_state, t.to_state, t.rule, t.event_id, t.log_id, t.actor,
       t.psp_created, t.money_before, t.money_after
FROM state_transition t
WHERE t.log_id IS NULL
   OR t.kind = 'account' AND EXISTS (
       SELECT FROM checkout_session c
       JOIN state_transition o ON o.kind = 'checkout_session' AND o.source = c.source AND o.object_id = c.id
            AND o.seq = 1
       WHERE c.account_id = t.object_id AND o.log_id IS NULL);

-- name: given_transactions
-- Money that was moved by hand: grants and corrections. Their ids must not meet those that a rebuild gives.
SELECT -id AS id, source, movement, money_object, event_id, log_id, actor, moved_at FROM ledger_transaction WHERE log_id IS NULL;

-- name: given_postings
-- The legs of those.
SELECT -p.transaction_id AS transaction_id, p.account_id, p.unit, p.amount
FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id WHERE t.log_id IS NULL;

-- name: compared_checkout_session
-- Purchases of credits.
SELECT source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, credits_taken,
       paid_at IS NOT NULL AS is_paid, version, 'checkout:' || id AS "~key"
FROM checkout_session ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_orders
-- Orders.
SELECT source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor, licences, payment_id,
       payment_status, status, reversed_minor, completed_at IS NOT NULL AS is_completed, version, 'order:' || id AS "~key"
FROM orders ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_license
-- Licences.
SELECT source, order_id, product, account_id, status, version, 'order:' || order_id AS "~key"
FROM license ORDER BY source COLLATE "C", order_id COLLATE "C", product COLLATE "C";

-- name: compared_seller_transfer
-- Transfers to sellers.
SELECT source, id, order_id, destination, amount_minor, reversed_minor, currency, status, version,
       'order:' || order_id AS "~key"
FROM seller_transfer ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_refund
-- Refunds.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, psp_id, version,
       CASE owner_kind WHEN 'checkout_session' THEN 'checkout' WHEN 'order' THEN 'order' ELSE 'invoice' END
       || ':' || owner_id AS "~key"
FROM refund ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_dispute
-- Disputes.
SELECT source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, status_at, funds_withdrawn,
       funds_reinstated, funds_at, version,
       CASE owner_kind WHEN 'checkout_session' THEN 'checkout' WHEN 'order' THEN 'order' ELSE 'invoice' END
       || ':' || owner_id AS "~key"
FROM dispute ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_subscription
-- Subscriptions, mirrored and our own.
SELECT source, id, origin, status, psp_status, payment_status, customer_id, account_id, plan_id, amount_minor,
       currency, price_id, cancel_at_period_end, current_period_start, current_period_end, trial_end, canceled_at, ended_at,
       latest_invoice_id, psp_second, versions::text AS versions, deleted, ambiguous, version,
       'subscription:' || id AS "~key"
FROM subscription ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_subscription_invoice
-- Their invoices; when one of ours was paid is a time of our own clock.
SELECT source, id, subscription_id, origin, payment_id, status, amount_due_minor, amount_paid_minor, currency,
       attempt_count, CASE origin WHEN 'psp' THEN paid_at END AS paid_at, paid_at IS NOT NULL AS is_paid, psp_second,
       versions::text AS versions, ambiguous, version, 'invoice:' || id AS "~key"
FROM subscription_invoice ORDER BY source COLLATE "C", id COLLATE "C";

-- name: compared_account
-- Accounts.
SELECT a.id, a.kind, t.log_id AS "~log_id"
FROM account a LEFT JOIN state_transition t ON t.kind = 'account' AND t.object_id = a.id AND t.seq = 1
ORDER BY a.id COLLATE "C";

-- name: compared_balance
-- Balances; one that nothing ever moved is none.
SELECT account_id, unit, amount FROM balance WHERE amount <> 0 ORDER BY account_id COLLATE "C", unit COLLATE "C";

-- name: compared_ledger_transaction
-- Transactions by their money object.
SELECT source, money_object, movement, moved_at, event_id, log_id, actor, log_id AS "~log_id"
FROM ledger_transaction ORDER BY source COLLATE "C", money_object COLLATE "C", movement COLLATE "C", moved_at;

-- name: compared_ledger_posting
-- The legs of each.
SELECT t.source, t.money_object, t.movement, t.moved_at, p.account_id, p.unit, p.amount, t.log_id AS "~log_id"
FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id
ORDER BY t.source COLLATE "C", t.money_object COLLATE "C", t.movement COLLATE "C", t.moved_at, p.account_id COLLATE "C",
         p.unit COLLATE "C";

-- name: compared_state_transition
-- The journal. Which of an account's first credits has opened it is a race that either may win.
SELECT kind, object_id, CASE WHEN kind <> 'account' THEN source ELSE '' END AS source, seq, from_state, to_state, rule,
       CASE WHEN kind <> 'account' THEN event_id END AS event_id, CASE WHEN kind <> 'account' THEN log_id END AS log_id,
       actor, CASE WHEN kind <> 'account' THEN psp_created END AS psp_created, money_before::text AS money_before,
       money_after::text AS money_after, log_id AS "~log_id"
FROM state_transition
ORDER BY kind COLLATE "C", object_id COLLATE "C",
         CASE WHEN kind <> 'account' THEN source ELSE '' END COLLATE "C", seq;

-- name: compared_outbox_effect
-- What was wanted of a PSP, however it ended.
SELECT source, idempotency_key, kind, object_id, arguments::text AS arguments, log_id AS "~log_id"
FROM outbox_effect ORDER BY source COLLATE "C", idempotency_key COLLATE "C";

-- name: compared_webhook_event
-- Outcomes of events; those that wait for theirs have none. An operator may have taken one off the list by hand.
SELECT e.source, e.event_id, e.state, e.reason, e.awaits, e.log_id AS "~log_id",
       e.state = 'ignored' AND EXISTS (
           SELECT FROM event_note n WHERE n.source = e.source AND n.event_id = e.event_id AND n.what = 'resolved'
       ) AS "~resolved"
FROM webhook_event e WHERE e.state <> 'pending' ORDER BY e.source COLLATE "C", e.event_id COLLATE "C";
