-- The audit log, the inbox and what the two need. Ids and times come from this database, never from a process.

CREATE SEQUENCE webhook_log_seq CACHE 64;

-- One row per delivery, good or forged; immutable. Partitioned by day: retention is DROP, and the insert cost does
-- not grow with the table. The insert depends on nothing parsed: body and headers are bytes.
CREATE TABLE webhook_log (
    -- Milliseconds of the receipt above 20 bits of sequence: sorted by time, and a look-up by id alone still
    -- finds its partition.
    id bigint NOT NULL DEFAULT (
        ((extract(epoch FROM now()) * 1000)::bigint << 20) | (nextval('webhook_log_seq') & 1048575)
    ),
    received_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL,                -- whose event ids these are: provider, or provider:account
    endpoint text NOT NULL,              -- path name of the receiver that took it
    origin text NOT NULL DEFAULT 'psp',
    verdict text NOT NULL,
    secret_id text,                      -- which secret verified, as a fingerprint; never the secret
    signed_at bigint,                    -- the signature's own timestamp, unix seconds
    event_id text,                       -- as claimed by the body; trusted only where verdict = 'ok'
    event_type text,
    object_id text,
    body bytea NOT NULL,                 -- whole when verified, at most the first 4 KiB when refused
    body_bytes bigint NOT NULL,          -- length as received, or as declared where it was not read
    body_sha256 bytea,                   -- of what was received; NULL where nothing was read
    headers bytea NOT NULL,              -- allow-listed headers: JSON list of [name, value], values as Latin-1
    source_ip inet,
    user_agent text,
    request_id text NOT NULL,
    actor text,                          -- operator or run that caused it; NULL for a PSP
    requests integer NOT NULL DEFAULT 1, -- above 1: one row that counts refusals beyond the per-minute budget
    batch_ordinal smallint NOT NULL,     -- place in its group commit; ties the inbox row to this row
    PRIMARY KEY (id, received_at),
    CONSTRAINT webhook_log_origin CHECK (origin IN ('psp', 'reconciler', 'operator', 'sandbox')),
    CONSTRAINT webhook_log_verdict CHECK (verdict IN (
        'ok', 'missing_sig', 'malformed_sig', 'bad_sig', 'stale_ts', 'future_ts',
        'oversize', 'bad_encoding', 'read_timeout', 'truncated'
    )),
    CONSTRAINT webhook_log_requests CHECK (requests >= 1),
    CONSTRAINT webhook_log_ok_is_whole CHECK (
        verdict <> 'ok' OR (event_id IS NOT NULL AND body_sha256 IS NOT NULL AND octet_length(body) = body_bytes)
    )
) PARTITION BY RANGE (received_at);

CREATE INDEX webhook_log_by_event ON webhook_log (event_id, id DESC) WHERE event_id IS NOT NULL;
CREATE INDEX webhook_log_by_object ON webhook_log (object_id, id DESC) WHERE object_id IS NOT NULL;
CREATE INDEX webhook_log_refused ON webhook_log (verdict, id DESC) WHERE verdict <> 'ok';

-- Catches rows of a day whose partition nobody made in time: an acknowledgement never depends on a worker.
CREATE TABLE webhook_log_default PARTITION OF webhook_log DEFAULT;

-- lz4 where this build has it; otherwise no compression at all, which is faster than pglz (measured).
DO $$
BEGIN
    EXECUTE 'ALTER TABLE webhook_log ALTER COLUMN body SET COMPRESSION lz4';
EXCEPTION WHEN feature_not_supported THEN
    ALTER TABLE webhook_log ALTER COLUMN body SET STORAGE EXTERNAL;
END
$$;

-- The inbox, the to-do list and the dedupe key: one narrow row per event of a verified delivery. It outlives the
-- payload, so that a replay after retention still has no second effect.
CREATE TABLE webhook_event (
    source text NOT NULL,
    event_id text NOT NULL,              -- 'sha256:…' of the body where a signed body has no readable id
    log_id bigint NOT NULL,              -- first delivery
    received_at timestamptz NOT NULL DEFAULT now(),  -- of the first delivery: same transaction, same value
    event_type text,
    object_id text,
    psp_created bigint,                  -- unix seconds by the PSP
    body_sha256 bytea NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    reason text,                         -- short code of the outcome, or of why it waits
    attempts integer NOT NULL DEFAULT 0, -- counted before the work, so that an event that kills a worker counts
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    awaits text,                         -- key that a parked event waits for
    last_error text,
    applied_at timestamptz,              -- when it first had its outcome; a replay does not move it
    conflict boolean NOT NULL DEFAULT false,  -- another body came under this id; it was not applied
    PRIMARY KEY (source, event_id),
    CONSTRAINT webhook_event_state CHECK (
        state IN ('pending', 'parked', 'applied', 'ignored', 'superseded', 'quarantined')
    ),
    CONSTRAINT webhook_event_parked CHECK ((state = 'parked') = (awaits IS NOT NULL)),
    CONSTRAINT webhook_event_explained CHECK (
        state IN ('pending', 'applied', 'superseded') OR reason IS NOT NULL
    )
) WITH (fillfactor = 80);

CREATE INDEX webhook_event_due ON webhook_event (log_id) WHERE state = 'pending';
CREATE INDEX webhook_event_parked ON webhook_event (source, awaits) WHERE state = 'parked';
CREATE INDEX webhook_event_open ON webhook_event (log_id) WHERE state IN ('pending', 'parked', 'quarantined');

-- Verified deliveries of an id that the inbox already had, until a worker has compared their bodies with the
-- first one (or, for an operator's replay, opened the event again).
CREATE TABLE webhook_redelivery (
    log_id bigint PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL,
    event_id text NOT NULL,
    origin text NOT NULL,
    body_sha256 bytea NOT NULL
);

-- What happened to an event besides its plain outcome: retries, parking, conflicts, replays, resolutions.
CREATE TABLE event_note (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    event_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    what text NOT NULL,
    log_id bigint,                       -- the delivery that this note is about
    actor text,
    detail text,
    CONSTRAINT event_note_what CHECK (
        what IN ('retried', 'parked', 'woken', 'quarantined', 'conflict', 'replayed', 'resolved')
    )
);
CREATE INDEX event_note_by_event ON event_note (source, event_id, id);
CREATE INDEX event_note_by_log ON event_note (log_id) WHERE log_id IS NOT NULL;

-- Makes the daily partitions from today to `days_ahead` days on, and moves rows that the default partition caught.
-- Runs as the owner, so that no process needs DDL rights. Returns how many partitions were made.
CREATE FUNCTION webhook_log_make_partitions(days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    day date;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7825515, 1);
    FOR day IN
        SELECT d::date FROM generate_series(current_date, current_date + days_ahead, interval '1 day') d
        UNION
        SELECT DISTINCT (received_at AT TIME ZONE 'UTC')::date FROM webhook_log_default
        ORDER BY 1
    LOOP
        name := 'webhook_log_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE webhook_log INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION '
            'INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM webhook_log_default WHERE received_at >= %L AND received_at < %L RETURNING *)
             INSERT INTO %I SELECT * FROM moved', day, day + 1, name);
        EXECUTE format('ALTER TABLE webhook_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, day, day + 1);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the daily partitions that lie wholly before `keep_from` and hold no event that is still open.
-- Returns how many were dropped. The inbox keeps the ids.
CREATE FUNCTION webhook_log_drop_partitions(keep_from date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7825515, 1);
    FOR part IN
        SELECT c.relname, to_date(substring(c.relname FROM '[0-9]{8}$'), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'webhook_log'::regclass AND c.relname ~ '^webhook_log_[0-9]{8}$'
        ORDER BY c.relname
    LOOP
        CONTINUE WHEN part.day >= keep_from;
        CONTINUE WHEN EXISTS (
            SELECT FROM webhook_event
            WHERE state IN ('pending', 'parked', 'quarantined')
              AND log_id >= (extract(epoch FROM part.day)::bigint * 1000) << 20
              AND log_id < (extract(epoch FROM part.day + 1)::bigint * 1000) << 20
        );
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

SELECT webhook_log_make_partitions(7);
