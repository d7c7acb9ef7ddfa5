-- What an operator may ask for beyond an append to the log: take an event off the list, close an alert, ask for a run.

-- Who closed an alert and why; NULL where the house closed it by itself.
ALTER TABLE alert ADD COLUMN resolved_by text, ADD COLUMN resolution text;

-- A run that somebody asked for is a row in status `running` from that moment; the reconciler picks it up.
ALTER TABLE reconcile_run
    ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY,  -- order of asking: pages of the history go by it
    ADD COLUMN object text,              -- kind:id, where the run is about one object only
    ADD COLUMN picked_up_at timestamptz, -- NULL: nobody has begun it yet
    ADD COLUMN instance text;            -- the process that runs it, as in its heartbeat; NULL for a command line
UPDATE reconcile_run SET picked_up_at = started_at;
CREATE UNIQUE INDEX reconcile_run_by_seq ON reconcile_run (seq);
CREATE INDEX reconcile_run_unfinished ON reconcile_run (seq) WHERE status = 'running';

-- What waits at its PSP, counted by every sample of the metrics however many are done.
CREATE INDEX refund_waiting ON refund (created_at) WHERE status IN ('pending', 'requires_action');
CREATE INDEX checkout_session_waiting ON checkout_session (created_at) WHERE status = 'open';
CREATE INDEX subscription_waiting ON subscription (created_at) WHERE status = 'pending_payment';

-- Takes a quarantined event off the list, or closes the alert of a conflict, under a name and with a reason.
--
-- A function and not a delivery like a replay: a replay must be judged by the worker, because it may have an effect; a
-- resolution has none by definition, so there is nothing to judge and no reason to make the operator wait for it. And
-- not a grant: with UPDATE on the inbox, even on two columns, a wrong query of the API could mark anything as ignored.
-- This can do one thing to one event that is in quarantine, and cannot do it without leaving a name.
--
-- Returns the state in which the event was found, 'conflict' when only its alert was closed, NULL when there is no such
-- event. Nothing is changed unless it returns 'quarantined' or 'conflict'.
CREATE FUNCTION webhook_event_resolve(of_source text, of_event_id text, at_log_id bigint, by_actor text, for_reason text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was text;
    alerts integer;
BEGIN
    IF by_actor = '' OR for_reason = '' THEN
        RAISE EXCEPTION 'a resolution names who and why' USING ERRCODE = 'check_violation';
    END IF;
    -- The event before its alerts, as the worker locks them.
    SELECT state INTO was FROM webhook_event WHERE source = of_source AND event_id = of_event_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE alert SET resolved_at = now(), resolved_by = by_actor, resolution = for_reason
    WHERE resolved_at IS NULL AND subject = of_source || ':' || of_event_id
      AND (name = 'event_conflict' OR name = 'event_quarantined' AND was = 'quarantined');
    GET DIAGNOSTICS alerts = ROW_COUNT;
    IF was = 'quarantined' THEN
        UPDATE webhook_event
        SET state = 'ignored', reason = 'resolved', applied_at = coalesce(applied_at, now())
        WHERE source = of_source AND event_id = of_event_id;
    ELSIF alerts = 0 THEN
        RETURN was;
    ELSE
        was := 'conflict';
    END IF;
    INSERT INTO event_note (source, event_id, what, log_id, actor, detail)
    VALUES (of_source, of_event_id, 'resolved', at_log_id, by_actor, for_reason);
    RETURN was;
END
$$;
REVOKE EXECUTE ON FUNCTION webhook_event_resolve(text, text, bigint, text, text) FROM PUBLIC;
