"""The registry: which providers exist, and which receiver endpoints the settings open. Adding a PSP is one
line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from psp.envelope import Provider, SigningSecret
from psp.hyperswitch.receiver import HyperswitchReceiver
from psp.standardwebhooks.receiver import StandardWebhooksReceiver
from psp.stripe.receiver import StripeReceiver
from runtime.settings import Settings
from runtime.values import Secret

RECEIVERS: dict[str, Provider] = {
    "stripe": StripeReceiver(),
    "hyperswitch": HyperswitchReceiver(),
    "standardwebhooks": StandardWebhooksReceiver(),
}

BUILT_IN = ("stripe", "hyperswitch")
"""Paths that have secrets settings of their own; no further endpoint may take one."""

OWN = "sluice"
"""Path and source of our own commands; nobody outside may send any, or seem to."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver path: whose events come in there, and which secrets may have signed them.

    `source` is the namespace of its event ids: the provider, or provider:account. `mode` (live or test) is
    None when the endpoint takes both; `account` is the PSP's account whose events it takes, None when the
    settings name none.
    """

    path: str
    provider: Provider
    source: str
    mode: str | None
    account: str | None
    secrets: tuple[SigningSecret, ...]


class EndpointError(Exception):
    """The settings ask for an endpoint that cannot be opened."""


class UnknownProviderError(EndpointError):
    """WEBHOOK_ENDPOINTS names a provider that no folder under psp/ implements."""


class UnusableSecretError(EndpointError):
    """A webhook secret is not of the form that its provider issues."""


def endpoints(settings: Settings) -> dict[str, Endpoint]:
    """The endpoints that these settings open, by path name. Raises EndpointError."""
    found: dict[str, Endpoint] = {}
    for name, secrets in zip(
        BUILT_IN, (settings.stripe_webhook_secrets, settings.hyperswitch_webhook_secrets), strict=True
    ):
        if secrets:
            signing = _signing(RECEIVERS[name], name, secrets)
            found[name] = Endpoint(name, RECEIVERS[name], name, None, None, signing)
    for extra in settings.webhook_endpoints:
        if extra.path in (*BUILT_IN, OWN):
            raise EndpointError(f"WEBHOOK_ENDPOINTS names the path {extra.path!r}, which is taken")
        provider = RECEIVERS.get(extra.provider)
        if provider is None:
            raise UnknownProviderError(
                f"WEBHOOK_ENDPOINTS names provider {extra.provider!r}, known: {', '.join(RECEIVERS)}"
            )
        source = provider.name if extra.account is None else f"{provider.name}:{extra.account}"
        signing = _signing(provider, extra.path, tuple(Secret(value) for value in extra.secrets))
        found[extra.path] = Endpoint(extra.path, provider, source, extra.mode, extra.account, signing)
    return found


def _signing(provider: Provider, path: str, secrets: tuple[Secret, ...]) -> tuple[SigningSecret, ...]:
    try:
        return tuple(
            SigningSecret(provider.signing_key(secret.reveal()), secret.fingerprint) for secret in secrets
        )
    except ValueError as fault:
        raise UnusableSecretError(f"a secret of the endpoint {path!r} {fault}") from None
