"""Does at Hyperswitch what the outbox asks for, and puts the answer into our words; never tries anything
twice by itself.
"""

from __future__ import annotations

from uuid import UUID

from billing.commands import RefundCallEnded
from billing.decision import PspCall
from psp.calls import Done, Outcome, Refused, Transient, given_up
from psp.hyperswitch import ids
from psp.hyperswitch.client import HyperswitchApi, HyperswitchRefusedError, HyperswitchTransientError


class HyperswitchCalls:
    """Implements `psp.calls.Caller`; it refunds. Transfers to sellers are none of Hyperswitch's business."""

    def __init__(self, api: HyperswitchApi, source: str) -> None:
        """`source` is the namespace of the account that the API key belongs to."""
        self._api = api
        self._source = source

    async def do(self, call: PspCall, attempts: int, now: int) -> Outcome:
        """See `psp.calls.Caller`. Raises KeyError when an argument is missing, ValueError when our refund id
        is neither a UUID nor fit to be Hyperswitch's.
        """
        if call.kind != "create_refund":
            return Refused("unsupported_call", given_up(self._source, call))
        amount = call.arguments.get("amount_minor")
        try:
            refund = await self._api.create_refund(
                str(call.arguments["payment_id"]),
                _id_there(call.object_id),
                int(amount) if amount is not None else None,
                call.idempotency_key,
            )
        except HyperswitchTransientError as error:
            return Transient(error.kind, unwell=True, retry_after_s=error.retry_after_s)
        except HyperswitchRefusedError as error:
            return Refused(error.code or error.kind, RefundCallEnded(self._source, call.object_id, None))
        # Whatever its status is: only a webhook or a later reading makes a refund final.
        return Done(RefundCallEnded(self._source, call.object_id, refund.id))


def _id_there(refund_id: str) -> str:
    """Our refund's id at Hyperswitch: the same at every try, which is what makes a second try harmless."""
    return refund_id if len(refund_id) == ids.ID_CHARACTERS else ids.refund_id(UUID(refund_id))
