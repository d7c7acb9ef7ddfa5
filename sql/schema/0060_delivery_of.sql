-- What the delivery of this id says of who sent it and what it told, from its one partition: an id begins with the
-- millisecond of receipt. Postgres puts the text of this function in the place of its call (nothing may be added that
-- forbids it: no SET, no SECURITY DEFINER, no STRICT), so that the partition is seen. OFFSET 0 keeps a join from reading the
-- log first, as a plan would that was made while it was small.
CREATE FUNCTION delivery_of(log_id bigint)
RETURNS TABLE (actor text, event_type text, origin text, received_at timestamptz)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT actor, event_type, origin, received_at FROM public.webhook_log
    WHERE id = $1 AND received_at >= to_timestamp(($1 >> 20) / 1000.0) - interval '1 ms'
      AND received_at < to_timestamp(($1 >> 20) / 1000.0) + interval '2 ms'
    OFFSET 0
$$;
