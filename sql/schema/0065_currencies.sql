-- The codes of ISO 4217 that were missing, by their digits after the point: units of account, which PSPs quote in too, and
-- currencies that came or went lately and that payments may still be in.

INSERT INTO unit (code, exponent)
SELECT unnest(string_to_array('clf uyw', ' ')), 4
UNION ALL SELECT 'uyi', 0
UNION ALL SELECT unnest(string_to_array('bov che chw cou hrk mxv sll std usn xcg', ' ')), 2
ON CONFLICT (code) DO NOTHING;
