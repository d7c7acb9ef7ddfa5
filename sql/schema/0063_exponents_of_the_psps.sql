-- Amounts are shown as the PSPs count them, and both count two currencies otherwise than ISO 4217 says: ariary
-- whole, krónur in hundredths (https://docs.stripe.com/currencies). Ledger and sums hold minor units and stay as they are.
UPDATE unit SET exponent = 0 WHERE code = 'mga';
UPDATE unit SET exponent = 2 WHERE code = 'isk';
