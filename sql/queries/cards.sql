-- Cards: what operators put in, what the wallet and the developers' endpoints read, and what seeds a developer's stack.

-- name: read_credential_of_account
-- The customer's credential.
SELECT id, panda_id FROM credential WHERE account_id = $1;

-- name: put_credential
-- Puts a credential as it shall be.
INSERT INTO credential (id, account_id, panda_id) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, panda_id = excluded.panda_id;

-- name: read_credential
-- A credential by its own id.
SELECT id, account_id, panda_id FROM credential WHERE id = $1;

-- name: put_card
-- Puts a card as it shall be.
INSERT INTO card (id, credential_id, status, last_four) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE
SET credential_id = excluded.credential_id, status = excluded.status, last_four = excluded.last_four;

-- name: list_cards
-- The cards of a credential, the oldest first.
SELECT id, credential_id, status, last_four FROM card WHERE credential_id = $1 ORDER BY created_at, id;

-- name: read_usable_card
-- The first card that can be put into a wallet.
SELECT id FROM card WHERE credential_id = $1 AND status IN ('ACTIVE', 'FROZEN') ORDER BY created_at, id LIMIT 1;

-- name: read_virtual_card
-- A developer's card.
SELECT id, account_id, cardholder_name, last4, exp_month, exp_year FROM virtual_card WHERE id = $1 AND status = 'active';

-- name: keep_token
-- Keeps the hash of the token that was handed out last, and how long it is good.
UPDATE virtual_card SET token_sha256 = $2, token_expires_at = now() + make_interval(secs => $3) WHERE id = $1;

-- name: seed_account
-- A developer's account; one that is there stays.
INSERT INTO account (id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: seed_balance
-- Its money from the house, once and for all.
WITH granted AS (
    INSERT INTO ledger_transaction (source, movement, money_object, actor) VALUES ('dev', 'grant', $1, 'api.dev')
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
SELECT g.id, leg.account_id, $2, leg.amount
FROM granted g, (VALUES ($1::text, $3::bigint), ('system:grants', -$3::bigint)) AS leg (account_id, amount);

-- name: seed_card
-- Its one card; one that is there is made active again and keeps what it has.
INSERT INTO virtual_card (account_id, cardholder_name, last4, exp_month, exp_year) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id) DO UPDATE SET status = 'active', updated_at = now()
RETURNING id, last4;
