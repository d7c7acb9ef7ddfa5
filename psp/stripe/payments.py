"""Opens payments at Stripe. Stripe names them, so what was lost on the way is looked for by our id in it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from billing.terms import Terms
from psp.payments import OpenedPayment, PaymentRefusedError, PaymentUnavailableError, metadata_of
from psp.stripe import retried
from psp.stripe.client import LIST_ROWS_MAX, SOURCE, StripeApi, StripeCallError


class _Payment(msgspec.Struct):
    id: str
    client_secret: str
    metadata: dict[str, str] = {}


class StripePayments:
    """Implements `psp.payments.Payments`."""

    source = SOURCE

    def __init__(self, api: StripeApi) -> None:
        self._api = api

    def chosen_id(self, _own_id: UUID) -> str | None:
        """Stripe names its payments itself."""
        return None

    async def open(self, terms: Terms, known_id: str | None, placed_at: int) -> OpenedPayment:
        """See `psp.payments.Payments`."""
        try:
            if known_id is not None:
                payment = _read(await self._api.read("payment_intent", known_id))
            else:
                payment = await self._opened(terms, placed_at)
        except (StripeCallError, msgspec.DecodeError) as error:
            if isinstance(error, msgspec.DecodeError):
                raise PaymentUnavailableError(type(error).__name__) from None
            if not error.hopeless:
                raise PaymentUnavailableError(error.kind) from None
            raise PaymentRefusedError(error.kind, is_final=error.refused and known_id is None) from None
        return OpenedPayment(payment.id, payment.client_secret)

    async def _opened(self, terms: Terms, placed_at: int) -> _Payment:
        """Open it under the id of the terms as the key, so that any number of calls open one."""

        async def make(key: str) -> _Payment:
            metadata = metadata_of(terms)
            return _read(await self._api.create_payment(terms.amount_minor, terms.currency, metadata, key))

        return await retried.made(make, lambda: self._found(terms, placed_at), terms.id)

    async def _found(self, terms: Terms, placed_at: int) -> _Payment | None:
        wanted = metadata_of(terms).items()
        listed = await self._api.payments_since(placed_at - retried.CLOCKS_DIFFER_S)
        for raw in reversed(listed):
            payment = _read(raw)
            if wanted <= payment.metadata.items():
                return payment
        if len(listed) >= LIST_ROWS_MAX:
            raise PaymentUnavailableError("too_many_payments")  # ours may be further down
        return None


def _read(raw: bytes) -> _Payment:
    return msgspec.json.decode(raw, type=_Payment)
