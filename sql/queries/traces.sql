-- Which trace something belongs to: asked by workers where tracing is on, and nowhere else.

-- name: trace_origins
-- The delivery of a PSP, or the first word of our own, that deliveries ($1) and staged calls ($2) go back to. What the
-- outbox tells of a call's end goes back to what wanted the call. Headers only where a receiver took it.
WITH RECURSIVE asked (log_id, effect_id, origin_id) AS (
    SELECT id, NULL::bigint, id FROM unnest($1::bigint[]) AS id
    UNION ALL
    SELECT NULL, e.id, e.log_id FROM outbox_effect e WHERE e.id = ANY ($2::bigint[])
), road AS (
    SELECT a.log_id, a.effect_id, l.event_id, l.request_id, l.origin, l.actor, l.headers, 0 AS steps
    FROM asked a
    JOIN webhook_log l ON l.id = a.origin_id
        AND l.received_at >= to_timestamp(((a.origin_id >> 20) - 1) / 1000.0)
        AND l.received_at < to_timestamp(((a.origin_id >> 20) + 2) / 1000.0)
    UNION ALL
    SELECT r.log_id, r.effect_id, l.event_id, l.request_id, l.origin, l.actor, l.headers, r.steps + 1
    FROM road r
    JOIN outbox_effect e ON e.id = CASE WHEN r.actor LIKE '%:effects' THEN substr(r.request_id, 8)::bigint END
    JOIN webhook_log l ON l.id = e.log_id
        AND l.received_at >= to_timestamp(((e.log_id >> 20) - 1) / 1000.0)
        AND l.received_at < to_timestamp(((e.log_id >> 20) + 2) / 1000.0)
    WHERE r.steps < 8
)
SELECT DISTINCT ON (log_id, effect_id) log_id, effect_id, event_id, request_id,
       CASE WHEN origin = 'psp' THEN headers END AS headers
FROM road ORDER BY log_id, effect_id, steps DESC;

-- name: trace_outcomes
-- What became of events.
SELECT e.source, e.event_id, e.event_type, e.object_id, e.state, e.reason
FROM unnest($1::text[], $2::text[]) AS k (source, event_id)
JOIN webhook_event e ON e.source = k.source AND e.event_id = k.event_id;
