-- Views for dashboards, applied after every migration. Payloads are not in them.
CREATE SCHEMA IF NOT EXISTS audit;
GRANT USAGE ON SCHEMA audit TO sluice_dashboard;
REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM sluice_dashboard;

-- One row per delivery with the state of its event; `processing_result` in the words of the audit API.
CREATE OR REPLACE VIEW audit.deliveries AS
SELECT l.id, l.received_at, l.source, l.endpoint, l.origin, l.verdict, l.secret_id, l.event_id, l.event_type,
       l.object_id, l.body_bytes, l.source_ip, l.user_agent, l.request_id, l.actor, l.requests,
       e.state, e.reason, e.attempts, e.applied_at, coalesce(e.log_id <> l.id, false) AS duplicate,
       e.last_error, encode(l.body_sha256, 'hex') AS body_sha256,
       CASE
           WHEN l.verdict IN ('missing_sig', 'malformed_sig', 'bad_sig', 'stale_ts', 'future_ts') THEN 'signature_invalid'
           WHEN l.verdict <> 'ok' THEN 'error: ' || l.verdict
           WHEN e.log_id <> l.id THEN coalesce(
               (SELECT rtrim('error: conflict ' || coalesce(n.detail, ''))
                FROM event_note n WHERE n.log_id = l.id AND n.what = 'conflict' ORDER BY n.id LIMIT 1), 'duplicate')
           WHEN e.state = 'quarantined'
               THEN 'error: ' || concat_ws(': ', nullif(e.reason, ''), nullif(e.last_error, ''))
           WHEN e.state IN ('applied', 'superseded') THEN 'ok'
           WHEN e.state = 'ignored' THEN 'skipped'
           ELSE 'pending'
       END AS processing_result
FROM webhook_log l
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id;

-- One row per event.
CREATE OR REPLACE VIEW audit.events AS
SELECT source, event_id, event_type, object_id, state, reason, attempts, next_attempt_at, awaits, last_error,
       conflict, received_at, applied_at, log_id
FROM webhook_event;

-- Refused deliveries by minute; `requests` also counts those beyond the storage budget.
CREATE OR REPLACE VIEW audit.attack_attempts AS
SELECT date_trunc('minute', received_at) AS minute, endpoint, verdict, source_ip, sum(requests) AS requests
FROM webhook_log WHERE verdict <> 'ok' GROUP BY 1, 2, 3, 4;

-- Deliveries by minute: counted minutes as they were counted, the youngest from the log itself.
CREATE OR REPLACE VIEW audit.throughput_minute AS
SELECT minute, source, endpoint, verdict, sum(deliveries)::bigint AS deliveries, sum(body_bytes) AS body_bytes
FROM (
    SELECT minute, source, endpoint, verdict, deliveries, body_bytes FROM delivery_minute
    UNION ALL
    SELECT minute, source, endpoint, verdict, deliveries, body_bytes FROM rollup_tail()
) counted
GROUP BY 1, 2, 3, 4;

-- Balances with their unit's exponent; `overdrawn` marks customers below zero after a clawback.
CREATE OR REPLACE VIEW audit.balances AS
SELECT b.account_id, a.kind, b.unit, u.exponent, b.amount, b.below_zero AND a.kind = 'customer' AS overdrawn,
       b.created_at, b.updated_at
FROM balance b JOIN account a ON a.id = b.account_id JOIN unit u ON u.code = b.unit;

CREATE OR REPLACE VIEW audit.reconcile_runs AS
SELECT id, requested_by, phases, dry_run, status, started_at, finished_at, counts, errors,
       object, picked_up_at
FROM reconcile_run;

CREATE OR REPLACE VIEW audit.findings AS
SELECT id, run_id, source, class, object_id, detail, repaired, at FROM reconcile_finding;

GRANT SELECT ON audit.deliveries, audit.events, audit.attack_attempts, audit.throughput_minute, audit.balances,
    audit.reconcile_runs, audit.findings TO sluice_dashboard;
