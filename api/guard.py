"""Around every handler: request id, who may, how often, error shape, log line, metrics. Knows no endpoint."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence

from aiohttp import web

from api import answers, auth, bodies, cross_origin, errors, idempotency
from api.answers import type_handler
from api.auth import Role, Shown
from api.console import door, rendering
from api.errors import ApiError, Detail
from api.idempotency import KeyRule
from api.routes import CROSS_ORIGIN_PATHS, DECLARED, Route, template_of
from api.world import CALLER, REQUEST_ID, WORLD
from db.pool import WORLD_IS_BUSY
from runtime import clock, telemetry

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UNLOGGED = frozenset(
    ("/health/live", "/health/ready", "/metrics", "/console/static/{name}", "/console/overview/figures",
     "/console/overview/series")
)  # fmt: skip
"""Asked every few seconds by machines and open pages; the metrics count them."""


@web.middleware
async def observe(request: web.Request, handler: type_handler) -> web.StreamResponse:
    """Outermost: whatever happens inside becomes one well-shaped answer, one count and one log line."""
    started = time.monotonic()
    request_id = request[REQUEST_ID] = request_id_of(request.headers.getall("X-Request-Id", ()))
    answer = await _answer(request, handler, request_id)
    answers.complete(answer, request_id)
    seconds = time.monotonic() - started
    template = template_of(request)
    if template in CROSS_ORIGIN_PATHS:
        answer.headers.update(cross_origin.HEADERS)
    request.app[WORLD].metrics.answered(template, request.method, answer.status, seconds)
    if template not in _UNLOGGED:
        caller = request.get(CALLER, auth.NOBODY)
        telemetry.logger().info(
            "request",
            method=request.method,
            route=template,
            status=answer.status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
            role=caller.role,
            caller=caller.name,
        )
    return answer


async def _answer(request: web.Request, handler: type_handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return _refusal(request, error, request_id)
    except web.HTTPException as error:
        # The router's own refusals. Their texts may echo the request; of their headers only Allow is kept.
        kept = {name: value for name, value in error.headers.items() if name == "Allow"}
        return _refusal(request, errors.of_status(error.status, kept), request_id)
    except WORLD_IS_BUSY as error:
        telemetry.logger().warning("database_away", request_id=request_id, exc_info=error)
        return _refusal(request, errors.unavailable(), request_id)
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours is a 500 that echoes nothing
        telemetry.logger().error("handler_failed", request_id=request_id, exc_info=error)
        return _refusal(request, errors.of_status(500), request_id)


def _refusal(request: web.Request, error: ApiError, request_id: str) -> web.Response:
    """A page for whoever looks at the console, JSON for everybody else."""
    if request.path == "/console" or request.path.startswith("/console/"):
        return rendering.refusal(request, error, request_id)
    return answers.refusal(error, request_id)


@web.middleware
async def guard(request: web.Request, handler: type_handler) -> web.StreamResponse:
    """Innermost: lets a request through to the handler that the table declares for it, or refuses."""
    if request.match_info.http_exception is not None:
        return await handler(request)
    route = request.app[DECLARED].get(request.match_info.route)
    if route is None:
        raise errors.not_found()
    world = request.app[WORLD]
    if route.dev_only and not world.dev_endpoints:
        raise errors.not_found()
    if route.body_before_caller:
        await _read_body(request, route)
    if route.session:
        caller = await door.identify(request, route.roles)
    else:
        caller = auth.identify(_shown(request), world.keys, route.roles, clock.now_unix_s(), route.scope)
    request[CALLER] = caller
    if caller.role is Role.CUSTOMER:
        _ration(world.buckets.take(caller.name, time.monotonic()))
    _refuse_unknown_query(request, route)
    if not route.body_before_caller:
        await _read_body(request, route)
    if route.key_rule is KeyRule.NONE:
        return await handler(request)
    return await idempotency.once(request, handler, route.key_rule, route.path)


async def _read_body(request: web.Request, route: Route) -> None:
    if route.body is not None:
        await bodies.read(request, route.body, route.body_may_be_empty)
    if route.check is not None:
        route.check(request)


def request_id_of(shown: Sequence[str]) -> str:
    """The sender's request id when there is one sane one, else a new one."""
    if len(shown) == 1 and _REQUEST_ID.fullmatch(shown[0]) is not None:
        return shown[0]
    return str(uuid.uuid4())


def _shown(request: web.Request) -> Shown:
    headers = request.headers
    return Shown(
        authorization=headers.getall("Authorization", ()),
        gateway_secret=headers.getall("x-gateway-secret", ()),
        user_id=headers.getall("x-user-id", ()),
        api_key=headers.getall("x-api-key", ()),
        user_role=headers.getall("x-user-role", ()),
        cookies=[*headers.getall("Cookie", ()), *headers.getall("sessionid", ())],
    )


def _ration(wait_s: float) -> None:
    if wait_s > 0:
        seconds = str(max(1, int(-(-wait_s // 1))))
        raise ApiError(
            429, "TOO_MANY_REQUESTS", "Too many requests; try again later", headers={"Retry-After": seconds}
        )


def _refuse_unknown_query(request: web.Request, route: Route) -> None:
    faults = []
    for name in dict.fromkeys(request.query):
        if name not in route.query:
            faults.append(Detail(name[:100], "is not a parameter of this endpoint", "unknown"))
        elif len(request.query.getall(name)) > 1:
            faults.append(Detail(name, "must be given once", "repeated"))
    if faults:
        raise errors.invalid(faults[:20])
