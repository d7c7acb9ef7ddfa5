"""Subscriptions and their invoices as values: the transition table of each, what is kept, and which version
of theirs is the latest.

The PSP is the authority of what is mirrored here: a change that a table does not list is recorded under the
rule `status_corrected` and never refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from billing.facts import InvoiceValues, SubscriptionValues
from billing.keys import invoice_key, payment_key, subscription_key
from billing.machine import Edge, Machine
from billing.ordering import DELETED, Order, Version, latest
from billing.refunds import Dispute, Refund, refund_keys

CORRECTED = "status_corrected"

SUBSCRIPTION = Machine(
    name="subscription",
    states=("pending_payment", "trialing", "active", "past_due", "suspended", "expired", "canceled"),
    initial=("pending_payment", "trialing", "active", "past_due", "suspended", "expired", "canceled"),
    edges=(
        Edge(None, "pending_payment", "payment_awaited"),
        Edge(None, "trialing", "trial_started"),
        Edge(None, "active", "started"),
        Edge(None, "past_due", "first_seen"),
        Edge(None, "suspended", "first_seen"),
        Edge(None, "expired", "first_seen"),
        Edge(None, "canceled", "first_seen"),
        Edge("pending_payment", "active", "payment_succeeded"),
        Edge("pending_payment", "trialing", "trial_started"),
        Edge("pending_payment", "expired", "payment_failed"),
        Edge("pending_payment", "expired", "payment_refused"),  # the PSP would not even open one
        Edge("pending_payment", "canceled", "canceled"),
        Edge("trialing", "active", "trial_ended"),
        Edge("trialing", "past_due", "payment_failed"),
        Edge("trialing", "suspended", "trial_ended_unpaid"),
        Edge("trialing", "canceled", "canceled"),
        Edge("active", "trialing", "trial_started"),
        Edge("active", "past_due", "payment_failed"),
        Edge("active", "suspended", "suspended"),
        Edge("active", "expired", "late_failure"),
        Edge("active", "canceled", "canceled"),
        Edge("past_due", "active", "payment_succeeded"),
        Edge("past_due", "trialing", "trial_started"),
        Edge("past_due", "suspended", "suspended"),
        Edge("past_due", "canceled", "canceled"),
        Edge("suspended", "active", "resumed"),
        Edge("suspended", "trialing", "trial_started"),
        Edge("suspended", "past_due", "payment_failed"),
        Edge("suspended", "canceled", "canceled"),
        Edge("expired", "active", "late_success"),
    ),
    terminal=("canceled",),
    correction=CORRECTED,
)

INVOICE = Machine(
    name="subscription_invoice",
    states=("draft", "open", "uncollectible", "void", "paid"),
    initial=("draft", "open", "uncollectible", "void", "paid"),
    edges=(
        Edge(None, "draft", "drafted"),
        Edge(None, "open", "finalized"),
        Edge(None, "uncollectible", "first_seen"),
        Edge(None, "void", "first_seen"),
        Edge(None, "paid", "paid"),
        Edge("draft", "open", "finalized"),
        Edge("draft", "paid", "paid"),
        Edge("draft", "void", "deleted"),
        Edge("open", "paid", "paid"),
        Edge("open", "uncollectible", "given_up"),
        Edge("open", "void", "voided"),
        Edge("uncollectible", "paid", "late_success"),
        Edge("uncollectible", "void", "voided"),
    ),
    terminal=("void", "paid"),
    correction=CORRECTED,
)

REVIVED_BY_PAYMENT = frozenset({"pending_payment", "past_due", "expired"})
"""States that the payment of the latest invoice ends, unless the PSP has said otherwise since."""

# That a payment revives what has expired is our own rule: a PSP's version of an expired one is its last.
_SUBSCRIPTION_ONE_WAY = SUBSCRIPTION.one_way(without=("late_success",))
_INVOICE_ONE_WAY = INVOICE.one_way()


class Invoice(Struct, frozen=True):
    """An invoice of a subscription. `versions` are all those of its last second; `payment_id` stays once it
    is known, because newer versions of an API leave it out.
    """

    source: str
    id: str
    subscription_id: str
    currency: str
    payment_id: str | None
    versions: tuple[Version, ...]
    version: int = 1
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """Invoices of subscriptions."""
        return "subscription_invoice"

    @property
    def keys(self) -> tuple[str, ...]:
        """By its own id, by its payment and by its refunds."""
        payment = () if self.payment_id is None else (payment_key(self.payment_id),)
        return (invoice_key(self.id), *payment, *refund_keys(self.refunds))

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id under which its refunds and disputes are kept."""
        return ("subscription_invoice", self.id)

    @property
    def amount_minor(self) -> int:
        """What its payment brought."""
        return self.values.amount_paid_minor

    @property
    def is_paid(self) -> bool:
        """Whether there is something to give back."""
        return self.status == "paid"

    @property
    def order(self) -> Order:
        """Which of its versions is the latest."""
        return latest(self.versions, _invoice_surely_before, _invoice_rank)

    @property
    def values(self) -> InvoiceValues:
        """What it looks like."""
        return InvoiceValues(**self.order.latest.values)  # type: ignore[arg-type]  # as `mirror` has put them in

    @property
    def status(self) -> str:
        """Its state."""
        return self.order.latest.state


class Subscription(Struct, frozen=True):
    """A subscription mirrored from a PSP. `status` is its state; it differs from that of its latest version
    only where a payment that came later has revived it.
    """

    source: str
    id: str
    status: str
    versions: tuple[Version, ...]
    version: int = 1

    @property
    def family(self) -> str:
        """Subscriptions."""
        return "subscription"

    @property
    def keys(self) -> tuple[str, ...]:
        """By its own id."""
        return (subscription_key(self.id),)

    @property
    def order(self) -> Order:
        """Which of its versions is the latest."""
        return latest(self.versions, _subscription_surely_before, _subscription_rank)

    @property
    def values(self) -> SubscriptionValues:
        """What it looks like at the PSP."""
        return SubscriptionValues(**self.order.latest.values)  # type: ignore[arg-type]  # as `mirror` has put them in

    @property
    def deleted(self) -> bool:
        """Whether the PSP has deleted it; nothing brings it back."""
        return self.versions[0].kind == DELETED

    def state_with(self, invoice: Invoice | None) -> str:
        """Its state, given the invoice that its latest version names.

        The payment of that invoice makes a pending, overdue or expired subscription active, unless this
        version is later than the payment: then the PSP knew of it and says otherwise. Both sides are
        functions of sets of versions, so the order of arrival does not count.
        """
        version = self.order.latest
        if self.deleted or invoice is None or version.state not in REVIVED_BY_PAYMENT:
            return version.state
        paid_at = invoice.values.paid_at
        return "active" if paid_at is not None and paid_at >= version.second else version.state


def _subscription_surely_before(one: Version, other: Version) -> bool:
    """States that nobody goes back to; within a state, periods move on only."""
    if one.state != other.state:
        return (one.state, other.state) in _SUBSCRIPTION_ONE_WAY
    return _number(one, "current_period_start") < _number(other, "current_period_start")


def _subscription_rank(version: Version) -> tuple[int, ...]:
    return (
        SUBSCRIPTION.states.index(version.state),
        _number(version, "current_period_start"),
        _number(version, "cancel_at_period_end"),
    )


def _invoice_surely_before(one: Version, other: Version) -> bool:
    """States that nobody goes back to; within a state, attempts and payments are only added."""
    if one.state != other.state:
        return (one.state, other.state) in _INVOICE_ONE_WAY
    return _invoice_rank(one) < _invoice_rank(other)


def _invoice_rank(version: Version) -> tuple[int, ...]:
    return (
        INVOICE.states.index(version.state),
        _number(version, "attempt_count"),
        _number(version, "amount_paid_minor"),
    )


def _number(version: Version, name: str) -> int:
    return int(version.values[name] or 0)
