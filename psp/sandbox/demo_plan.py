"""Plans from a seed what the demo's customers do; it must never look at a clock or the network.

A story is one purchase with everything that happens to it; the stories are told interleaved, each in its
own order. The plan knows how many events every step makes the sandbox emit, so that it stops at the number
asked for.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from .demo_hyperswitch import HYPERSWITCH_SALES
from .demo_plan_orders import ORDERS
from .demo_plan_subscriptions import SUBSCRIPTIONS
from .demo_story import Step, Story, Tell, dispute, refund, repeated_requests

events_per_account = 40
"""About six purchases with their reversals: several per account, as the books are per account."""
accounts_min = 3
_sizes = (100, 250, 300, 1_000, 5_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """All stories and the order in which their steps are taken, as (story number, step)."""

    stories: list[Story]
    steps: list[tuple[int, Step]]
    accounts: int
    events: int


def gross(credit_cents: int) -> int:
    """What a customer pays for credits of one cent each, in cents, fee included (2.9 % and 30 cents)."""
    return -(-(credit_cents + 30) * 1000 // 971)


def plan(seed: int, events: int, weights: Mapping[Tell, int] | None = None) -> Plan:
    """At least `events` events, all decided by the seed; `weights` say how often each story is told."""
    draw = random.Random(f"demo:{seed}")
    accounts = max(accounts_min, events // events_per_account)
    stories: list[Story] = []
    made = 0
    unbelievable: tuple[Tell, ...] = (
        _no_account,
        _words_for_credits,
        _no_credits,
        _too_cheap,
        _wrong_currency,
    )
    for tell in unbelievable:
        made += _add(stories, draw, accounts, tell)
    weights = weights or WEIGHTS
    tells, shares = list(weights), list(weights.values())
    while made < events:
        made += _add(stories, draw, accounts, draw.choices(tells, shares)[0])
    placed: list[tuple[float, int, int, Step]] = []
    for story in stories:
        at = draw.random()
        for place, step in enumerate(story.steps):
            placed.append((at, story.number, place, step))
            at += draw.uniform(0.0, 0.15)
    placed.sort(key=lambda entry: entry[:3])
    return Plan(stories, [(number, step) for _, number, _, step in placed], accounts, made)


def _add(stories: list[Story], draw: random.Random, accounts: int, tell: Tell) -> int:
    size = draw.choice((*_sizes, draw.randint(20, 20_000)))
    story = Story(len(stories), tell.__name__.strip("_"), draw.randrange(accounts), size, gross(size))
    tell(story, draw)
    stories.append(story)
    return sum(step.events for step in story.steps)


def _bought(story: Story, draw: random.Random) -> None:
    story.steps += [Step("open", 0, twice=draw.random() < repeated_requests), Step("pay", 4)]


def _declined_once(story: Story, draw: random.Random) -> None:
    story.steps += [Step("open", 0), Step("pay", 3, outcome="fail"), Step("pay", 3)]


def _debited(story: Story, draw: random.Random) -> None:
    story.steps += [Step("open", 0), Step("debit", 4), Step("settle", 3, outcome="succeed")]


def _debit_failed(story: Story, draw: random.Random) -> None:
    story.steps += [Step("open", 0), Step("debit", 4), Step("settle", 3, outcome="fail")]


def _off_session(story: Story, draw: random.Random) -> None:
    story.steps.append(Step("charge", 3, twice=draw.random() < repeated_requests))


def _off_session_refunded(story: Story, draw: random.Random) -> None:
    _off_session(story, draw)
    refund(story, draw, draw.randint(1, story.total))


def _refunded(story: Story, draw: random.Random) -> None:
    _bought(story, draw)
    refund(story, draw, None)


def _refunded_in_parts(story: Story, draw: random.Random) -> None:
    """Two or three partial refunds, in a third of the stories up to the last cent."""
    _bought(story, draw)
    left = story.total
    for _ in range(draw.randint(2, 3)):
        part = draw.randint(1, max(1, left // 2))
        refund(story, draw, part)
        left -= part
    if draw.random() < 1 / 3:
        refund(story, draw, None)


def _refund_failed(story: Story, draw: random.Random) -> None:
    """A refund that succeeds and comes back; sometimes the merchant then refunds again."""
    _bought(story, draw)
    refund(story, draw, draw.choice((None, draw.randint(1, story.total))))
    story.steps.append(Step("fail_refund", 3))
    if draw.random() < 0.5:
        refund(story, draw, draw.randint(1, story.total))


def _debit_refunded(story: Story, draw: random.Random) -> None:
    """A bank debit's refund is pending until the bank answers."""
    _debited(story, draw)
    story.steps.append(Step("refund", 1, amount=draw.randint(1, story.total)))
    verb = draw.choice(("succeed_refund", "succeed_refund", "fail_refund"))
    story.steps.append(Step(verb, 3))


def _dispute_lost(story: Story, draw: random.Random) -> None:
    _bought(story, draw)
    dispute(story, draw, "lost", None, inquiry=False)


def _dispute_won(story: Story, draw: random.Random) -> None:
    _bought(story, draw)
    dispute(story, draw, "won", draw.choice((None, draw.randint(1, story.total))), inquiry=False)


def _dispute_won_and_lost(story: Story, draw: random.Random) -> None:
    """The bank takes the money, gives it back, and takes it for good."""
    _bought(story, draw)
    dispute(story, draw, "again", draw.choice((None, draw.randint(1, story.total))), inquiry=False)


def _inquired(story: Story, draw: random.Random) -> None:
    _bought(story, draw)
    dispute(story, draw, "lost", None, inquiry=True)


def _refunded_and_disputed(story: Story, draw: random.Random) -> None:
    """Part is refunded, then the bank takes all of it: together more than was ever paid."""
    _bought(story, draw)
    refund(story, draw, draw.randint(1, story.total))
    dispute(story, draw, draw.choice(("lost", "won")), None, inquiry=False)


def _abandoned(story: Story, draw: random.Random) -> None:
    story.steps += [Step("open", 0), Step("expire", 1)]


def _foreign(story: Story, draw: random.Random) -> None:
    """Somebody else's sale on the same PSP account: no purpose, no credits, to be ignored."""
    story.metadata = {"order": f"foreign-{story.number}"}
    story.expects = "ignored"
    _bought(story, draw)


def _no_account(story: Story, draw: random.Random) -> None:
    story.metadata = {"purpose": "credits_topup", "credits": str(story.credits)}
    _unbelievable(story)


def _words_for_credits(story: Story, draw: random.Random) -> None:
    story.metadata = {"credits": "a few"}
    _unbelievable(story)


def _no_credits(story: Story, draw: random.Random) -> None:
    story.metadata = {"credits": "0"}
    _unbelievable(story)


def _too_cheap(story: Story, draw: random.Random) -> None:
    story.credits, story.total = 5_000, 130
    _unbelievable(story)


def _wrong_currency(story: Story, draw: random.Random) -> None:
    story.currency = "eur"
    _unbelievable(story)


def _unbelievable(story: Story) -> None:
    """A paid top-up that must end in quarantine and credit nobody."""
    story.expects = "quarantined"
    story.steps += [Step("open", 0), Step("pay", 4)]


TOPUPS: dict[Tell, int] = {
    _bought: 38,
    _declined_once: 6,
    _debited: 10,
    _debit_failed: 4,
    _off_session: 8,
    _off_session_refunded: 3,
    _refunded: 8,
    _refunded_in_parts: 8,
    _refund_failed: 5,
    _debit_refunded: 4,
    _dispute_lost: 3,
    _dispute_won: 3,
    _dispute_won_and_lost: 2,
    _inquired: 1,
    _refunded_and_disputed: 2,
    _abandoned: 2,
    _foreign: 4,
}
"""How often each story of prepaid credits is told, in shares of the sum of all."""
WEIGHTS = TOPUPS | SUBSCRIPTIONS | ORDERS
"""Everything that the demo sells through Stripe."""


def weights_with(*, hyperswitch: bool) -> dict[Tell, int]:
    """Everything that the demo sells; `hyperswitch` says whether there is such a merchant too."""
    return WEIGHTS | (HYPERSWITCH_SALES if hyperswitch else {})
