-- Third edition of the books: a bank may judge a dispute anew, so its money moves more than once. Runs once per file, which
-- remembers it in `user_version`.

BEGIN IMMEDIATE;

-- SQLite cannot change a UNIQUE in place, so the movements move house. A kind happens once a second per source object.
CREATE TABLE movement_3 (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id text NOT NULL UNIQUE,
    created integer NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal', 'transfer', 'transfer_reversal'
    )),
    source text NOT NULL,
    amount integer NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    payer text NOT NULL,
    payee text NOT NULL CHECK (payee <> payer),
    UNIQUE (source, kind, created)
) STRICT;
INSERT INTO movement_3 SELECT * FROM movement;
DROP TABLE movement;
ALTER TABLE movement_3 RENAME TO movement;

PRAGMA user_version = 3;

COMMIT;
