-- Answers under an idempotency key: who is first does the work, everybody else gets the same answer.

-- name: claim_key
-- Takes a new key, or one whose attempt has died; no row: somebody else has it, or it is answered.
INSERT INTO idempotency_key AS k (caller, key, request_sha256, leased_until)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (caller, key) DO UPDATE SET attempt = k.attempt + 1, leased_until = excluded.leased_until
    WHERE k.state = 'running' AND k.leased_until < now() AND k.request_sha256 = excluded.request_sha256
RETURNING operation_id, attempt;

-- name: read_key
-- What stands under a key.
SELECT request_sha256, state, status, body FROM idempotency_key WHERE caller = $1 AND key = $2;

-- name: answer_key
-- Keeps the answer, unless another attempt has taken over meanwhile.
UPDATE idempotency_key SET state = 'answered', status = $4, body = $5, answered_at = now()
WHERE caller = $1 AND key = $2 AND attempt = $3 AND state = 'running';

-- name: release_key
-- This attempt ends without an answer: the next request may try again at once.
UPDATE idempotency_key SET leased_until = '-infinity' WHERE caller = $1 AND key = $2 AND attempt = $3 AND state = 'running';
