"""Does at Hyperswitch what the outbox asks for, and puts the answer into our words; never tries anything
twice by itself.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from billing.commands import PaymentOpened, RefundCallEnded
from billing.decision import PspCall
from psp import metadata
from psp.calls import Done, NotShownError, Opened, Outcome, Refused, Transient, refused, type_taken
from psp.hyperswitch import ids
from psp.hyperswitch.client import (
    Fetched,
    HyperswitchApi,
    HyperswitchCallError,
    HyperswitchRefusedError,
    HyperswitchTransientError,
)


class _Payment(msgspec.Struct):
    client_secret: str


class HyperswitchCalls:
    """Implements `psp.calls.Caller`; it opens payments and refunds them. Pages for credits and transfers to
    sellers are none of Hyperswitch's business.
    """

    def __init__(self, api: HyperswitchApi, source: str) -> None:
        """`source` is the namespace of the account that the API key belongs to."""
        self._api = api
        self._source = source

    async def do(self, call: PspCall, attempts: int, now: int, taken: type_taken) -> Outcome:
        """See `psp.calls.Caller`. Raises KeyError when an argument is missing, ValueError when our id is
        neither a UUID nor fit to be Hyperswitch's.
        """
        try:
            match call.kind:
                case "open_payment":
                    return await self._open_payment(call)
                case "create_refund":
                    return await self._create_refund(call)
                case _:
                    return Refused("unsupported_call", refused(self._source, call, "unsupported_call"))
        except HyperswitchTransientError as error:
            return Transient(error.kind, unwell=True, retry_after_s=error.retry_after_s)
        except HyperswitchRefusedError as error:
            reason = error.code or error.kind
            return Refused(reason, refused(self._source, call, reason))

    async def show(self, kind: str, made_id: str) -> Opened:
        """See `psp.calls.Caller`: a payment, whatever the kind."""
        try:
            return _opened(await self._api.get_payment(made_id))
        except HyperswitchCallError as error:
            raise NotShownError(error.kind, our_fault=isinstance(error, HyperswitchRefusedError)) from None

    async def _open_payment(self, call: PspCall) -> Outcome:
        claim = str(call.arguments["claim"])
        made = await self._api.create_payment(
            ids.payment_id(UUID(call.object_id)),
            int(call.arguments["amount_minor"]),
            str(call.arguments["currency"]),
            metadata.of_payment(claim),
            call.idempotency_key,
        )
        return Done(PaymentOpened(self._source, claim, made.id), opened=_opened(made))

    async def _create_refund(self, call: PspCall) -> Outcome:
        amount = call.arguments.get("amount_minor")
        refund = await self._api.create_refund(
            str(call.arguments["payment_id"]),
            _id_there(call.object_id),
            int(amount) if amount is not None else None,
            call.idempotency_key,
        )
        # Whatever its status is: only a webhook or a later reading makes a refund final.
        return Done(RefundCallEnded(self._source, call.object_id, refund.id))


def _opened(payment: Fetched) -> Opened:
    try:
        return Opened(payment.id, msgspec.json.decode(payment.body, type=_Payment).client_secret)
    except msgspec.DecodeError as error:
        raise HyperswitchTransientError(type(error).__name__) from None


def _id_there(refund_id: str) -> str:
    """Our refund's id at Hyperswitch: the same at every try, which is what makes a second try harmless."""
    return refund_id if len(refund_id) == ids.ID_CHARACTERS else ids.refund_id(UUID(refund_id))
