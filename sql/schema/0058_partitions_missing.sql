-- Whether the log has no partition for today or tomorrow: then deliveries of that day gather in the default partition, where
-- every search looks, and which nobody can drop. Partitions are made a week ahead, so something has held them up for days.
CREATE FUNCTION webhook_log_lacks_partitions() RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT bool_or(to_regclass('webhook_log_' || to_char(day, 'YYYYMMDD')) IS NULL)
    FROM unnest(ARRAY[current_date, current_date + 1]) AS t (day)
$$;
