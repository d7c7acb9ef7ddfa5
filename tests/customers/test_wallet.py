"""`GET /api/card/wallet`: whose card, in the contract's order; the secret goes to its holder only."""

from __future__ import annotations

import signal

import pytest

from tests.api.house import Answer, House, customer, running
from tests.api.seed import Seed
from tests.customers.providers import PANDA_KEY, Panda, answering, panda_of
from tests.support.ports import free_port
from tests.support.processes import Processes

PATH = "/api/card/wallet"
SCOPE = "card:provisioning"


def holder(user_id: str = "u1", **claims: object) -> dict[str, str]:
    """Headers of a customer whose token is good for cards."""
    return customer(user_id, **({"scope": SCOPE} | claims))


async def has_card(
    seed: Seed, panda: Panda, user_id: str = "u1", status: str = "ACTIVE", at_panda: str = "active"
) -> str:
    """Give a customer a credential and a card, here and at the processor; the card's id."""
    card_id = f"card-of-{user_id}"
    await credential(seed, user_id)
    await card(seed, user_id, card_id, status)
    await panda.has(card_id, f"panda-{user_id}", at_panda)
    return card_id


async def credential(seed: Seed, user_id: str = "u1", panda_id: str | None = "") -> None:
    await seed.connection.execute(
        "INSERT INTO credential (id, account_id, panda_id) VALUES ($1, $2, $3)",
        f"credential-{user_id}",
        user_id,
        f"panda-{user_id}" if panda_id == "" else panda_id,
    )


async def card(seed: Seed, user_id: str, card_id: str, status: str) -> None:
    await seed.connection.execute(
        "INSERT INTO card (id, credential_id, status) VALUES ($1, $2, $3)",
        card_id,
        f"credential-{user_id}",
        status,
    )


def assert_uncached(answer: Answer) -> None:
    """No cache may keep anything of this endpoint, whatever it answers."""
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")


@pytest.mark.parametrize("path", [PATH, "/wallet"])
@pytest.mark.parametrize(("status", "at_panda"), [("ACTIVE", "active"), ("FROZEN", "locked")])
async def test_an_active_or_frozen_card_goes_into_the_wallet(
    issuer: House, seed: Seed, panda: Panda, path: str, status: str, at_panda: str
) -> None:
    """The processor's card id and its secret, exactly; the processor was asked for that card."""
    card_id = await has_card(seed, panda, status=status, at_panda=at_panda)
    answer = await issuer.get(path, holder())

    assert answer.status == 200
    assert answer.json.keys() == {"cardId", "cardSecret"}
    assert answer.json["cardId"] == f"proc-{card_id}"
    assert answer.json["cardSecret"].startswith("pandasecret-")
    assert_uncached(answer)
    assert await panda.asked() == [f"/issuing/cards/{card_id}", f"/issuing/cards/{card_id}/processorDetails"]


async def test_each_answer_brings_a_fresh_secret(issuer: House, seed: Seed, panda: Panda) -> None:
    """Nothing of the processor's answer is kept here."""
    await has_card(seed, panda)
    secrets = {(await issuer.get(PATH, holder())).json["cardSecret"] for _ in range(3)}

    assert len(secrets) == 3


async def test_the_first_card_that_can_be_used_is_used(issuer: House, seed: Seed, panda: Panda) -> None:
    """A deleted card never is, however old."""
    await credential(seed)
    for card_id, status in (("c1", "DELETED"), ("c3", "FROZEN"), ("c2", "ACTIVE")):
        await card(seed, "u1", card_id, status)
        await panda.has(card_id, "panda-u1", "locked" if status == "FROZEN" else "active")

    assert (await issuer.get(PATH, holder())).json["cardId"] == "proc-c3"


async def test_the_order_of_the_questions(issuer: House, seed: Seed, panda: Panda) -> None:
    """No credential 500, not at the processor 403, no usable card 404; only then is the processor asked."""

    async def told() -> tuple[int, str, str]:
        answer = await issuer.get(PATH, holder())
        assert_uncached(answer)
        return answer.status, answer.json["code"], answer.json["error"]

    without_credential = await told()
    await credential(seed, panda_id=None)
    without_panda = await told()
    await seed.connection.execute("UPDATE credential SET panda_id = 'panda-u1'")
    without_card = await told()
    await card(seed, "u1", "c1", "DELETED")
    with_deleted_card = await told()
    asked = await panda.asked()
    await card(seed, "u1", "c2", "ACTIVE")
    unknown_to_panda = await told()

    assert [without_credential, without_panda, without_card, with_deleted_card, unknown_to_panda] == [
        (500, "no credential", "no credential"),
        (403, "no panda", "no panda"),
        (404, "no card", "no card"),
        (404, "no card", "no card"),
        (404, "no card", "no card"),
    ]
    assert asked == []


@pytest.mark.parametrize(
    ("user_id", "status", "expected"),
    [
        ("panda-u2", "active", (403, "no panda")),
        ("PANDA-U1", "active", (403, "no panda")),
        ("panda-u1", "canceled", (404, "no card")),
        ("panda-u1", "notActivated", (404, "no card")),
    ],
)
async def test_the_processors_record_must_agree(
    issuer: House, seed: Seed, panda: Panda, user_id: str, status: str, expected: tuple[int, str]
) -> None:
    """A card that the processor says is another's, or not in use, gets no secret."""
    card_id = await has_card(seed, panda)
    await panda.has(card_id, user_id, status)
    answer = await issuer.get(PATH, holder())

    assert (answer.status, answer.json["code"]) == expected
    assert await panda.asked() == [f"/issuing/cards/{card_id}"]
    assert_uncached(answer)


@pytest.mark.parametrize("at", ["/issuing/cards/card-of-u1", "/issuing/cards/card-of-u1/processorDetails"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 404}, (404, "no card")),
        ({"status": 404, "body": "not found"}, (404, "no card")),
        ({"status": 403, "body": "canary not approved"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 400, "body": "canary"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 429, "body": "canary"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 500, "body": "canary"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 503}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 200, "body": "canary"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 200, "body": "[]"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"status": 200, "body": '{"processorCardId":"canary"}'}, (500, "INTERNAL_SERVER_ERROR")),
        (
            {"status": 200, "body": '{"processorCardId":"canary","timeBasedSecret":""}'},
            (500, "INTERNAL_SERVER_ERROR"),
        ),
        (
            {"status": 200, "body": '{"processorCardId":5,"timeBasedSecret":"canary"}'},
            (500, "INTERNAL_SERVER_ERROR"),
        ),
        ({"status": 302, "body": "canary"}, (500, "INTERNAL_SERVER_ERROR")),
        ({"kind": "drop", "times": 2}, (500, "INTERNAL_SERVER_ERROR")),
    ],
)
async def test_what_the_processor_does_wrong(
    issuer: House, seed: Seed, panda: Panda, at: str, fault: dict[str, object], expected: tuple[int, str]
) -> None:
    """Its 404 is ours, everything else is a 500 that repeats nothing; afterwards all is well again.

    A connection that it drops once is tried again by the client, so it takes two to fail.
    """
    await has_card(seed, panda)
    await panda.fault(path=at, **fault)
    answer = await issuer.get(PATH, holder())

    assert (answer.status, answer.json["code"]) == expected
    assert b"canary" not in answer.body
    assert_uncached(answer)
    assert (await issuer.get(PATH, holder())).status == 200


async def test_a_processor_that_is_not_there_is_500(dsn: str, redis_url: str, seed: Seed) -> None:
    """Nobody listens at its address."""
    await credential(seed)
    await card(seed, "u1", "c1", "ACTIVE")
    url = f"http://127.0.0.1:{free_port()}"
    async with running(dsn, redis_url, PANDA_API_URL=url, PANDA_API_KEY=PANDA_KEY) as house:
        answer = await house.get(PATH, holder())

    assert (answer.status, answer.json["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert_uncached(answer)


async def test_a_wrong_key_of_ours_is_500(dsn: str, redis_url: str, seed: Seed, panda: Panda) -> None:
    """The processor refuses us, which is no fault of the customer."""
    await has_card(seed, panda)
    async with running(dsn, redis_url, PANDA_API_URL=panda.url, PANDA_API_KEY="wrong") as house:
        assert (await house.get(PATH, holder())).status == 500
    assert await panda.asked() == []


async def test_without_a_processor_it_is_503(dsn: str, redis_url: str, seed: Seed) -> None:
    """What is not configured cannot be asked; who may not ask is still told so first."""
    await credential(seed)
    async with running(dsn, redis_url, PANDA_API_URL="http://127.0.0.1:1") as house:
        without_card = await house.get(PATH, holder())
        await card(seed, "u1", "c1", "ACTIVE")
        answer = await house.get(PATH, holder())
        stranger = await house.get(PATH)

    assert (without_card.status, answer.status, stranger.status) == (404, 503, 401)
    assert answer.json["code"] == "PROVIDER_NOT_CONFIGURED"
    assert_uncached(answer)


async def test_who_fetched_a_secret_is_on_record(issuer: House, seed: Seed, panda: Panda) -> None:
    """Account, card and request; not the secret."""
    card_id = await has_card(seed, panda)
    answer = await issuer.get(PATH, {**holder(), "X-Request-Id": "req-1"})
    (row,) = await seed.rows("SELECT actor, action, object, request_id FROM access_log")

    assert answer.status == 200
    assert row == {
        "actor": "u1", "action": "read_card_secret", "object": f"card:{card_id}", "request_id": "req-1",
    }  # fmt: skip


async def test_a_redirect_does_not_take_the_key_along(
    dsn: str, redis_url: str, seed: Seed, panda: Panda
) -> None:
    """An address that sends us elsewhere is a failure, not a place to follow to."""
    card_id = await has_card(seed, panda)
    async with (
        answering(307, b"", Location=f"{panda.url}/issuing/cards/{card_id}") as url,
        running(dsn, redis_url, PANDA_API_URL=url, PANDA_API_KEY=PANDA_KEY) as house,
    ):
        assert (await house.get(PATH, holder())).status == 500
    assert await panda.asked() == []


async def test_an_odd_card_id_stays_one_segment(issuer: House, seed: Seed, panda: Panda) -> None:
    """An id cannot lead to another path of the processor."""
    await credential(seed)
    await card(seed, "u1", "../users/x?y=1#z", "ACTIVE")

    assert (await issuer.get(PATH, holder())).status == 404
    assert await panda.asked() == ["/issuing/cards/../users/x?y=1#z"]


async def test_the_sandbox_is_a_program(processes: Processes) -> None:
    """It refuses to start without a key, and ends in order."""
    for name, value in (("PANDA_API_KEY", None), ("PANDA_SANDBOX_PORT", "eighty")):
        environment = {"PANDA_API_KEY": PANDA_KEY, "PANDA_SANDBOX_PORT": str(free_port()), name: value}
        refused = processes.start("-m", "psp.sandbox.panda", environment=environment)

        assert await refused.ended() == 78
        assert refused.output().startswith(f"panda sandbox: {name} must ")
    async with panda_of(processes) as panda:
        panda.running.signal(signal.SIGTERM)
        assert await panda.running.ended() == 0
        assert PANDA_KEY not in panda.running.output()
