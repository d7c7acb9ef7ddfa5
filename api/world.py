"""What a handler may reach beside its request: database, doorbell, keys, counters. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from api.auth import Caller, Keys
from api.buckets import TokenBuckets
from api.console.sessions import Sessions
from api.customers.return_urls import ReturnUrls
from api.invariants import Invariants
from api.metrics import Metrics
from api.receiver import Receiver
from billing.fees import Fee
from db.pool import type_connection
from db.reads import Access, type_pool
from outbox.effects import Effects
from psp.panda.client import PandaApi
from psp.providers import Endpoint
from runtime import limits
from runtime.doorbell import Doorbell
from runtime.sender_address import SenderAddress


@dataclass(frozen=True, slots=True)
class World:
    """One per process; `endpoints` are the receiver's, for their secrets; `logins` rations attempts. No key,
    no provider: None.

    `providers` are outboxes by source, what is preferred for payments first; `stripe_stands_in`: it is not
    Stripe itself, so nobody finds anything on Stripe's pages.
    """

    pool: type_pool
    doorbell: Doorbell
    endpoints: Mapping[str, Endpoint]
    keys: Keys
    buckets: TokenBuckets
    metrics: Metrics
    invariants: Invariants
    sender_address: SenderAddress
    receiver: Receiver
    providers: Mapping[str, Effects]
    stripe_stands_in: bool
    panda: PandaApi | None
    fee: Fee
    return_urls: ReturnUrls
    dev_endpoints: bool
    sessions: Sessions
    logins: TokenBuckets

    def connection(self) -> AbstractAsyncContextManager[type_connection]:
        """A connection on loan. Raises one of `db.pool.WORLD_IS_BUSY` within a second when there is none."""
        return cast(
            "AbstractAsyncContextManager[type_connection]", self.pool.acquire(timeout=limits.pool_acquire_s)
        )


WORLD = web.AppKey("world", World)
CALLER = web.RequestKey("caller", Caller)
REQUEST_ID = web.RequestKey("request_id", str)


def access(request: web.Request, action: str, thing: str) -> Access:
    """The access-log row of this request."""
    sender = request.app[WORLD].sender_address.of(request)
    return Access(request[CALLER].name, action, thing, request[REQUEST_ID], sender)
