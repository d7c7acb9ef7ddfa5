-- What events wait for is asked for at the PSP as well, once per key and not once per event.

ALTER VIEW reconcile_candidate RENAME TO reconcile_stuck_object;
COMMENT ON VIEW reconcile_stuck_object IS 'Objects and events that name what to ask the PSP for.';

-- In the same shape: `read_kind` is NULL and `read_id` the awaited key, because several objects may explain it.
CREATE VIEW reconcile_candidate AS
SELECT phase, source, object_id, read_kind, read_id, since FROM reconcile_stuck_object
UNION ALL
SELECT 'awaited_parents', source, awaits, NULL, awaits, min(received_at)
FROM webhook_event
WHERE state = 'parked'
GROUP BY source, awaits;
