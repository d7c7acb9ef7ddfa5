"""`GET /openapi.json`: this port in OpenAPI 3.1, derived from the routes table and the types that validate.

Says nothing by itself about any endpoint: a line of the table that names no type is described as far as the
table goes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from api import filters, shapes
from api.answers import json_answer
from api.auth import Role
from api.idempotency import KeyRule

if TYPE_CHECKING:
    from api.routes import Route

DOCUMENT = web.AppKey("openapi", dict[str, Any])
"""The document, made once at start."""

_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
_TIME = {"type": "string", "examples": ["2026-01-31T12:00:00Z", "2026-01-31"]}
_DURATION = {"type": "string", "pattern": "^[0-9]{1,6}(s|m|h|d)$"}
PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "source": (_TEXT, "Provider, or provider:account"),
    "endpoint": (_TEXT, "Path name of the receiver that took it"),
    "origin": ({"enum": list(filters.ORIGINS)}, "Who brought it"),
    "verdict": ({"enum": list(filters.VERDICTS)}, "What the receiver found"),
    "state": ({"enum": list(filters.STATES)}, "State of its event"),
    "type": (_TEXT, "Event type, exactly"),
    "event_id": (_TEXT, "The PSP's event id"),
    "object_id": (_TEXT, "Id of the object that the event is about"),
    "ip": (_TEXT, "Address or network (10.0.0.0/8) of the sender"),
    "reason": (_TEXT, "Code of why its event is in its state"),
    "since": (_TIME, "From this time on; UTC where it names no offset"),
    "until": (_TIME, "Before this time"),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": filters.LIMIT_MAX, "default": filters.LIMIT_DEFAULT},
        "Rows of a page",
    ),
    "cursor": ({"type": "string"}, "Where the last page ended: its `next_cursor`"),
    "object": (_TEXT, "Kind and id of what somebody asked for, like `delivery:7`"),
    "actor": (_TEXT, "Name of the token that asked"),
    "window": (_DURATION, "How far back, at most 31d"),
    "bucket": (_DURATION, "Length of a bucket"),
}
"""What is known of query parameters, by name; they mean the same wherever they are taken."""

_SCHEMES = {
    Role.CUSTOMER: "customer",
    Role.DASHBOARD: "opsToken",
    Role.OPS: "opsToken",
}
_SECURITY = {
    "opsToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of OPS_TOKENS; role `dashboard` reads, role `ops` reads and commands",
    },
    "customer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A customer's token (HS256), or the headers of a gateway that proves itself",
    },
    "console": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sluice_session",
        "description": "A session of the console; every POST carries its CSRF token too",
    },
}


_REFUSALS = {
    400: "The request is wrong; `details` name the fields",
    401: "Nobody we know asks; `code` says what was wrong with the proof",
    402: "The account does not have that many credits; nothing was spent",
    403: "Not for this caller, or not before a payment",
    404: "No such thing, or none that the caller may know of",
    408: "The body came too slowly",
    409: "Its state does not allow it, or an equal request under this Idempotency-Key is under way",
    413: "The body is too large",
    422: "This Idempotency-Key was used for another request",
    429: "Too many requests of this customer; `Retry-After` says when there is room again",
    500: "Our fault; `requestId` finds it in the log",
    502: "The provider refused, or answered nonsense",
    503: "Busy, or a provider is away or not configured; with a `Retry-After`: try again",
}
"""What a refusal of this status means, on every route."""

KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    "description": "The same key and body get the same answer for thirty days; with another body: 422",
}


async def show(request: web.Request) -> web.Response:
    """This document."""
    return json_answer(request.app[DOCUMENT])


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document of these routes. Pure."""
    routes = tuple(routes)
    kinds: set[type] = {kind for route in routes for kind in (route.body, route.answer) if kind is not None}
    ordered = sorted({*kinds, shapes.Error}, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": "1",
            "description": "Audit log, operations, customers' balances and the console.",
            "license": {"name": "See the project", "identifier": "LicenseRef-see-project"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _operation(route: Route) -> dict[str, Any]:
    about = inspect.getdoc(route.handler) or route.path
    words = re.findall(r"[a-z0-9]+", route.path.lower())
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *(words or ["root"])]),
        "summary": about.partition("\n")[0],
        "tags": [words[0] if words else "root"],
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": _security(route),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_may_be_empty,
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if Role.ANYONE in route.roles:
        return []
    if route.session:
        return [{"console": []}]
    return [{scheme: []} for scheme in sorted({_SCHEMES[role] for role in route.roles})]


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)", route.path)
    ]
    for name in sorted(route.query):
        schema, about = PARAMETERS.get(name, ({"type": "string"}, ""))
        parameter = {"name": name, "in": "query", "required": False, "schema": schema}
        found.append(parameter | ({"description": about} if about else {}))
    if route.key_rule is not KeyRule.NONE:
        found.append({**KEY, "required": route.key_rule is KeyRule.REQUIRED})
    return found


def _responses(route: Route) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done"}
    if route.answer is not None:
        done["content"] = {"application/json": {"schema": _reference(route.answer)}}
    elif route.media is not None:
        done["content"] = {route.media: {}}
    if route.session or route.path.startswith("/console"):
        refused = {"description": "Refused", "content": {"text/html": {}}}
        return {str(route.status): done, "default": refused}
    error = {"application/json": {"schema": _reference(shapes.Error)}}
    refusing = {
        str(status): {"description": _REFUSALS[status], "content": error}
        for status in sorted(refusals(route))
    }
    return {str(route.status): done, **refusing}


def refusals(route: Route) -> set[int]:
    """Every status with which this route may refuse: what the guard does for all, and what is its own."""
    found = {400, 500, 503, *route.refuses}
    if Role.ANYONE not in route.roles:
        found.add(401)
        if route.scope is None and not {Role.DASHBOARD, Role.OPS} <= route.roles:
            found.add(403)
    if "{" in route.path or route.dev_only:
        found.add(404)
    if Role.CUSTOMER in route.roles:
        found.add(429)
    if route.body is not None:
        found |= {408, 413}
    if route.key_rule is not KeyRule.NONE:
        found |= {409, 422}
    return found


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
