"""Settings from the environment: read once at start, validated together, never defaulted where they are
secrets.

Every fault is one clear line on standard error and the process exits 78 (EX_CONFIG), which no supervisor
restarts.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from runtime import limits, values
from runtime.values import EndpointSetting, OpsToken, Secret

EXIT_BAD_SETTINGS = 78


class SettingsError(Exception):
    """The environment is not usable; `faults` holds one sentence per fault, without any secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def _setting(
    *names: str,
    parse: Callable[[str], Any] = values.text,
    default: Any = None,
    shown: str = "none",
    about: str = "",
) -> Any:
    """A field with its environment names (first wins), parser, default, and its row of the README's table."""
    return field(default=default, metadata={"names": names, "parse": parse, "shown": shown, "about": about})


@dataclass(frozen=True)
class Settings:
    """All settings of all processes; what a process does not need it does not read."""

    database_url: str = _setting(
        "DATABASE_URL", parse=values.database_url, shown="embedded",
        about="Postgres 15 or newer; the embedded one when unset under run.py",
    )  # fmt: skip
    redis_url: str = _setting(
        "REDIS_URL",
        parse=values.redis_url,
        shown="embedded",
        about="Redis or Valkey; only a doorbell, losable at any time",
    )
    ingest_host: str = _setting(
        "INGEST_HOST", parse=values.host, default="127.0.0.1", shown="127.0.0.1", about="receiver: address"
    )
    ingest_port: int = _setting(
        "INGEST_PORT", parse=values.port, default=8080, shown="8080", about="receiver: port"
    )
    ingest_processes: int = _setting(
        "INGEST_PROCESSES",
        parse=values.processes,
        default=1,
        shown="1",
        about="receiver processes that share the port",
    )
    api_host: str = _setting(
        "API_HOST",
        parse=values.host,
        default="127.0.0.1",
        shown="127.0.0.1",
        about="api and console: address",
    )
    api_port: int = _setting(
        "API_PORT", parse=values.port, default=8081, shown="8081", about="api and console: port"
    )
    stripe_webhook_secrets: tuple[Secret, ...] = _setting(
        "STRIPE_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRET", parse=values.webhook_secrets, default=(),
        about="comma list, any may match (rotation); the endpoint exists when set",
    )  # fmt: skip
    stripe_secret_key: Secret | None = _setting(
        "STRIPE_SECRET_KEY",
        "STRIPE_SK",
        parse=values.secret,
        about="for calls to Stripe; without it those answer 503",
    )
    stripe_api_base: str | None = _setting(
        "STRIPE_API_BASE", parse=values.url, about="another base URL for Stripe's API"
    )
    hyperswitch_enabled: bool = _setting(
        "HYPERSWITCH_ENABLED",
        parse=values.flag,
        default=False,
        shown="false",
        about="the provider exists with all three",
    )
    hyperswitch_url: str | None = _setting(
        "HYPERSWITCH_URL", parse=values.url, about="the Hyperswitch router's base URL"
    )
    hyperswitch_api_key: Secret | None = _setting(
        "HYPERSWITCH_API_KEY", parse=values.secret, about="its API key"
    )
    hyperswitch_webhook_secrets: tuple[Secret, ...] = _setting(
        "HYPERSWITCH_WEBHOOK_SECRETS",
        parse=values.webhook_secrets,
        default=(),
        about="comma list, any may match",
    )
    webhook_endpoints: tuple[EndpointSetting, ...] = _setting(
        "WEBHOOK_ENDPOINTS", parse=values.endpoints, default=(),
        about='more endpoints, as JSON: `[{"path","provider","secrets",["account"],["mode"]}]`',
    )  # fmt: skip
    webhook_max_bytes: int = _setting(
        "WEBHOOK_MAX_BYTES", parse=values.positive, default=limits.webhook_bytes_max_default, shown="262144",
        about="largest body taken",
    )  # fmt: skip
    webhook_log_retention_days: int = _setting(
        "WEBHOOK_LOG_RETENTION_DAYS", "HYPERSWITCH_WEBHOOK_LOG_RETENTION_DAYS", parse=values.retention_days,
        default=90, shown="90",
        about="payloads are kept this long, dedupe keys for ever; 0 or nonsense means the default",
    )  # fmt: skip
    reconcile_worker_enabled: bool = _setting(
        "RECONCILE_WORKER_ENABLED",
        parse=values.flag,
        default=True,
        shown="true",
        about="whether the interval runs",
    )
    reconcile_interval_s: float = _setting(
        "RECONCILE_INTERVAL",
        parse=values.duration,
        default=3600.0,
        shown="1h",
        about="time between reconcile runs",
    )
    reconcile_order_stuck_after_s: float = _setting(
        "RECONCILE_ORDER_STUCK_AFTER",
        parse=values.duration,
        default=1800.0,
        shown="30m",
        about="age of a stuck order",
    )
    reconcile_refund_stuck_after_s: float = _setting(
        "RECONCILE_REFUND_STUCK_AFTER",
        parse=values.duration,
        default=1800.0,
        shown="30m",
        about="age of a stuck refund",
    )
    reconcile_refund_orphan_after_s: float = _setting(
        "RECONCILE_REFUND_ORPHAN_AFTER",
        parse=values.duration,
        default=300.0,
        shown="5m",
        about="age of an orphan refund",
    )
    reconcile_subscription_stuck_after_s: float = _setting(
        "RECONCILE_SUBSCRIPTION_STUCK_AFTER", parse=values.duration, default=1800.0, shown="30m",
        about="age of a stuck subscription",
    )  # fmt: skip
    reconcile_checkout_stuck_after_s: float = _setting(
        "RECONCILE_CHECKOUT_STUCK_AFTER",
        parse=values.duration,
        default=1800.0,
        shown="30m",
        about="age of a stuck checkout",
    )
    reconcile_batch_rows: int = _setting(
        "RECONCILE_BATCH_ROWS", parse=values.positive, default=50, shown="50", about="rows per phase per run"
    )
    sweep_interval_s: float = _setting(
        "SWEEP_INTERVAL",
        parse=values.duration,
        default=5.0,
        shown="5s",
        about="committed but unapplied rows are looked for",
    )
    ops_tokens: tuple[OpsToken, ...] = _setting(
        "OPS_TOKENS", parse=values.ops_tokens, default=(), shown="random for up and demo",
        about="comma list `name:role:token`; `dashboard` reads, `ops` reads and commands",
    )  # fmt: skip
    jwt_secret: Secret | None = _setting(
        "JWT_SECRET", parse=values.jwt_secret, about="customers' bearer tokens, HS256, at least 32 bytes"
    )
    jwt_issuer: str | None = _setting("JWT_ISSUER", about="required `iss`, when set")
    jwt_audience: str | None = _setting("JWT_AUDIENCE", about="required `aud`, when set")
    gateway_secret: Secret | None = _setting(
        "GATEWAY_SECRET", parse=values.long_secret, about="identities of a gateway are believed only with it"
    )
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = _setting(
        "TRUSTED_PROXIES",
        parse=values.networks,
        default=(),
        about="CIDRs whose `X-Forwarded-For` is believed",
    )
    credit_fee_percent: str = _setting(
        "CREDIT_FEE_PERCENT",
        parse=values.number,
        default="2.9",
        shown="2.9",
        about="gross-up of a top-up, percent",
    )
    credit_fee_fixed_cents: int = _setting(
        "CREDIT_FEE_FIXED_CENTS",
        parse=values.not_negative,
        default=30,
        shown="30",
        about="gross-up of a top-up, cents",
    )
    return_url_origins: tuple[str, ...] = _setting(
        "RETURN_URL_ORIGINS",
        parse=values.origins,
        default=(),
        about="allowed origins of `successUrl`; unset: any https URL",
    )
    panda_api_url: str | None = _setting("PANDA_API_URL", parse=values.url, about="card processor")
    panda_api_key: Secret | None = _setting("PANDA_API_KEY", parse=values.secret, about="its key")
    app_env: str = _setting(
        "APP_ENV",
        parse=values.app_env,
        default="production",
        shown="production",
        about="`production`, `dev` or `test`",
    )
    dev_endpoints_enabled: bool = _setting(
        "DEV_ENDPOINTS_ENABLED", parse=values.flag, default=False, shown="false",
        about="dev endpoints need this and `dev` or `test`",
    )  # fmt: skip


def load(environ: Mapping[str, str]) -> Settings:
    """Read all settings; raises SettingsError with every fault found. Values are never part of a fault."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in fields(Settings):
        for name in setting.metadata["names"]:
            if name not in environ:
                continue
            if not environ[name].strip():
                faults.append(f"{name} is set but empty")
                break
            try:
                values[setting.name] = setting.metadata["parse"](environ[name].strip())
            except ValueError as fault:
                faults.append(f"{name} {fault}")
            break
    faults += [
        f"{name} is not set"
        for name, key in (("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url"))
        if name not in environ and key not in values
    ]
    if not __debug__:
        faults.append("python runs with -O, which removes the assertions that guard the money code")
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def load_or_exit() -> Settings:
    """Settings of this process's environment; prints one line per fault and exits 78 when there are any."""
    try:
        return load(os.environ)
    except SettingsError as error:
        refuse_to_start(error.faults)


def refuse_to_start(faults: list[str]) -> NoReturn:
    """Say what is wrong, one line each, and exit with the code that supervisors do not retry."""
    for fault in faults:
        sys.stderr.write(f"setting refused: {fault}\n")
    raise SystemExit(EXIT_BAD_SETTINGS)
