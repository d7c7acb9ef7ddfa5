-- How complete we are, as measured: of the events that a PSP lists for a span of its time, how many had their outcome in time.

CREATE TABLE completeness_measure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES reconcile_run (id),
    source text NOT NULL,
    since bigint NOT NULL,               -- created after this, by the PSP's clock, unix seconds
    until bigint NOT NULL,               -- and not after this
    in_time_s integer NOT NULL,          -- an outcome so many seconds after the creation is in time
    begun boolean NOT NULL,              -- whether this walk began at the newest event, or went on where one was cut short
    types jsonb NOT NULL,                -- event type -> [listed, of these in time]
    measured_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX completeness_measure_by_source ON completeness_measure (source, until);
