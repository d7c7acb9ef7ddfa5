"""Parses single settings: each function takes the text of one variable and returns its value or raises
ValueError.

A fault's text follows the variable's name in a sentence and never holds the value.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import msgspec

from runtime import limits


class Secret:
    """A value that never shows itself: neither repr, str nor a log line contains it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell secrets apart in the log without giving them away."""
        return hashlib.sha256(self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class OpsToken:
    """One bearer token of a person or dashboard: `dashboard` reads, `ops` reads and commands."""

    name: str
    role: str
    token: Secret


class EndpointSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of WEBHOOK_ENDPOINTS: a further receiver path with its own provider, account, mode and
    secrets.
    """

    path: str
    provider: str
    secrets: list[str]
    account: str | None = None
    mode: str | None = None


def text(value: str) -> str:
    """Any text."""
    return value


def secret(value: str) -> Secret:
    """A key that somebody else made, of any length; it travels in a header, which carries no other
    characters.
    """
    if re.fullmatch(r"[!-~]+", value) is None:
        raise ValueError("holds white space or other characters that no key has")
    return Secret(value)


def host(value: str) -> str:
    """A name or address to listen on."""
    if re.fullmatch(r"[A-Za-z0-9._:%-]+", value) is None:
        raise ValueError("is neither a host name nor an address")
    return value


_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
"""Nine digits fit into every integer of Postgres, and no setting means more."""


def _whole_number(value: str, at_least: int, fault: str) -> int:
    if _WHOLE_NUMBER.fullmatch(value) is None or int(value) < at_least:
        raise ValueError(fault)
    return int(value)


def port(value: str) -> int:
    """A TCP port."""
    if not _is_port(value):
        raise ValueError("is not a port (1-65535)")
    return int(value)


def _is_port(value: str) -> bool:
    return _WHOLE_NUMBER.fullmatch(value) is not None and 1 <= int(value) <= 65_535


def not_negative(value: str) -> int:
    """A whole number, zero or above."""
    return _whole_number(value, 0, "is not a whole number of at most nine digits")


def positive(value: str) -> int:
    """A whole number above zero."""
    return _whole_number(value, 1, "is not a whole number above zero of at most nine digits")


def processes(value: str) -> int:
    """How many processes share a port; a typing error must not fill the machine."""
    if not 1 <= positive(value) <= limits.ingest_processes_max:
        raise ValueError(f"is above {limits.ingest_processes_max}")
    return int(value)


def retention_days(value: str) -> int:
    """0 or nonsense means the default (contract): retention must not vanish by a typing error."""
    if value.isascii() and value.isdigit() and 0 < int(value) <= 36_500:
        return int(value)
    return 90


def flag(value: str) -> bool:
    """true or false, and the usual other words for them."""
    lowered = value.lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise ValueError("is neither true nor false")


_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_DURATION_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(value: str) -> float:
    """A duration like `30s`, `5m` or `1h`, in seconds."""
    match = _DURATION.fullmatch(value)
    if match is None or int(match[1]) == 0:
        raise ValueError("is not a duration above zero like 30s, 5m or 1h")
    seconds = int(match[1]) * _DURATION_SECONDS[match[2]]
    if seconds > limits.duration_s_max:
        raise ValueError("is longer than ten years")
    return seconds


def number(value: str) -> str:
    """Kept as text: a percentage is never a float here."""
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", value) is None:
        raise ValueError("is not a plain decimal number")
    if int(value.partition(".")[0]) >= 100:
        raise ValueError("is not below 100")
    return value


def url(value: str) -> str:
    """An http(s) URL, without a slash at its end."""
    parts = _parts(value, "is not an http(s) URL")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    return value.rstrip("/")


def database_url(value: str) -> str:
    """A Postgres URL; it may name several hosts, or none."""
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("does not start with postgresql://")
    _parts(value, "is not a Postgres URL: host or port cannot be read")
    return value


def redis_url(value: str) -> str:
    """A Redis URL."""
    if value.startswith("unix://"):
        return value
    if not value.startswith(("redis://", "rediss://")):
        raise ValueError("does not start with redis:// or rediss://")
    parts = _parts(value, "is not a Redis URL: host or port cannot be read")
    if re.fullmatch(r"/?[0-9]{0,4}", parts.path) is None:
        raise ValueError("names a database that is not a number")
    return value


_HOST = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^:\[\]\s]*)(?::([0-9]*))?")


def _parts(value: str, fault: str) -> SplitResult:
    """The parts of a URL whose hosts and ports are such. Raises ValueError with `fault`, which holds no
    value.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(fault) from None
    for host in parts.netloc.rpartition("@")[2].split(","):
        match = _HOST.fullmatch(host)
        if match is None or (match[2] and not _is_port(match[2])):
            raise ValueError(fault)
    return parts


def webhook_secrets(value: str) -> tuple[Secret, ...]:
    """A comma list of signing secrets; an empty or short one would make events forgeable."""
    secrets = tuple(Secret(part.strip()) for part in value.split(","))
    if any(len(secret.reveal().encode()) < limits.secret_bytes_min for secret in secrets):
        raise ValueError(f"holds an empty or short secret (at least {limits.secret_bytes_min} bytes each)")
    return secrets


def jwt_secret(value: str) -> Secret:
    """A key for HS256."""
    if len(value.encode()) < limits.jwt_secret_bytes_min:
        raise ValueError(f"is shorter than {limits.jwt_secret_bytes_min} bytes")
    return Secret(value)


def long_secret(value: str) -> Secret:
    """A secret that cannot be guessed."""
    if len(value.encode()) < limits.secret_bytes_min:
        raise ValueError(f"is shorter than {limits.secret_bytes_min} bytes")
    return Secret(value)


def ops_tokens(value: str) -> tuple[OpsToken, ...]:
    """A comma list of `name:role:token`."""
    tokens = []
    for entry in value.split(","):
        name, _, rest = entry.strip().partition(":")
        role, _, token = rest.partition(":")
        if not name or role not in ("dashboard", "ops") or len(token.encode()) < limits.secret_bytes_min:
            raise ValueError(
                "is not a comma list of name:role:token (role dashboard or ops, "
                f"token of at least {limits.secret_bytes_min} bytes)"
            )
        tokens.append(OpsToken(name, role, Secret(token)))
    if len({token.token for token in tokens}) != len(tokens):
        raise ValueError("holds one token twice, so nobody could tell whose it is")
    return tuple(tokens)


def networks(value: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """A comma list of CIDRs."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(","))
    except ValueError:
        raise ValueError("is not a comma list of CIDRs") from None


def origins(value: str) -> tuple[str, ...]:
    """A comma list of web origins, without paths."""
    origins = []
    for part in value.split(","):
        parts = _parts(part.strip(), "is not a comma list of origins like https://shop.example")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
            raise ValueError("is not a comma list of origins like https://shop.example")
        origins.append(f"{parts.scheme}://{parts.netloc}")
    return tuple(origins)


_PATH_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def endpoints(value: str) -> tuple[EndpointSetting, ...]:
    """A JSON list of further receiver endpoints."""
    try:
        endpoints = msgspec.json.decode(value, type=list[EndpointSetting])
    except (msgspec.DecodeError, RecursionError) as fault:
        raise ValueError(f"is not a JSON list of endpoints: {fault}") from None
    for endpoint in endpoints:
        if _PATH_NAME.fullmatch(endpoint.path) is None:
            raise ValueError("holds a path that is not lower-case letters, digits, '-' or '_'")
        if endpoint.mode not in (None, "live", "test"):
            raise ValueError("holds a mode other than live and test")
        if not endpoint.secrets:
            raise ValueError("holds an endpoint without secrets")
        webhook_secrets(",".join(endpoint.secrets))
    if len({endpoint.path for endpoint in endpoints}) != len(endpoints):
        raise ValueError("holds one path twice")
    return tuple(endpoints)


def app_env(value: str) -> str:
    """Which kind of environment this is."""
    if value not in ("production", "dev", "test"):
        raise ValueError("is not production, dev or test")
    return value
