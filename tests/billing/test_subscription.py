"""What each kind of event does to a mirrored subscription, one rule a test."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from billing.facts import NotForUs, SubscriptionValues
from billing.machine import Machine
from billing.mirror import SUBSCRIPTION_WAIT_S
from billing.ordering import DELETED
from billing.rules import decide
from billing.subject import Book
from billing.subscription import INVOICE, SUBSCRIPTION
from tests.billing.test_credits import CAUSE
from tests.support.mirrored import LOOKS, happen, invoice, looks, sub

PENDING = LOOKS
ACTIVE = looks("active")


def test_a_subscription_is_mirrored_from_its_first_event() -> None:
    """It becomes known in the state that the PSP says, whichever event comes first."""
    for status in SUBSCRIPTION.states:
        end = happen((5, sub(looks(status), looks("trialing"))))

        assert end.status == status
        assert end.rules == [SUBSCRIPTION.rules(None, status)[0]]


def test_created_and_updated_within_a_second_end_active_in_either_order() -> None:
    """The nearest peer stays on incomplete when created comes last (peers.md 0.1)."""
    events = ((5, sub(PENDING)), (5, sub(ACTIVE, PENDING)))

    assert [happen(*events, order=order).status for order in ((0, 1), (1, 0))] == ["active", "active"]


def test_an_update_after_deletion_is_superseded() -> None:
    """A deleted subscription never comes back, even by an event of a later second (peers.md 0.2)."""
    gone = sub(looks("canceled"), kind=DELETED)
    end = happen((5, sub(ACTIVE)), (8, gone), (9, sub(ACTIVE, PENDING)))

    assert end.status == "canceled"
    assert end.last_outcome == ("superseded", "after_deletion")


def test_an_update_that_comes_after_the_deletion_it_precedes_is_superseded() -> None:
    """Late, and older: the same."""
    gone = sub(looks("canceled"), kind=DELETED)

    assert happen((8, gone), (7, sub(ACTIVE, PENDING))).status == "canceled"
    assert happen((8, gone), (8, sub(ACTIVE, PENDING))).status == "canceled"


def test_an_older_backfilled_version_does_not_beat_a_newer_webhook() -> None:
    """What a repair fetched before the webhook happened is older than it (peers.md 0.3)."""
    backfilled = sub(ACTIVE, ACTIVE)
    end = happen((9, sub(looks("past_due"), ACTIVE)), (8, backfilled))

    assert end.status == "past_due"
    assert end.last_outcome == ("superseded", "older_version")


def test_an_unknown_type_is_ignored() -> None:
    """A type that the PSP adds tomorrow changes nothing and stops nothing."""
    assert decide(NotForUs("unhandled_type"), Book(), CAUSE).state == "ignored"


def test_a_replay_changes_nothing() -> None:
    """No second journal entry, no new version."""
    end = happen((5, sub(PENDING)), (6, sub(ACTIVE, PENDING)), order=(0, 1, 1, 0))

    assert end.subscription is not None
    assert (end.subscription.version, end.rules) == (2, ["payment_awaited", "payment_succeeded"])


def test_a_change_in_the_same_state_is_recorded() -> None:
    """A cancellation at the end of the period is no new state, and still an entry of the journal."""
    ending = looks("active", cancel_at_period_end=True)
    end = happen((5, sub(ACTIVE)), (6, sub(ending, ACTIVE)))

    assert end.rules == ["started", "details_changed"]
    assert end.subscription is not None
    assert end.subscription.values.cancel_at_period_end is True


def test_a_jump_that_the_table_does_not_list_is_followed_under_its_own_name() -> None:
    """The PSP is the authority of what is mirrored."""
    end = happen((5, sub(looks("suspended"))), (6, sub(looks("expired"), looks("suspended"))))

    assert (end.status, end.rules) == ("expired", ["first_seen", "status_corrected"])


@pytest.mark.parametrize("machine", [SUBSCRIPTION, INVOICE], ids=lambda machine: machine.name)
def test_the_mirror_walks_every_edge_of_its_table(machine: Machine) -> None:
    """Each listed change of state is recorded under its listed rule, and each other one as a correction."""
    for before, after in itertools.permutations(machine.states, 2):
        if machine is SUBSCRIPTION:
            end = happen((5, sub(looks(before))), (6, sub(looks(after), looks(before))))
        else:
            first = invoice(before, 4 if before == "paid" else None)
            second = invoice(after, 4 if after == "paid" else None, before=first.values)
            end = happen((1, sub(looks("active"))), (5, first), (6, second))

        assert end.rules[-1] == (machine.rules(before, after) or ("status_corrected",))[0]


def test_a_paid_invoice_starts_what_waits_for_it() -> None:
    """Pending, overdue and expired become active through the payment of their latest invoice."""
    for status, rule in (
        ("pending_payment", "payment_succeeded"),
        ("past_due", "payment_succeeded"),
        ("expired", "late_success"),
    ):
        end = happen((5, sub(looks(status))), (7, invoice("paid", 6)))

        assert (end.status, end.rules[1:]) == ("active", ["paid", rule])


def test_a_payment_does_not_overrule_what_the_psp_says_later() -> None:
    """Expired after the payment, deleted, suspended or of another invoice: no revival."""
    paid = invoice("paid", 6)
    for second, fact in (
        (7, sub(looks("expired"), PENDING)),
        (6, sub(looks("canceled"), kind=DELETED)),
        (5, sub(looks("expired"), kind=DELETED)),
        (5, sub(looks("suspended"))),
        (5, sub(looks("past_due", latest_invoice_id="in_2"))),
        (5, sub(looks("past_due", latest_invoice_id=None))),
    ):
        for order in ((0, 1), (1, 0)):
            end = happen((second, fact), (6, paid), order=order)

            assert end.status == fact.values.status


def test_a_later_failure_ends_a_revival() -> None:
    """Late success, then the PSP says expired after all."""
    end = happen(
        (5, sub(looks("expired"))), (6, invoice("paid", 6)), (7, sub(looks("expired"), looks("expired")))
    )

    assert (end.status, end.rules) == ("expired", ["first_seen", "paid", "late_success", "late_failure"])


def test_an_invoice_before_its_subscription_waits_and_is_woken() -> None:
    """Too early is a state, not a loss; after the wait it is a person's matter."""
    early = invoice("paid", 6)
    end = happen((6, early), (5, sub(PENDING)), splits=(1,))
    alone = decide(early, Book(), CAUSE)

    assert [state for state, _ in end.outcomes] == ["parked", "applied", "applied"]
    assert end.status == "active"
    assert (alone.awaits, alone.wait_s) == ("subscription:sub_1", SUBSCRIPTION_WAIT_S)
    assert decide(early, Book(), CAUSE, waited=True).reason == "subscription_never_came"


def test_paid_at_is_the_psps_and_never_bumped() -> None:
    """invoice.paid, payment_succeeded and an update tell one payment; the first time stays."""
    paid = invoice("paid", 6)
    end = happen((5, sub(PENDING)), (6, paid), (6, paid), (9, paid), order=(0, 1, 2, 3, 1, 3))

    assert end.invoices["in_1"].values.paid_at == 6


def test_a_late_invoice_version_does_not_unpay() -> None:
    """Finalized and paid in one second, in either order, and finalized late."""
    events = ((5, sub(PENDING)), (6, invoice("open")), (6, invoice("paid", 6)), (7, invoice("paid", 6)))
    for order in ((0, 1, 2), (0, 2, 1), (0, 3, 1)):
        end = happen(*events, order=order)

        assert (end.invoices["in_1"].status, end.alerts) == ("paid", [])


def test_a_payment_id_stays_once_it_is_known() -> None:
    """Newer versions of the API leave it out of the invoice; that does not unlearn it."""
    events = (
        (5, sub(PENDING)),
        (6, invoice("open", payment_id="pi_1")),
        (7, invoice("paid", 7)),
    )
    for order in ((0, 1, 2), (0, 2, 1)):
        assert happen(*events, order=order).invoices["in_1"].payment_id == "pi_1"


def test_an_invoice_does_not_change_its_subscription() -> None:
    """A contradiction is a person's matter."""
    other = invoice("open")
    end = happen((5, sub(PENDING)), (6, other), (7, replace(other, currency="eur")))

    assert end.last_outcome == ("quarantined", "contradicts_invoice")


def test_a_tie_that_nothing_decides_is_flagged_once() -> None:
    """Both workers end alike, a person is asked, and a later version settles it."""
    down, up = looks("past_due"), ACTIVE
    events = ((5, sub(down, up)), (5, sub(up, down)), (6, sub(up, up)))
    for order in ((0, 1), (1, 0), (0, 1, 1, 0)):
        end = happen(*events, order=order)

        assert end.status == "past_due"
        assert [(name, subject) for name, subject, _ in end.alerts] == [
            ("ambiguous_order", "stripe:subscription:sub_1")
        ]
    settled = happen(*events, order=(0, 1, 2))
    assert settled.subscription is not None
    assert (settled.status, settled.subscription.order.ambiguous) == ("active", False)


def test_a_tie_that_grows_is_flagged_no_second_time() -> None:
    """One alert an object, as long as it is open to doubt."""
    down, up = looks("past_due"), ACTIVE
    third = sub(looks("trialing"), looks("suspended"))
    end = happen((5, sub(down, up)), (5, sub(up, down)), (5, third))

    assert end.subscription is not None
    assert (end.subscription.order.ambiguous, len(end.alerts)) == (True, 1)


def test_the_psps_own_expiry_is_the_last_of_its_second() -> None:
    """Only a payment revives what has expired, and that is our rule, not a version of the PSP's."""
    expired, active = sub(looks("expired"), PENDING), sub(ACTIVE, PENDING)
    for order in ((0, 1), (1, 0)):
        end = happen((5, expired), (5, active), order=order)

        assert (end.status, end.alerts) == ("expired", [])


def test_amounts_of_an_invoice_stand_in_the_journal() -> None:
    """What a change was about can be read without the payload."""
    end = happen((5, sub(PENDING)), (6, invoice("open")), (7, invoice("paid", 7)))
    last = end.effects[-2].transition

    assert last is not None
    assert (last.money_before, last.money_after) == (
        {"amount_due_minor": 2000, "amount_paid_minor": 0},
        {"amount_due_minor": 2000, "amount_paid_minor": 2000},
    )


def test_what_is_kept_reads_back_as_it_was_said() -> None:
    """The values of the latest version are those of the fact, type by type."""
    values = SubscriptionValues("trialing", "cus_1", None, "price_1", True, 1, 31, 15, None, None, None)
    end = happen((5, sub(values)))

    assert end.subscription is not None
    assert end.subscription.values == values
