"""The errors the sandbox answers, in Stripe's shape; a message must never hold a key or a payload."""

from __future__ import annotations


class StripeError(Exception):
    """A refusal with the status and body Stripe would send.

    `executed` tells a failure of the work itself (a declined card, a charge that is refunded already) from
    one of the parameters: only the former keeps what was written and is saved under the idempotency key.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        executed: bool = False,
        **extra: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        fields = {
            "code": code,
            "decline_code": decline_code,
            "message": message,
            "param": param,
            "type": kind,
        }
        self.body: dict[str, object] = {
            "error": {name: value for name, value in fields.items() if value is not None} | extra
        }


def missing(param: str) -> StripeError:
    """A required parameter is absent."""
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def invalid(param: str, why: str) -> StripeError:
    """A parameter has a value that Stripe would not take."""
    return StripeError(f"Invalid {param}: {why}", code="parameter_invalid", param=param)


def unknown(noun: str, object_id: str, param: str = "id") -> StripeError:
    """No object of that kind has this id."""
    return StripeError(f"No such {noun}: '{object_id}'", status=404, code="resource_missing", param=param)


def state(message: str, code: str) -> StripeError:
    """The object is in no state for this; the answer is saved under the idempotency key."""
    return StripeError(message, code=code, executed=True)
