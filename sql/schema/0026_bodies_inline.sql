-- A body of some kilobytes stays in its row where this build of Postgres cannot compress it (lz4 makes it small enough by
-- itself): a second table with an index of its own cost an eighth of an append, and one more look-up for each event that
-- is applied (measured). Bodies beyond a page go there as ever.

CREATE FUNCTION webhook_log_keep_bodies_inline(partition_name text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (SELECT attcompression FROM pg_attribute WHERE attrelid = 'webhook_log'::regclass AND attname = 'body') <> 'l' THEN
        EXECUTE format('ALTER TABLE %I SET (toast_tuple_target = 8160)', partition_name);
    END IF;
END
$$;

SELECT webhook_log_keep_bodies_inline(c.relname)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'webhook_log'::regclass;

-- As before; a new partition keeps bodies inline.
CREATE OR REPLACE FUNCTION webhook_log_make_partitions(days_ahead integer) RETURNS integer
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
        PERFORM webhook_log_keep_bodies_inline(name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM webhook_log_default WHERE received_at >= %L AND received_at < %L RETURNING *)
             INSERT INTO %I SELECT * FROM moved', day, day + 1, name);
        EXECUTE format('ALTER TABLE webhook_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, day, day + 1);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
