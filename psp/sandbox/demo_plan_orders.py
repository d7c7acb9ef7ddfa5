"""The demo's stories of orders, their sellers and transfers; like the whole plan, decided by draws alone."""

from __future__ import annotations

import random

from .demo_story import Step, Story, Tell, dispute, refund, repeated_requests

_house_sells = 0.2
"""Share of orders without a seller."""
_share_is_named = 0.7
"""Share of sold orders that say what the seller gets; else it is all."""
sellers = 5
"""Few, so that each has several orders."""


def _place(story: Story, draw: random.Random) -> None:
    if draw.random() >= _house_sells:
        story.seller = draw.randrange(sellers)
        if draw.random() < _share_is_named:
            story.share = draw.randint(story.total // 2, story.total)
    story.steps.append(Step("order", 1, twice=draw.random() < repeated_requests))


def _transfer(story: Story, draw: random.Random) -> None:
    """The seller is paid out: all of the share, or sometimes a part."""
    if story.seller is None:
        return
    share = story.total if story.share is None else story.share
    amount = share if draw.random() < 0.8 else draw.randint(1, share)
    story.steps.append(Step("transfer", 1, amount=amount, twice=draw.random() < repeated_requests))


def _order_bought(story: Story, draw: random.Random) -> None:
    _place(story, draw)
    story.steps.append(Step("pay_order", 2))
    _transfer(story, draw)


def _order_kept(story: Story, draw: random.Random) -> None:
    """Paid, and the seller's money stays where it is."""
    _place(story, draw)
    story.steps.append(Step("pay_order", 2))


def _order_failed(story: Story, draw: random.Random) -> None:
    _place(story, draw)
    story.steps.append(Step("pay_order", 2, outcome="fail"))


def _order_failed_then_paid(story: Story, draw: random.Random) -> None:
    """At once, or with time between; either way it is paid."""
    _place(story, draw)
    if draw.random() < 0.5:
        story.steps.append(Step("pay_order", 4, outcome="fail_then_succeed"))
    else:
        story.steps += [Step("pay_order", 2, outcome="fail"), Step("pay_order", 2)]
    _transfer(story, draw)


def _order_cancelled(story: Story, draw: random.Random) -> None:
    _place(story, draw)
    story.steps.append(Step("cancel_order", 1))


def _order_debited(story: Story, draw: random.Random) -> None:
    _place(story, draw)
    story.steps.append(Step("debit_order", 2))
    story.steps.append(Step("settle_order", 2, outcome=draw.choice(("succeed", "succeed", "fail"))))


def _order_refunded(story: Story, draw: random.Random) -> None:
    _order_bought(story, draw)
    refund(story, draw, None)


def _order_refunded_in_parts(story: Story, draw: random.Random) -> None:
    """Two partial refunds, in half of the stories up to the last cent."""
    _order_bought(story, draw)
    left = story.total
    for _ in range(2):
        part = draw.randint(1, max(1, left // 2))
        refund(story, draw, part)
        left -= part
    if draw.random() < 0.5:
        refund(story, draw, None)


def _order_refund_failed(story: Story, draw: random.Random) -> None:
    """The bank sends a refund back after it had succeeded."""
    _order_bought(story, draw)
    refund(story, draw, draw.choice((None, draw.randint(1, story.total))))
    story.steps.append(Step("fail_refund", 3))


def _order_disputed(story: Story, draw: random.Random) -> None:
    _order_bought(story, draw)
    amount = draw.choice((None, draw.randint(1, story.total)))
    dispute(story, draw, draw.choice(("lost", "won", "again")), amount, inquiry=False)


ORDERS: dict[Tell, int] = {
    _order_bought: 14,
    _order_kept: 4,
    _order_failed: 2,
    _order_failed_then_paid: 4,
    _order_cancelled: 2,
    _order_debited: 3,
    _order_refunded: 6,
    _order_refunded_in_parts: 4,
    _order_refund_failed: 3,
    _order_disputed: 3,
}
"""How often each story of an order is told, in shares of the sum of all."""
