-- The record of who asked for what; it is written by the query `log_access`.

-- name: list_accesses
-- Entries below an id, newest first; only of one object, only of one actor, if asked.
SELECT id, at, actor, action, object, request_id, host(source_ip) AS source_ip FROM access_log
WHERE id < $1 AND ($2::text IS NULL OR object = $2) AND ($3::text IS NULL OR actor = $3)
ORDER BY id DESC
LIMIT $4;
