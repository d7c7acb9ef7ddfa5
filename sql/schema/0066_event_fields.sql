-- Which of the fields that a mapping depends on a PSP has sent, by type of event and version of its API, each once. What was
-- there and is no longer would be read as null: `lost` is a row of that kind, and raises an alert when it is written.

CREATE TABLE event_field (
    source text NOT NULL,
    event_type text NOT NULL,
    field text NOT NULL,
    api_version text NOT NULL,           -- empty where the PSP tells none
    present boolean NOT NULL,
    lost boolean NOT NULL,               -- absent, although events of this type had it in another version
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, event_type, field, api_version, present),
    CONSTRAINT event_field_lost CHECK (NOT (present AND lost))
);
