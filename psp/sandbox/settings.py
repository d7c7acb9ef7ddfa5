"""The sandbox's settings, read once from the environment; it must never repeat a secret in an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime.limits import secret_bytes_min
from runtime.settings import SettingsError
from runtime.values import Secret


@dataclass(frozen=True, slots=True)
class HyperswitchSettings:
    """Whom the Hyperswitch-shaped merchant tells, how it signs, and the key that its callers show."""

    webhook_url: str
    webhook_secret: Secret
    api_key: Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the sandbox listens, where its books lie, whom it tells and how it signs; `hyperswitch` is None
    where there is no such merchant.
    """

    host: str
    port: int
    directory: Path
    webhook_url: str
    webhook_secret: Secret
    api_key: Secret
    hyperswitch: HyperswitchSettings | None = None


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Reads `SANDBOX_*`, the webhook secrets and the API keys; raises SettingsError with all faults."""
    faults: list[str] = []
    port_text = environment.get("SANDBOX_PORT", "8082")
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else -1
    if not 0 <= port <= 65_535:
        faults.append("SANDBOX_PORT must be a number from 0 to 65535")
    url = _url(environment, "SANDBOX_WEBHOOK_URL", "http://127.0.0.1:8080/webhooks/stripe", faults)
    secrets = environment.get("STRIPE_WEBHOOK_SECRETS") or environment.get("STRIPE_WEBHOOK_SECRET", "")
    secret = _first_secret(secrets, "STRIPE_WEBHOOK_SECRETS", faults)
    key = (environment.get("STRIPE_SECRET_KEY") or environment.get("STRIPE_SK", "")).strip()
    if not key:
        faults.append("STRIPE_SECRET_KEY must be set: it is the key that the sandbox's customers show")
    hyperswitch = _hyperswitch(environment, faults)
    if faults:
        raise SettingsError(faults)
    return Settings(
        host=environment.get("SANDBOX_HOST", "127.0.0.1"),
        port=port,
        directory=Path(environment.get("SANDBOX_DIR", ".local/sandbox")),
        webhook_url=url,
        webhook_secret=secret,
        api_key=Secret(key),
        hyperswitch=hyperswitch,
    )


def _hyperswitch(environment: Mapping[str, str], faults: list[str]) -> HyperswitchSettings | None:
    """The merchant exists where its key or its secret is set, and then needs both."""
    key = environment.get("HYPERSWITCH_API_KEY", "").strip()
    secrets = environment.get("HYPERSWITCH_WEBHOOK_SECRETS", "").strip()
    if not key and not secrets:
        return None
    if not key:
        faults.append("HYPERSWITCH_API_KEY must be set beside HYPERSWITCH_WEBHOOK_SECRETS")
    secret = _first_secret(secrets, "HYPERSWITCH_WEBHOOK_SECRETS", faults)
    name, default = "SANDBOX_HYPERSWITCH_WEBHOOK_URL", "http://127.0.0.1:8080/webhooks/hyperswitch"
    return HyperswitchSettings(_url(environment, name, default, faults), secret, Secret(key))


def _url(environment: Mapping[str, str], name: str, default: str, faults: list[str]) -> str:
    url = environment.get(name, default)
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        faults.append(f"{name} must be an http or https URL")
    return url


def _first_secret(secrets: str, name: str, faults: list[str]) -> Secret:
    """The first of a comma list: the one to sign with."""
    secret = secrets.split(",", maxsplit=1)[0].strip()
    if len(secret.encode()) < secret_bytes_min:
        faults.append(f"{name} must begin with a secret of at least {secret_bytes_min} bytes")
    return Secret(secret)
