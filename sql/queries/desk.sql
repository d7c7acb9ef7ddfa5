-- The operator's desk: commands that are no deliveries, and what the console's pages read beyond the audit API.

-- name: resolve_event
-- Takes a quarantined event off the list, under a name and with a reason; tells in which state it was.
SELECT webhook_event_resolve($1, $2, $3, $4, $5);

-- name: list_alerts
-- Open alerts below an id, newest first.
SELECT id, name, subject, detail, raised_at FROM alert
WHERE resolved_at IS NULL AND id < $1
ORDER BY id DESC
LIMIT $2;

-- name: resolve_alert
-- Closes one alert, unless it is that of a quarantined event: such an alert ends with its event.
UPDATE alert SET resolved_at = now(), resolved_by = $2, resolution = $3
WHERE id = $1 AND resolved_at IS NULL AND name <> 'event_quarantined'
RETURNING name, subject;

-- name: alert_by_id
-- One alert, open or not.
SELECT name, subject, resolved_at FROM alert WHERE id = $1;

-- name: read_payloads
-- Exact bytes and kept headers of some deliveries of one span of time.
SELECT id, body, headers FROM webhook_log WHERE id = ANY($1::bigint[]) AND received_at >= $2 AND received_at < $3;

-- name: request_run
-- Puts a reconcile run on record that the reconciler picks up.
INSERT INTO reconcile_run (id, requested_by, phases, dry_run, object) VALUES ($1, $2, $3, $4, $5);

-- name: list_runs
-- Reconcile runs below a place in the history, newest first, each with how many findings it has.
SELECT r.seq, r.id::text, r.requested_by, r.phases, r.dry_run, r.object, r.status, r.started_at, r.picked_up_at,
       r.finished_at, r.counts::text, r.errors::text,
       (SELECT count(*) FROM reconcile_finding f WHERE f.run_id = r.id) AS findings
FROM reconcile_run r
WHERE r.seq < $1
ORDER BY r.seq DESC
LIMIT $2;

-- name: read_run
-- One reconcile run.
SELECT r.seq, r.id::text, r.requested_by, r.phases, r.dry_run, r.object, r.status, r.started_at, r.picked_up_at,
       r.finished_at, r.counts::text, r.errors::text,
       (SELECT count(*) FROM reconcile_finding f WHERE f.run_id = r.id) AS findings
FROM reconcile_run r
WHERE r.id = $1;

-- name: findings_of_run
-- What one run found, in the order found, beyond a place in the list.
SELECT id, source, class, object_id, detail, repaired, at FROM reconcile_finding
WHERE run_id = $1 AND id > $2
ORDER BY id
LIMIT $3;

-- name: quarantine_by_reason
-- Why events wait for a person, the most frequent reason first.
SELECT e.reason, count(*) AS events, min(e.received_at) AS oldest, max(e.received_at) AS newest,
       array_agg(DISTINCT coalesce(e.event_type, '(none)')) AS event_types
FROM webhook_event e
WHERE e.state = 'quarantined'
GROUP BY e.reason
ORDER BY count(*) DESC, e.reason;

-- name: quarantined_events
-- Quarantined events of one reason, or of any, below an id, newest first.
SELECT e.log_id, e.source, e.event_id, e.event_type, e.object_id, e.reason, e.last_error, e.attempts, e.received_at
FROM webhook_event e
WHERE e.state = 'quarantined' AND ($1::text IS NULL OR e.reason = $1) AND e.log_id < $2
ORDER BY e.log_id DESC
LIMIT $3;

-- name: list_balances
-- Balances by account, beyond a place in the list; only those that begin with a text, only those below zero, if asked.
SELECT b.account_id, a.kind, b.unit, u.exponent, b.amount, b.updated_at
FROM balance b JOIN account a ON a.id = b.account_id JOIN unit u ON u.code = b.unit
WHERE (b.account_id, b.unit) > ($1, $2)
  AND ($3::text IS NULL OR b.account_id >= $3 AND b.account_id ^@ $3)
  AND (NOT $4::boolean OR b.below_zero)
ORDER BY b.account_id, b.unit
LIMIT $5;

-- name: desk_postings_of_account
-- Movements of money on one account below an id, newest first, each with all its legs.
SELECT t.posted_at, t.id, t.source, t.movement, t.money_object, t.event_id, t.log_id, t.actor,
       (SELECT json_agg(json_build_object('account_id', p.account_id, 'unit', p.unit, 'exponent', u.exponent,
                                          'amount_minor', p.amount) ORDER BY p.account_id, p.unit)::text
        FROM ledger_posting p JOIN unit u ON u.code = p.unit WHERE p.transaction_id = t.id) AS legs
FROM (
    SELECT DISTINCT transaction_id FROM ledger_posting
    WHERE account_id = $1 AND transaction_id < $2
    ORDER BY transaction_id DESC
    LIMIT $3
) newest
JOIN ledger_transaction t ON t.id = newest.transaction_id
ORDER BY t.id DESC;
