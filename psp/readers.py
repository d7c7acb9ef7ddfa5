"""The registry of who can be asked: which PSPs these settings hold a key for, and beside which endpoint's
events their answers stand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from psp.hyperswitch.client import HyperswitchApi
from psp.hyperswitch.reads import HyperswitchReader
from psp.providers import endpoints
from psp.reads import Reader
from psp.stripe.client import StripeApi
from psp.stripe.reads import StripeReader
from runtime.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Mapping[str, Reader]]:
    """The readers by the source that they read; their connections are closed at the end."""
    async with AsyncExitStack() as stack:
        readers: dict[str, Reader] = {}
        if settings.stripe_secret_key is not None:
            api = StripeApi(settings.stripe_secret_key.reveal(), settings.stripe_api_base)
            readers["stripe"] = StripeReader(await stack.enter_async_context(api))
        if (
            settings.hyperswitch_enabled
            and settings.hyperswitch_url is not None
            and settings.hyperswitch_api_key is not None
        ):
            router = HyperswitchApi(settings.hyperswitch_url, settings.hyperswitch_api_key.reveal())
            readers["hyperswitch"] = HyperswitchReader(await stack.enter_async_context(router))
        yield readers


def endpoint_of(settings: Settings, source: str, reader: Reader) -> str | None:
    """The endpoint that would take this reader's events; None when endpoints take the source's events and
    none of them the mode of our key: what it reads is then of another world than what they take.
    """
    of_source = [endpoint for endpoint in endpoints(settings).values() if endpoint.source == source]
    fitting = [one.path for one in of_source if None in (one.mode, reader.mode) or one.mode == reader.mode]
    return fitting[0] if fitting else None if of_source else source
