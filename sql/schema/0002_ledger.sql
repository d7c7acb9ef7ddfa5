-- Double entry in integer minor units. The database itself keeps the two laws: every transaction sums to zero in
-- each unit, and a balance is the sum of its postings. No process may write a balance.

CREATE TABLE unit (
    code text PRIMARY KEY,
    exponent smallint NOT NULL,          -- digits after the point when shown to a person
    CONSTRAINT unit_exponent CHECK (exponent BETWEEN 0 AND 12),
    CONSTRAINT unit_code CHECK (code = lower(code) AND code <> '')
);
-- Credits, USDC, and the ISO 4217 currencies by their exponent.
INSERT INTO unit (code, exponent)
SELECT 'credit', 0
UNION ALL SELECT 'usdc', 7
UNION ALL SELECT unnest(string_to_array('bif clp djf gnf isk jpy kmf krw pyg rwf ugx vnd vuv xaf xof xpf', ' ')), 0
UNION ALL SELECT unnest(string_to_array('bhd iqd jod kwd lyd omr tnd', ' ')), 3
UNION ALL SELECT unnest(string_to_array(
    'aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny '
    || 'cop crc cup cve czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gtq gyd hkd hnl htg huf idr '
    || 'ils inr irr jmd kes kgs khr kpw kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mru mur mvr mwk '
    || 'mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd shp '
    || 'sle sos srd ssp stn svc syp szl thb tjs tmt top try ttd twd tzs uah usd uyu uzs ves wst xcd yer zar zmw '
    || 'zwg', ' ')), 2;

-- Who holds balances: customers by their own id, and the house's side of every posting.
CREATE TABLE account (
    id text PRIMARY KEY,
    kind text NOT NULL DEFAULT 'customer',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_kind CHECK (kind IN ('customer', 'system')),
    CONSTRAINT account_system_ids CHECK ((kind = 'system') = (id LIKE 'system:%')),
    CONSTRAINT account_id CHECK (octet_length(id) BETWEEN 1 AND 255)
);
INSERT INTO account (id, kind) VALUES ('system:credits_issued', 'system'), ('system:grants', 'system');

CREATE TABLE balance (
    account_id text NOT NULL REFERENCES account (id),
    unit text NOT NULL REFERENCES unit (code),
    amount bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, unit)
) WITH (fillfactor = 70);
CREATE INDEX balance_negative ON balance (account_id, unit) WHERE amount < 0;

-- One movement of money. Unique on the money object, not on the event: two events that tell of one refund post once.
CREATE TABLE ledger_transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    movement text NOT NULL,
    money_object text NOT NULL,          -- id of the checkout session, payment, refund or dispute
    event_id text,                       -- the event that caused it
    log_id bigint,                       -- the delivery that brought that event
    actor text,                          -- who, where no event did
    posted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_transaction_movement CHECK (movement IN (
        'topup', 'refund_clawback', 'refund_give_back', 'dispute_clawback', 'dispute_give_back', 'grant'
    )),
    CONSTRAINT ledger_transaction_caused CHECK (log_id IS NOT NULL OR actor IS NOT NULL),
    CONSTRAINT ledger_transaction_once UNIQUE (money_object, movement, source)
);
CREATE INDEX ledger_transaction_by_log ON ledger_transaction (log_id) WHERE log_id IS NOT NULL;

CREATE TABLE ledger_posting (
    transaction_id bigint NOT NULL REFERENCES ledger_transaction (id),
    account_id text NOT NULL REFERENCES account (id),
    unit text NOT NULL REFERENCES unit (code),
    amount bigint NOT NULL,              -- minor units; above zero: the account gains
    PRIMARY KEY (account_id, transaction_id, unit),
    CONSTRAINT ledger_posting_moves CHECK (amount <> 0)
);
CREATE INDEX ledger_posting_by_transaction ON ledger_posting (transaction_id);

-- All legs of a transaction are written by one statement, so a statement trigger can prove the sum and book the
-- balances, in one fixed order, for any number of transactions at once.
CREATE FUNCTION ledger_post() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM posted GROUP BY transaction_id, unit HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'postings of a transaction do not sum to zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_posting_balanced';
    END IF;
    INSERT INTO balance AS b (account_id, unit, amount)
    SELECT account_id, unit, sum(amount) FROM posted GROUP BY account_id, unit ORDER BY account_id, unit
    ON CONFLICT (account_id, unit) DO UPDATE SET amount = b.amount + excluded.amount, updated_at = now();
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_post AFTER INSERT ON ledger_posting
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION ledger_post();

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the ledger is append-only', tg_op, tg_table_name
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER ledger_posting_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_transaction_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
