"""The demo's stories of subscriptions that the PSP runs; like the whole plan, decided by draws alone."""

from __future__ import annotations

import random

from .demo_story import Step, Story, Tell, refund, repeated_requests

_PRICES = (900, 2_900, 9_900)
"""What a month costs, in cents."""

_FIRST_PAYMENT, _FIRST_FAILURE = 7, 4
_RENEWAL, _FAILED_RENEWAL = 10, 9


def _subscribe(story: Story, draw: random.Random) -> None:
    story.total = draw.choice(_PRICES)
    story.steps.append(Step("subscribe", 4, twice=draw.random() < repeated_requests))


def _subscribe_on_trial(story: Story, draw: random.Random) -> None:
    story.total = draw.choice(_PRICES)
    story.steps.append(Step("subscribe_on_trial", 6, twice=draw.random() < repeated_requests))
    if draw.random() < 0.5:
        story.steps.append(Step("trial_will_end", 1))


def _pay_first(story: Story) -> None:
    story.steps.append(Step("pay_subscription", _FIRST_PAYMENT))


def _renew(story: Story, draw: random.Random, most: int) -> None:
    story.steps += [Step("renew", _RENEWAL) for _ in range(draw.randint(1, most))]


def _subscribed(story: Story, draw: random.Random) -> None:
    _subscribe(story, draw)
    _pay_first(story)


def _renewed(story: Story, draw: random.Random) -> None:
    _subscribed(story, draw)
    _renew(story, draw, 3)


def _first_card_failed(story: Story, draw: random.Random) -> None:
    _subscribe(story, draw)
    story.steps.append(Step("pay_subscription", _FIRST_FAILURE, outcome="fail"))
    _pay_first(story)


def _never_paid(story: Story, draw: random.Random) -> None:
    """The first invoice is void in the end, because the time for it is over or somebody cancels."""
    _subscribe(story, draw)
    story.steps.append(draw.choice((Step("give_up", 4), Step("cancel_subscription", 4))))


def _trial_then_paid(story: Story, draw: random.Random) -> None:
    _subscribe_on_trial(story, draw)
    _renew(story, draw, 2)


def _trial_cancelled(story: Story, draw: random.Random) -> None:
    _subscribe_on_trial(story, draw)
    story.steps.append(Step("cancel_subscription", 1))


def _overdue_then_paid(story: Story, draw: random.Random) -> None:
    """A renewal fails, perhaps twice, perhaps until nobody tries any more; the customer pays late."""
    _subscribed(story, draw)
    story.steps.append(Step("renew", _FAILED_RENEWAL, outcome="fail"))
    if draw.random() < 0.5:
        story.steps.append(Step("pay_subscription", _FIRST_FAILURE, outcome="fail"))
    if draw.random() < 0.3:
        story.steps.append(Step("give_up", 1))
    _pay_first(story)


def _overdue_for_good(story: Story, draw: random.Random) -> None:
    """Unpaid in the end, and sometimes then cancelled."""
    if draw.random() < 0.5:
        _subscribed(story, draw)
    else:
        _subscribe_on_trial(story, draw)
    story.steps += [Step("renew", _FAILED_RENEWAL, outcome="fail"), Step("give_up", 1)]
    if draw.random() < 0.5:
        story.steps.append(Step("cancel_subscription", 1))


def _left(story: Story, draw: random.Random) -> None:
    """Cancelled to the end of the period, which half of the customers live to see."""
    _subscribed(story, draw)
    story.steps.append(Step("leave", 1))
    story.steps.append(draw.choice((Step("renew", 1), Step("stay", 1))))


def _subscription_cancelled(story: Story, draw: random.Random) -> None:
    _renewed(story, draw)
    story.steps.append(Step("cancel_subscription", 1))


def _subscription_refunded(story: Story, draw: random.Random) -> None:
    """The invoice's payment is refunded, which changes the subscription in nothing."""
    _subscribed(story, draw)
    refund(story, draw, draw.choice((None, draw.randint(1, story.total))))


SUBSCRIPTIONS: dict[Tell, int] = {
    _subscribed: 4,
    _renewed: 4,
    _first_card_failed: 2,
    _never_paid: 2,
    _trial_then_paid: 3,
    _trial_cancelled: 2,
    _overdue_then_paid: 3,
    _overdue_for_good: 2,
    _left: 3,
    _subscription_cancelled: 2,
    _subscription_refunded: 2,
}
"""How often each story of a subscription is told, in shares of the sum of all."""
