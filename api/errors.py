"""The one shape of every refusal on this port; must never hold exception text, a payload or a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

import msgspec


class Detail(NamedTuple):
    """One fault of a request: which field, a sentence, and a code that programs can compare."""

    field: str
    message: str
    code: str


class ApiError(Exception):
    """A refusal: HTTP status, code, a sentence for a person, and faults by field where there are any."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})


def unauthorized(code: str, message: str) -> ApiError:
    """401: nobody we know asks."""
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> ApiError:
    """403: we know who asks, and they may not."""
    return ApiError(403, "FORBIDDEN", message)


def not_found(message: str = "Not found", code: str = "NOT_FOUND") -> ApiError:
    """404: there is no such thing, or none that the caller may know of; the two look the same."""
    return ApiError(404, code, message)


def invalid(details: Sequence[Detail]) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, "VALIDATION_ERROR", "Invalid request parameters", details)


def invalid_body(fault: Detail) -> ApiError:
    """400: the body is JSON and says something wrong; the sentence names the first fault."""
    return ApiError(400, "VALIDATION_ERROR", f"{fault.field}: {fault.message}", [fault])


def unavailable(message: str = "The database does not answer; try again", retry_after_s: int = 1) -> ApiError:
    """503: the world is busy and the same request may succeed in so many seconds."""
    return ApiError(503, "SERVICE_UNAVAILABLE", message, headers={"Retry-After": str(retry_after_s)})


_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    417: "EXPECTATION_FAILED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


def of_status(status: int, headers: Mapping[str, str] | None = None) -> ApiError:
    """What the router or the parser refused, in our words: theirs may echo the request."""
    phrase = HTTPStatus(status).phrase
    return ApiError(status, _CODES.get(status, phrase.upper().replace(" ", "_")), phrase, headers=headers)


def body(error: ApiError, request_id: str) -> bytes:
    """The JSON of a refusal; `error` repeats `message` for clients that look there."""
    return msgspec.json.encode(
        {
            "error": error.message,
            "code": error.code,
            "message": error.message,
            "requestId": request_id,
            "details": [detail._asdict() for detail in error.details],
        }
    )
