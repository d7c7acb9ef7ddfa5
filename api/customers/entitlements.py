"""`GET /api/v1/entitlements`: what the caller may use now. Only reads; `billing` decides what grants."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import json_answer
from api.customers.subscriptions import payment_pending
from api.world import CALLER, WORLD
from billing import entitlement
from db import shop
from runtime import clock


class EntitlementsAnswer(msgspec.Struct):
    """`access` is what subscriptions grant: granted, payment_pending or none; `licences` come from orders."""

    access: str
    plans: list[str]
    licences: list[str]


async def show(request: web.Request) -> web.Response:
    """Plans and licences. Who has nothing and only has to pay is told so: 403 `PAYMENT_PENDING`."""
    account_id = request[CALLER].name
    async with request.app[WORLD].connection() as connection:
        held = await shop.list_subscriptions(connection, account_id)
        licences = await shop.list_licences(connection, account_id)
    found = entitlement.of((each.held for each in held), clock.now_unix_s())
    if found.access == entitlement.PAYMENT_PENDING and not licences:
        raise payment_pending()
    return json_answer(EntitlementsAnswer(found.access, list(found.plan_ids), licences))
