"""Panda on your laptop: `python -m psp.sandbox.panda` answers like the card processor; no card behind it is
real. It listens on this machine only and keeps nothing when it ends.

Under /issuing it asks for `Api-Key` as Panda does. Under /sandbox, without a key, cards are put in and bad
days are scripted: `PUT /sandbox/cards/{id}` and `POST /sandbox/faults`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import msgspec
from aiohttp import web

from runtime import process, telemetry
from runtime.settings import EXIT_BAD_SETTINGS
from runtime.values import Secret

from .limits import request_bytes_max, shutdown_s


class CardAtPanda(msgspec.Struct, forbid_unknown_fields=True):
    """A card as it is put in: whose it is, in Panda's words, and its status."""

    userId: str  # noqa: N815 - Panda's word
    status: Literal["notActivated", "active", "locked", "canceled"] = "active"


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """What the next `times` requests whose path begins with `path` meet.

    `status` and `body` answer without doing anything; `drop` closes the connection instead, and `hang` leaves
    it open without an answer.
    """

    path: str
    kind: Literal["status", "drop", "hang"] = "status"
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] = 500
    body: str = ""
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1


@dataclass(slots=True)
class Issuer:
    """All cards and what shall go wrong; `asked` are the paths that came with the right key, in order."""

    api_key: Secret
    cards: dict[str, CardAtPanda] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)


_Shape = TypeVar("_Shape", bound=msgspec.Struct)

_ISSUER = web.AppKey("issuer", Issuer)


def build(issuer: Issuer) -> web.Application:
    """The application of one issuer."""
    app = web.Application(client_max_size=request_bytes_max)
    app[_ISSUER] = issuer
    app.add_routes(
        [
            web.get("/issuing/cards/{id}", _card),
            web.get("/issuing/cards/{id}/processorDetails", _processor_details),
            web.put("/sandbox/cards/{id}", _put_card),
            web.post("/sandbox/faults", _add_fault),
            web.get("/sandbox/asked", _asked),
            web.get("/health/live", _live),
        ]
    )
    return app


async def _card(request: web.Request) -> web.StreamResponse:
    found = await _admitted(request)
    if isinstance(found, web.StreamResponse):
        return found
    return web.json_response({"id": request.match_info["id"], "userId": found.userId, "status": found.status})


async def _processor_details(request: web.Request) -> web.StreamResponse:
    found = await _admitted(request)
    if isinstance(found, web.StreamResponse):
        return found
    return web.json_response(
        {
            "processorCardId": f"proc-{request.match_info['id']}",
            "timeBasedSecret": f"pandasecret-{secrets.token_hex(16)}",
        }
    )


async def _admitted(request: web.Request) -> CardAtPanda | web.StreamResponse:
    """The card of the path for whoever shows the key, else the refusal."""
    issuer = request.app[_ISSUER]
    shown = request.headers.get("Api-Key", "")
    if not hmac.compare_digest(shown.encode(), issuer.api_key.reveal().encode()):
        return web.json_response({"message": "Invalid API key", "statusCode": 401}, status=401)
    issuer.asked.append(request.path)
    fault = _fault_for(issuer, request.path)
    if fault is not None and fault.kind == "status":
        return web.Response(status=fault.status, text=fault.body)
    if fault is not None:
        if fault.kind == "hang":
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    card = issuer.cards.get(request.match_info["id"])
    if card is None:
        return web.json_response({"message": "Card not found", "statusCode": 404}, status=404)
    return card


def _fault_for(issuer: Issuer, path: str) -> Fault | None:
    """The fault that this request meets, counted down."""
    for fault in issuer.faults:
        if path.startswith(fault.path):
            fault.times -= 1
            if fault.times == 0:
                issuer.faults.remove(fault)
            return fault
    return None


async def _put_card(request: web.Request) -> web.StreamResponse:
    card = _read(await request.read(), CardAtPanda)
    request.app[_ISSUER].cards[request.match_info["id"]] = card
    return web.json_response({"id": request.match_info["id"]})


async def _add_fault(request: web.Request) -> web.StreamResponse:
    request.app[_ISSUER].faults.append(_read(await request.read(), Fault))
    return web.json_response({"scripted": True})


async def _asked(request: web.Request) -> web.StreamResponse:
    return web.json_response(request.app[_ISSUER].asked)


async def _live(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "live"})


def _read(body: bytes, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as fault:
        raise web.HTTPBadRequest(text=str(fault)) from None


async def serve(issuer: Issuer, port: int, stop: asyncio.Event) -> None:
    """Serve on this machine until `stop` is set."""
    runner = web.AppRunner(build(issuer), access_log=None, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        telemetry.logger().info("panda_listens", port=port)
        await stop.wait()
    finally:
        await runner.cleanup()


def _settings(environment: Mapping[str, str]) -> tuple[int, Secret]:
    """The port and the key. Raises ValueError with a sentence that does not repeat them."""
    port = environment.get("PANDA_SANDBOX_PORT", "8083")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise ValueError("PANDA_SANDBOX_PORT must be a number from 1 to 65535")
    key = environment.get("PANDA_API_KEY", "").strip()
    if not key:
        raise ValueError("PANDA_API_KEY must be set: it is the key that the card processor's customers show")
    return int(port), Secret(key)


def main() -> int:
    """Serve until SIGTERM or SIGINT; exit 78 with one line where the settings are not usable."""
    try:
        port, api_key = _settings(os.environ)
    except ValueError as fault:
        sys.stderr.write(f"panda sandbox: {fault}\n")
        return EXIT_BAD_SETTINGS
    return process.run("panda-sandbox", lambda stop: serve(Issuer(api_key), port, stop))


if __name__ == "__main__":
    sys.exit(main())
