-- A page where credits are paid for needs no rule and no row of ours: the API stages its call with the event that wants it,
-- in one transaction, so that customers can pay while the workers are away. These find the call staged when they come.

CREATE FUNCTION stage_checkout(at_psp text, purchase text, wanted jsonb, delay_s double precision) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, next_attempt_at, log_id, event_id)
    SELECT at_psp, 'open_checkout', purchase, purchase, wanted || jsonb_build_object('placed_at', e.psp_created),
           now() + make_interval(secs => delay_s), e.log_id, e.event_id
    FROM webhook_event e
    WHERE e.source = 'sluice' AND e.event_id = 'checkout:' || purchase AND e.event_type = 'checkout.requested'
    ON CONFLICT (source, idempotency_key) DO NOTHING
$$;
