"""Adds the Hyperswitch-shaped merchant to the sandbox's application; it must never hold a rule."""

from __future__ import annotations

from aiohttp import web

from psp.sandbox.desk import Desk

from . import api, control
from .desk import HYPERSWITCH_DESK, HyperswitchDesk


def add_to(app: web.Application, desk: Desk) -> None:
    """Nothing where the settings name no such merchant."""
    if desk.settings.hyperswitch is not None:
        app[HYPERSWITCH_DESK] = HyperswitchDesk(desk, desk.settings.hyperswitch)
        app.add_routes(api.routes())
        app.add_routes(control.routes())
