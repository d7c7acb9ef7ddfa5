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

-- name: count_minutes
-- Deliveries by bucket of time, source, verdict and state, counted refusals included, and, where `wait` is not null, events
-- that had an outcome by class of their wait: of the counted minutes from $2 to before $3, whose waits name no source. Each
-- part is summed by itself, and its buckets with those of the others by who reads them.
SELECT date_bin(make_interval(secs => $1), minute, timestamptz '2000-01-01 00:00:00Z') AS bucket, source, verdict,
       nullif(state, '') AS state, NULL::smallint AS wait, sum(deliveries)::bigint AS deliveries, 0::bigint AS events
FROM delivery_minute WHERE minute >= $2 AND minute < $3
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT date_bin(make_interval(secs => $1), minute, timestamptz '2000-01-01 00:00:00Z'), NULL, NULL, NULL,
       wait, 0, sum(events)::bigint
FROM wait_minute WHERE minute >= $2 AND minute < $3
GROUP BY 1, wait;

-- name: plan_side_by_side
-- Makes what follows in this transaction read log and inbox once each and match them in memory, whatever a plan that was
-- made over small tables would rather do.
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_nestloop', 'off', true),
       set_config('enable_sort', 'off', true);

-- name: plan_by_key_again
-- Ends it.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_nestloop', 'on', true),
       set_config('enable_sort', 'on', true);

-- name: count_deliveries
-- The same of a span of the log, where each delivery is looked at once for both. A delivery that was the first of its event
-- finds it on the pages of the inbox that were written with the span, which cost the same however long the inbox is; one
-- that repeats an older event, or whose event lies elsewhere, looks it up by its key. Were the inbox in no order at all, $6
-- rows of it would be read in vain.
SELECT date_bin(make_interval(secs => $1), received_at, timestamptz '2000-01-01 00:00:00Z') AS bucket, source, verdict,
       coalesce(state, (by_key).state) AS state,
       wait_class(coalesce(waited, CASE WHEN (by_key).log_id = id THEN (by_key).applied_at - (by_key).received_at END))
           AS wait,
       sum(requests) AS deliveries, count(*) AS events
FROM (
    SELECT l.id, l.received_at, l.source, l.verdict, l.requests, beside.state, beside.waited,
           CASE WHEN l.verdict = 'ok' AND beside.log_id IS NULL THEN (
               SELECT e FROM webhook_event e WHERE e.source = l.source AND e.event_id = l.event_id
           ) END AS by_key
    FROM webhook_log l
    LEFT JOIN (
        SELECT log_id, state, applied_at - received_at AS waited FROM webhook_event
        WHERE ctid >= inbox_page($2, 0) AND ctid < inbox_page($3, 2) AND log_id >= $2 AND log_id < $3
        LIMIT $6
    ) AS beside ON beside.log_id = l.id
    WHERE l.id >= $2 AND l.id < $3 AND l.received_at >= $4 AND l.received_at < $5
    OFFSET 0
) AS counted
GROUP BY 1, 2, 3, 4, 5;

-- name: pending_by_bucket
-- Seconds that the oldest of the events without an outcome has waited, by bucket of receipt.
SELECT date_bin(make_interval(secs => $1), received_at, timestamptz '2000-01-01 00:00:00Z') AS bucket,
       max(extract(epoch FROM now() - received_at))::double precision AS longest_s
FROM webhook_event
WHERE state = 'pending' AND log_id >= $2 AND log_id < $3 AND received_at >= $4 AND received_at < $5
GROUP BY 1;
