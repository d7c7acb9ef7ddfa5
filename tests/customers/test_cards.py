"""`/ops/credentials` and `/ops/cards`: operators say whose card is whose, and the wallet finds it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.house import DASHBOARD, OPS, House, customer
from tests.api.seed import Seed
from tests.customers.providers import Panda
from tests.customers.test_wallet import PATH, holder

CREDENTIAL: dict[str, Any] = {"account_id": "u1", "panda_id": "panda-u1"}
CARD: dict[str, Any] = {"credential_id": "cred-1", "status": "ACTIVE", "last_four": "4242"}


async def test_a_card_that_operators_put_in_goes_into_the_wallet(
    issuer: House, panda: Panda, seed: Seed
) -> None:
    """From nothing: the wallet's answers follow each command, and each command is on record."""
    await panda.has("card-1", "panda-u1")
    told = [(await issuer.get(PATH, holder())).json["code"]]
    admitted = {**CREDENTIAL, "panda_id": None}
    assert (await issuer.put("/ops/credentials/cred-1", OPS, admitted)).status == 200
    told.append((await issuer.get(PATH, holder())).json["code"])
    put = await issuer.put("/ops/credentials/cred-1", OPS, CREDENTIAL)
    told.append((await issuer.get(PATH, holder())).json["code"])
    card = await issuer.put("/ops/cards/card-1", OPS, CARD)
    wallet = await issuer.get(PATH, holder())
    shown = await issuer.get("/ops/credentials/cred-1", DASHBOARD)
    await issuer.put("/ops/cards/card-1", OPS, {**CARD, "status": "DELETED"})
    told.append((await issuer.get(PATH, holder())).json["code"])
    record = await seed.rows(
        "SELECT actor, action, object FROM access_log WHERE action LIKE 'put%' ORDER BY id"
    )

    assert told == ["no credential", "no panda", "no card", "no card"]
    assert (wallet.status, wallet.json["cardId"]) == (200, "proc-card-1")
    assert put.json == {"id": "cred-1", **CREDENTIAL, "cards": []}
    assert card.json == {"id": "card-1", **CARD}
    assert shown.json == {"id": "cred-1", **CREDENTIAL, "cards": [card.json]}
    assert [(row["actor"], row["action"], row["object"]) for row in record] == [
        ("eva", "put_credential", "credential:cred-1"), ("eva", "put_credential", "credential:cred-1"),
        ("eva", "put_card", "card:card-1"), ("eva", "put_card", "card:card-1"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/ops/credentials/cred-1", "/ops/cards/card-1"])
async def test_only_operators_put(shop: House, path: str) -> None:
    """Whose card is whose is nobody else's to say; who reads may look."""
    body = CREDENTIAL if "credentials" in path else CARD
    put = [(await shop.put(path, headers, body)).status for headers in (DASHBOARD, customer("u"), None)]
    seen = [
        (await shop.get("/ops/credentials/cred-1", headers)).status
        for headers in (DASHBOARD, OPS, customer("u"), None)
    ]

    assert put == [403, 401, 401]
    assert seen == [404, 404, 401, 401]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/ops/credentials/c", {}, "account_id"),
        ("/ops/credentials/c", {**CREDENTIAL, "account_id": "system:grants"}, "account_id"),
        ("/ops/credentials/c", {**CREDENTIAL, "account_id": " u1"}, "account_id"),
        ("/ops/credentials/c", {**CREDENTIAL, "panda_id": ""}, "panda_id"),
        ("/ops/credentials/c", {**CREDENTIAL, "panda_id": "a\x00b"}, "panda_id"),
        ("/ops/credentials/c", {**CREDENTIAL, "secret": "x"}, "secret"),
        ("/ops/credentials/%00", CREDENTIAL, "id"),
        ("/ops/cards/c", {**CARD, "credential_id": "nobody"}, "credential_id"),
        ("/ops/cards/c", {**CARD, "status": "active"}, "status"),
        ("/ops/cards/c", {**CARD, "last_four": "42424"}, "last_four"),
        ("/ops/cards/c", {**CARD, "number": "4242424242424242"}, "number"),
        ("/ops/cards/%20", CARD, "id"),
    ],
)
async def test_nonsense_is_refused(
    shop: House, seed: Seed, path: str, body: dict[str, Any], field: str
) -> None:
    """With the field at fault; nothing is put, least of all a card's number."""
    answer = await shop.put(path, OPS, body)

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json["details"][0]["field"] == field
    assert await seed.value("SELECT count(*) FROM credential") == 0
    assert await seed.value("SELECT count(*) FROM card") == 0


async def test_an_account_has_one_credential(shop: House, seed: Seed) -> None:
    """409 for a second one of the account, or of the customer at the processor; the first one stays."""
    await shop.put("/ops/credentials/cred-1", OPS, CREDENTIAL)
    taken = [
        await shop.put("/ops/credentials/cred-2", OPS, body)
        for body in (CREDENTIAL, {**CREDENTIAL, "account_id": "u2"}, {**CREDENTIAL, "panda_id": None})
    ]
    other = await shop.put("/ops/credentials/cred-2", OPS, {"account_id": "u2"})

    assert [(answer.status, answer.json["code"]) for answer in taken] == [(409, "TAKEN")] * 3
    assert other.status == 200
    assert await seed.rows("SELECT id, account_id, panda_id FROM credential ORDER BY id") == [
        {"id": "cred-1", "account_id": "u1", "panda_id": "panda-u1"},
        {"id": "cred-2", "account_id": "u2", "panda_id": None},
    ]
