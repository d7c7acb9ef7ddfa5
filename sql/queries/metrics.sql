-- What the house's metrics sample: bounded by what waits, never by how much has been done.

-- name: sample_stuck
-- Objects that wait at their PSP for longer than they should, by kind.
SELECT (SELECT count(*) FROM webhook_event
        WHERE state = 'parked' AND awaits LIKE 'payment:%'
          AND received_at < now() - make_interval(secs => $1))
       + (SELECT count(*) FROM reconcile_stuck_object WHERE phase = 'orphan_refunds'
          AND since < now() - make_interval(secs => $1)) AS orphan_refunds,
       (SELECT count(*) FROM refund WHERE status IN ('pending', 'requires_action')
          AND created_at < now() - make_interval(secs => $2)) AS refunds,
       (SELECT count(*) FROM checkout_session WHERE status = 'open'
          AND created_at < now() - make_interval(secs => $3)) AS checkouts,
       (SELECT count(*) FROM subscription WHERE status = 'pending_payment'
          AND created_at < now() - make_interval(secs => $4)) AS subscriptions,
       (SELECT count(*) FROM orders WHERE status = 'pending'
          AND created_at < now() - make_interval(secs => $5)) AS orders,
       (SELECT count(*) FROM seller_transfer WHERE status = 'reversal_pending') AS reversals_pending,
       (SELECT count(*) FROM seller_transfer WHERE status = 'permanently_failed') AS reversals_failed;

-- name: sample_run
-- The reconcile run that was asked for last of those that have ended.
SELECT extract(epoch FROM r.finished_at)::double precision AS finished_at, r.status,
       extract(epoch FROM r.finished_at - r.picked_up_at)::double precision AS seconds
FROM reconcile_run r WHERE r.status <> 'running' ORDER BY r.seq DESC LIMIT 1;
