"""The registry of who can make calls: which PSPs these settings hold a key for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from psp.calls import Caller
from psp.hyperswitch.calls import HyperswitchCalls
from psp.hyperswitch.client import HyperswitchApi
from psp.stripe.calls import StripeCalls
from psp.stripe.client import StripeApi
from runtime.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Mapping[str, Caller]]:
    """The callers by the source that they call for; their connections are closed at the end.

    Which one opens payments that name no provider: the first, because Hyperswitch routes to several PSPs.
    """
    async with AsyncExitStack() as stack:
        callers: dict[str, Caller] = {}
        if (
            settings.hyperswitch_enabled
            and settings.hyperswitch_url is not None
            and settings.hyperswitch_api_key is not None
        ):
            router = HyperswitchApi(settings.hyperswitch_url, settings.hyperswitch_api_key.reveal())
            callers["hyperswitch"] = HyperswitchCalls(await stack.enter_async_context(router), "hyperswitch")
        if settings.stripe_secret_key is not None:
            api = StripeApi(settings.stripe_secret_key.reveal(), settings.stripe_api_base)
            callers["stripe"] = StripeCalls(await stack.enter_async_context(api), "stripe")
        yield callers
