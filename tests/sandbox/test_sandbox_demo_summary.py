"""The demo's judge: silent about a good run, and a sentence for each single thing that is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from psp.sandbox.demo_books import Evidence, books_lines
from psp.sandbox.demo_summary import judge, table

SALE, ODD, DROPPED = "evt_sale", "evt_odd", "evt_dropped"


def _entry(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "type": "checkout.session.completed",
        "object_id": f"cs_{event_id}",
        "body_sha256": f"sha-{event_id}",
        "acknowledged": 1,
        "conflict_sha256": None,
        "conflict_acknowledged": 0,
    } | changes


def _row(event_id: str, state: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "verdict": "ok",
        "origin": "psp",
        "state": state,
        "body_sha256": f"sha-{event_id}",
        "duplicate": False,
        "last_error": None,
        "requests": 1,
    } | changes


def _good() -> Evidence:
    """A sale that came twice and once more with another body, an odd one, and one never sent."""
    stats = {
        "deliveries_sent": 5,
        "acknowledged": 3,
        "conflicting_acknowledged": 1,
        "retries": 0,
        "dropped": 1,
        "forged_accepted": 0,
        "forged_unanswered": 0,
        "refused": {"bad_sig": 1},
        "scheduled": 0,
    }
    journal = [
        _entry(SALE, acknowledged=2, conflict_sha256="sha-other", conflict_acknowledged=1),
        _entry(ODD),
        _entry(DROPPED, acknowledged=0),
    ]
    rows = [
        _row(SALE, "applied"),
        _row(SALE, "applied", duplicate=True),
        _row(SALE, "applied", duplicate=True, body_sha256="sha-other"),
        _row(ODD, "quarantined", last_error="amount_mismatch"),
        _row(DROPPED, "ignored", origin="reconciler", body_sha256="sha-rendered-anew"),
        _row("evt_claimed", "", verdict="bad_sig"),
    ]
    books = {
        "accounts": {"acc-1": {"credits": 250}},
        "totals": {"credits": 250},
        "subscriptions": {"sub_1": {"status": "past_due", "account": "acc-1"}},
        "orders": {"order-1": {"status": "refunded"}, "order-2": {"status": "completed"}},
        "transfers": {
            "tr_1": {"status": "reversed", "order": "order-1"},
            "tr_2": {"status": "completed", "order": "order-2"},
        },
        "sellers": {"seller_1": {"usd": -70, "eur": 0}, "seller_2": {"usd": 0}},
        "money": {
            "usd": {
                "charged": 289,
                "refunded": 0,
                "disputed": 0,
                "transferred": 7,
                "net": 282,
                "balanced": True,
            }
        },
    }
    statuses = {
        "subscription": {"sub_1": "past_due"},
        "order": {"order-1": "refunded", "order-2": "completed"},
        "transfer": {"tr_1": "reversed", "tr_2": "completed"},
    }
    sellers = {"seller_1": {"usd": -70}, "seller_2": {}}
    return Evidence(journal, stats, rows, books, {"acc-1": 250}, {f"cs_{ODD}"}, statuses, sellers)


def test_a_good_run_has_no_faults() -> None:
    """Nothing waits, nothing is missing, and the table counts each row once."""
    verdict = judge(_good())

    assert (verdict.faults, verdict.waiting, verdict.missing) == ([], 0, 0)
    assert verdict.good
    assert {what.strip(): counts for what, *counts in verdict.rows} == {
        "events made": ["3", "3"],
        "deliveries sent": ["5", "5"],
        "acknowledged": ["4", "4"],
        "duplicates": ["-", "1"],
        "conflicting (second body, one id)": ["1", "1"],
        "retried": ["0", "-"],
        "never sent": ["1", "-"],
        "repaired by the reconciler": ["-", "1"],
        "applied": ["-", "1"],
        "ignored": ["-", "1"],
        "superseded": ["-", "0"],
        "parked": ["-", "0"],
        "quarantined": ["1", "1"],
        "refused": ["1", "1"],
        "bad_sig": ["1", "1"],
    }


def _lose_a_delivery(evidence: Evidence) -> None:
    del evidence.deliveries[1]


def _change_stored_bytes(evidence: Evidence) -> None:
    evidence.deliveries[0]["body_sha256"] = "sha-of-something-else"


def _lose_the_second_body(evidence: Evidence) -> None:
    del evidence.deliveries[2]


def _never_repair(evidence: Evidence) -> None:
    del evidence.deliveries[4]


def _leave_parked(evidence: Evidence) -> None:
    evidence.deliveries[4]["state"] = "parked"


def _quarantine_a_sale(evidence: Evidence) -> None:
    for row in evidence.deliveries[:3]:
        row |= {"state": "quarantined", "last_error": "poison"}


def _believe_the_odd_one(evidence: Evidence) -> None:
    evidence.deliveries[3]["state"] = "applied"


def _take_a_forgery(evidence: Evidence) -> None:
    evidence.stats["forged_accepted"] = 1


def _choke_on_a_forgery(evidence: Evidence) -> None:
    evidence.stats["forged_unanswered"] = 1


def _forget_a_refusal(evidence: Evidence) -> None:
    evidence.stats["refused"]["bad_sig"] = 3
    evidence.deliveries.append(_row("evt_shared", "", verdict="stale_ts", requests=7))


def _still_send(evidence: Evidence) -> None:
    evidence.stats["scheduled"] = 1


def _credit_one_more(evidence: Evidence) -> None:
    evidence.balances["acc-1"] = 251


def _know_no_account(evidence: Evidence) -> None:
    evidence.balances.clear()


def _unbalance_the_sandbox(evidence: Evidence) -> None:
    evidence.books["money"]["usd"]["balanced"] = False


def _miss_a_renewal(evidence: Evidence) -> None:
    evidence.statuses["subscription"]["sub_1"] = "active"


def _know_no_order(evidence: Evidence) -> None:
    evidence.statuses["order"]["order-1"] = "unknown"


def _believe_a_reversal(evidence: Evidence) -> None:
    evidence.statuses["transfer"]["tr_2"] = "reversed"


def _owe_a_seller_more(evidence: Evidence) -> None:
    evidence.sellers["seller_1"]["usd"] = -69


def _owe_a_strange_unit(evidence: Evidence) -> None:
    evidence.sellers["seller_2"]["eur"] = 5


def _never_reverse(evidence: Evidence) -> None:
    evidence.books["transfers"]["tr_1"]["status"] = "completed"
    evidence.statuses["transfer"]["tr_1"] = "completed"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lose_a_delivery, f"1 events with an acknowledged delivery that is not in the log: {SALE}"),
        (_change_stored_bytes, f"1 events with an acknowledged delivery that is not in the log: {SALE}"),
        (
            _lose_the_second_body,
            f"1 events with an acknowledged delivery that is not in the log: {SALE} (its second body)",
        ),
        (_never_repair, f"1 events without a final state: {DROPPED} (missing)"),
        (_leave_parked, f"1 events without a final state: {DROPPED} (parked)"),
        (_quarantine_a_sale, f"1 events in quarantine that should not be: {SALE} (poison)"),
        (_believe_the_odd_one, f"1 unbelievable sales that are not in quarantine: {ODD}"),
        (_take_a_forgery, "1 forged deliveries were acknowledged"),
        (_choke_on_a_forgery, "1 forged deliveries were not answered with a 400"),
        (
            _forget_a_refusal,
            "1 kinds of refusals are not all in the log: bad_sig (sandbox 3, Sluice 1)",
        ),
        (_still_send, "1 deliveries are still scheduled"),
        (_credit_one_more, "1 accounts differ: acc-1 (sandbox 250, Sluice 251)"),
        (_know_no_account, "1 accounts differ: acc-1 (sandbox 250, Sluice 0)"),
        (_miss_a_renewal, "1 subscriptions differ: sub_1 (sandbox past_due, Sluice active)"),
        (_know_no_order, "1 orders differ: order-1 (sandbox refunded, Sluice unknown)"),
        (_believe_a_reversal, "1 transfers differ: tr_2 (sandbox completed, Sluice reversed)"),
        (_owe_a_seller_more, "1 balances of sellers differ: seller_1 (sandbox -70 usd, Sluice -69 usd)"),
        (_owe_a_strange_unit, "1 balances of sellers differ: seller_2 (sandbox nothing, Sluice 5 eur)"),
        (_never_reverse, "1 transfers of refunded orders are not reversed: tr_1"),
        (_unbalance_the_sandbox, "the sandbox's own usd books do not balance"),
    ],
)
def test_each_single_fault_is_named(spoil: Any, said: str) -> None:
    """One thing goes wrong, one sentence says it, and the run is not good."""
    evidence = copy.deepcopy(_good())
    spoil(evidence)
    verdict = judge(evidence)

    assert verdict.faults == [said]
    assert not verdict.good


def test_what_is_printed_names_every_account_that_differs() -> None:
    """Totals of both sides and the accounts with their two balances."""
    evidence = _good()
    evidence.balances["acc-1"] = 7
    evidence.statuses["order"]["order-2"] = "failed"
    lines = books_lines(evidence)

    assert lines.splitlines() == [
        "  credits: sandbox 250, Sluice 7; 0 of 1 accounts agree",
        "    acc-1 (sandbox 250, Sluice 7)",
        "  subscriptions: 1 of 1 agree",
        "  orders: 1 of 2 agree",
        "    order-2 (sandbox completed, Sluice failed)",
        "  transfers: 2 of 2 agree",
        "  sellers: 2 of 2 agree",
        "  usd: charged 289, refunded 0, disputed 0, transferred 7, net 282 (minor units)",
    ]
    assert table([("made", "1", "22")]).splitlines()[-1] == "  made        1      22"
