"""What `up` and `demo` add to the environment: only what is missing, and never towards a real PSP."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import dev_environment
from runtime import settings
from tests.support.ports import free_ports

SERVERS = {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h/0"}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Missing secrets are random, differ between clones, and stay the same from start to start."""
    first = dev_environment.complete({}, tmp_path / "a", demo=True)
    again = dev_environment.complete({}, tmp_path / "a", demo=True)
    other = dev_environment.complete({}, tmp_path / "b", demo=True)
    names = ["OPS_TOKENS", "JWT_SECRET", "GATEWAY_SECRET", "STRIPE_WEBHOOK_SECRETS", "STRIPE_SECRET_KEY"]
    names += ["HYPERSWITCH_API_KEY", "HYPERSWITCH_WEBHOOK_SECRETS"]

    assert [first[name] for name in names] == [again[name] for name in names]
    assert [name for name in names if first[name] == other[name]] == []


def test_given_secrets_win_and_are_not_kept(tmp_path: Path) -> None:
    """A secret of the caller's environment, under its older name too, is used as it is and written
    nowhere."""
    given = {"JWT_SECRET": "j" * 40, "STRIPE_WEBHOOK_SECRET": "whsec_given_by_the_caller"}
    made = dev_environment.complete(given, tmp_path, demo=True)

    assert given.items() <= made.items()
    assert "STRIPE_WEBHOOK_SECRETS" not in made
    kept = (tmp_path / dev_environment.SECRETS_FILE).read_text()
    assert [value for value in given.values() if value in kept] == []


@pytest.mark.parametrize("demo", [True, False])
def test_made_environment_is_accepted_by_the_settings(tmp_path: Path, demo: bool) -> None:
    """What is made here passes the validation that every process starts with."""
    made = settings.load({**SERVERS, **dev_environment.complete({}, tmp_path, demo)})

    assert [(token.name, token.role) for token in made.ops_tokens] == [
        ("ops", "ops"),
        ("dashboard", "dashboard"),
    ]
    assert len(made.stripe_webhook_secrets) == 1
    assert (made.reconcile_interval_s, made.stripe_api_base) == (
        (5.0, "http://127.0.0.1:8082") if demo else (3600.0, None)
    )
    assert (made.hyperswitch_enabled, made.hyperswitch_url) == (
        (True, "http://127.0.0.1:8082/hyperswitch") if demo else (False, None)
    )
    assert (len(made.hyperswitch_webhook_secrets), made.hyperswitch_api_key is None) == (
        (1, False) if demo else (0, True)
    )


def test_demo_never_talks_to_the_real_psp(tmp_path: Path) -> None:
    """The demo's PSP is the sandbox, even where the shell names another."""
    given = {"STRIPE_API_BASE": "https://psp.invalid", "STRIPE_SECRET_KEY": "sk_live_x", "SANDBOX_PORT": "9"}

    given["HYPERSWITCH_URL"] = "https://router.invalid"

    assert dev_environment.complete(given, tmp_path, demo=True)["STRIPE_API_BASE"] == "http://127.0.0.1:9"
    assert (
        dev_environment.complete(given, tmp_path, demo=True)["HYPERSWITCH_URL"]
        == "http://127.0.0.1:9/hyperswitch"
    )
    assert dev_environment.complete(given, tmp_path, demo=False)["STRIPE_API_BASE"] == "https://psp.invalid"


def test_two_processes_cannot_share_a_port(tmp_path: Path) -> None:
    """The same port for two processes is refused before either is started."""
    (port,) = free_ports(1)
    environment = {"INGEST_PORT": str(port), "API_PORT": str(port)}

    with pytest.raises(dev_environment.AddressError, match=f"API_PORT and INGEST_PORT are both {port}"):
        dev_environment.require_free_ports(environment, ["ingest", "api"])


def test_foreign_address_is_named(tmp_path: Path) -> None:
    """An address that this machine does not have is refused by its setting's name."""
    environment = {"INGEST_HOST": "192.0.2.1", "INGEST_PORT": "8080"}

    with pytest.raises(dev_environment.AddressError, match=r"INGEST_PORT: 192\.0\.2\.1:8080 cannot be used"):
        dev_environment.require_free_ports(environment, ["ingest"])
