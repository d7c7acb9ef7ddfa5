-- What is for sale, as operators put it.

-- name: put_plan
-- Puts a plan as it shall be; no row: we know no such currency.
INSERT INTO plan AS p (id, name, amount_minor, currency, trial_days, active)
SELECT $1, $2, $3, u.code, $5, $6 FROM unit u WHERE u.code = $4
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, amount_minor = excluded.amount_minor, currency = excluded.currency,
    trial_days = excluded.trial_days, active = excluded.active, updated_at = now()
RETURNING id, name, amount_minor, currency, trial_days, active;

-- name: list_plans
-- All plans.
SELECT id, name, amount_minor, currency, trial_days, active FROM plan ORDER BY id;

-- name: read_plan
-- A plan that may be subscribed to.
SELECT id, name, amount_minor, currency, trial_days, active FROM plan WHERE id = $1 AND active;

-- name: put_product
-- Puts a product as it shall be; no row: we know no such currency.
INSERT INTO product AS p (id, seller_id, amount_minor, currency, seller_amount_minor, licences, active)
SELECT $1, $2, $3, u.code, $5, $6::text[], $7 FROM unit u WHERE u.code = $4
ON CONFLICT (id) DO UPDATE
SET seller_id = excluded.seller_id, amount_minor = excluded.amount_minor, currency = excluded.currency,
    seller_amount_minor = excluded.seller_amount_minor, licences = excluded.licences, active = excluded.active,
    updated_at = now()
RETURNING id, seller_id, amount_minor, currency, seller_amount_minor, licences, active;

-- name: list_products
-- All products.
SELECT id, seller_id, amount_minor, currency, seller_amount_minor, licences, active FROM product ORDER BY id;

-- name: read_product
-- A product that may be ordered.
SELECT id, seller_id, amount_minor, currency, seller_amount_minor, licences, active FROM product WHERE id = $1 AND active;

-- name: has_unit
-- Whether we keep books in this currency.
SELECT EXISTS (SELECT FROM unit WHERE code = $1);
