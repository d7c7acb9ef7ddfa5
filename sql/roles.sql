-- One role per process, applied after every migration. A process logs in as a member of its role, or takes it on by
-- itself: even a wrong import cannot then update a balance from the receiver.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'sluice_ingest', 'sluice_worker', 'sluice_reconciler', 'sluice_api', 'sluice_retention', 'sluice_dashboard'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this cluster is being migrated at the same time
            END;
        END IF;
        -- For a migrator that is no superuser: it made the role, so it may hand it to itself and take it on.
        IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', name);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', name);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', name);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', name);
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Postgres lets everybody keep large objects and sleep. A reader must not write, and nobody here waits in the database.
-- Without being a superuser the migrator can only ask: Postgres then warns and leaves it as it is.
DO $$
DECLARE
    everybodys regprocedure;
BEGIN
    FOR everybodys IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname ~ '^(lo_|pg_sleep)' OR proname IN ('loread', 'lowrite'))
          AND has_function_privilege('sluice_dashboard', oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', everybodys);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION webhook_log_make_partitions(integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION webhook_log_drop_partitions(date) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION webhook_log_keep_bodies_inline(text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION ledger_post() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION webhook_log_fill_inbox() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION checkout_session_refers(), checkout_session_keeps() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION rollup_note_stale() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION rollup_tail() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rollup_tail() TO sluice_dashboard;
REVOKE EXECUTE ON FUNCTION rollup_step(interval, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION webhook_event_resolve(text, text, bigint, text, text) FROM PUBLIC;

-- The receiver appends to the log, column by column: it can forge neither an id nor a time, and reads nothing back. The
-- inbox is filled by the log's own trigger alone.
GRANT USAGE ON SEQUENCE webhook_log_seq TO sluice_ingest, sluice_reconciler, sluice_api, sluice_worker;
GRANT INSERT (source, endpoint, origin, verdict, secret_id, signed_at, event_id, event_type, object_id, body, body_bytes,
              psp_created, body_sha256, headers, source_ip, user_agent, request_id, actor, requests)
    ON webhook_log TO sluice_ingest, sluice_reconciler, sluice_api, sluice_worker;

-- The worker is the one writer of event-driven state. Balances move by the ledger's own trigger alone.
GRANT SELECT ON webhook_log, webhook_event, webhook_redelivery, event_note, unit, account, balance, ledger_transaction,
    ledger_posting, checkout_session, refund, dispute, subscription, subscription_invoice, orders, license, seller_transfer,
    state_transition, process_heartbeat, alert TO sluice_worker;
GRANT UPDATE ON webhook_event TO sluice_worker;
GRANT UPDATE, DELETE ON webhook_redelivery TO sluice_worker;
GRANT SELECT, INSERT ON event_field TO sluice_worker;
GRANT INSERT ON event_note, account, ledger_transaction, ledger_posting, state_transition TO sluice_worker;
GRANT INSERT, UPDATE ON checkout_session, refund, dispute, subscription, subscription_invoice, orders, license,
    seller_transfer, alert TO sluice_worker;
GRANT INSERT, UPDATE, DELETE ON process_heartbeat TO sluice_worker, sluice_reconciler, sluice_api;
GRANT EXECUTE ON FUNCTION webhook_log_make_partitions(integer), rollup_step(interval, integer) TO sluice_worker;

-- Retention removes payloads, what was counted of them, and answers under idempotency keys, and nothing else.
GRANT SELECT (id, received_at), DELETE ON webhook_log TO sluice_retention;
GRANT SELECT (minute), DELETE ON delivery_minute, wait_minute TO sluice_retention;
GRANT SELECT (log_id, state) ON webhook_event TO sluice_retention;
GRANT EXECUTE ON FUNCTION webhook_log_drop_partitions(date) TO sluice_retention;
GRANT SELECT (caller, key, created_at, state, leased_until), DELETE ON idempotency_key TO sluice_retention;

-- The reconciler reads, writes its own records, and repairs by appending to the log.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO sluice_reconciler, sluice_api;
GRANT INSERT, UPDATE ON reconcile_run, psp_cursor, alert TO sluice_reconciler;
GRANT INSERT ON reconcile_finding TO sluice_reconciler;

-- The API reads; it opens empty accounts, and records who asked for what.
GRANT INSERT ON account, access_log, event_note TO sluice_api;
GRANT INSERT (account_id, unit) ON balance TO sluice_api;

-- The outbox: staged by the worker alone. The API tries what a customer waits for at once, and changes no more of it than
-- that takes. How a call ended, and what was read at a PSP, is an event like any other, so both append to the log by the
-- same columns as the receiver; what is in the log they cannot change.
GRANT SELECT, INSERT, UPDATE ON outbox_effect TO sluice_worker;
GRANT UPDATE (state, attempts, next_attempt_at, under_way, last_error, made_id, finished_at) ON outbox_effect TO sluice_api;
GRANT INSERT (name, subject, detail) ON alert TO sluice_api;
GRANT SELECT ON seller_transfer TO sluice_worker;

-- Of money the API moves nothing but what these functions do; it remembers what it has answered under a key, and
-- when it handed out a token for a card of a developer's own stack. Whose card is whose it is told by operators.
REVOKE EXECUTE ON FUNCTION grant_usdc(uuid, text, bigint, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION hold_credits(text, text, bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION credit_hold_end() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION stage_checkout(text, text, jsonb, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION grant_usdc(uuid, text, bigint, text), hold_credits(text, text, bigint),
      stage_checkout(text, text, jsonb, double precision) TO sluice_api;
GRANT INSERT (caller, key, request_sha256, leased_until),
      UPDATE (state, attempt, leased_until, status, body, answered_at)
    ON idempotency_key TO sluice_api;
GRANT UPDATE (token_sha256, token_expires_at) ON virtual_card TO sluice_api;
GRANT INSERT (id, account_id, panda_id), UPDATE (account_id, panda_id) ON credential TO sluice_api;
GRANT INSERT (id, credential_id, status, last_four), UPDATE (credential_id, status, last_four) ON card TO sluice_api;
REVOKE SELECT ON idempotency_key, credential, card, virtual_card FROM sluice_reconciler;

-- An operator's commands: ask for a run, close an alert, take one quarantined event off the list.
GRANT INSERT (id, requested_by, phases, dry_run, object) ON reconcile_run TO sluice_api;
GRANT UPDATE (resolved_at, resolved_by, resolution) ON alert TO sluice_api;
GRANT EXECUTE ON FUNCTION webhook_event_resolve(text, text, bigint, text, text) TO sluice_api;

-- The API keeps the catalogue, and gives an account its one trial. Orders and subscriptions themselves it only asks for:
-- by events of our own, which the workers apply.
GRANT INSERT (account_id, subscription_id) ON trial TO sluice_api;
GRANT INSERT (id, name, amount_minor, currency, trial_days, active),
      UPDATE (name, amount_minor, currency, trial_days, active, updated_at) ON plan TO sluice_api;
GRANT INSERT (id, seller_id, amount_minor, currency, seller_amount_minor, licences, active),
      UPDATE (seller_id, amount_minor, currency, seller_amount_minor, licences, active, updated_at) ON product TO sluice_api;

-- What the reconciler remembers of its own work.
GRANT INSERT, UPDATE, DELETE ON reconcile_attempt TO sluice_reconciler;
GRANT INSERT, DELETE ON completeness_measure TO sluice_reconciler;
GRANT INSERT, UPDATE ON source_pulse, secret_use, heard_type TO sluice_reconciler;

-- The sealer appends seals: nobody may change one or take one away. The reconciler reads them with everything else.
GRANT INSERT (number, first_id, last_id, row_ids, row_digests, previous, seal) ON log_seal TO sluice_reconciler;
