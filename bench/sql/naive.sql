-- The naive receiver's one table and its statements.

-- name: make_tables
-- A log with the indexes that its readers need, as the tutorials have it.
CREATE TABLE naive_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    request_id text,
    received_at timestamptz NOT NULL DEFAULT now(),
    status text NOT NULL DEFAULT 'pending',
    processed_at timestamptz
);
CREATE INDEX ON naive_event (received_at);
CREATE INDEX ON naive_event (status) WHERE status = 'pending';
CREATE TABLE naive_balance (account_id text PRIMARY KEY, credits bigint NOT NULL);
CREATE TABLE naive_credit (
    checkout_id text PRIMARY KEY, account_id text NOT NULL, credits bigint NOT NULL, at timestamptz NOT NULL DEFAULT now()
);

-- name: insert_event
-- One delivery, one statement, one commit.
INSERT INTO naive_event (event_id, event_type, payload, request_id) VALUES ($1, $2, $3::jsonb, $4) ON CONFLICT DO NOTHING RETURNING id;

-- name: read_event
-- What a job works on.
SELECT payload::text FROM naive_event WHERE id = $1 AND status = 'pending' FOR UPDATE;

-- name: credit
-- The effect: once per checkout session.
WITH fresh AS (
    INSERT INTO naive_credit (checkout_id, account_id, credits) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING credits
)
INSERT INTO naive_balance (account_id, credits) SELECT $2, credits FROM fresh
ON CONFLICT (account_id) DO UPDATE SET credits = naive_balance.credits + excluded.credits;

-- name: mark_processed
-- The end of a job.
UPDATE naive_event SET status = 'processed', processed_at = clock_timestamp() WHERE id = $1;

-- name: is_pending
-- Whether a job is still to be done.
SELECT EXISTS (SELECT FROM naive_event WHERE status = 'pending');

-- name: count_events
-- Rows kept.
SELECT count(*) FROM naive_event;

-- name: latencies
-- Milliseconds from when a delivery was due to the commit that marked it; ids as the LIKE pattern says.
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000 - request_id::float8 / 1000 AS ms
FROM naive_event WHERE event_id LIKE $1 AND status = 'processed';
