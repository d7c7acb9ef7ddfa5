"""The mechanism under every phase: batches, backoff, rotation, leases; and the phases that follow
subscriptions and checkouts.
"""

from __future__ import annotations

import pytest

from billing.commands import OrderPlaced, PlanSubscribed
from billing.terms import OrderTerms, PlanTerms
from db import pool, reconcile
from tests.reconciler.shop import Shop

SLOW = {"RECONCILE_SUBSCRIPTION_STUCK_AFTER": "30m", "RECONCILE_CHECKOUT_STUCK_AFTER": "30m"}


async def test_a_poison_row_never_stands_at_the_head(shop: Shop) -> None:
    """A row that fails every time moves behind the others, and its pause doubles; the limit of rows holds."""
    poison = await shop.place_order("order-1", pays=True)
    for number in range(2, 5):
        await shop.place_order(f"order-{number}", pays=True)
    await shop.lose_webhooks()
    await shop.age()
    await shop.world.fault(kind="status", path=f"/v1/payment_intents/{poison}", status=500, times=9)
    batches = [await shop.repair("stuck_orders", RECONCILE_BATCH_ROWS="2", by="interval") for _ in range(3)]
    await shop.admin.execute("UPDATE reconcile_attempt SET next_attempt_at = now()")
    await shop.repair("stuck_orders", RECONCILE_BATCH_ROWS="2", by="interval")
    row = await shop.admin.fetchrow(
        "SELECT attempts, last_error, next_attempt_at - updated_at AS pause FROM reconcile_attempt "
        "WHERE object_id = 'order-1'"
    )

    assert [(ran.status, ran.counts["looked_at"]) for ran in batches] == [
        ("partial", 2),
        ("succeeded", 2),
        ("succeeded", 0),
    ]
    assert [await shop.status("orders", f"order-{number}") for number in range(1, 5)] == [
        "pending",
        "completed",
        "completed",
        "completed",
    ]
    assert row is not None
    assert (row["attempts"], row["last_error"], row["pause"].total_seconds()) == (2, "APIError", 120.0)


async def test_a_person_who_asks_sees_every_row_looked_at(shop: Shop) -> None:
    """The backoff is for the interval; a requested run looks at what was looked at a moment ago too."""
    await shop.place_order()
    await shop.age()
    looked = [
        (await shop.repair("stuck_orders", by=asker)).counts["looked_at"]
        for asker in ("interval", "interval", "ada")
    ]

    assert looked == [1, 0, 1]


async def test_a_leased_row_is_nobody_elses(shop: Shop) -> None:
    """Between claim and settlement a row belongs to one reconciler; a killed one's comes back with time."""
    await shop.place_order()
    await shop.age()
    connection = await pool.connect(shop.dsn, "sluice_reconciler", "test")

    async def claim() -> int:
        return len(
            await reconcile.claim(
                connection, "stuck_orders", ["stripe"], 60.0, 50, lease_s=120.0, hurry=True, dry_run=False
            )
        )

    first, second = await claim(), await claim()
    await shop.admin.execute("UPDATE reconcile_attempt SET leased_until = now()")
    third = await claim()
    await connection.close()

    assert (first, second, third) == (1, 0, 1)


async def test_a_payment_deleted_at_the_psp_is_a_persons_matter(shop: Shop) -> None:
    """The order stays as it is, the finding is typed, and an alert names it."""
    await shop.place_order()
    await shop.admin.execute("UPDATE orders SET payment_id = 'pi_gone'")
    await shop.age()
    ran = await shop.repair("stuck_orders")

    assert ran.findings == [("deleted_at_psp", "order-1", False)]
    assert await shop.status("orders", "order-1") == "pending"
    assert await shop.value("SELECT subject FROM alert WHERE name = 'psp_differs'") == "stripe:order-1"


async def test_a_payment_of_another_amount_is_never_repaired(shop: Shop) -> None:
    """Asked for 900, paid 1,000: a finding and an alert, and the order waits."""
    payment = await shop.world.order(1_000)
    terms = OrderTerms("order-1", "buyer-1", None, 900, "usd", 0, ())
    await shop.say(OrderPlaced("stripe", payment.id, terms))
    await shop.world.post(f"payment_intents/{payment.id}/pay")
    await shop.lose_webhooks()
    await shop.age()
    ran = await shop.repair("stuck_orders")

    assert ran.findings == [("amount_mismatch", payment.id, False)]
    assert await shop.status("orders", "order-1") == "pending"


async def _plan(shop: Shop) -> str:
    payment = await shop.world.stripe.v1.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "metadata": {"purpose": "subscription", "subscriptionId": "plan-sub-1"},
        }
    )
    await shop.say(PlanSubscribed("stripe", payment.id, PlanTerms("plan-sub-1", "acc-1", "pro", 500, "usd")))
    return payment.id


@pytest.mark.parametrize(
    ("ending", "status"), [("succeed", "active"), ("fail", "expired"), ("cancel", "expired")]
)
async def test_a_subscription_of_ours_follows_its_payment(shop: Shop, ending: str, status: str) -> None:
    """However the payment ended at the PSP: paid, declined, called off."""
    payment_id = await _plan(shop)
    if ending == "cancel":
        await shop.world.stripe.v1.payment_intents.cancel_async(payment_id)
    else:
        await shop.world.post(f"payment_intents/{payment_id}/pay", outcome=ending)
    await shop.lose_webhooks()
    recent = await shop.repair("stuck_subscriptions", **SLOW)
    await shop.age()
    ran = await shop.repair("stuck_subscriptions", **SLOW)

    assert (recent.counts["looked_at"], ran.findings) == (0, [("stale", payment_id, True)])
    assert await shop.status("subscription", "plan-sub-1") == status


async def test_a_mirrored_subscription_follows_the_psp(shop: Shop) -> None:
    """Incomplete here, active there; later canceled there, and nobody told either time."""
    price = await shop.world.stripe.v1.prices.create_async(
        {
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "P"},
        }
    )
    made = await shop.world.stripe.v1.subscriptions.create_async(
        {"customer": "cus_1", "items": [{"price": price.id}], "payment_behavior": "default_incomplete"}
    )
    await shop.webhooks()
    await shop.settle_down()
    await shop.world.post(f"subscriptions/{made.id}/pay")
    await shop.lose_webhooks()
    await shop.age()
    before = await shop.status("subscription", made.id)
    await shop.settle_down()
    first = await shop.repair("stuck_subscriptions", **SLOW)
    active = await shop.status("subscription", made.id)
    await shop.world.stripe.v1.subscriptions.cancel_async(made.id)
    await shop.lose_webhooks()
    await shop.admin.execute("UPDATE subscription SET current_period_end = now() - interval '1 hour'")
    await shop.settle_down()
    second = await shop.repair("stuck_subscriptions", **SLOW)
    third = await shop.repair("stuck_subscriptions", **SLOW)

    assert (before, active) == ("pending_payment", "active")
    assert [ran.findings for ran in (first, second, third)] == [
        [("stale", made.id, True)],
        [("stale", made.id, True)],
        [],
    ]
    assert await shop.value("SELECT status || deleted FROM subscription") == "canceledtrue"


@pytest.mark.parametrize(("ending", "status"), [("pay", "paid"), ("expire", "expired"), ("fail", "failed")])
async def test_an_open_checkout_follows_the_psp(shop: Shop, ending: str, status: str) -> None:
    """Paid, expired, or paid by a debit that the bank refused in the end."""
    session = await shop.world.open()
    await shop.admin.execute("INSERT INTO account (id, kind) VALUES ('acc-1', 'customer')")
    await shop.admin.execute(
        """WITH s AS (
               INSERT INTO checkout_session (source, id, kind, account_id, credits, amount_minor, currency,
                                             status, origin)
               VALUES ('stripe', $1, 'checkout', 'acc-1', 250, 289, 'usd', 'open', 'ours')),
           a AS (INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, actor)
                 VALUES ('account', '', 'acc-1', 1, 'open', 'first_credit', 'test'))
           INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, actor)
           VALUES ('checkout_session', 'stripe', $1, 1, 'open', 'checkout_opened', 'test')""",
        session.id,
    )
    if ending == "expire":
        await shop.world.stripe.v1.checkout.sessions.expire_async(session.id)
    elif ending == "pay":
        await shop.world.post(f"checkout/sessions/{session.id}/pay")
    else:
        await shop.world.post(f"checkout/sessions/{session.id}/pay", method="us_bank_account")
        await shop.world.post(f"checkout/sessions/{session.id}/settle", outcome="fail")
    await shop.lose_webhooks()
    await shop.age()
    ran = await shop.repair("stuck_checkout_sessions", **SLOW)

    assert ran.findings == [("stale", session.id, True)]
    assert await shop.status("checkout_session", session.id) == status
