"""The Hyperswitch-shaped merchant as one object, beside the sandbox's desk: who it is and the turns that
change its books; it must never hold a rule of money.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from psp.sandbox.desk import Desk
from psp.sandbox.settings import HyperswitchSettings

from .shapes import merchant_of
from .shelf import Shelf
from .turn import Work
from .view import View


class HyperswitchDesk:
    """One merchant of one sandbox. `next_refunds` are the processor's answers to the refunds to come; where
    it has none it lets them succeed.
    """

    def __init__(self, desk: Desk, settings: HyperswitchSettings) -> None:
        self.desk = desk
        self.settings = settings
        self.shelf = Shelf(desk.store)
        self.merchant = merchant_of(desk.mint.account)
        self.view = View(self.shelf, self.merchant)
        self.next_refunds: deque[str] = deque()

    @contextmanager
    def turn(self) -> Iterator[Work]:
        """One unit of work: kept and told to the world at its end, or undone by an exception."""
        with self.desk.turn() as turn:
            yield Work(turn, self.view)


HYPERSWITCH_DESK = web.AppKey("hyperswitch", HyperswitchDesk)
