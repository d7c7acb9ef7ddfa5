-- What each receiver says of a subscription at the end of the day.

-- name: of_sluice
-- The mirror's status; a deleted one is canceled.
SELECT CASE WHEN deleted THEN 'canceled' ELSE psp_status END FROM subscription WHERE id = $1;

-- name: of_supabase
-- The engine's own table.
SELECT status::text FROM stripe.subscriptions WHERE id = $1;

-- name: of_djstripe
-- dj-stripe keeps the object as JSON.
SELECT stripe_data ->> 'status' FROM djstripe_subscription WHERE id = $1;
