-- Tamper evidence: the log's rows in order, chained batch by batch off the hot path. A seal outlives the rows that it
-- vouches for, so that the chain stays whole when retention has taken payloads.

CREATE TABLE log_seal (
    number bigint PRIMARY KEY,           -- 1, 2, 3 …
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,             -- it vouches for everything between the last seal's and this one
    row_ids bigint[] NOT NULL,           -- in order
    row_digests bytea NOT NULL,          -- sha256 of each row, in the same order: names the first bad row without a search
    previous bytea NOT NULL,             -- `seal` of the seal before; 32 zero bytes before the first
    seal bytea NOT NULL,                 -- sha256 of number, previous, ids and digests
    sealed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT log_seal_number CHECK (number >= 1),
    CONSTRAINT log_seal_rows CHECK (
        cardinality(row_ids) >= 1 AND octet_length(row_digests) = 32 * cardinality(row_ids)
        AND row_ids[1] = first_id AND row_ids[cardinality(row_ids)] = last_id AND first_id <= last_id
    ),
    CONSTRAINT log_seal_hashes CHECK (octet_length(previous) = 32 AND octet_length(seal) = 32)
);
-- Digests do not compress, so nothing should try.
ALTER TABLE log_seal ALTER COLUMN row_digests SET STORAGE EXTERNAL;

CREATE FUNCTION log_seal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: seals are append-only', tg_op, tg_table_name
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER log_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_seal
    FOR EACH STATEMENT EXECUTE FUNCTION log_seal_is_append_only();
