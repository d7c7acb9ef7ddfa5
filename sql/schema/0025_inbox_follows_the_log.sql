-- The inbox fills itself from what is appended to the log, in the same statement: nothing can be acknowledged that is
-- not also due, and nobody can put an event into the inbox that no delivery stands behind.

ALTER TABLE webhook_log ADD COLUMN psp_created bigint;  -- unix seconds by the PSP, for the inbox; a reading of the body

-- Its place in the group commit tied the inbox row to the log row when one statement wrote both; sealed rows keep it.
ALTER TABLE webhook_log ALTER COLUMN batch_ordinal SET DEFAULT 0;

-- One event for each verified id that is new, and for the others a note for a worker to judge.
CREATE FUNCTION webhook_log_fill_inbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    WITH fresh AS (
        -- In one order, so that two flushes with the same ids wait for each other and never deadlock.
        INSERT INTO webhook_event (source, event_id, log_id, event_type, object_id, psp_created, body_sha256)
        SELECT source, event_id, id, event_type, object_id, psp_created, body_sha256
        FROM arrived WHERE verdict = 'ok' ORDER BY source, event_id, id
        ON CONFLICT DO NOTHING
        RETURNING log_id
    )
    INSERT INTO webhook_redelivery (log_id, source, event_id, origin, body_sha256)
    SELECT id, source, event_id, origin, body_sha256
    FROM arrived a WHERE verdict = 'ok' AND NOT EXISTS (SELECT FROM fresh f WHERE f.log_id = a.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER webhook_log_fill_inbox AFTER INSERT ON webhook_log REFERENCING NEW TABLE AS arrived
FOR EACH STATEMENT EXECUTE FUNCTION webhook_log_fill_inbox();

-- One delivery on its way into the log. A group commit passes an array of these: one round trip, and half of what an
-- array per column costs the receiver (measured).
CREATE TYPE webhook_delivery AS (
    source text, endpoint text, origin text, verdict text, secret_id text, signed_at bigint, event_id text,
    event_type text, object_id text, psp_created bigint, body bytea, body_bytes bigint, body_sha256 bytea,
    headers bytea, source_ip inet, user_agent text, request_id text, actor text, requests integer
);
