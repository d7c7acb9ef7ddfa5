"""Opens payments at Stripe. Stripe names them, so what was lost on the way is looked for by our id in it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from billing.terms import Terms
from psp.payments import OpenedPayment, PaymentRefusedError, PaymentUnavailableError, metadata_of
from psp.stripe.client import LIST_ROWS_MAX, SOURCE, StripeApi, StripeCallError

_KEYS_MAX = 3
"""Keys tried for one payment: a further one only when Stripe keeps a failure as the answer of the last."""
_CLOCKS_DIFFER_S = 300
"""How far Stripe's clock may be behind ours: as much as a signature tolerates."""


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
        """Open it under the id of the terms as the key, so that any number of calls open one.

        Stripe also keeps a 5xx as the key's answer, and does not say whether the work was done. Then the
        payments are listed; only when ours is surely not there, another key may open it.
        """
        for attempt in range(1, _KEYS_MAX + 1):
            key = terms.id if attempt == 1 else f"{terms.id}:{attempt}"
            try:
                created = await self._api.create_payment(
                    terms.amount_minor, terms.currency, metadata_of(terms), key
                )
                return _read(created)
            except StripeCallError as error:
                if error.status is None or error.status < 500:
                    raise
                found = await self._found(terms, placed_at)
                if found is not None:
                    return found
                if not error.replayed or attempt == _KEYS_MAX:
                    raise
        raise AssertionError("the last key returns or raises")

    async def _found(self, terms: Terms, placed_at: int) -> _Payment | None:
        wanted = metadata_of(terms).items()
        listed = await self._api.payments_since(placed_at - _CLOCKS_DIFFER_S)
        for raw in reversed(listed):
            payment = _read(raw)
            if wanted <= payment.metadata.items():
                return payment
        if len(listed) >= LIST_ROWS_MAX:
            raise PaymentUnavailableError("too_many_payments")  # ours may be further down
        return None


def _read(raw: bytes) -> _Payment:
    return msgspec.json.decode(raw, type=_Payment)
