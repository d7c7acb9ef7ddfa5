"""A page for credits opens while the workers are away, and they find it in order when they come."""

from __future__ import annotations

from psp.reading import Expected
from tests.api.house import House, customer
from tests.api.seed import Seed, worker_pool
from tests.customers.test_checkouts import GOOD, PATH, opened
from tests.sandbox.worlds import World
from workers.drain import Drainer


async def test_customers_can_pay_while_the_workers_are_away(
    dsn: str, shop: House, stripe: World, seed: Seed
) -> None:
    """The intent, its call and how that ended are committed; the purchase is known once there is a worker,
    who stages no second call.
    """
    first = await shop.post(PATH, customer("acc-1") | {"Idempotency-Key": "k"}, GOOD)
    again = await shop.post(PATH, customer("acc-1") | {"Idempotency-Key": "k"}, GOOD)
    before = await seed.rows("SELECT event_type, state FROM webhook_event ORDER BY log_id")
    connections = await worker_pool(dsn)
    await Drainer(connections, {"stripe": Expected()}).run_once()
    await connections.close()

    assert (first.status, again.json) == (200, first.json)
    assert [session.id for session in await opened(stripe)] == [first.json["id"]]
    assert before == [
        {"event_type": "checkout.requested", "state": "pending"},
        {"event_type": "checkout.opened", "state": "pending"},
    ]
    assert await seed.rows("SELECT id, status, origin, amount_minor FROM checkout_session") == [
        {"id": first.json["id"], "status": "open", "origin": "ours", "amount_minor": 289}
    ]
    assert await seed.rows(
        """SELECT o.state, o.attempts, o.made_id, o.log_id = e.log_id AS wanted_by,
                  (o.arguments ->> 'placed_at')::bigint = e.psp_created AS then
           FROM outbox_effect o, webhook_event e WHERE e.event_type = 'checkout.requested'"""
    ) == [{"state": "done", "attempts": 1, "made_id": first.json["id"], "then": True, "wanted_by": True}]
