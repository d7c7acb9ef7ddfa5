"""What deliveries mean, from outside: which checkouts are credited, what a delivery of Hyperswitch is about,
what an answer says, and what the log tells of each.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from psp.hyperswitch import signature as hyperswitch
from tests.acceptance.conftest import SECRET, SWITCH_SECRET, Stack, started
from tests.psp import hyperswitch_bodies as bodies
from tests.support import hyperswitch_events as switch
from tests.support import stripe_events as made
from tests.support.poll import until
from tests.support.processes import Processes

RECEIVED = (200, '{"received":true}')


def topup(account: str, **changes: Any) -> dict[str, Any]:
    """A completed checkout of 250 credits, changed; what stands under `metadata` is changed one by one, and
    goes where None is written.
    """
    session = made.checkout(account=account)
    metadata = session["metadata"] | changes.pop("metadata", {})
    session["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    return made.event("checkout.session.completed", session | changes)


async def test_which_checkouts_are_credited(stack: Stack) -> None:
    """A paid top-up alone. Another mode or purpose, or no payment yet, is passed over with its reason;
    metadata that cannot be meant wait for a person. None of it is an error of the receiver, which the system
    before this one answered with endless 500s.
    """
    cases = {
        "good": (topup("good"), "applied", None),
        "mode": (topup("mode", mode="subscription"), "ignored", "not_a_payment_checkout"),
        "purpose": (topup("purpose", metadata={"purpose": "gift"}), "ignored", "not_a_topup"),
        "unpaid": (topup("unpaid", payment_status="unpaid"), "ignored", "not_paid"),
        "no account": (topup("x", metadata={"accountId": None}), "quarantined", "bad_metadata"),
        "no credits": (topup("none", metadata={"credits": None}), "quarantined", "bad_metadata"),
        "no number": (topup("word", metadata={"credits": "many"}), "quarantined", "bad_metadata"),
        "zero": (topup("zero", metadata={"credits": "0"}), "quarantined", "bad_metadata"),
        "other": (made.event("product.created", {"id": "prod_1"}), "ignored", "unhandled_type"),
    }  # fmt: skip
    answers = await stack.send_all(*(event for event, _, _ in cases.values()))
    await stack.settled()
    kept = {delivery["event_id"]: delivery for delivery in await stack.deliveries()}
    told = {name: kept[event["id"]] for name, (event, _, _) in cases.items()}
    results = {"applied": "ok", "ignored": "skipped", "quarantined": "error: bad_metadata"}

    assert answers == [RECEIVED] * len(cases)
    assert {name: (row["state"], row["reason"]) for name, row in told.items()} == {
        name: (state, reason) for name, (_, state, reason) in cases.items()
    }
    for row in told.values():
        assert row["processing_result"].startswith(results[row["state"]])
    assert [await stack.credits(name) for name in ("good", "mode", "purpose", "unpaid", "word", "zero")] == [
        250, 0, 0, 0, 0, 0,
    ]  # fmt: skip


async def test_play_money_stays_out_of_a_live_ledger(dsn: str, redis_url: str, processes: Processes) -> None:
    """An endpoint that names its mode holds back what is of the other one, however well it is signed; the
    system before this one looked at neither.
    """
    endpoints = [
        {"path": mode, "provider": "stripe", "account": f"acct_{mode}", "mode": mode, "secrets": [SECRET]}
        for mode in ("live", "test")
    ]
    async with started(dsn, redis_url, processes, WEBHOOK_ENDPOINTS=json.dumps(endpoints)) as stack:
        for path in ("live", "test"):
            for is_live in (True, False):
                event = topup(f"{path}-{is_live}") | {"livemode": is_live}
                answered = await stack.send(json.dumps(event), path)
                assert answered == RECEIVED
        await stack.settled()
        rows = reversed(await stack.deliveries())

        assert [(row["endpoint"], row["state"], row["reason"]) for row in rows] == [
            ("live", "applied", None),
            ("live", "quarantined", "wrong_mode"),
            ("test", "quarantined", "wrong_mode"),
            ("test", "applied", None),
        ]
        accounts = ("live-True", "live-False", "test-True", "test-False")
        assert [await stack.credits(account) for account in accounts] == [250, 0, 0, 250]


async def test_what_a_stripe_delivery_is_answered(stack: Stack) -> None:
    """Signed: received. Without a header, and with any other signature: the two words, and a row with its
    verdict.
    """
    body = json.dumps(topup("cust_1"))

    async def post(**headers: str) -> tuple[int, str]:
        url = f"{stack.receiver}/webhooks/stripe"
        async with stack.http.post(url, data=body.encode(), headers=headers) as answer:
            return answer.status, await answer.text()

    answers = [
        await post(),
        await post(**{"Stripe-Signature": ""}),
        await post(**{"Stripe-Signature": "t=1,v1=00"}),
        await post(**{"Stripe-Signature": "nonsense"}),
        await stack.send(body),
    ]
    await stack.settled()

    assert answers == [
        *[(400, '{"error":"Missing stripe-signature header"}')] * 2,
        *[(400, '{"error":"Invalid Stripe signature"}')] * 2,
        RECEIVED,
    ]
    assert sorted(row["processing_result"] for row in await stack.deliveries()) == [
        "ok", *["signature_invalid"] * 4,
    ]  # fmt: skip
    assert await stack.credits("cust_1") == 250


DISPATCHED = {
    "flat type": (
        bodies.flat("refund.succeeded", payment_id="pay_9", refund_id="ref_9", status="succeeded"),
        ("refund.succeeded", "ref_9", "parked"),
    ),
    "mixed case": (
        bodies.flat("Refund.SUCCEEDED", payment_id="pay_9", refund_id="ref_9", status="succeeded"),
        ("Refund.SUCCEEDED", "ref_9", "parked"),
    ),
    "nested id": (
        bodies.flat("refund.succeeded", object={"payment_id": "pay_9", "refund_id": "ref_9"}),
        ("refund.succeeded", "ref_9", "parked"),
    ),
    "a payment's": (
        bodies.flat("payment.processing", payment_id="pay_9", refund_id="ref_9", status="processing"),
        ("payment.processing", "pay_9", "ignored"),
    ),
    "an id alone": ({"refund_id": "ref_9"}, (None, None, "quarantined")),
    "nothing": ({}, (None, None, "quarantined")),
    "no refund's id": (
        bodies.flat("refund.succeeded", payment_id="pay_9"), ("refund.succeeded", None, "quarantined"),
    ),
}  # fmt: skip
"""What a delivery is about: type, object and state. The type alone says so; the system before this one also
took a stray refund's id for a refund.
"""


async def test_what_a_hyperswitch_delivery_is_about(stack: Stack) -> None:
    """Its type decides, dotted or not and in any case of letters, and ids are found where old bodies have
    them; what has no type, or is a refund's without its id, is kept for a person instead of being refused or
    dropped.
    """
    for name, (body, _) in DISPATCHED.items():
        event_id = {} if "event_type" not in body else {"event_id": f"evt_{name}"}
        await stack.send_of("hyperswitch", body | event_id)
    await stack.settled()
    rows = reversed(await stack.deliveries("&source=hyperswitch"))

    assert [(row["event_type"], row["object_id"], row["state"]) for row in rows] == [
        expected for _, expected in DISPATCHED.values()
    ]


async def test_a_refund_that_nobody_knows_waits_for_its_payment(stack: Stack) -> None:
    """Acknowledged and kept, where the system before this one acknowledged and forgot: the payment wakes
    it.
    """
    refund = switch.refund("pay_7", "ref_7", 5000, "succeeded")
    await stack.send_of("hyperswitch", refund)
    await stack.settled()
    (before,) = await stack.deliveries()
    await stack.send_of("hyperswitch", switch.payment("pay_7", "succeeded", bodies.ORDER))

    async def refunded() -> bool:
        async with stack.http.get(
            f"{stack.api}/audit/explain/refund/ref_7", headers=stack.operator
        ) as answer:
            return answer.status == 200 and (await answer.json())["state"]["status"] == "succeeded"

    await until(refunded, 30, "the refund to be applied")
    order = await stack.get("/audit/explain/order/order_1")

    assert (before["state"], before["processing_result"]) == ("parked", "pending")
    assert order["state"]["status"] == "refunded"


@pytest.mark.parametrize("given", [None, "req-of-a-proxy"])
async def test_the_log_has_a_row_of_every_hyperswitch_delivery(stack: Stack, given: str | None) -> None:
    """Applied, not JSON, and forged: one row each with the bytes, the type where there is one, the verdict,
    and a request id of ours where none came.
    """
    good = json.dumps(switch.payment("pay_1", "processing", None)).encode()
    sent = [(good, good), (b"no \xff json", b"no \xff json"), (good + b" ", good)]
    url = f"{stack.receiver}/webhooks/hyperswitch"
    statuses = []
    for body, signed in sent:
        headers = {"x-webhook-signature-512": hyperswitch.sign(signed, SWITCH_SECRET.encode())}
        headers |= {} if given is None else {"X-Request-Id": given}
        async with stack.http.post(url, data=body, headers=headers) as answer:
            statuses.append((answer.status, await answer.text()))
    await stack.settled()
    rows = [await stack.get(f"/audit/deliveries/{row['id']}") for row in reversed(await stack.deliveries())]

    assert statuses == [RECEIVED, RECEIVED, (400, '{"error":"Invalid Hyperswitch signature"}')]
    assert [(row["verdict"], row["processing_result"], row["event_type"]) for row in rows] == [
        ("ok", "skipped", "payment_processing"),
        ("ok", "error: bad_json: the body is not UTF-8", None),
        ("bad_sig", "signature_invalid", "payment_processing"),
    ]
    for row, (body, _) in zip(rows, sent, strict=True):
        raw = f"{stack.api}/audit/deliveries/{row['id']}/raw"
        async with stack.http.get(raw, headers=stack.operator) as answer:
            assert await answer.read() == body
        if given is None:
            assert re.fullmatch("[0-9a-f]{32}", row["request_id"])
        else:
            assert row["request_id"] == given
    assert len({row["request_id"] for row in rows}) == (3 if given is None else 1)
