-- An id that is not known yet is NULL: an empty one would be the same for every refund that waits for its own.
ALTER TABLE refund ADD CONSTRAINT refund_psp_id CHECK (psp_id <> '');
