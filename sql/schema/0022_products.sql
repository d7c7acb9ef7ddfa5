-- Products that customers may order. What was agreed stands with each order: a product's price may change.

CREATE TABLE product (
    id text PRIMARY KEY,
    seller_id text,                      -- NULL: the house sells
    amount_minor bigint NOT NULL,
    currency text NOT NULL REFERENCES unit (code),
    seller_amount_minor bigint NOT NULL, -- the seller's part of the amount
    licences text[] NOT NULL,            -- what the buyer may use while the order stands
    active boolean NOT NULL,             -- may be ordered
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT product_id CHECK (octet_length(id) BETWEEN 1 AND 255),
    CONSTRAINT product_amounts CHECK (amount_minor > 0 AND seller_amount_minor BETWEEN 0 AND amount_minor),
    CONSTRAINT product_seller CHECK (seller_id IS NOT NULL OR seller_amount_minor = 0)
);
