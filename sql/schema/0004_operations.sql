-- What operators see and do: heartbeats, alerts, access to payloads, reconcile runs.

CREATE TABLE process_heartbeat (
    process text NOT NULL,
    instance text NOT NULL,              -- host:pid
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT now(),
    counters jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (process, instance)
);

CREATE TABLE alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,                  -- also the heading of its runbook entry
    subject text NOT NULL,
    detail text,
    raised_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE UNIQUE INDEX alert_open ON alert (name, subject) WHERE resolved_at IS NULL;

CREATE TABLE access_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    request_id text NOT NULL,
    source_ip inet
);

CREATE TABLE reconcile_run (
    id uuid PRIMARY KEY,
    requested_by text NOT NULL,
    phases text[] NOT NULL,
    dry_run boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'running',
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    counts jsonb NOT NULL DEFAULT '{}',
    errors jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT reconcile_run_status CHECK (status IN ('running', 'succeeded', 'partial', 'failed'))
);
CREATE INDEX reconcile_run_by_time ON reconcile_run (started_at DESC);

CREATE TABLE reconcile_finding (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES reconcile_run (id),
    source text NOT NULL,
    class text NOT NULL,
    object_id text NOT NULL,
    detail text,
    repaired boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reconcile_finding_class CHECK (class IN (
        'missing_event', 'missed_apply', 'stale', 'extra_local', 'amount_mismatch', 'deleted_at_psp'
    ))
);
CREATE INDEX reconcile_finding_by_run ON reconcile_finding (run_id, id);

CREATE TABLE psp_cursor (
    source text NOT NULL,
    name text NOT NULL,
    position text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, name)
);
