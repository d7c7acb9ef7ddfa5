"""Every bound of the sandbox: unit last, reason beside it; must never hold anything but numbers."""

from __future__ import annotations

# --- HTTP ---------------------------------------------------------------------------------------------------
request_bytes_max = 1_048_576
"""Largest request body, bytes. A session with a hundred line items is about 20 KB."""
form_fields_max = 2_000
"""Fields of one form: Stripe's largest request (100 line items) has some 700."""
form_depth_max = 8
"""Levels of brackets in one field name; Stripe's deepest is 5."""
list_rows_default = 10
list_rows_max = 100
"""Page sizes as Stripe documents them."""
journal_rows_max = 2_000
"""Rows of one page of the control plane's journal: one demo of the default size is one page or two."""
api_faults_max = 1_000
"""Scripted API faults that may wait; more is a mistake in the script."""

# --- money --------------------------------------------------------------------------------------------------
amount_minor_max = 99_999_999
"""Largest charge in minor units: Stripe takes eight digits."""
quantity_max = 999_999
"""Most units of one price that a subscription may hold."""
metadata_pairs_max = 50
metadata_key_chars_max = 40
metadata_value_chars_max = 500
"""Metadata bounds as Stripe documents them."""
idempotency_key_chars_max = 255
idempotency_kept_s = 86_400
"""A saved answer is replayed for a day; Stripe may prune it after that."""
session_open_s = 86_400
"""A checkout session can be paid for a day."""
dispute_evidence_s = 777_600
"""Evidence is due nine days after a dispute opens."""
event_kept_s = 2_592_000
"""Stripe lists events of the last 30 days."""

# --- delivery -----------------------------------------------------------------------------------------------
deliveries_in_flight_max = 16
"""Deliveries under way at once, over as many kept-alive connections."""
delivery_timeout_s = 10.0
"""An attempt that is not answered by then failed."""
delivery_attempts_max = 12
"""Attempts before an event is given up; with the backoff below that is about a minute."""
backoff_first_s = 0.25
backoff_max_s = 8.0
"""Retry delays double from the first to the cap: Stripe's hours at the scale of a demo."""
shutdown_s = 5.0
"""How long attempts under way may take to end when the process stops."""
settle_s_max = 600.0
"""Longest wait that one settle request may ask for."""

assert backoff_first_s <= backoff_max_s
assert list_rows_default <= list_rows_max
