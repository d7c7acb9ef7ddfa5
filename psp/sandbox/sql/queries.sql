-- Every query of the sandbox. `list_…` queries page newest first; the store turns their last line around for
-- `ending_before`.

-- name: put_setting
-- Remembers a word of the sandbox's own.
INSERT INTO setting (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: get_setting
-- A remembered word.
SELECT value FROM setting WHERE name = :name;

-- name: insert_checkout_session
-- A new session.
INSERT INTO checkout_session (
    id, created, expires_at, status, payment_status, amount_total, currency, success_url, cancel_url,
    client_reference_id, customer, customer_email, metadata, intent_metadata, line_items, payment_intent
) VALUES (
    :id, :created, :expires_at, :status, :payment_status, :amount_total, :currency, :success_url, :cancel_url,
    :client_reference_id, :customer, :customer_email, :metadata, :intent_metadata, :line_items, :payment_intent
);

-- name: update_checkout_session
-- What can change of a session.
UPDATE checkout_session
SET status = :status, payment_status = :payment_status, payment_intent = :payment_intent, metadata = :metadata
WHERE id = :id;

-- name: get_checkout_session
-- One session.
SELECT * FROM checkout_session WHERE id = :id;

-- name: list_checkout_session
-- Sessions of a time, a payment or a state.
SELECT * FROM checkout_session
WHERE (:payment_intent IS NULL OR payment_intent = :payment_intent)
  AND (:customer IS NULL OR customer = :customer)
  AND (:status IS NULL OR status = :status)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_payment_intent
-- A new payment.
INSERT INTO payment_intent (
    id, created, amount, currency, status, metadata, client_secret, checkout_session, customer, description,
    payment_method, payment_method_type, latest_charge, last_error, canceled_at, cancellation_reason, transfer_group
) VALUES (
    :id, :created, :amount, :currency, :status, :metadata, :client_secret, :checkout_session, :customer, :description,
    :payment_method, :payment_method_type, :latest_charge, :last_error, :canceled_at, :cancellation_reason,
    :transfer_group
);

-- name: update_payment_intent
-- What can change of a payment.
UPDATE payment_intent
SET status = :status, payment_method = :payment_method, payment_method_type = :payment_method_type,
    latest_charge = :latest_charge, last_error = :last_error, canceled_at = :canceled_at,
    cancellation_reason = :cancellation_reason
WHERE id = :id;

-- name: get_payment_intent
-- One payment.
SELECT * FROM payment_intent WHERE id = :id;

-- name: list_payment_intent
-- Payments of a time or a customer.
SELECT * FROM payment_intent
WHERE (:customer IS NULL OR customer = :customer)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: payment_intents_named
-- Payments whose metadata say so.
SELECT * FROM payment_intent WHERE json_extract(metadata, :path) = :value ORDER BY seq DESC LIMIT :rows;

-- name: insert_charge
-- A new charge.
INSERT INTO charge (
    id, created, payment_intent, amount, currency, status, metadata, customer, payment_method, payment_method_type,
    failure_code, amount_refunded, disputed, transfer_group
) VALUES (
    :id, :created, :payment_intent, :amount, :currency, :status, :metadata, :customer, :payment_method,
    :payment_method_type, :failure_code, :amount_refunded, :disputed, :transfer_group
);

-- name: update_charge
-- What can change of a charge.
UPDATE charge
SET status = :status, failure_code = :failure_code, amount_refunded = :amount_refunded, disputed = :disputed
WHERE id = :id;

-- name: get_charge
-- One charge.
SELECT * FROM charge WHERE id = :id;

-- name: list_charge
-- Charges of a time or a payment.
SELECT * FROM charge
WHERE (:payment_intent IS NULL OR payment_intent = :payment_intent)
  AND (:customer IS NULL OR customer = :customer)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_refund
-- A new refund.
INSERT INTO refund (
    id, created, charge, payment_intent, amount, currency, status, metadata, reason, failure_reason, reference_status
) VALUES (
    :id, :created, :charge, :payment_intent, :amount, :currency, :status, :metadata, :reason, :failure_reason,
    :reference_status
);

-- name: update_refund
-- What can change of a refund.
UPDATE refund
SET status = :status, failure_reason = :failure_reason, reference_status = :reference_status, metadata = :metadata
WHERE id = :id;

-- name: get_refund
-- One refund.
SELECT * FROM refund WHERE id = :id;

-- name: list_refund
-- Refunds of a time, a charge or a payment.
SELECT * FROM refund
WHERE (:charge IS NULL OR charge = :charge)
  AND (:payment_intent IS NULL OR payment_intent = :payment_intent)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: refunds_unfailed
-- What is refunded, or on its way, of one charge.
SELECT coalesce(sum(amount), 0) AS total FROM refund WHERE charge = :charge AND status IN ('pending', 'succeeded');

-- name: insert_dispute
-- A new dispute.
INSERT INTO dispute (
    id, created, charge, payment_intent, amount, currency, status, reason, evidence_submitted, funds_withdrawn,
    funds_reinstated
) VALUES (
    :id, :created, :charge, :payment_intent, :amount, :currency, :status, :reason, :evidence_submitted,
    :funds_withdrawn, :funds_reinstated
);

-- name: update_dispute
-- What can change of a dispute.
UPDATE dispute
SET status = :status, evidence_submitted = :evidence_submitted, funds_withdrawn = :funds_withdrawn,
    funds_reinstated = :funds_reinstated
WHERE id = :id;

-- name: get_dispute
-- One dispute.
SELECT * FROM dispute WHERE id = :id;

-- name: list_dispute
-- Disputes of a time, a charge or a payment.
SELECT * FROM dispute
WHERE (:charge IS NULL OR charge = :charge)
  AND (:payment_intent IS NULL OR payment_intent = :payment_intent)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_movement
-- Money that moved.
INSERT INTO movement (id, created, kind, source, amount, currency, payer, payee)
VALUES (:id, :created, :kind, :source, :amount, :currency, :payer, :payee);

-- name: get_movement
-- One movement.
SELECT * FROM movement WHERE id = :id;

-- name: list_movement
-- The movements of one source, in order.
SELECT * FROM movement WHERE source = :source ORDER BY seq;

-- name: movement_totals
-- Per currency and kind: how much moved.
SELECT currency, kind, sum(amount) AS total FROM movement GROUP BY currency, kind ORDER BY currency, kind;

-- name: insert_event
-- A new event.
INSERT INTO event (
    id, type, created, object_id, body, body_sha256, chaos_index, dropped, delivered_at, gave_up, attempts,
    acknowledged, conflict_sha256, conflict_acknowledged
) VALUES (
    :id, :type, :created, :object_id, :body, :body_sha256, :chaos_index, :dropped, :delivered_at, :gave_up, :attempts,
    :acknowledged, :conflict_sha256, :conflict_acknowledged
);

-- name: get_event
-- One event of Stripe's.
SELECT * FROM event WHERE id = :id AND id NOT IN (SELECT id FROM hyperswitch_event);

-- name: list_event
-- Events of a time, of some types (a JSON list) or by whether they were delivered.
SELECT * FROM event
WHERE id NOT IN (SELECT id FROM hyperswitch_event)
  AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
  AND (:delivered IS NULL OR (delivered_at IS NOT NULL) = :delivered)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: last_event_seq
-- The newest event's place.
SELECT coalesce(max(seq), 0) AS seq FROM event;

-- name: last_planned_number
-- The newest number, from 0, under which chaos has decided an event after a place; none yet is -1.
SELECT coalesce((SELECT chaos_index FROM event WHERE chaos_index >= 0 AND seq > :from_seq ORDER BY seq DESC LIMIT 1), -1)
    AS number;

-- name: journal_page
-- What became of the events after a place, oldest first, without their bodies.
SELECT seq, id, type, created, object_id, body_sha256, dropped, delivered_at, gave_up, attempts, acknowledged,
       conflict_sha256, conflict_acknowledged, x'' AS body, chaos_index
FROM event WHERE seq > :after ORDER BY seq LIMIT :rows;

-- name: events_to_resume
-- What was still to be delivered when the process ended.
SELECT e.*, iif(h.id IS NULL, 'stripe', 'hyperswitch') AS psp
FROM event e LEFT JOIN hyperswitch_event h ON h.id = e.id
WHERE e.delivered_at IS NULL AND NOT e.dropped AND NOT e.gave_up ORDER BY e.seq;

-- name: count_attempt
-- An attempt begins.
UPDATE event SET attempts = attempts + 1 WHERE id = :id;

-- name: acknowledge
-- A 2xx came: the first one delivers the event.
UPDATE event SET acknowledged = acknowledged + 1, delivered_at = coalesce(delivered_at, :now) WHERE id = :id;

-- name: give_up
-- No further attempt will be made.
UPDATE event SET gave_up = 1 WHERE id = :id AND delivered_at IS NULL;

-- name: note_conflict
-- A second body is about to go out under this id.
UPDATE event SET conflict_sha256 = :sha256 WHERE id = :id;

-- name: acknowledge_conflict
-- The second body was answered with a 2xx.
UPDATE event SET conflict_acknowledged = conflict_acknowledged + 1 WHERE id = :id;

-- name: saved_answer
-- What a key was answered with.
SELECT * FROM saved_answer WHERE key = :key;

-- name: insert_saved_answer
-- Keeps an answer; one that had outlived its day gives way.
INSERT OR REPLACE INTO saved_answer (key, created, request_sha256, request_id, status, body)
VALUES (:key, :created, :request_sha256, :request_id, :status, :body);

-- name: sales
-- Every paid payment that says it is a top-up, with what has been reversed of it, from the money records alone.
SELECT s.metadata, s.amount_total AS amount, s.currency, c.id AS charge,
       (SELECT coalesce(sum(r.amount), 0) FROM refund r WHERE r.charge = c.id AND r.status = 'succeeded') AS refunded,
       (SELECT coalesce(sum(d.amount), 0) FROM dispute d
        WHERE d.charge = c.id AND d.funds_withdrawn AND NOT d.funds_reinstated) AS disputed
FROM checkout_session s
JOIN payment_intent p ON p.id = s.payment_intent
JOIN charge c ON c.id = p.latest_charge
WHERE s.payment_status = 'paid' AND s.metadata ->> 'purpose' = 'credits_topup'
UNION ALL
SELECT p.metadata, p.amount, p.currency, c.id,
       (SELECT coalesce(sum(r.amount), 0) FROM refund r WHERE r.charge = c.id AND r.status = 'succeeded'),
       (SELECT coalesce(sum(d.amount), 0) FROM dispute d
        WHERE d.charge = c.id AND d.funds_withdrawn AND NOT d.funds_reinstated)
FROM payment_intent p
JOIN charge c ON c.id = p.latest_charge
WHERE p.status = 'succeeded' AND p.checkout_session IS NULL
  AND p.metadata ->> 'purpose' = 'credits_topup' AND p.metadata ->> 'paymentMethod' = 'off_session';

-- name: record_totals
-- Per currency, what the records say was charged, refunded, is withheld by disputes and is with sellers; checks the
-- movements.
SELECT currency, sum(charged) AS charged, sum(refunded) AS refunded, sum(disputed) AS disputed,
       sum(transferred) AS transferred FROM (
    SELECT currency, amount AS charged, 0 AS refunded, 0 AS disputed, 0 AS transferred
    FROM charge WHERE status = 'succeeded'
    UNION ALL SELECT currency, 0, amount, 0, 0 FROM refund WHERE status = 'succeeded'
    UNION ALL SELECT currency, 0, 0, amount, 0 FROM dispute WHERE funds_withdrawn AND NOT funds_reinstated
    UNION ALL SELECT currency, 0, 0, 0, amount - amount_reversed FROM transfer
) GROUP BY currency ORDER BY currency;

-- name: insert_price
-- A new price.
INSERT INTO price (
    id, created, currency, unit_amount, interval, product, nickname, metadata
) VALUES (
    :id, :created, :currency, :unit_amount, :interval, :product, :nickname, :metadata
);

-- name: get_price
-- One price.
SELECT * FROM price WHERE id = :id;

-- name: list_price
-- Prices of a time.
SELECT * FROM price
WHERE created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_subscription
-- A new subscription.
INSERT INTO subscription (
    id, created, customer, status, item, price, quantity, currency, metadata, default_payment_method,
    current_period_start, current_period_end, trial_end, cancel_at_period_end, canceled_at, ended_at,
    latest_invoice
) VALUES (
    :id, :created, :customer, :status, :item, :price, :quantity, :currency, :metadata, :default_payment_method,
    :current_period_start, :current_period_end, :trial_end, :cancel_at_period_end, :canceled_at, :ended_at,
    :latest_invoice
);

-- name: update_subscription
-- What can change of a subscription.
UPDATE subscription
SET status = :status, metadata = :metadata, default_payment_method = :default_payment_method,
    current_period_start = :current_period_start, current_period_end = :current_period_end,
    trial_end = :trial_end, cancel_at_period_end = :cancel_at_period_end, canceled_at = :canceled_at,
    ended_at = :ended_at, latest_invoice = :latest_invoice
WHERE id = :id;

-- name: get_subscription
-- One subscription.
SELECT * FROM subscription WHERE id = :id;

-- name: list_subscription
-- Subscriptions of a time, a customer or a state; without one, those that are not canceled.
SELECT * FROM subscription
WHERE (:customer IS NULL OR customer = :customer)
  AND (:status = 'all' OR status = :status OR (:status IS NULL AND status <> 'canceled'))
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_invoice
-- A new invoice.
INSERT INTO invoice (
    id, created, subscription, customer, status, billing_reason, number, amount_due, amount_paid, currency,
    subscription_metadata, period_start, period_end, attempt_count, payment, payment_intent, finalized_at,
    paid_at, voided_at
) VALUES (
    :id, :created, :subscription, :customer, :status, :billing_reason, :number, :amount_due, :amount_paid,
    :currency, :subscription_metadata, :period_start, :period_end, :attempt_count, :payment, :payment_intent,
    :finalized_at, :paid_at, :voided_at
);

-- name: update_invoice
-- What can change of an invoice.
UPDATE invoice
SET status = :status, amount_paid = :amount_paid, attempt_count = :attempt_count,
    payment_intent = :payment_intent, finalized_at = :finalized_at, paid_at = :paid_at, voided_at = :voided_at
WHERE id = :id;

-- name: get_invoice
-- One invoice.
SELECT * FROM invoice WHERE id = :id;

-- name: list_invoice
-- Invoices of a time, a customer, a subscription or a state.
SELECT * FROM invoice
WHERE (:customer IS NULL OR customer = :customer)
  AND (:subscription IS NULL OR subscription = :subscription)
  AND (:status IS NULL OR status = :status)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: invoice_of_payment
-- The invoice that a payment is for.
SELECT * FROM invoice WHERE payment_intent = :payment_intent;

-- name: invoices_of_customer
-- How many invoices a customer has had: the next one's number.
SELECT count(*) AS invoices FROM invoice WHERE customer = :customer;

-- name: insert_transfer
-- A new transfer.
INSERT INTO transfer (
    id, created, amount, amount_reversed, currency, destination, description, transfer_group, source_transaction,
    metadata, chaos_number
) VALUES (
    :id, :created, :amount, :amount_reversed, :currency, :destination, :description, :transfer_group,
    :source_transaction, :metadata, :chaos_number
);

-- name: update_transfer
-- What can change of a transfer.
UPDATE transfer
SET amount_reversed = :amount_reversed, description = :description, metadata = :metadata
WHERE id = :id;

-- name: get_transfer
-- One transfer.
SELECT * FROM transfer WHERE id = :id;

-- name: list_transfer
-- Transfers of a time, a destination or a group.
SELECT * FROM transfer
WHERE (:destination IS NULL OR destination = :destination)
  AND (:transfer_group IS NULL OR transfer_group = :transfer_group)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: transferred_of_charge
-- What of a charge has been passed on already.
SELECT coalesce(sum(amount), 0) AS total FROM transfer WHERE source_transaction = :charge;

-- name: insert_transfer_reversal
-- A new reversal.
INSERT INTO transfer_reversal (
    id, created, transfer, amount, currency, metadata
) VALUES (
    :id, :created, :transfer, :amount, :currency, :metadata
);

-- name: get_transfer_reversal
-- One reversal.
SELECT * FROM transfer_reversal WHERE id = :id;

-- name: list_transfer_reversal
-- Reversals of one transfer.
SELECT * FROM transfer_reversal
WHERE (:transfer IS NULL OR transfer = :transfer)
  AND created BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: events_beside_the_plan
-- How many events beside the plan chaos has decided after a place.
SELECT count(*) AS events FROM event WHERE chaos_index < 0 AND seq > :from_seq;

-- name: orders
-- Every payment that says it is one of an order, oldest first, with what has been reversed of it.
SELECT p.metadata, p.status, p.amount, p.currency, p.last_error,
       (SELECT coalesce(sum(r.amount), 0) FROM refund r WHERE r.charge = c.id AND r.status = 'succeeded') AS refunded,
       (SELECT count(*) FROM refund r WHERE r.charge = c.id AND r.status = 'pending') AS refunds_pending,
       (SELECT coalesce(sum(d.amount), 0) FROM dispute d
        WHERE d.charge = c.id AND d.funds_withdrawn AND NOT d.funds_reinstated) AS disputed
FROM payment_intent p
LEFT JOIN charge c ON c.id = p.latest_charge
WHERE p.metadata ->> 'purpose' = 'order'
ORDER BY p.seq;

-- name: transfers_of_orders
-- Every transfer that names its order.
SELECT id, metadata ->> 'orderId' AS order_id, amount, amount_reversed, currency FROM transfer
WHERE metadata ->> 'orderId' IS NOT NULL ORDER BY seq;

-- name: subscriptions_of_accounts
-- Every subscription with the account that its metadata name.
SELECT id, status, metadata ->> 'accountId' AS account FROM subscription ORDER BY seq;
