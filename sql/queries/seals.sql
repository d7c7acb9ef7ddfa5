-- Seals over the log: what may be sealed, the rows as bytes to be hashed, the chain.

-- name: seal_horizon
-- Rows with smaller ids were begun longer ago than $1 seconds, by the clock that ids are made from; and the transactions
-- that are writing to the log at this moment, by which one knows when all of those rows have been committed.
SELECT ((extract(epoch FROM now()) * 1000)::bigint - (1000 * $1::double precision)::bigint) << 20 AS horizon_id,
       ARRAY(
           SELECT l.virtualtransaction FROM pg_locks l
           WHERE l.relation = 'webhook_log'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ) AS writers;

-- name: log_writers
-- Which of these transactions are still writing to the log.
SELECT DISTINCT l.virtualtransaction FROM pg_locks l
WHERE l.relation = 'webhook_log'::regclass AND l.virtualtransaction = ANY($1::text[])
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: rows_to_hash
-- The log between two ids, the first excluded, with every column of a row in Postgres' binary form; the times are those
-- that the ids tell. A column that is added to the log belongs in here only under a new kind of seal.
SELECT l.id, record_send(ROW(
    l.id, l.received_at, l.source, l.endpoint, l.origin, l.verdict, l.secret_id, l.signed_at, l.event_id, l.event_type,
    l.object_id, l.body, l.body_bytes, l.body_sha256, l.headers, l.source_ip, l.user_agent, l.request_id, l.actor,
    l.requests, l.batch_ordinal
)) AS bytes
FROM webhook_log l
WHERE l.id > $1 AND l.id <= $2 AND l.received_at >= $3 AND l.received_at < $4
ORDER BY l.id
LIMIT $5;

-- name: misplaced_log_row
-- The first row whose id does not tell the time of its receipt: no insert makes one.
SELECT min(id) FROM webhook_log
WHERE abs((id >> 20) - (extract(epoch FROM received_at) * 1000)::bigint) > 2;

-- name: unsealed_log_rows
-- How many rows lie beyond this id.
SELECT count(*) FROM webhook_log WHERE id > $1;

-- name: seal_head
-- The newest seal.
SELECT number, last_id, seal FROM log_seal ORDER BY number DESC LIMIT 1;

-- name: add_seal
-- Appends a seal; whoever else was first makes this a unique violation.
INSERT INTO log_seal (number, first_id, last_id, row_ids, row_digests, previous, seal)
SELECT $1, ids[1], ids[cardinality(ids)], ids, $3, $4, $5 FROM (SELECT $2::bigint[] AS ids) i;

-- name: seals_after
-- The next seals of the chain.
SELECT number, row_ids, row_digests, previous, seal FROM log_seal WHERE number > $1 ORDER BY number LIMIT $2;
