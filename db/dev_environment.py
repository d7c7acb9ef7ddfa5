"""The environment of `run.py up` and `demo`: fills in what is not given; must never replace a given
secret."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from db.kept_secrets import named_secrets
from runtime import ports

SECRETS_FILE = "secrets.env"

aliases = {"STRIPE_WEBHOOK_SECRETS": "STRIPE_WEBHOOK_SECRET", "STRIPE_SECRET_KEY": "STRIPE_SK"}
"""Older names under which the same setting may be given."""

listeners = {
    "ingest": ("INGEST_HOST", "INGEST_PORT", "8080", "/health/ready"),
    "api": ("API_HOST", "API_PORT", "8081", "/health/ready"),
    "sandbox": ("SANDBOX_HOST", "SANDBOX_PORT", "8082", "/health/live"),
}
"""Processes that listen: the settings of their host and port, the default port, the path that says they are
ready."""


class AddressError(Exception):
    """A port cannot be used; the text names the setting."""


def complete(given: Mapping[str, str], state_dir: Path, demo: bool) -> dict[str, str]:
    """`given` with ports and secrets added where they are missing; secrets are random and kept in
    `state_dir`."""
    environment = dict(given)
    for _, port, default, _ in listeners.values():
        environment.setdefault(port, default)
    wanted = {
        "OPS_TOKENS": f"ops:ops:{secrets.token_urlsafe(32)},dashboard:dashboard:{secrets.token_urlsafe(32)}",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "GATEWAY_SECRET": secrets.token_urlsafe(32),
        "STRIPE_WEBHOOK_SECRETS": f"whsec_{secrets.token_urlsafe(32)}",
    }
    if demo:
        wanted["STRIPE_SECRET_KEY"] = f"sk_test_{secrets.token_hex(24)}"
        wanted["HYPERSWITCH_API_KEY"] = f"dev_{secrets.token_hex(24)}"
        wanted["HYPERSWITCH_WEBHOOK_SECRETS"] = secrets.token_urlsafe(48)
    missing = {name: value for name, value in wanted.items() if not is_given(environment, name)}
    environment |= named_secrets(state_dir / SECRETS_FILE, missing)
    if demo:
        # The demo's PSP is the sandbox, whatever the shell says: nothing of a demo may reach the real one.
        environment["STRIPE_API_BASE"] = f"http://{reachable(environment, 'sandbox')}"
        environment["HYPERSWITCH_URL"] = f"http://{reachable(environment, 'sandbox')}/hyperswitch"
        environment["HYPERSWITCH_ENABLED"] = "true"
        environment.setdefault("SANDBOX_DIR", str(state_dir / "sandbox"))
        environment.setdefault(
            "SANDBOX_WEBHOOK_URL", f"http://{reachable(environment, 'ingest')}/webhooks/stripe"
        )
        environment.setdefault(
            "SANDBOX_HYPERSWITCH_WEBHOOK_URL",
            f"http://{reachable(environment, 'ingest')}/webhooks/hyperswitch",
        )
        environment.setdefault("RECONCILE_INTERVAL", "5s")
    return environment


def is_given(environment: Mapping[str, str], name: str) -> bool:
    """Whether a setting stands in the environment, under today's name or an older one."""
    return name in environment or aliases.get(name, name) in environment


def reachable(environment: Mapping[str, str], process: str) -> str:
    """`host:port` under which this machine reaches a listening process."""
    host_name, port_name, default, _ = listeners[process]
    host = environment.get(host_name, "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - read, not bound
    port = environment.get(port_name, default)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ready_url(environment: Mapping[str, str], process: str) -> str | None:
    """What to ask whether a process is ready; None for one that does not listen."""
    if process not in listeners:
        return None
    return f"http://{reachable(environment, process)}{listeners[process][3]}"


def require_free_ports(environment: Mapping[str, str], processes: Iterable[str]) -> None:
    """Check that every listening process among `processes` will get its port. Raises AddressError."""
    taken: dict[int, str] = {}
    for host_name, port_name, default, _ in (listeners[name] for name in processes if name in listeners):
        text, host = environment.get(port_name, default), environment.get(host_name, "127.0.0.1")
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
            raise AddressError(f"{port_name} is not a port (1-65535)")
        if int(text) in taken:
            raise AddressError(
                f"{port_name} and {taken[int(text)]} are both {text}; give them different ports"
            )
        taken[int(text)] = port_name
        if fault := ports.fault(host, int(text)):
            raise AddressError(f"{port_name}: {fault}; set another port")
