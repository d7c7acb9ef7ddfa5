"""Tells who asks, from headers and keys alone; must never look anything up nor believe an unproven header.

Three kinds of callers:
- ops tokens (`Authorization: Bearer`), compared as digests in constant time;
- customers with a bearer JWT, HS256 and nothing else, whose `sub` (or else `userId`) is their account id;
- for a route that asks for a scope, only a customer whose bearer JWT has it and who shows nothing else;
- customers whom a gateway has identified. It proves itself with `x-gateway-secret` and names the account in
  `x-user-id` or, when it checked an API key, the key's account in `x-api-key`; `x-user-role: admin` is its
  admin claim. Without the proof these headers do not exist for us.
A request with a proven gateway identity and an `Authorization` too is refused: whoever mixes them up would
decide whose money is shown.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt

from api import errors
from psp.envelope import storable
from runtime.settings import Settings


class Role(StrEnum):
    """Who a caller is; a route lists those it is for."""

    ANYONE = "anyone"
    CUSTOMER = "customer"
    DASHBOARD = "dashboard"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a token's name or a customer's account id. `admin` is the gateway's claim for a customer."""

    role: Role
    name: str
    admin: bool = False


NOBODY = Caller(Role.ANYONE, "anyone")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of its caller: the values of each header as they came, in order."""

    authorization: Sequence[str] = ()
    gateway_secret: Sequence[str] = ()
    user_id: Sequence[str] = ()
    api_key: Sequence[str] = ()
    user_role: Sequence[str] = ()
    cookies: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _OpsKey:
    digest: bytes
    caller: Caller


class Keys:
    """What proves an identity, made once from the settings; holds digests where digests will do."""

    def __init__(self, settings: Settings) -> None:
        self.ops = tuple(
            _OpsKey(_digest(token.token.reveal()), Caller(Role(token.role), token.name))
            for token in settings.ops_tokens
        )
        self.gateway = None if settings.gateway_secret is None else _digest(settings.gateway_secret.reveal())
        self.jwt_secret = settings.jwt_secret
        self.jwt_issuer = settings.jwt_issuer
        self.jwt_audience = settings.jwt_audience


_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")
_SYSTEM_PREFIX = "system:"
"""Ids of the house's own accounts; no customer may be called so."""
ACCOUNT_ID_BYTES_MAX = 255
"""As the CHECK of `account.id`."""


def identify(
    shown: Shown, keys: Keys, roles: frozenset[Role], now_s: int, scope: str | None = None
) -> Caller:
    """Who asks for something that is for `roles`, at unix time `now_s`. With a `scope`, only a bearer JWT
    that has it will do. Raises ApiError 401 or 403.
    """
    if Role.ANYONE in roles:
        return NOBODY
    if scope is not None:
        return _named_by_scoped_jwt(shown, keys, scope, now_s)
    caller = _named_by_gateway(shown, keys)
    if caller is not None and shown.authorization:
        raise errors.unauthorized(
            "UNAUTHORIZED", "Show either a gateway identity or a bearer token, not both"
        )
    if caller is None:
        if not shown.authorization:
            raise errors.unauthorized("UNAUTHORIZED", "Authentication is required")
        token = _bearer(shown.authorization)
        caller = ops_caller(token, keys)
        if caller is None and Role.CUSTOMER not in roles:
            raise errors.unauthorized("INVALID_TOKEN", "The token is not valid")
        if caller is None:
            caller = _named_by_jwt(token, keys, now_s)
    if caller.role not in roles:
        if caller.role is Role.CUSTOMER:
            raise errors.unauthorized("UNAUTHORIZED", "An ops token is required")
        raise errors.forbidden(f"This is not for the role {caller.role}")
    return caller


def account_id(value: object) -> str | None:
    """`value` when it can be a customer's account id, else None."""
    text = storable(value)
    if text is None or text != text.strip() or len(text.encode()) > ACCOUNT_ID_BYTES_MAX:
        return None
    return None if text.startswith(_SYSTEM_PREFIX) else text


def _named_by_gateway(shown: Shown, keys: Keys) -> Caller | None:
    if keys.gateway is None or len(shown.gateway_secret) != 1:
        return None
    if not hmac.compare_digest(_digest(shown.gateway_secret[0]), keys.gateway):
        return None
    named = {*shown.user_id, *shown.api_key}
    if not named:
        return None
    name = account_id(named.pop())
    if name is None or named:
        raise errors.unauthorized("UNAUTHORIZED", "The gateway names no usable account, or more than one")
    return Caller(Role.CUSTOMER, name, admin=list(shown.user_role) == ["admin"])


def _bearer(authorization: Sequence[str]) -> str:
    match = _BEARER.fullmatch(authorization[0].strip()) if len(authorization) == 1 else None
    if match is None:
        raise errors.unauthorized("INVALID_AUTH_HEADER", "Authorization must be one bearer token")
    return match[1]


def ops_caller(token: str, keys: Keys) -> Caller | None:
    """Whose ops token this is; None: nobody's."""
    digest = _digest(token)
    found = None
    for key in keys.ops:  # all of them, so that the time tells nothing about which one was near
        if hmac.compare_digest(digest, key.digest):
            found = key.caller
    return found


def _named_by_scoped_jwt(shown: Shown, keys: Keys, scope: str, now_s: int) -> Caller:
    """A device holds this token for long: whatever else proves an identity could be somebody else's."""
    if not shown.authorization:
        raise errors.unauthorized("UNAUTHORIZED", "A bearer token is required")
    if shown.cookies or _named_by_gateway(shown, keys) is not None:
        raise errors.unauthorized("UNAUTHORIZED", "Show a bearer token and nothing else")
    token = _bearer(shown.authorization)
    granted = _verified_claims(token, keys).get("scope")
    caller = _named_by_jwt(token, keys, now_s)
    if not isinstance(granted, str) or scope not in granted.split(" "):
        raise errors.unauthorized("INVALID_TOKEN", "The token is not for this")
    return caller


def _named_by_jwt(token: str, keys: Keys, now_s: int) -> Caller:
    claims = _verified_claims(token, keys)
    expires, starts = claims.get("exp"), claims.get("nbf")
    if expires is not None and not _is_time(expires):
        raise _bad_token()
    if expires is not None and expires <= now_s:
        raise errors.unauthorized("TOKEN_EXPIRED", "The token has expired")
    if starts is not None and (not _is_time(starts) or starts > now_s):
        raise _bad_token()
    name = account_id(claims["sub"] if "sub" in claims else claims.get("userId"))
    if name is None:
        raise _bad_token()
    return Caller(Role.CUSTOMER, name)


def _verified_claims(token: str, keys: Keys) -> dict[str, Any]:
    if keys.jwt_secret is None or not token.isascii():
        raise _bad_token()
    try:
        return jwt.decode(
            token,
            keys.jwt_secret.reveal(),
            algorithms=["HS256"],
            issuer=keys.jwt_issuer,
            audience=keys.jwt_audience,
            options={
                "verify_iss": keys.jwt_issuer is not None,
                "verify_aud": keys.jwt_audience is not None,
                # Judged above, at the time that came in; an issue date bounds nothing.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                # Judged above, by what an account id may be.
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        # The last two: a header that is nested some thousand deep, or holds a number of some thousand digits.
        raise _bad_token() from None


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bad_token() -> errors.ApiError:
    return errors.unauthorized("INVALID_TOKEN", "The token is not valid")


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
