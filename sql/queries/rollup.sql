-- Counts of deliveries and of waits: closed minutes from the roll-up, what is younger from the log itself.

-- name: rollup_step
-- Counts the minutes that have closed, once, and those that were changed late anew; one worker at a time.
SELECT rollup_step(make_interval(secs => $1), $2);

-- name: rolled_until
-- How far the minutes are counted.
SELECT rolled_until FROM rollup_progress;

-- name: forget_minutes
-- What was counted of deliveries that retention takes goes with them.
WITH deliveries AS (DELETE FROM delivery_minute WHERE minute < $1)
DELETE FROM wait_minute WHERE minute < $1;

-- name: count_deliveries
-- Deliveries by bucket of time, source, verdict and state, counted refusals included, and, where `wait` is not null, events
-- that had an outcome by class of their wait: of the counted minutes from $2 to before $3, whose waits name no source, and
-- of the log's spans, where each delivery is looked at once for both. Each part is summed by itself, and its buckets with
-- those of the others by who reads them.
SELECT date_bin(make_interval(secs => $1), minute, timestamptz '2000-01-01 00:00:00Z') AS bucket, source, verdict,
       nullif(state, '') AS state, NULL::smallint AS wait, sum(deliveries)::bigint AS deliveries, 0::bigint AS events
FROM delivery_minute WHERE minute >= $2 AND minute < $3
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT date_bin(make_interval(secs => $1), minute, timestamptz '2000-01-01 00:00:00Z'), NULL, NULL, NULL,
       wait, 0, sum(events)::bigint
FROM wait_minute WHERE minute >= $2 AND minute < $3
GROUP BY 1, wait
UNION ALL
SELECT date_bin(make_interval(secs => $1), l.received_at, timestamptz '2000-01-01 00:00:00Z'), l.source, l.verdict,
       e.state, CASE WHEN e.log_id = l.id THEN wait_class(e.applied_at - e.received_at) END, sum(l.requests), count(*)
FROM unnest($4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
    AS s (id_from, id_until, received_from, received_until)
JOIN webhook_log l ON l.id >= s.id_from AND l.id < s.id_until
                  AND l.received_at >= s.received_from AND l.received_at < s.received_until
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
GROUP BY 1, 2, 3, 4, 5;

-- name: pending_by_bucket
-- Seconds that the oldest of the events without an outcome has waited, by bucket of receipt.
SELECT date_bin(make_interval(secs => $1), received_at, timestamptz '2000-01-01 00:00:00Z') AS bucket,
       max(extract(epoch FROM now() - received_at))::double precision AS longest_s
FROM webhook_event
WHERE state = 'pending' AND log_id >= $2 AND log_id < $3 AND received_at >= $4 AND received_at < $5
GROUP BY 1;
