"""Opens payments at Hyperswitch under ids that we choose, so what was lost on the way can be looked up."""

from __future__ import annotations

from uuid import UUID

import msgspec

from billing.terms import Terms
from psp.hyperswitch import ids
from psp.hyperswitch.client import HyperswitchApi, HyperswitchCallError, HyperswitchRefusedError
from psp.payments import OpenedPayment, PaymentRefusedError, PaymentUnavailableError, metadata_of


class _Payment(msgspec.Struct):
    client_secret: str


class HyperswitchPayments:
    """Implements `psp.payments.Payments`."""

    source = "hyperswitch"

    def __init__(self, api: HyperswitchApi) -> None:
        self._api = api

    def chosen_id(self, own_id: UUID) -> str | None:
        """Thirty characters that are the same whenever they are derived."""
        return ids.payment_id(own_id)

    async def open(self, terms: Terms, known_id: str | None, placed_at: int) -> OpenedPayment:
        """See `psp.payments.Payments`; our id finds the payment at any time, whatever `placed_at` is."""
        payment_id = known_id or ids.payment_id(UUID(terms.id))
        try:
            opened = await self._api.create_payment(
                payment_id, terms.amount_minor, terms.currency, metadata_of(terms), terms.id
            )
            secret = msgspec.json.decode(opened.body, type=_Payment).client_secret
        except HyperswitchRefusedError as error:
            raise PaymentRefusedError(error.code or error.kind, is_final=True) from None
        except HyperswitchCallError as error:
            raise PaymentUnavailableError(error.kind) from None
        except msgspec.DecodeError as error:
            raise PaymentUnavailableError(type(error).__name__) from None
        return OpenedPayment(opened.id, secret)
