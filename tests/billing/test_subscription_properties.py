"""Any order, any repetition, any split and any clumping into seconds of a subscription's events ends in one
state, equal to the oracle's wherever it is not flagged.

The oracle knows the order in which things happened at the PSP, and only its last words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.facts import Fact, InvoiceReported, InvoiceValues, SubscriptionReported, SubscriptionValues
from billing.ordering import CHANGED, CREATED, DELETED
from billing.subscription import REVIVED_BY_PAYMENT, SUBSCRIPTION
from tests.support.mirrored import LOOKS, End, happen

FINAL_AT_THE_PSP = {"expired", "canceled"}


@dataclass
class Psp:
    """A PSP that runs one subscription and writes down every event in the order in which it happened."""

    draw: st.DrawFn
    second: int = 0
    looks: SubscriptionValues = LOOKS
    invoices: dict[str, InvoiceValues] = field(default_factory=dict)
    deleted: bool = False
    silent: bool = False
    """Nothing more is heard of the subscription: its last payment must be enough."""
    events: list[tuple[int, Fact]] = field(default_factory=list)

    def tell(self, fact: Fact) -> None:
        """Something happened, perhaps in the same second as what happened before."""
        self.second += self.draw(st.sampled_from([0, 0, 1]))
        self.events.append((self.second, fact))

    def change(self, **changes: object) -> None:
        """A change of the subscription: an update, perhaps with a snapshot of another type around it."""
        before = self.looks
        self.looks = replace(before, **changes)
        told = [self.reported(CHANGED, before)]
        if self.draw(st.integers(0, 3)) == 0:
            told.insert(self.draw(st.integers(0, 1)), self.reported(CHANGED, self.looks))
        for fact in told:
            self.tell(fact)

    def reported(self, kind: str, before: SubscriptionValues | None) -> SubscriptionReported:
        """The subscription as it looks now."""
        return SubscriptionReported("sub_1", kind, self.looks, before)

    def bill(self, invoice_id: str, now: InvoiceValues) -> None:
        """A change of an invoice: an update, an event of its own type, or both in either order."""
        before = self.invoices.get(invoice_id)
        self.invoices[invoice_id] = now
        update = InvoiceReported(invoice_id, CHANGED, "sub_1", None, "usd", now, before)
        snapshot = replace(update, before=now)
        if before is None:
            self.tell(replace(update, kind=CREATED))
            return
        for fact in self.draw(
            st.sampled_from([[update], [snapshot], [update, snapshot], [snapshot, update, snapshot]])
        ):
            self.tell(fact)

    def pay(self) -> None:
        """The latest invoice is paid, early or late; the subscription may tell of it, or not any more."""
        latest = self.looks.latest_invoice_id
        invoice = self.invoices.get(latest or "")
        if latest is None or invoice is None or invoice.status not in ("draft", "open", "uncollectible"):
            return
        amount = invoice.amount_due_minor
        self.bill(latest, replace(invoice, status="paid", amount_paid_minor=amount, paid_at=self.second))
        if self.looks.status in REVIVED_BY_PAYMENT:
            self.silent = self.looks.status in FINAL_AT_THE_PSP or self.draw(st.booleans())
            if not self.silent:
                self.change(status="active")

    def fail(self) -> None:
        """An attempt to collect the latest invoice fails."""
        latest = self.looks.latest_invoice_id
        invoice = self.invoices.get(latest or "")
        if latest is not None and invoice is not None and invoice.status == "open":
            self.bill(latest, replace(invoice, attempt_count=invoice.attempt_count + 1))

    def renew(self) -> None:
        """The next period begins with a new invoice, or the one that there is is finalized."""
        latest = self.looks.latest_invoice_id
        invoice = self.invoices.get(latest or "")
        if latest is not None and invoice is not None and invoice.status == "draft":
            self.bill(latest, replace(invoice, status="open"))
            return
        number = f"in_{len(self.invoices) + 1}"
        self.bill(number, InvoiceValues("draft", 2000, 0, 0, None))
        start = self.looks.current_period_start + 30
        self.change(current_period_start=start, current_period_end=start + 30, latest_invoice_id=number)

    def move(self) -> None:
        """Another state, along the table, as far as the PSP and the latest invoice allow it."""
        paid = self.latest_is_paid
        following = [
            edge.to_state
            for edge in SUBSCRIPTION.edges
            if edge.from_state == self.looks.status
            and edge.to_state != "canceled"
            and not (paid and edge.to_state in REVIVED_BY_PAYMENT)
        ]
        if following:
            self.change(status=self.draw(st.sampled_from(following)))

    def step(self) -> None:
        """Whatever may happen next."""
        if self.silent:
            return
        if self.looks.status in FINAL_AT_THE_PSP:
            self.pay()
            return
        match self.draw(st.sampled_from(["move", "move", "pay", "fail", "renew", "toggle", "delete"])):
            case "move":
                self.move()
            case "pay":
                self.pay()
            case "fail":
                self.fail()
            case "renew":
                self.renew()
            case "toggle":
                self.change(cancel_at_period_end=not self.looks.cancel_at_period_end)
            case _:
                self.looks = replace(self.looks, status="canceled", ended_at=self.second)
                self.deleted = True
                self.tell(self.reported(DELETED, None))

    @property
    def latest_is_paid(self) -> bool:
        """Whether the invoice that the subscription names is paid."""
        invoice = self.invoices.get(self.looks.latest_invoice_id or "")
        return invoice is not None and invoice.status == "paid"

    @property
    def status(self) -> str:
        """The oracle: the last word about the subscription, and a payment that came after it."""
        if not self.deleted and self.looks.status in REVIVED_BY_PAYMENT and self.latest_is_paid:
            return "active"
        return self.looks.status


@st.composite
def stories(draw: st.DrawFn) -> Psp:
    """Legal histories of one subscription, clumped into few seconds."""
    psp = Psp(draw)
    psp.looks = replace(LOOKS, status=draw(st.sampled_from(["pending_payment", "trialing", "active"])))
    psp.tell(psp.reported(CREATED, None))
    psp.bill("in_1", InvoiceValues(draw(st.sampled_from(["draft", "open"])), 2000, 0, 0, None))
    for _ in range(draw(st.integers(0, 6))):
        psp.step()
    return psp


def final(end: End) -> object:
    """What is left when the path does not count."""
    assert end.subscription is not None
    return (
        end.status,
        end.subscription.versions,
        end.subscription.order,
        {
            (invoice.id, invoice.status, invoice.payment_id): (invoice.versions, invoice.order)
            for invoice in end.invoices.values()
        },
    )


@settings(max_examples=400, deadline=None)
@given(stories(), st.data())
def test_every_order_of_arrival_ends_like_the_order_of_events(psp: Psp, data: st.DataObject) -> None:
    """Permuted, repeated and split over batches: one end, and unless it is flagged the PSP's last words."""
    numbers = list(range(len(psp.events)))
    repeated = numbers + data.draw(st.lists(st.sampled_from(numbers), max_size=4))
    order = data.draw(st.permutations(repeated))
    splits = data.draw(st.lists(st.integers(0, len(order)), max_size=4))

    in_order = happen(*psp.events)
    shuffled = happen(*psp.events, order=order, splits=splits)

    assert final(shuffled) == final(in_order)
    assert shuffled.subscription is not None
    flagged = shuffled.subscription.order.ambiguous or any(
        invoice.order.ambiguous for invoice in shuffled.invoices.values()
    )
    if not flagged:
        assert shuffled.status == psp.status
        assert shuffled.subscription.values == psp.looks
        assert {each.id: each.values for each in shuffled.invoices.values()} == psp.invoices


@settings(max_examples=100, deadline=None)
@given(stories(), st.data())
def test_a_replay_of_everything_changes_nothing(psp: Psp, data: st.DataObject) -> None:
    """Whatever has been decided once is superseded ever after: no entry, no time, no version more."""
    numbers = list(range(len(psp.events)))
    again = data.draw(st.permutations(numbers))

    once = happen(*psp.events)
    twice = happen(*psp.events, order=[*numbers, *again])

    assert final(twice) == final(once)
    assert twice.effects == once.effects
    assert {state for state, _ in twice.outcomes[len(numbers) :]} == {"superseded"}


@settings(max_examples=100, deadline=None)
@given(stories(), st.randoms(use_true_random=False))
def test_events_of_different_seconds_are_never_ambiguous(psp: Psp, random: object) -> None:
    """Where the PSP's clock tells events apart, nothing is left to rank."""
    apart = [(number, _at(fact, number)) for number, (_, fact) in enumerate(psp.events)]
    order = list(range(len(apart)))
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis' own Random
    end = happen(*apart, order=order)

    assert end.alerts == []
    assert end.status == psp.status


def _at(fact: Fact, second: int) -> Fact:
    """The fact as it is told at `second`: a payment is as old as the first event that tells of it."""
    if isinstance(fact, InvoiceReported) and fact.values.paid_at is not None:
        return replace(fact, values=replace(fact.values, paid_at=second))
    return fact


def test_the_oracle_can_disagree() -> None:
    """The property has teeth: a story whose last update is left out ends elsewhere."""
    active = replace(LOOKS, status="active")
    created = SubscriptionReported("sub_1", CREATED, LOOKS, None)
    updated = SubscriptionReported("sub_1", CHANGED, active, LOOKS)

    assert happen((1, created)).status != happen((1, created), (1, updated)).status
