-- How each source behaves: its own rate, the distance of its clock, and when each of its secrets was last of use. Kept
-- up from the log bit by bit, so that no look at it reads more of the log than what is new.

CREATE TABLE source_pulse (
    source text PRIMARY KEY,
    last_log_id bigint NOT NULL,
    last_received_at timestamptz NOT NULL,
    deliveries bigint NOT NULL,
    longest_gap_s double precision NOT NULL,  -- between two deliveries; an old one fades
    skew_s double precision,             -- our receipt minus the signature's time, median of the newest; NULL: no times
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secret_use (
    source text NOT NULL,
    secret_id text NOT NULL,             -- fingerprint, never the secret
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (source, secret_id)
);
