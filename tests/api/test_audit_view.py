"""`audit.deliveries` in SQL tells what the audit API tells: the same words, errors and digests."""

from __future__ import annotations

from tests.api.house import DASHBOARD, House
from tests.api.seed import Seed, refused
from tests.support.stripe_events import checkout, event, refund

SHARED = ("id", "state", "processing_result", "last_error", "body_sha256", "duplicate")


async def test_the_view_gives_the_results_of_the_api(house: House, seed: Seed) -> None:
    """Every word of `processing_result` is the same in both, read as a dashboard's own role."""
    purchase = event("checkout.session.completed", checkout())
    for body in (
        event("customer.updated", {"id": "cus_1", "object": "customer"}),
        event("checkout.session.completed", checkout(credits="many")),
        event("refund.created", refund("pi_of_nobody", 100)),
        purchase,
        purchase,
        purchase | {"created": purchase["created"] + 1},
    ):
        await seed.event(body)
    await seed.drain()
    await seed.event(event("checkout.session.completed", checkout()))
    await seed.append(refused(b"{}", "stale_ts"))
    await seed.append(refused(b"", "oversize", body_bytes=999_999, body_sha256=None))

    items = (await house.get("/audit/deliveries", DASHBOARD)).json["items"]
    await seed.connection.execute("SET ROLE sluice_dashboard")
    rows = await seed.connection.fetch(
        "SELECT id::text, state, processing_result, last_error, body_sha256, duplicate "
        "FROM audit.deliveries ORDER BY id DESC"
    )

    assert [tuple(item[name] for name in SHARED) for item in items] == [tuple(row) for row in rows]
    assert {row["processing_result"].partition(":")[0] for row in rows} == {
        "ok", "skipped", "signature_invalid", "error", "duplicate", "pending",
    }  # fmt: skip
    assert {row["state"] for row in rows} >= {"parked", "quarantined", None}
