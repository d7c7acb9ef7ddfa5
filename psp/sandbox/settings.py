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
class Settings:
    """Where the sandbox listens, where its books lie, whom it tells and how it signs."""

    host: str
    port: int
    directory: Path
    webhook_url: str
    webhook_secret: Secret
    api_key: Secret


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Reads `SANDBOX_*`, the webhook secrets and the API key; raises SettingsError with all faults."""
    faults: list[str] = []
    port_text = environment.get("SANDBOX_PORT", "8082")
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else -1
    if not 0 <= port <= 65_535:
        faults.append("SANDBOX_PORT must be a number from 0 to 65535")
    url = environment.get("SANDBOX_WEBHOOK_URL", "http://127.0.0.1:8080/webhooks/stripe")
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        faults.append("SANDBOX_WEBHOOK_URL must be an http or https URL")
    secrets = environment.get("STRIPE_WEBHOOK_SECRETS") or environment.get("STRIPE_WEBHOOK_SECRET", "")
    secret = secrets.split(",")[0].strip()
    if len(secret.encode()) < secret_bytes_min:
        faults.append(f"STRIPE_WEBHOOK_SECRETS must begin with a secret of at least {secret_bytes_min} bytes")
    key = (environment.get("STRIPE_SECRET_KEY") or environment.get("STRIPE_SK", "")).strip()
    if not key:
        faults.append("STRIPE_SECRET_KEY must be set: it is the key that the sandbox's customers show")
    if faults:
        raise SettingsError(faults)
    return Settings(
        host=environment.get("SANDBOX_HOST", "127.0.0.1"),
        port=port,
        directory=Path(environment.get("SANDBOX_DIR", ".local/sandbox")),
        webhook_url=url,
        webhook_secret=Secret(secret),
        api_key=Secret(key),
    )
