"""Draws legal histories of orders and of plans at a PSP, and tells their last words.

What our own side asks for comes first, as it does in the world: no answer of a PSP is older than its
question. A reversal that was called for and then called off is left out: whether the call went out before is
a matter of arrival by nature, and has a test of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from msgspec.structs import replace

from billing.commands import OrderPlaced, PlanSubscribed, RefundCallEnded, RefundRequested
from billing.facts import (
    ChargeRefunded,
    DisputeReported,
    Fact,
    PaymentReported,
    RefundReported,
    TransferReported,
)
from billing.terms import OrderTerms, PlanTerms, Terms

ENDS = [
    ("succeeded",),
    ("pending", "succeeded"),
    ("failed", "succeeded"),
    ("pending", "failed", "failed", "succeeded"),
    ("succeeded", "reversed"),
    ("pending", "failed"),
    ("pending", "failed", "canceled"),
    ("pending",),
]
"""How the payments of an agreement go."""
LADDER = ("pending", "failed", "canceled", "succeeded", "reversed")
REFUNDS = [
    ("succeeded",),
    ("pending", "succeeded"),
    ("pending", "failed"),
    ("succeeded", "failed"),
    ("pending", "requires_action"),
    ("canceled",),
]


@dataclass
class Story:
    """What happened: `first` in this order, `rest` in the order of the world but arriving in any."""

    terms: Terms
    first: list[tuple[int, Fact]] = field(default_factory=list)
    rest: list[tuple[int, Fact]] = field(default_factory=list)

    @property
    def events(self) -> list[tuple[int, Fact]]:
        """All, in the order of the world."""
        return [*self.first, *self.rest]

    def facts(self, kind: type) -> list[Fact]:
        """All of one kind, in the order of the world."""
        return [fact for _, fact in self.events if isinstance(fact, kind)]


class Teller:
    """Draws a story, clumped into few seconds."""

    def __init__(self, draw: st.DrawFn, terms: Terms) -> None:
        self.draw, self.story, self.second = draw, Story(terms), 0

    def tell(self, fact: Fact) -> None:
        """The next event."""
        self.second += self.draw(st.integers(0, 1))
        self.story.rest.append((self.second, fact))

    def agree_and_pay(self) -> bool:
        """The agreement and its payments, one of which may have failed before; tells whether money came."""
        terms = self.story.terms
        carried = self.draw(st.booleans())
        placed = OrderPlaced if isinstance(terms, OrderTerms) else PlanSubscribed
        if not carried or self.draw(st.booleans()):
            self.tell(placed("stripe", self.draw(st.sampled_from([None, "pi_1"])), terms))  # type: ignore[arg-type]
        path = self.draw(st.sampled_from(ENDS))
        if self.draw(st.booleans()):
            self.pay("pi_0", self.draw(st.sampled_from(["pending", "failed", "canceled"])), carried)
        for status in path:
            self.pay("pi_1", status, carried)
        return path[-1] in ("succeeded", "reversed")

    def pay(self, payment_id: str, status: str, carried: bool) -> None:
        """One event of a payment, with the agreement in it or its name alone."""
        terms = self.story.terms
        agreed = terms if carried else None
        paid = PaymentReported(payment_id, status, terms.amount_minor, terms.currency, terms.key, agreed)
        self.tell(paid if status == "succeeded" else replace(paid, paid_minor=None))

    def refunds(self) -> None:
        """Refunds whose sum never exceeds what was paid, also as their charge tells of them."""
        left = amount = self.story.terms.amount_minor
        for number in range(self.draw(st.integers(0, 3))):
            if left == 0:
                break
            part = self.draw(st.integers(1, left))
            path = self.draw(st.sampled_from(REFUNDS))
            for status in path:
                self.tell(RefundReported(f"re_{number}", "pi_1", part, "usd", status))
            if path[-1] == "succeeded":
                left -= part
                if self.draw(st.booleans()):
                    self.tell(ChargeRefunded("pi_1", amount - left, "usd", ()))

    def disputes(self) -> None:
        """A dispute that goes some steps, or as Hyperswitch tells it; a bank may judge it anew, though not
        within a second.
        """
        amount = self.story.terms.amount_minor
        steps = [
            ("needs_response", None),
            ("needs_response", "withdrawn"),
            ("won", None),
            ("won", "reinstated"),
            ("lost", "withdrawn"),
            ("won", "reinstated"),
        ]
        if self.draw(st.booleans()):
            steps = [("dispute_opened", None), ("dispute_lost", "withdrawn"), ("dispute_won", "reinstated")]
            steps.append(("dispute_lost", "withdrawn"))
        for number, (status, funds) in enumerate(steps[: self.draw(st.integers(0, len(steps)))]):
            self.second += number > 0 and funds == "withdrawn" and steps[number - 1][1] == "reinstated"
            self.tell(DisputeReported("dp_1", "pi_1", amount, "usd", status, funds))

    def transfers(self) -> None:
        """Transfers to the seller, of which parts come back."""
        for number in range(self.draw(st.integers(0, 2))):
            amount = self.draw(st.integers(1, 900))
            back = sorted(self.draw(st.sets(st.integers(1, amount), max_size=2)))
            for reversed_minor in (0, *back):
                name = "o_1" if reversed_minor == 0 or self.draw(st.booleans()) else None
                report = TransferReported(f"tr_{number}", "o_1", "acct_1", amount, reversed_minor, "usd")
                self.tell(replace(report, order_id=name or report.order_id))


@st.composite
def orders(draw: st.DrawFn) -> Story:
    """Histories of one order."""
    amount = draw(st.integers(1, 1_000))
    seller = draw(st.sampled_from([None, "seller_1"]))
    share = draw(st.integers(0, amount)) if seller is not None else 0
    licences = tuple(draw(st.sampled_from([(), ("font",), ("font", "music")])))
    teller = Teller(draw, OrderTerms("o_1", "buyer_1", seller, amount, "usd", share, licences))
    if teller.agree_and_pay():
        teller.refunds()
        teller.disputes()
    if seller is not None:
        teller.transfers()
    return teller.story


@st.composite
def refunds_of_ours(draw: st.DrawFn) -> Story:
    """An order of which we have asked for a refund: the PSP names it in its own way, or refuses it."""
    amount = draw(st.integers(2, 1_000))
    terms = OrderTerms("o_1", "buyer_1", "seller_1", amount, "usd", amount // 2, ("font",))
    teller = Teller(draw, terms)
    part = draw(st.integers(1, amount))
    teller.story.first = [
        (0, PaymentReported("pi_1", "succeeded", amount, "usd", terms.key, terms)),
        (0, RefundRequested("stripe", "o_1", "own_1", part)),
    ]
    if draw(st.booleans()):
        teller.tell(RefundCallEnded("stripe", "own_1", None))
        return teller.story
    teller.tell(RefundCallEnded("stripe", "own_1", "re_psp"))
    named = draw(st.booleans())  # or by an older integration, whose events know the PSP's id alone
    for status in draw(st.sampled_from(REFUNDS)):
        known = ("pi_1", part, "usd", status, "own_1") if named else (None, None, None, status, None)
        teller.tell(RefundReported("re_psp", *known))
    if part < amount and draw(st.booleans()):
        teller.tell(RefundReported("re_other", "pi_1", amount - part, "usd", "succeeded"))
    return teller.story


@st.composite
def plans(draw: st.DrawFn) -> Story:
    """Histories of one subscription of our own."""
    teller = Teller(draw, PlanTerms("s_1", "cust_1", "pro", draw(st.integers(1, 1_000)), "usd"))
    if teller.agree_and_pay():
        teller.refunds()
        teller.disputes()
    return teller.story


def last_words(story: Story) -> tuple[dict[str, tuple[int, str]], int]:
    """Amount and status of each refund by the PSP's last word, and what disputes hold."""
    refunds: dict[str, tuple[int, str]] = {}
    held: dict[str, int] = {}
    for fact in (fact for _, fact in story.events):
        if isinstance(fact, RefundRequested):
            refunds[fact.refund_id] = (fact.amount_minor or 0, "pending")
        elif isinstance(fact, RefundCallEnded) and fact.psp_refund_id is None:
            refunds[fact.refund_id] = (refunds[fact.refund_id][0], "failed")
        elif isinstance(fact, RefundReported):
            name = "own_1" if fact.id == "re_psp" else fact.id
            amount = refunds[name][0] if fact.amount_minor is None else fact.amount_minor
            refunds[name] = (amount, fact.status)
        elif isinstance(fact, DisputeReported) and fact.funds is not None:
            held[fact.id] = fact.amount_minor if fact.funds == "withdrawn" else 0
    return refunds, sum(held.values())


def last_payment(story: Story) -> str:
    """How the payments ended: by the last word of each, the one that went furthest."""
    ends = {fact.id: fact.status for _, fact in story.events if isinstance(fact, PaymentReported)}
    reached = [status for status in LADDER if status in ends.values()]
    return reached[-1] if reached else "pending"
