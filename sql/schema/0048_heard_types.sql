-- Which types of events each source sends us. What a PSP lists of other types nobody has subscribed our endpoint to, and is none
-- of our business; of these types every single one must be in the log, even where it means nothing to us.

CREATE TABLE heard_type (
    source text NOT NULL,
    event_type text NOT NULL,
    last_heard_at timestamptz NOT NULL,
    PRIMARY KEY (source, event_type)
);
