"""The refusals of the Hyperswitch-shaped API; a message must never hold a key or a card's number.

Source of codes and messages: juspay/hyperswitch, crates/hyperswitch_domain_models, api_error_response.
"""

from __future__ import annotations


class HyperswitchError(Exception):
    """A refusal with the status and body that Hyperswitch would send."""

    def __init__(self, code: str, message: str, *, status: int = 400, kind: str = "invalid_request") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message}}


def unauthorized() -> HyperswitchError:
    """No key, or another one."""
    return HyperswitchError("IR_01", "API key not provided or invalid API key used", status=401)


def missing(name: str) -> HyperswitchError:
    """A required field is absent."""
    return HyperswitchError("IR_04", f"Missing required param: {name}")


def unreadable(why: str) -> HyperswitchError:
    """The body is not JSON, or a field has another type than it should have."""
    return HyperswitchError("IR_06", f"Json deserialize error: {why}")


def invalid(name: str, why: str) -> HyperswitchError:
    """A field has a value that Hyperswitch would not take."""
    return HyperswitchError("IR_07", f"Invalid value provided: {name}: {why}")


def unknown(noun: str) -> HyperswitchError:
    """No object of that kind has this id."""
    message = f"{noun} does not exist in our records"
    return HyperswitchError("HE_02", message, status=404, kind="object_not_found")


def unexpected(flow: str, field: str, value: str, expected: str) -> HyperswitchError:
    """The payment is in no state for this."""
    return HyperswitchError(
        "IR_14",
        f"This Payment could not be {flow} because it has a {field} of {value}. "
        f"The expected state is {expected}",
    )


def not_with_status(verb: str, status: str) -> HyperswitchError:
    """What cannot be done to a payment of this status."""
    return HyperswitchError("IR_16", f"You cannot {verb} this payment because it has status {status}")
