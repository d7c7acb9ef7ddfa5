"""Which values of the environment are refused at start: one line that names the setting and never its
value."""

from __future__ import annotations

import pytest

from runtime import settings

SERVERS = {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h/0"}
TOKEN = "a-token-of-thirty-two-characters"

REFUSED = [
    ("DATABASE_URL", "postgresql://u:p@h:abc/d"),
    ("DATABASE_URL", "postgresql://h:65536/d"),
    ("DATABASE_URL", "postgresql://h1,h 2/d"),
    ("DATABASE_URL", "postgresql://[::1/d"),
    ("REDIS_URL", "redis://h:abc/0"),
    ("REDIS_URL", "redis://h:0/0"),
    ("REDIS_URL", "redis://h:1/zero"),
    ("STRIPE_API_BASE", "http://h:abc"),
    ("HYPERSWITCH_URL", "http://h:99999"),
    ("PANDA_API_URL", "http://[::1"),
    ("RETURN_URL_ORIGINS", "https://shop.example:https"),
    ("STRIPE_SECRET_KEY", "sk_live_1\nsk_live_2"),
    ("HYPERSWITCH_API_KEY", "dev key"),
    ("PANDA_API_KEY", "schlüssel"),
    ("INGEST_HOST", "not a host"),
    ("API_HOST", "http://127.0.0.1"),
    ("INGEST_PROCESSES", "1000000"),
    ("INGEST_PORT", "1" * 5_000),
    ("WEBHOOK_MAX_BYTES", "9" * 5_000),
    ("WEBHOOK_ENDPOINTS", "[" * 5_000),
    ("RECONCILE_BATCH_ROWS", "99999999999999999999"),
    ("RECONCILE_INTERVAL", "999999999d"),
    ("OPS_TOKENS", f"olga:ops:{TOKEN},wall:dashboard:{TOKEN}"),
]

ACCEPTED = [
    ("DATABASE_URL", "postgresql:///d?host=/var/run/postgresql"),
    ("DATABASE_URL", "postgres://u:p%40ss@h1:5432,h2:5433/d?target_session_attrs=read-write"),
    ("DATABASE_URL", "postgresql://u@[::1]:5432/d"),
    ("DATABASE_URL", "postgresql://%2Fvar%2Frun/d"),
    ("REDIS_URL", "rediss://:password@h"),
    ("REDIS_URL", "unix:///run/valkey.sock?db=1"),
    ("STRIPE_API_BASE", "http://[::1]:12111"),
    ("INGEST_HOST", "::1"),
    ("API_HOST", "api.internal"),
    ("OPS_TOKENS", f"olga:ops:{TOKEN},olga:ops:{TOKEN[::-1]}"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=[f"{n}-{i}" for i, (n, _) in enumerate(REFUSED)])
def test_what_cannot_be_meant_is_refused_in_one_line(name: str, value: str) -> None:
    """A port that is none, a key that no header carries, a number beyond the database's integers, one token
    for two roles: refused by name, and not found out by a traceback or by the first call."""
    with pytest.raises(settings.SettingsError) as refused:
        settings.load(SERVERS | {name: value})

    (fault,) = refused.value.faults
    assert fault.startswith(f"{name} ")
    assert (value in fault, TOKEN in fault, len(fault.splitlines())) == (False, False, 1)


@pytest.mark.parametrize(("name", "value"), ACCEPTED, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ACCEPTED)])
def test_unusual_but_meant_values_are_taken(name: str, value: str) -> None:
    """Several hosts, sockets, addresses in brackets, and two tokens of one person while they are
    exchanged."""
    assert settings.load(SERVERS | {name: value})
