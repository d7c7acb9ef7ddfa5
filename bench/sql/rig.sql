-- What the benches ask of their own scratch databases.

-- name: count_deliveries
-- Rows of the log from `first` on: held against what the sender saw acknowledged.
SELECT count(*) FROM webhook_log WHERE verdict = 'ok';

-- name: count_events
-- Rows of the inbox.
SELECT count(*) FROM webhook_event;

-- name: is_pending
-- Whether anything waits to be applied. The newest first: from the other end every look would step over the index entries
-- of all that was applied just before, and the asking would cost the server a third of what it is asked about.
SELECT (SELECT log_id FROM webhook_event WHERE state = 'pending' ORDER BY log_id DESC LIMIT 1) IS NOT NULL;

-- name: count_by_state
-- How events ended.
SELECT state, count(*) AS events FROM webhook_event GROUP BY state ORDER BY state;

-- name: settle
-- Statistics as a database in use has them, and nothing left for a checkpoint to write in the middle of a round.
VACUUM (ANALYZE);

-- name: checkpoint
-- The rest of the same.
CHECKPOINT;

-- name: latencies
-- Milliseconds from when a delivery was due to the commit that marked its event; ids as the LIKE pattern says.
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8 * 1000 - l.request_id::float8 / 1000 AS ms
FROM webhook_event e JOIN webhook_log l ON l.id = e.log_id AND l.received_at = e.received_at
WHERE e.event_id LIKE $1 AND e.state = 'applied';
