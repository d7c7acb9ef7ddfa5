-- What dashboards count, minute by minute: closed minutes of the log are counted once, off the hot path, and read from
-- here; what is younger is read from the log itself. A count costs what its window holds of minutes, not of deliveries.

CREATE TABLE delivery_minute (
    minute timestamptz NOT NULL,
    source text NOT NULL,
    endpoint text NOT NULL,
    verdict text NOT NULL,
    state text NOT NULL,                 -- of the event; '' where the delivery was refused
    deliveries bigint NOT NULL,          -- counted refusals included
    body_bytes bigint NOT NULL,
    PRIMARY KEY (minute, source, endpoint, verdict, state)
);

-- How long events waited for their first outcome, by the minute of their first delivery, as a histogram.
CREATE TABLE wait_minute (
    minute timestamptz NOT NULL,
    wait smallint NOT NULL,              -- wait_class() of the seconds
    events bigint NOT NULL,
    PRIMARY KEY (minute, wait)
);

-- Classes of waits: 0 is below a tenth of a millisecond, each further one ends 4 % higher. Whoever takes the middle of
-- a class for all that is in it is wrong by less than 2 %.
CREATE FUNCTION wait_class(waited interval) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN extract(epoch FROM waited) < 0.0001 THEN 0
                ELSE ceil(ln(extract(epoch FROM waited)::double precision * 10000) / ln(1.04::double precision)) END::smallint
$$;

-- The first log id that can be of a receipt at this time or later: ids hold its milliseconds, rounded.
CREATE FUNCTION first_log_id(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((extract(epoch FROM at) * 1000)::bigint - 1) << 20
$$;

-- How far the minutes are counted. `next_until` is announced first; the span is counted once every transaction up to
-- `barrier` has ended, so that nothing which was begun in it can still be committed.
CREATE TABLE rollup_progress (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    rolled_until timestamptz NOT NULL,
    next_until timestamptz,
    barrier xid8
);
INSERT INTO rollup_progress (rolled_until)
SELECT date_trunc('minute', coalesce((SELECT received_at FROM webhook_log ORDER BY id LIMIT 1), now()));

-- Events that changed their state late: the minutes of their deliveries are counted anew. No key, so that nobody waits
-- here for anybody.
CREATE TABLE rollup_stale (source text NOT NULL, event_id text NOT NULL, received_at timestamptz NOT NULL);

CREATE FUNCTION rollup_note_stale() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (source, event_id, received_at) VALUES (old.source, old.event_id, old.received_at);
    RETURN NULL;
END
$$;

-- A change within half a minute of the receipt needs no note: the minute is announced to be counted a minute after its
-- end, so the change began before that, and the count waits until it has ended.
CREATE TRIGGER rollup_note_stale AFTER UPDATE OF state ON webhook_event FOR EACH ROW
WHEN (old.state <> new.state AND old.received_at < now() - interval '30 seconds')
EXECUTE FUNCTION rollup_note_stale();

-- Counts whole minutes of the log anew, from `from_at` to before `until_at`. By index alone: what it reads is its span.
CREATE FUNCTION rollup_count(from_at timestamptz, until_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET timezone = 'UTC' SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    DELETE FROM delivery_minute WHERE minute >= from_at AND minute < until_at;
    DELETE FROM wait_minute WHERE minute >= from_at AND minute < until_at;
    WITH received AS MATERIALIZED (
        SELECT date_trunc('minute', l.received_at) AS minute, l.source, l.endpoint, l.verdict, coalesce(e.state, '') AS state,
               l.requests, l.body_bytes,
               CASE WHEN e.log_id = l.id THEN wait_class(e.applied_at - e.received_at) END AS wait
        FROM webhook_log l
        LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
        WHERE l.received_at >= from_at AND l.received_at < until_at
          AND l.id >= first_log_id(from_at) AND l.id < first_log_id(until_at + interval '3 ms')
    ), counted AS (
        INSERT INTO delivery_minute (minute, source, endpoint, verdict, state, deliveries, body_bytes)
        SELECT minute, source, endpoint, verdict, state, sum(requests), sum(body_bytes)
        FROM received GROUP BY 1, 2, 3, 4, 5
    )
    INSERT INTO wait_minute (minute, wait, events)
    SELECT minute, wait, count(*) FROM received WHERE wait IS NOT NULL GROUP BY 1, 2;
END
$$;

-- The minutes that are not counted yet, from the log itself. A function, because its plan outlives the question: planning
-- over all partitions costs more than the few minutes that are read.
CREATE FUNCTION rollup_tail() RETURNS TABLE (
    minute timestamptz, source text, endpoint text, verdict text, deliveries bigint, body_bytes numeric
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 AS $$
#variable_conflict use_column
DECLARE
    counted_until timestamptz := (SELECT rolled_until FROM rollup_progress);
BEGIN
    RETURN QUERY
    SELECT date_trunc('minute', l.received_at), l.source, l.endpoint, l.verdict, sum(l.requests), sum(l.body_bytes)
    FROM webhook_log l
    WHERE l.received_at >= counted_until AND l.id >= first_log_id(counted_until)
    GROUP BY 1, 2, 3, 4;
END
$$;

-- One step: counts what was announced, announces what comes next (at most `span`, about `rows_max` deliveries, a minute
-- at least), then counts stale minutes anew for at most two seconds. Safe on any number of workers: one does it, the
-- others go on. Returns whether it counted or announced anything.
CREATE FUNCTION rollup_step(span interval, rows_max integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    done rollup_progress;
    ended timestamptz := date_trunc('minute', now() - interval '1 minute');
    until_at timestamptz;
    at timestamptz;
BEGIN
    SELECT * INTO done FROM rollup_progress FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR pg_snapshot_xmin(pg_current_snapshot()) <= done.barrier THEN
        RETURN false;
    END IF;
    IF done.next_until IS NOT NULL THEN
        PERFORM rollup_count(done.rolled_until, done.next_until);
        done.rolled_until := done.next_until;
    END IF;

    -- A silence is skipped at once.
    SELECT l.received_at INTO at FROM webhook_log l
    WHERE l.id >= first_log_id(done.rolled_until) AND l.received_at >= done.rolled_until ORDER BY l.id LIMIT 1;
    until_at := least(ended, date_trunc('minute', at) + span);
    SELECT date_trunc('minute', l.received_at) INTO at FROM webhook_log l
    WHERE l.id >= first_log_id(done.rolled_until) AND l.received_at >= done.rolled_until AND l.received_at < until_at
    ORDER BY l.id OFFSET rows_max LIMIT 1;
    until_at := greatest(least(until_at, at), least(ended, done.rolled_until + interval '1 minute'));
    UPDATE rollup_progress SET rolled_until = done.rolled_until,
        next_until = CASE WHEN until_at > done.rolled_until THEN until_at END,
        barrier = CASE WHEN until_at > done.rolled_until THEN pg_current_xact_id() END;

    WHILE clock_timestamp() < now() + interval '2 seconds' LOOP
        SELECT date_trunc('minute', min(received_at)) INTO at FROM rollup_stale;
        EXIT WHEN at IS NULL;
        FOR at IN
            WITH stale AS (
                DELETE FROM rollup_stale s WHERE s.received_at < at + interval '1 minute'
                RETURNING s.source, s.event_id, s.received_at
            )
            SELECT DISTINCT date_trunc('minute', l.received_at) FROM stale s
            JOIN webhook_log l ON l.event_id = s.event_id AND l.source = s.source AND l.received_at >= s.received_at
            WHERE l.received_at < done.rolled_until
        LOOP
            PERFORM rollup_count(at, at + interval '1 minute');
        END LOOP;
    END LOOP;
    RETURN done.next_until IS NOT NULL OR until_at > done.rolled_until;
END
$$;
