-- Where in the inbox the events of a time lie. The inbox is never deleted from and lies in the order of receipt, so that
-- deliveries that follow each other find their events on pages that follow each other, and a count of them need not walk
-- down the key, which grows with all events there ever were, once for each.

-- From where on events lie whose first delivery has this id or a later one, and `further` pages beyond: by halving the
-- pages, about twenty steps over ten million events. Of each page the middle one of its first events is looked at,
-- because an event lies out of its order where a quiet process has filled an old page, or a change found no room on its
-- own. So this is a place to begin at and never an answer: what is not found from there on is looked up by its key.
CREATE FUNCTION inbox_page(first_id bigint, further integer) RETURNS tid
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
DECLARE
    low bigint := 0;
    high bigint := pg_relation_size('webhook_event') / current_setting('block_size')::integer;
    middle bigint;
    found bigint;
BEGIN
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY log_id) INTO found
        FROM (SELECT log_id FROM webhook_event WHERE ctid >= format('(%s,0)', middle)::tid LIMIT 9) AS first_of_page;
        IF found < first_id THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    -- The page before may hold the first of them.
    RETURN format('(%s,0)', greatest(low - 1, 0) + further)::tid;
END
$$;
