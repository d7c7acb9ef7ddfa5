-- What customers want: our own events, said once each, and what the workers made of them.

-- name: hold_event_id
-- Lets one transaction at a time say an event of this source and id.
SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0));

-- name: read_outcome
-- What became of an event; no row: it was never said.
SELECT state, reason FROM webhook_event WHERE source = $1 AND event_id = $2;
