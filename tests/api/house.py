"""A running API for one test, and short ways to ask it; talks HTTP to a real port, as everybody else does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import jwt
import msgspec
from yarl import URL

from api import app, openapi, shapes
from api.routes import CONSOLE, ROUTES
from api.serving import Listener
from runtime import settings

DASHBOARD_TOKEN = "dashboard-token-for-tests"
OPS_TOKEN = "ops-token-for-tests-0001"
GATEWAY_SECRET = "gateway-secret-for-tests"
JWT_SECRET = "jwt-secret-for-tests-of-32-bytes!"
WEBHOOK_SECRET = "whsec_tests_of_the_api_0001"

ENVIRONMENT = {
    "OPS_TOKENS": f"eva:ops:{OPS_TOKEN},board:dashboard:{DASHBOARD_TOKEN}",
    "JWT_SECRET": JWT_SECRET,
    "GATEWAY_SECRET": GATEWAY_SECRET,
    "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
}

OPS = {"Authorization": f"Bearer {OPS_TOKEN}"}
DASHBOARD = {"Authorization": f"Bearer {DASHBOARD_TOKEN}"}


def customer(user_id: object, **claims: object) -> dict[str, str]:
    """Headers of a customer with a good bearer token; `claims` change it."""
    token = jwt.encode({"sub": user_id} | claims, JWT_SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


def gateway(user_id: str, **more: str) -> dict[str, str]:
    """Headers of a customer whom the gateway has identified."""
    return {"x-gateway-secret": GATEWAY_SECRET, "x-user-id": user_id, **more}


@dataclass(frozen=True)
class Answer:
    """An answer that has been read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    content_type: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


@dataclass
class House:
    """A running API and a client for it."""

    port: int
    client: aiohttp.ClientSession = field(repr=False)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send one request; `path` goes out as it is, without any quoting."""
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.client.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            read = Answer(answer.status, answer.headers, await answer.read(), answer.content_type)
        assert_declared(method, path, read.status)
        if read.status >= 400 and not path.startswith("/console"):
            assert_refusal(method, read)
        return read

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return await self.ask("GET", path, headers)

    async def post(self, path: str, headers: Mapping[str, str] | None = None, body: object = None) -> Answer:
        """POST, with a body as JSON where one is given."""
        return await self.ask("POST", path, headers, None if body is None else msgspec.json.encode(body))

    async def put(self, path: str, headers: Mapping[str, str] | None, body: object) -> Answer:
        """PUT with a body as JSON."""
        return await self.ask("PUT", path, headers, msgspec.json.encode(body))


_SERVED = [
    (route, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.path)) + r"(\?.*)?"))
    for route in ROUTES
    if route not in CONSOLE
]


def assert_declared(method: str, path: str, status: int) -> None:
    """Whatever any test is answered stands in the OpenAPI document."""
    for route, pattern in _SERVED:
        if route.method == method and pattern.fullmatch(path):
            assert status in {route.status, *openapi.refusals(route)}, f"{method} {path}: {status}"


def assert_refusal(method: str, answer: Answer) -> None:
    """Whatever any test is refused has the one shape, and stays in no cache."""
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    if method != "HEAD":
        told = msgspec.json.decode(answer.body, type=shapes.Error)
        assert told.error == told.message
        # The same answer under the same key is the first one's, to the byte.
        if "Idempotent-Replayed" not in answer.headers:
            assert told.requestId == answer.headers["X-Request-Id"]


def client() -> aiohttp.ClientSession:
    """A client that gives up after half a minute."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))


@contextlib.asynccontextmanager
async def running(dsn: str, redis_url: str, **environment: str) -> AsyncIterator[House]:
    """An API on a free port over this database, with `ENVIRONMENT` and more."""
    configuration = settings.load({"DATABASE_URL": dsn, "REDIS_URL": redis_url, **ENVIRONMENT, **environment})
    listener = Listener(app.create(configuration))
    port = await listener.start("127.0.0.1", 0)
    try:
        async with client() as session:
            yield House(port, session)
    finally:
        await listener.stop()
