"""Every bound of the system in one table: unit last, reason beside it, relations asserted at import."""

# --- receiver -----------------------------------------------------------------------------------------------
webhook_bytes_max_default = 262_144
"""Largest body taken, bytes. Real events are 1-5 KB; inflated dispute metadata has been seen far above 64
KiB.
"""
header_deadline_s = 5.0
"""A connection that has not sent a whole request head by then is closed."""
body_deadline_s = 3.0
"""A body that has not arrived by then is answered 408. Hyperswitch itself gives up after 5 s."""
keepalive_idle_s = 75.0
"""Idle keep-alive connections are closed after this; common proxies use 60-75 s."""
lingering_s = 1.0
"""How long unread bytes are drained after an early answer; aiohttp's own 10 s keeps slow clients alive."""
commit_deadline_s = 3.0
"""A row that is not committed by then is answered 503, so that the PSP's retry has time to follow."""
retry_after_s = 1
"""Retry-After of a 503: a restart of Postgres is over in about a second."""
flush_rows_max = 500
"""Rows of one group commit. Insert speed is flat from 200 to 1,000 rows a batch (measured)."""
flush_second_min_rows = 16
"""A second flush starts beside a running one only when this many rows wait; earlier it hurts at low load."""
flush_in_flight_max = 2
"""Two flushes hide a slow fsync; more only fight for the same two cores."""
queue_rows_max = 10_000
"""Rows waiting for a commit before new ones are answered 503 at once."""
queue_bytes_max = 67_108_864
"""Bytes waiting for a commit before new ones are answered 503 at once: bounds memory, not only count."""
rejected_rows_per_minute_and_source_max = 60
"""Rejected deliveries kept as rows of their own per minute and source address; the rest are counted."""
rejected_rows_per_minute_max = 6_000
"""The same over all sources: a flood from many addresses must not fill the disk either."""
rejected_body_bytes_max = 4_096
"""Bytes kept of a rejected body, beside its length and sha256."""
rejected_aggregate_flush_s = 2.0
"""How often counted rejections become one aggregate row per source, endpoint and verdict."""
signatures_per_header_max = 8
"""`v1=` values read from one signature header: a rotation needs two, an attack sends thousands."""
signature_header_bytes_max = 4_096
"""A genuine header is about 150 bytes."""
signature_tolerance_s = 300
"""Clock distance, in both directions, beyond which a signed timestamp is refused."""

# --- doorbell -----------------------------------------------------------------------------------------------
doorbell_interval_s = 0.02
"""At most one arq job per interval and process: a job per flush saturates arq (measured)."""
doorbell_cut_off_s = 0.25
"""Ringing is abandoned after this: a lost ring costs latency, a hung one must cost nothing."""
doorbell_slots = 16
"""Distinct job ids in turn, so that a stopped worker leaves at most this many jobs behind per process."""

# --- workers ------------------------------------------------------------------------------------------------
claim_batch_rows_max = 1_000
"""Events of one claim. An eighth faster than 500 (measured); above that only the transaction grows."""
drain_helpers = 3
"""Connections that work a backlog off beside the first: a fifteenth faster than one, and five are no faster
(measured).
"""
claim_lease_s = 10
"""A claimed event is due again after this, so that a killed worker's share is taken over within seconds."""
attempts_max = 8
"""Attempts before an event is quarantined; with the backoff below that is about half an hour."""
backoff_first_s = 2
backoff_max_s = 600
"""Retry delays double from the first to the cap, held in Postgres."""
parked_days_max = 3
"""A parked event's parent has this long to come (Stripe's own retry span), then it is quarantined."""
subject_races_max = 5
"""How often one batch is decided anew after losing a race for a subject, before it is bisected."""
heartbeat_interval_s = 5
heartbeat_stale_s = 30

# --- outbox -------------------------------------------------------------------------------------------------
effect_calls_at_once = 8
"""Calls to one PSP under way per worker: far below a PSP's rate limit, enough to hide a second's latency."""
effect_call_s = 12.0
"""A call is abandoned after this, and tried again with the same key; a client's own timeout is 10 s."""
effect_lease_s = 45
"""A claimed call is due again after this, so that a killed worker's is taken over."""
effect_attempts_max = 11
"""Attempts before a call has failed for good; with the backoff below that is half an hour, not counting the
time for which the breaker is open.
"""
effect_backoff_first_s = 2
effect_backoff_max_s = 600
"""Delays double from the first to the cap, held in Postgres."""
effect_retry_after_max_s = 86_400
"""The longest Retry-After that is believed."""
effect_breaker_failures_max = 5
"""Calls in a row that a PSP fails as a whole before it is left alone."""
effect_breaker_pause_s = 30
"""How long it is left alone before a single call tries it again."""
effect_unconfigured_every_s = 60.0
"""How often calls that nobody here can make are looked for."""

# --- database -----------------------------------------------------------------------------------------------
pool_acquire_s = 1.0
command_timeout_s = 10.0
lock_timeout_ms = 2_000
idle_in_transaction_timeout_ms = 10_000
partitions_ahead_days = 7
"""Daily partitions made in advance; a default partition catches what falls outside."""
partitions_made_s_max = 300.0
"""A day that has to be moved out of the default partition may be millions of deliveries."""
rollup_span_s = 3_600
"""Time that one step of the roll-up counts at most, seconds: it has fallen behind then, and catches up."""
rollup_rows_max = 50_000
"""Deliveries that one step counts, about, but never less than a minute of them: half a second of work."""
counted_side_by_side_rows_max = 500_000
"""Events that a count reads of the inbox beside the log, for each of its ends, before it goes by key: a
minute of what one machine sustains, and a tenth of a second, should they be read in vain.
"""
idempotency_key_days = 30
"""Answers are kept under their key for so long: longer than any client tries again (Stripe forgets after one
day), and short enough that the table stays small. A later request under the same key is a new one.
"""
retention_batch_rows = 10_000
retention_pause_s = 0.1

# --- demo ---------------------------------------------------------------------------------------------------
demo_events_max = 200_000
"""Events of one demo; more is an hour of work and not what it is for."""

# --- settings -----------------------------------------------------------------------------------------------
secret_bytes_min = 16
"""A shorter webhook secret can be guessed or was cut by mistake; Stripe's have 38."""
jwt_secret_bytes_min = 32
"""HS256 needs a key as long as its digest."""
ingest_processes_max = 128
"""Receivers of one machine: more than it has cores help nobody, and a typing error must not fill it."""
duration_s_max = 315_360_000
"""Ten years: beyond it is a typing error, and times before the calendar's begin."""

assert commit_deadline_s + body_deadline_s < 10, "a PSP that waits 10 s must see our answer"
assert flush_rows_max <= queue_rows_max
assert claim_lease_s < 30, "every acknowledged event is applied within 30 s of a healed fault"
assert backoff_first_s <= backoff_max_s
assert rejected_rows_per_minute_and_source_max <= rejected_rows_per_minute_max
assert effect_call_s + pool_acquire_s + 2 * command_timeout_s < effect_lease_s, (
    "a live worker keeps its claim"
)
assert effect_backoff_first_s <= effect_backoff_max_s
