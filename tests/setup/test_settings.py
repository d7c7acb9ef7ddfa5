"""What settings mean: the defaults of old, durations as people write them, and values that no process starts
with.
"""

from __future__ import annotations

import pytest

from runtime import settings
from tests.support.processes import Processes

SERVERS = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}


def test_nothing_given_is_what_the_system_before_this_one_did() -> None:
    """The reconciler runs every hour over what has stuck for half an hour, orphans for five minutes, fifty
    rows a phase; payloads stay ninety days; there is no provider without all that it needs.
    """
    made = settings.load(SERVERS)

    assert (made.reconcile_worker_enabled, made.reconcile_interval_s, made.reconcile_batch_rows) == (
        True,
        3600,
        50,
    )
    assert [
        made.reconcile_order_stuck_after_s,
        made.reconcile_refund_stuck_after_s,
        made.reconcile_refund_orphan_after_s,
        made.reconcile_subscription_stuck_after_s,
        made.reconcile_checkout_stuck_after_s,
    ] == [1800, 1800, 300, 1800, 1800]
    assert made.webhook_log_retention_days == 90
    assert (made.hyperswitch_enabled, made.hyperswitch_url, made.hyperswitch_api_key) == (False, None, None)


@pytest.mark.parametrize(("written", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("90m", 5400)])
def test_durations_are_written_as_people_do(written: str, seconds: int) -> None:
    """A number and its unit."""
    assert settings.load({**SERVERS, "RECONCILE_INTERVAL": written}).reconcile_interval_s == seconds


@pytest.mark.parametrize("written", ["", "5", "m", "-5m", "1.5h", "5 minutes", "0s"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    """By its name, before anything starts."""
    with pytest.raises(settings.SettingsError) as caught:
        settings.load({**SERVERS, "RECONCILE_INTERVAL": written})

    assert [fault.split()[0] for fault in caught.value.faults] == ["RECONCILE_INTERVAL"]


@pytest.mark.parametrize(
    ("process", "name", "value"),
    [
        ("api", "JWT_SECRET", "j" * 31),
        ("api", "JWT_SECRET", ""),
        ("api", "GATEWAY_SECRET", "tiny-secret"),
        ("api", "OPS_TOKENS", "eva:queen:a-token-that-is-long-enough"),
        ("api", "STRIPE_WEBHOOK_SECRETS", ""),
        ("workers", "STRIPE_WEBHOOK_SECRET", ""),
        ("reconciler", "RECONCILE_INTERVAL", "often"),
    ],
)
async def test_no_process_starts_with_a_secret_that_can_be_guessed(
    processes: Processes, process: str, name: str, value: str
) -> None:
    """Exit 78 and one line with the setting's name and not its value; an empty secret would sign for
    anybody.
    """
    refused = processes.start("-m", process, environment={**SERVERS, name: value})

    assert await refused.ended() == 78, refused.output()
    (line,) = refused.output().splitlines()
    assert line.startswith(f"setting refused: {name} ")
    assert not value or value not in line
