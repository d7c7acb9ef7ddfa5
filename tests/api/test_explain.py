"""Explain: today's row and every transition and posting behind it, each with the delivery that caused it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import Seed, delivery
from tests.support.stripe_events import (
    checkout,
    dispute,
    encode,
    event,
    invoice,
    order_payment,
    refund,
    subscription,
    transfer,
    unique,
)


async def explained(house: House, path: str) -> dict[str, Any]:
    answer = await house.get(f"/audit/explain/{path}", DASHBOARD)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    assert found["history_complete"] is True
    times = [entry["at"] for entry in found["history"]]
    assert times == sorted(times)
    return found


async def test_account_with_topup_and_refund(house: House, seed: Seed) -> None:
    """An account tells its balance, and how each purchase and refund moved it, from first to last."""
    session = checkout(credits=100, amount=150, account="cust_1")
    bought = event("checkout.session.completed", session)
    given_back = event("refund.created", refund(session["payment_intent"], 75))
    topup = await seed.applied(bought)
    await seed.applied(given_back)

    found = await explained(house, "account/cust_1")

    assert (found["kind"], found["id"], found["state"]["status"]) == ("account", "cust_1", "open")
    (balance,) = found["state"]["balances"]
    assert (balance["unit"], balance["exponent"], balance["amount_minor"], balance["amount"]) == (
        "credit",
        0,
        50,
        "50",
    )
    postings = [entry for entry in found["history"] if entry["what"] == "posting"]
    assert [(entry["movement"], entry["before"], entry["after"]) for entry in postings] == [
        ("topup", {"credit": 0}, {"credit": 100}),
        ("refund_clawback", {"credit": 100}, {"credit": 50}),
    ]
    assert [leg["amount_minor"] for entry in postings for leg in entry["own"]] == [100, -50]
    cause = postings[0]["cause"]
    assert (
        cause["event_id"],
        cause["event_type"],
        cause["delivery_id"],
        cause["origin"],
        cause["actor"],
    ) == (
        bought["id"],
        "checkout.session.completed",
        str(topup),
        "psp",
        None,
    )
    assert cause["received_at"] <= postings[0]["at"]
    kinds = {entry["kind"] for entry in found["history"] if entry["what"] == "transition"}
    assert kinds >= {"checkout_session", "refund"}


@pytest.mark.parametrize("kind", ["checkout_session", "refund", "dispute"])
async def test_object_tells_state_and_history(house: House, seed: Seed, kind: str) -> None:
    """A purchase, refund or dispute shows its row, and its own last transition leads to the row's status."""
    session = checkout(credits=100, amount=150)
    money_back = refund(session["payment_intent"], 30)
    contested = dispute(session["payment_intent"], 60)
    for body in (
        event("checkout.session.completed", session),
        event("refund.created", money_back),
        event("charge.dispute.created", contested),
        event("charge.dispute.funds_withdrawn", contested),
    ):
        await seed.applied(body)
    object_id = {"checkout_session": session, "refund": money_back, "dispute": contested}[kind]["id"]

    found = await explained(house, f"{kind}/{object_id}")

    assert (found["kind"], found["id"], found["state"]["id"]) == (kind, object_id, object_id)
    transitions = [entry for entry in found["history"] if entry.get("kind") == kind]
    assert transitions[-1]["to_state"] == found["state"]["status"]
    assert [entry["seq"] for entry in transitions] == list(range(1, len(transitions) + 1))
    assert all(entry["rule"] and entry["cause"]["event_id"] for entry in transitions)
    postings = [entry for entry in found["history"] if entry["what"] == "posting"]
    movements = {
        "checkout_session": ["topup", "refund_clawback", "dispute_clawback"],
        "refund": ["refund_clawback"],
        "dispute": ["dispute_clawback"],
    }
    assert [entry["movement"] for entry in postings] == movements[kind]
    assert sum(leg["amount_minor"] for entry in postings for leg in entry["postings"]) == 0


async def test_purchase_names_its_refunds_and_disputes(house: House, seed: Seed) -> None:
    """From a purchase one finds the refunds and disputes that took credits back."""
    session = checkout(credits=100, amount=150)
    money_back, contested = refund(session["payment_intent"], 30), dispute(session["payment_intent"], 60)
    await seed.applied(event("checkout.session.completed", session))
    await seed.applied(event("refund.created", money_back))
    await seed.applied(event("charge.dispute.created", contested))

    state = (await explained(house, f"checkout_session/{session['id']}"))["state"]

    told = await explained(house, f"checkout_session/{session['id']}")
    assert [(entry["kind"], entry["object_id"]) for entry in told["history"] if "kind" in entry] == [
        ("checkout_session", session["id"]),
        ("refund", money_back["id"]),
        ("dispute", contested["id"]),
    ]
    assert (state["refunds"], state["disputes"]) == ([money_back["id"]], [contested["id"]])
    assert (state["account_id"], state["credits"], state["credits_taken"], state["amount"]) == (
        "cust_1",
        100,
        20,
        "1.50",
    )


async def test_subscription_tells_state_invoices_and_every_change(house: House, seed: Seed) -> None:
    """A subscription shows what the PSP says of it, its invoices, and the history of both."""
    subscribed = subscription("incomplete", metadata={"accountId": "cust_1"}, latest_invoice="in_1")
    await seed.applied(event("customer.subscription.created", subscribed))
    await seed.applied(event("invoice.paid", invoice(subscribed["id"], id="in_1")))

    told = await explained(house, f"subscription/{subscribed['id']}")

    assert (told["state"]["status"], told["state"]["psp_status"]) == ("active", "pending_payment")
    assert told["state"]["invoices"] == ["in_1"]
    assert [(entry["kind"], entry["to_state"]) for entry in told["history"]] == [
        ("subscription", "pending_payment"),
        ("subscription_invoice", "paid"),
        ("subscription", "active"),
    ]


async def sold_and_refunded(seed: Seed) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """An order that was paid, sent on to its seller in part and refunded whole, with its payment, transfer
    and refund.
    """
    order_id = unique("order")
    payment = order_payment(order_id)
    sent, back = transfer(order_id, 1500), refund(payment["id"], 5000)
    for body in (
        event("payment_intent.succeeded", payment),
        event("transfer.created", sent),
        event("refund.created", back),
        event("transfer.reversed", sent | {"amount_reversed": 1500}),
    ):
        await seed.applied(body)
    return order_id, payment, sent, back


async def test_order_tells_all_that_hangs_on_it(house: House, seed: Seed) -> None:
    """By our id and by the payment's: one answer, with licences, refunds, transfers and every movement."""
    order_id, payment, sent, back = await sold_and_refunded(seed)

    told = await explained(house, f"order/{order_id}")

    assert await explained(house, f"order/{payment['id']}") == told
    state = told["state"]
    assert (told["id"], state["status"], state["amount"]) == (order_id, "refunded", "50.00")
    assert (state["refunds"], state["transfers"], state["disputes"]) == ([back["id"]], [sent["id"]], [])
    assert state["licenses"] == [f"{order_id}:font", f"{order_id}:font-italic"]
    steps: dict[str, list[str]] = {}
    for entry in told["history"]:
        if entry["what"] == "transition":
            steps.setdefault(entry["object_id"], []).append(entry["to_state"])
    assert steps == {
        order_id: ["completed", "refunded"],
        f"{order_id}:font": ["active", "revoked"],
        f"{order_id}:font-italic": ["active", "revoked"],
        sent["id"]: ["completed", "reversal_pending", "reversed"],
        back["id"]: ["succeeded"],
    }
    assert [entry["movement"] for entry in told["history"] if entry["what"] == "posting"] == [
        "sale",
        "transfer",
        "refund_clawback",
        "transfer_reversal",
    ]


async def test_transfer_tells_what_went_out_and_what_came_back(house: House, seed: Seed) -> None:
    """Its own row, transitions and movements, and none of its order's."""
    order_id, _, sent, _ = await sold_and_refunded(seed)

    told = await explained(house, f"transfer/{sent['id']}")

    state = told["state"]
    assert (state["status"], state["order_id"], state["seller_id"]) == ("reversed", order_id, "seller_1")
    assert (state["amount"], state["reversed_minor"], state["destination"]) == ("15.00", 1500, "acct_seller")
    assert [entry["to_state"] for entry in told["history"] if entry["what"] == "transition"] == [
        "completed",
        "reversal_pending",
        "reversed",
    ]
    assert [entry["movement"] for entry in told["history"] if entry["what"] == "posting"] == [
        "transfer",
        "transfer_reversal",
    ]


async def test_account_of_a_seller_tells_the_orders_money(house: House, seed: Seed) -> None:
    """A seller sees sale, transfer, refund and the transfer's way back, and ends with nothing."""
    _, _, sent, _ = await sold_and_refunded(seed)

    seller = await explained(house, "account/seller_1")

    (balance,) = seller["state"]["balances"]
    assert (balance["unit"], balance["amount"]) == ("usd", "0.00")
    assert {e["object_id"] for e in seller["history"] if e.get("kind") == "transfer"} == {sent["id"]}
    postings = [entry["own"] for entry in seller["history"] if entry["what"] == "posting"]
    assert [[leg["amount_minor"] for leg in own] for own in postings] == [[4000], [-1500], [-4000], [1500]]


async def test_account_below_zero_is_overdrawn(house: House, seed: Seed) -> None:
    """A customer whose balance a clawback took below zero reads `overdrawn`; the house's side never does."""
    session = checkout(credits=100, amount=150)
    await seed.applied(event("checkout.session.completed", session))
    await seed.grant("cust_1", "credit", -70)
    await seed.applied(event("refund.created", refund(session["payment_intent"], 150)))

    found = await explained(house, "account/cust_1")

    assert (found["state"]["status"], found["state"]["balances"][0]["amount_minor"]) == ("overdrawn", -70)
    assert (await explained(house, "account/system:credits_issued"))["state"]["status"] == "open"


async def test_posting_by_hand_names_its_actor(house: House, seed: Seed) -> None:
    """What no event caused names who did it."""
    await seed.grant("cust_1", "usdc", 12_345_678)

    (posting,) = (await explained(house, "account/cust_1"))["history"]

    assert (posting["cause"]["actor"], posting["cause"]["event_id"]) == ("tests", None)
    assert posting["own"][0]["amount"] == "1.2345678"


async def test_cause_survives_the_payload(house: House, seed: Seed) -> None:
    """When retention has taken a delivery, the history still names its event."""
    session = checkout()
    bought = event("checkout.session.completed", session)
    await seed.applied(bought)
    await seed.connection.execute(
        "WITH l AS (DELETE FROM webhook_log), e AS (UPDATE webhook_event SET log_id = log_id) SELECT 1"
    )

    found = await explained(house, f"checkout_session/{session['id']}")

    causes = [entry["cause"] for entry in found["history"]]
    assert {(cause["event_id"], cause["event_type"]) for cause in causes} == {
        (bought["id"], "checkout.session.completed")
    }
    assert {cause["origin"] for cause in causes} == {None}


async def test_one_id_in_two_sources_asks_which(house: House, seed: Seed) -> None:
    """An id that two accounts of a PSP share is not guessed at."""
    session = checkout()
    body = encode(event("checkout.session.completed", session))
    await seed.append(delivery(body), delivery(body, source="stripe:acct_9"))
    await seed.drain()
    path = f"/audit/explain/checkout_session/{session['id']}"

    unclear = await house.get(path, OPS)
    clear = await house.get(f"{path}?source=stripe:acct_9", OPS)

    assert (unclear.status, unclear.json["code"]) == (400, "AMBIGUOUS_ID")
    assert (clear.status, clear.json["state"]["source"]) == (200, "stripe:acct_9")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("account/nobody", "NOT_FOUND"),
        ("account/%00", "NOT_FOUND"),
        ("checkout_session/cs_none", "NOT_FOUND"),
        ("refund/re_none", "NOT_FOUND"),
        ("dispute/dp_none", "NOT_FOUND"),
        ("subscription/sub_none", "NOT_FOUND"),
        ("order/1", "NOT_FOUND"),
        ("transfer/1", "NOT_FOUND"),
        ("license/1", "UNKNOWN_KIND"),
        ("pg_roles/1", "UNKNOWN_KIND"),
    ],
)
async def test_unknown_objects_and_kinds_are_404(house: House, path: str, code: str) -> None:
    """An id that nothing has is 404, and so is a kind without a table, with a code that tells them apart."""
    answer = await house.get(f"/audit/explain/{path}", OPS)

    assert (answer.status, answer.json["code"]) == (404, code)
