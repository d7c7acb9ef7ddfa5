"""Asks the receiver whether it is alive: its role may write nothing but deliveries, so it cannot beat."""

from __future__ import annotations

import aiohttp

from runtime.settings import Settings

_PATIENCE_S = 1.0
"""A receiver on the same network that takes longer to say that it lives is as good as dead."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read here, not listened on
"""Where to ask a receiver that listens on every address."""


class Receiver:
    """Where the receiver listens, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        host = _ANYWHERE.get(settings.ingest_host, settings.ingest_host)
        self.address = f"{host}:{settings.ingest_port}"

    async def is_alive(self) -> bool:
        """Whether one of the processes that share its port answers now."""
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as client,
                client.get(f"http://{self.address}/health/live") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
