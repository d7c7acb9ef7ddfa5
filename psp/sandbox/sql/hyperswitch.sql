-- Named queries of the Hyperswitch-shaped merchant. A list's `seq_above` and `seq_below` bound its page.

-- name: insert_hyperswitch_payment
-- A new payment.
INSERT INTO hyperswitch_payment (
    id, created_ms, modified_ms, amount, currency, status, capture_method, amount_captured, attempt_count, client_secret,
    customer_id, description, return_url, merchant_order_reference_id, metadata, card_last4, connector_transaction_id,
    error_code, error_message, cancellation_reason
) VALUES (
    :id, :created_ms, :modified_ms, :amount, :currency, :status, :capture_method, :amount_captured, :attempt_count,
    :client_secret, :customer_id, :description, :return_url, :merchant_order_reference_id, :metadata, :card_last4,
    :connector_transaction_id, :error_code, :error_message, :cancellation_reason
);

-- name: update_hyperswitch_payment
-- What can change of a payment.
UPDATE hyperswitch_payment
SET modified_ms = :modified_ms, status = :status, amount_captured = :amount_captured, attempt_count = :attempt_count,
    card_last4 = :card_last4, connector_transaction_id = :connector_transaction_id, error_code = :error_code,
    error_message = :error_message, cancellation_reason = :cancellation_reason
WHERE id = :id;

-- name: get_hyperswitch_payment
-- One payment.
SELECT * FROM hyperswitch_payment WHERE id = :id;

-- name: list_hyperswitch_payment
-- Payments of a time or a customer, newest first.
SELECT * FROM hyperswitch_payment
WHERE (:customer_id IS NULL OR customer_id = :customer_id)
  AND created_ms BETWEEN :created_min AND :created_max AND seq > :seq_above AND seq < :seq_below
ORDER BY seq DESC LIMIT :rows;

-- name: insert_hyperswitch_refund
-- A new refund.
INSERT INTO hyperswitch_refund (
    id, created_ms, modified_ms, payment_id, amount, currency, status, metadata, reason, error_code, error_message
) VALUES (
    :id, :created_ms, :modified_ms, :payment_id, :amount, :currency, :status, :metadata, :reason, :error_code,
    :error_message
);

-- name: update_hyperswitch_refund
-- What can change of a refund.
UPDATE hyperswitch_refund
SET modified_ms = :modified_ms, status = :status, error_code = :error_code, error_message = :error_message
WHERE id = :id;

-- name: get_hyperswitch_refund
-- One refund.
SELECT * FROM hyperswitch_refund WHERE id = :id;

-- name: list_hyperswitch_refund
-- Refunds of a payment, an id, a time or some states (a JSON list), newest first.
SELECT * FROM hyperswitch_refund
WHERE (:payment_id IS NULL OR payment_id = :payment_id)
  AND (:refund_id IS NULL OR id = :refund_id)
  AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
  AND created_ms BETWEEN :created_min AND :created_max
ORDER BY seq DESC LIMIT :rows OFFSET :skip;

-- name: count_hyperswitch_refund
-- How many refunds the list of the same filters has in all.
SELECT count(*) AS rows FROM hyperswitch_refund
WHERE (:payment_id IS NULL OR payment_id = :payment_id)
  AND (:refund_id IS NULL OR id = :refund_id)
  AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
  AND created_ms BETWEEN :created_min AND :created_max;

-- name: hyperswitch_refunds_of
-- The refunds of one payment, oldest first.
SELECT * FROM hyperswitch_refund WHERE payment_id = :payment_id ORDER BY seq;

-- name: insert_hyperswitch_dispute
-- A new dispute.
INSERT INTO hyperswitch_dispute (
    id, created_ms, modified_ms, payment_id, amount, currency, status, reason, connector_dispute_id
) VALUES (
    :id, :created_ms, :modified_ms, :payment_id, :amount, :currency, :status, :reason, :connector_dispute_id
);

-- name: update_hyperswitch_dispute
-- What can change of a dispute.
UPDATE hyperswitch_dispute SET modified_ms = :modified_ms, status = :status WHERE id = :id;

-- name: get_hyperswitch_dispute
-- One dispute.
SELECT * FROM hyperswitch_dispute WHERE id = :id;

-- name: list_hyperswitch_dispute
-- Disputes of a time or a state, newest first.
SELECT * FROM hyperswitch_dispute
WHERE (:status IS NULL OR status = :status) AND created_ms BETWEEN :created_min AND :created_max
ORDER BY seq DESC LIMIT :rows;

-- name: hyperswitch_disputes_of
-- The disputes of one payment, oldest first.
SELECT * FROM hyperswitch_dispute WHERE payment_id = :payment_id ORDER BY seq;

-- name: insert_hyperswitch_movement
-- Money that moved.
INSERT INTO hyperswitch_movement (created_ms, kind, source, amount, currency, payer, payee)
VALUES (:created_ms, :kind, :source, :amount, :currency, :payer, :payee);

-- name: hyperswitch_movement_totals
-- Per currency and kind: how much moved.
SELECT currency, kind, sum(amount) AS total FROM hyperswitch_movement GROUP BY currency, kind ORDER BY currency, kind;

-- name: hyperswitch_account_totals
-- Per account and currency: what it received less what it paid.
SELECT account, currency, sum(amount) AS total FROM (
    SELECT payee AS account, currency, amount FROM hyperswitch_movement
    UNION ALL SELECT payer, currency, -amount FROM hyperswitch_movement
) GROUP BY account, currency ORDER BY account, currency;

-- name: hyperswitch_record_totals
-- Per currency, what the records say was captured, refunded and lost to disputes; checks the movements.
SELECT currency, sum(captured) AS captured, sum(refunded) AS refunded, sum(disputed) AS disputed FROM (
    SELECT currency, amount_captured AS captured, 0 AS refunded, 0 AS disputed FROM hyperswitch_payment
    WHERE amount_captured > 0
    UNION ALL SELECT currency, 0, amount, 0 FROM hyperswitch_refund WHERE status = 'succeeded'
    UNION ALL SELECT currency, 0, 0, amount FROM hyperswitch_dispute
    WHERE status IN ('dispute_lost', 'dispute_accepted', 'dispute_expired')
) GROUP BY currency ORDER BY currency;

-- name: hyperswitch_sales
-- Every payment that has caused an event and says what it is for, oldest first, with what has been reversed of it.
SELECT p.id, p.metadata, p.status, p.amount, p.amount_captured, p.currency,
       (SELECT coalesce(sum(r.amount), 0) FROM hyperswitch_refund r
        WHERE r.payment_id = p.id AND r.status = 'succeeded') AS refunded,
       (SELECT count(*) FROM hyperswitch_refund r
        WHERE r.payment_id = p.id AND r.status IN ('pending', 'review')) AS refunds_pending,
       (SELECT coalesce(sum(d.amount), 0) FROM hyperswitch_dispute d
        WHERE d.payment_id = p.id
          AND d.status IN ('dispute_lost', 'dispute_accepted', 'dispute_expired')) AS disputed
FROM hyperswitch_payment p
WHERE p.metadata ->> 'purpose' IN ('order', 'subscription')
  AND EXISTS (SELECT 1 FROM hyperswitch_event e WHERE e.object_id = p.id)
ORDER BY p.seq;

-- name: insert_hyperswitch_event
-- This event is Hyperswitch's.
INSERT INTO hyperswitch_event (id, object_id, type, class, created_ms)
VALUES (:id, :object_id, :type, :class, :created_ms);

-- name: hyperswitch_event_of
-- The one initial event of an object and a type, if it was made.
SELECT id FROM hyperswitch_event WHERE object_id = :object_id AND type = :type;

-- name: list_hyperswitch_event
-- Events by id, object, class, types (JSON lists), time and whether they were delivered, newest first.
SELECT h.id, h.object_id, h.type, h.class, h.created_ms, e.delivered_at, e.attempts, e.body
FROM hyperswitch_event h
JOIN event e ON e.id = h.id
WHERE (:id IS NULL OR h.id = :id)
  AND (:object_id IS NULL OR h.object_id = :object_id)
  AND (:classes IS NULL OR h.class IN (SELECT value FROM json_each(:classes)))
  AND (:types IS NULL OR h.type IN (SELECT value FROM json_each(:types)))
  AND (:delivered IS NULL OR (e.delivered_at IS NOT NULL) = :delivered)
  AND h.created_ms BETWEEN :created_min AND :created_max
ORDER BY e.seq DESC LIMIT :rows OFFSET :skip;

-- name: count_hyperswitch_event
-- How many events the list of the same filters has in all.
SELECT count(*) AS rows
FROM hyperswitch_event h
JOIN event e ON e.id = h.id
WHERE (:id IS NULL OR h.id = :id)
  AND (:object_id IS NULL OR h.object_id = :object_id)
  AND (:classes IS NULL OR h.class IN (SELECT value FROM json_each(:classes)))
  AND (:types IS NULL OR h.type IN (SELECT value FROM json_each(:types)))
  AND (:delivered IS NULL OR (e.delivered_at IS NOT NULL) = :delivered)
  AND h.created_ms BETWEEN :created_min AND :created_max;

-- name: letter
-- One event of either PSP, and whose it is.
SELECT e.*, iif(h.id IS NULL, 'stripe', 'hyperswitch') AS psp
FROM event e LEFT JOIN hyperswitch_event h ON h.id = e.id
WHERE e.id = :id;
