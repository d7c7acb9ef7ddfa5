"""The registry: which providers exist, and which receiver endpoints the settings open. Adding a PSP is one
line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from psp.envelope import Provider, SigningSecret
from psp.hyperswitch.receiver import HyperswitchReceiver
from psp.stripe.receiver import StripeReceiver
from runtime.settings import Settings
from runtime.values import Secret

RECEIVERS: dict[str, Provider] = {
    "stripe": StripeReceiver(),
    "hyperswitch": HyperswitchReceiver(),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver path: whose events come in there, and which secrets may have signed them.

    `source` is the namespace of its event ids: the provider, or provider:account. `mode` (live or test) is
    None when the endpoint takes both.
    """

    path: str
    provider: Provider
    source: str
    mode: str | None
    secrets: tuple[SigningSecret, ...]


class UnknownProviderError(Exception):
    """WEBHOOK_ENDPOINTS names a provider that no folder under psp/ implements."""


def endpoints(settings: Settings) -> dict[str, Endpoint]:
    """The endpoints that these settings open, by path name. Raises UnknownProviderError."""
    found: dict[str, Endpoint] = {}
    for name, secrets in (
        ("stripe", settings.stripe_webhook_secrets),
        ("hyperswitch", settings.hyperswitch_webhook_secrets),
    ):
        if secrets:
            found[name] = Endpoint(name, RECEIVERS[name], name, None, _signing(secrets))
    for extra in settings.webhook_endpoints:
        provider = RECEIVERS.get(extra.provider)
        if provider is None:
            raise UnknownProviderError(
                f"WEBHOOK_ENDPOINTS names provider {extra.provider!r}, known: {', '.join(RECEIVERS)}"
            )
        source = provider.name if extra.account is None else f"{provider.name}:{extra.account}"
        signing = _signing(tuple(Secret(value) for value in extra.secrets))
        found[extra.path] = Endpoint(extra.path, provider, source, extra.mode, signing)
    return found


def _signing(secrets: tuple[Secret, ...]) -> tuple[SigningSecret, ...]:
    return tuple(SigningSecret(secret.reveal().encode(), secret.fingerprint) for secret in secrets)
