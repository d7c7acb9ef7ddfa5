"""The Hyperswitch-shaped API of a real sandbox process: keys, own ids, states, refusals, books."""

from __future__ import annotations

import aiohttp
import pytest

from psp.hyperswitch.client import HyperswitchApi, HyperswitchRefusedError
from tests.sandbox.merchants import ASKS_BACK, DECLINED, HYPERSWITCH_KEY, VISA, Shop, card

OWN_PAYMENT = "pay_aaaaaaaaaaaaaaaaaaaaaaaaaa"
OWN_REFUND = "ref_bbbbbbbbbbbbbbbbbbbbbbbbbb"
ORDER = {"amount": 5_000, "currency": "USD", "payment_id": OWN_PAYMENT, "metadata": {"purpose": "order"}}


@pytest.mark.parametrize("key", [None, "", "another"])
async def test_a_wrong_key_is_refused(shop: Shop, key: str | None) -> None:
    """401 before anything is looked at, in Hyperswitch's shape."""
    for path in ("/payments/pay_1", "/nowhere"):
        status, answer = await shop.call("GET", path, key=key)

        assert status == 401
        assert answer["error"] == {
            "type": "invalid_request",
            "code": "IR_01",
            "message": "API key not provided or invalid API key used",
        }


async def test_an_own_payment_id_is_taken_once(shop: Shop) -> None:
    """The same id again is 400 HE_01 whatever else is said, and the first payment stays as it was."""
    made = await shop.api("POST", "/payments", ORDER)
    again = await shop.refused("POST", "/payments", ORDER | {"amount": 1})
    read = await shop.api("GET", f"/payments/{OWN_PAYMENT}?force_sync=true")

    assert again == (400, "HE_01")
    assert read == made
    assert (made["payment_id"], made["amount"], made["status"]) == (
        OWN_PAYMENT,
        5_000,
        "requires_payment_method",
    )
    assert made["metadata"] == {"purpose": "order"}
    assert made["client_secret"].startswith(f"{OWN_PAYMENT}_secret_")


async def test_an_answer_lost_on_the_way_is_found_by_its_own_id(shop: Shop) -> None:
    """A connection that breaks after the work: the retry meets HE_01, the GET finds the refund."""
    payment_id = await shop.paid()
    wanted = {"payment_id": payment_id, "refund_id": OWN_REFUND}
    await shop.control("api_faults", {"kind": "drop_after", "path": "/hyperswitch/refunds"})
    with pytest.raises(aiohttp.ClientConnectionError):
        await shop.call("POST", "/refunds", wanted)

    assert await shop.refused("POST", "/refunds", wanted) == (400, "HE_01")
    assert (await shop.api("GET", f"/refunds/{OWN_REFUND}"))["amount"] == 5_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payment_id": "too_short"}, "IR_07"),
        ({"amount": None}, "IR_04"),
        ({"amount": "5000"}, "IR_06"),
        ({"amount": 0}, "IR_07"),
        ({"amount": True}, "IR_06"),
        ({"currency": "usd"}, "IR_06"),
        ({"metadata": "text"}, "IR_06"),
        ({"confirm": True}, "IR_04"),
        (card("4000056655665556"), "IR_07"),
        ({"metadata": {"note": "\ud800"}}, "IR_06"),
        ({"metadata": {"note": float("nan")}}, "IR_06"),
    ],
)
async def test_payments_that_are_not_taken(shop: Shop, change: dict[str, object], code: str) -> None:
    """Refused with a code, and nothing is made."""
    assert await shop.refused("POST", "/payments", ORDER | change) == (400, code)
    assert (await shop.call("GET", f"/payments/{OWN_PAYMENT}"))[0] == 404


async def test_a_card_decides(shop: Shop) -> None:
    """With `confirm` a test card's number says how it ends; a failed payment succeeds under its id."""
    ends: list[tuple[str, object]] = []
    for number in (VISA, DECLINED, ASKS_BACK):
        body = {"amount": 100, "currency": "EUR", "confirm": True} | card(number)
        made = await shop.api("POST", "/payments", body)
        ends.append((made["status"], made["amount_received"]))
    failed = await shop.payment(100, **card(DECLINED), confirm=True)
    retried = await shop.api("POST", f"/payments/{failed}/confirm", card(VISA))

    assert ends == [("succeeded", 100), ("failed", None), ("requires_customer_action", None)]
    assert (retried["payment_id"], retried["status"], retried["attempt_count"]) == (failed, "succeeded", 2)
    assert (retried["error_code"], retried["payment_method_data"]) == (None, {"card": {"last4": "4242"}})
    assert await shop.refused("POST", f"/payments/{failed}/confirm", card(VISA)) == (400, "IR_16")


async def test_capture_and_cancel(shop: Shop) -> None:
    """What was authorised is captured wholly or in part, once; or cancelled, and then never captured."""
    ids = [await shop.paid(1_000, capture_method="manual") for _ in range(3)]
    whole = await shop.api("POST", f"/payments/{ids[0]}/capture")
    part = await shop.api("POST", f"/payments/{ids[1]}/capture", {"amount_to_capture": 400})
    too_much = await shop.refused("POST", f"/payments/{ids[2]}/capture", {"amount_to_capture": 1_001})
    gone = await shop.api("POST", f"/payments/{ids[2]}/cancel", {"cancellation_reason": "sold out"})

    assert (whole["status"], whole["amount_received"]) == ("succeeded", 1_000)
    assert (part["status"], part["amount_received"]) == ("partially_captured", 400)
    assert too_much == (400, "IR_07")
    assert (gone["status"], gone["cancellation_reason"]) == ("cancelled", "sold out")
    assert await shop.refused("POST", f"/payments/{ids[2]}/capture") == (400, "IR_14")
    assert await shop.refused("POST", f"/payments/{ids[0]}/cancel") == (400, "IR_16")
    assert await shop.control_refused(f"hyperswitch/payments/{ids[2]}/pay") == "IR_16"


async def test_refunds_never_exceed_what_was_captured(shop: Shop) -> None:
    """Partial refunds add up; an open one counts, a failed one does not; without an amount it is all."""
    payment_id = await shop.paid(1_000)
    await shop.refund(payment_id, amount=300)
    open_one = await shop.refund(payment_id, "pending", amount=500)
    whole = await shop.refused("POST", "/refunds", {"payment_id": payment_id})
    more = await shop.refused("POST", "/refunds", {"payment_id": payment_id, "amount": 201})
    await shop.control(f"hyperswitch/refunds/{open_one['refund_id']}/fail")
    rest = await shop.refund(payment_id, amount=700)
    another = await shop.refund(await shop.paid(250))

    assert whole == more == (400, "IR_13")
    assert (rest["status"], rest["amount"], another["amount"]) == ("succeeded", 700, 250)
    assert await shop.refused("POST", "/refunds", {"payment_id": payment_id, "amount": 1}) == (400, "IR_13")
    shown = await shop.api("GET", f"/payments/{payment_id}")
    assert [each["status"] for each in shown["refunds"]] == ["succeeded", "failed", "succeeded"]


async def test_refunds_that_are_not_made(shop: Shop) -> None:
    """Unknown fields, unknown payments, payments that were never paid, another merchant's."""
    paid, unpaid = await shop.paid(), await shop.payment()
    outcomes = [
        await shop.refused("POST", "/refunds", body)
        for body in (
            {"payment_id": paid, "order_id": "1"},
            {"payment_id": "pay_nobody"},
            {"payment_id": unpaid},
            {"payment_id": paid, "merchant_id": "merchant_other"},
            {"payment_id": paid, "refund_id": "short"},
            {"payment_id": paid, "reason": "x" * 256},
            {"amount": 1},
        )
    ]

    assert outcomes == [
        (400, "IR_06"),
        (404, "HE_02"),
        (400, "IR_14"),
        (400, "IR_07"),
        (400, "IR_07"),
        (400, "IR_07"),
        (400, "IR_04"),
    ]
    assert await shop.refused("GET", "/refunds/ref_nobody") == (404, "HE_02")
    assert (await shop.api("POST", "/refunds/list", {}))["total_count"] == 0


async def test_lists_page_and_filter(shop: Shop) -> None:
    """Payments by cursor and creation, refunds by payment and status with their total."""
    ids = [await shop.paid(100 + number) for number in range(3)]
    refunds = [await shop.refund(ids[0], answer, amount=10) for answer in ("succeeded", "review")]
    first = await shop.api("GET", "/payments/list?limit=2")
    rest = await shop.api("GET", f"/payments/list?limit=2&starting_after={first['data'][-1]['payment_id']}")
    born = (await shop.api("GET", f"/payments/{ids[0]}"))["created"]
    since = await shop.api("GET", f"/payments/list?created.gte={born}")
    before = await shop.api("GET", f"/payments/list?created.lt={born}")
    of_payment = await shop.api("POST", "/refunds/list", {"payment_id": ids[0], "limit": 1})
    in_review = await shop.api("POST", "/refunds/list", {"refund_status": ["review"]})

    assert [each["payment_id"] for each in first["data"] + rest["data"]] == ids[::-1]
    assert (first["size"], since["size"], before["size"]) == (2, 3, 0)
    assert (of_payment["count"], of_payment["total_count"]) == (1, 2)
    assert [each["refund_id"] for each in in_review["data"]] == [refunds[1]["refund_id"]]
    assert await shop.refused("GET", "/payments/list?limit=101") == (400, "IR_06")


async def test_the_books_add_up(shop: Shop) -> None:
    """What was captured, refunded and lost to disputes; all accounts together hold nothing."""
    kept, refunded, disputed, won = [await shop.paid(1_000) for _ in range(4)]
    await shop.payment(9_999)
    await shop.refund(refunded, amount=300)
    await shop.refund(kept, "review", amount=100)
    lost = await shop.control(f"hyperswitch/payments/{disputed}/dispute", {"amount": 400})
    await shop.control(f"hyperswitch/disputes/{lost['dispute_id']}/lose")
    back = await shop.control(f"hyperswitch/payments/{won}/dispute")
    for verb in ("challenge", "lose", "win"):
        await shop.control(f"hyperswitch/disputes/{back['dispute_id']}/{verb}")
    books = await shop.look("hyperswitch/books")

    assert books["money"] == {
        "usd": {"captured": 4_000, "refunded": 300, "disputed": 400, "net": 3_300, "balanced": True}
    }
    assert books["accounts"] == {
        "customers": {"usd": -3_700},
        "disputes": {"usd": 400},
        "merchant": {"usd": 3_300},
    }


async def test_the_books_say_what_sluice_should(shop: Shop) -> None:
    """Orders with their sellers' shares and own subscriptions, by the metadata of their payments."""

    def order(number: int) -> dict[str, str]:
        found = {"purpose": "order", "orderId": f"o{number}", "buyerId": "b"}
        return found | {"sellerId": "s", "sellerAmount": "600", "licences": "font, pack"}

    def subscription(number: int) -> dict[str, str]:
        return {
            "purpose": "subscription",
            "subscriptionId": f"s{number}",
            "accountId": "a",
            "planId": "pro",
        }

    await shop.refund(await shop.paid(1_000, metadata=order(1)), amount=501)
    await shop.refund(await shop.paid(1_000, metadata=order(2)))
    unheard = await shop.payment(1_000, metadata=order(3))
    await shop.paid(900, metadata=subscription(1))
    failing = await shop.payment(900, metadata=subscription(2))
    await shop.control(f"hyperswitch/payments/{failing}/pay", {"outcome": "fail"})
    late = await shop.payment(900, metadata=subscription(3))
    await shop.control(f"hyperswitch/payments/{late}/pay", {"outcome": "fail_then_succeed"})
    books = await shop.look("hyperswitch/books")

    assert unheard != late
    assert {key: each["status"] for key, each in books["orders"].items()} == {
        "o1": "completed",
        "o2": "refunded",
    }
    assert books["orders"]["o1"]["licences"] == ["font", "pack"]
    assert books["sellers"] == {"s": {"usd": 600 - 600 * 501 // 1_000}}
    assert {key: each["status"] for key, each in books["subscriptions"].items()} == {
        "s1": "active",
        "s2": "expired",
        "s3": "active",
    }


async def test_the_products_client_is_served(shop: Shop) -> None:
    """Its refund is made once however often it asks, is read by its own id, and an unknown one is a 404."""
    payment_id = await shop.paid(1_000)
    async with HyperswitchApi(f"{shop.url}/hyperswitch", HYPERSWITCH_KEY) as api:
        first = await api.create_refund(payment_id, OWN_REFUND, 400, "key-1")
        again = await api.create_refund(payment_id, OWN_REFUND, 400, "key-1")
        payment = await api.get_payment(payment_id)
        with pytest.raises(HyperswitchRefusedError) as unknown:
            await api.get_refund("ref_nobody")

    assert (first.id, first.payment_id, first.status) == (OWN_REFUND, payment_id, "succeeded")
    assert again == first
    assert (payment.id, payment.status) == (payment_id, "succeeded")
    assert (unknown.value.status, unknown.value.code) == (404, "HE_02")
    assert (await shop.look("hyperswitch/books"))["money"]["usd"]["refunded"] == 400
