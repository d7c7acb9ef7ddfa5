"""Who gets into the wallet and who does not; and that nothing of it is kept by a cache, whatever is
answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import jwt

from api.routes import ROUTES
from tests.api.house import DASHBOARD, JWT_SECRET, OPS, House, customer, gateway, running
from tests.api.seed import Seed
from tests.customers.providers import PANDA_KEY, Panda
from tests.customers.test_wallet import PATH, SCOPE, assert_uncached, has_card, holder
from tests.support.ports import free_port


async def test_only_a_bearer_token_with_the_scope(issuer: House, seed: Seed, panda: Panda) -> None:
    """No gateway, ops token, cookie or other scope, and nothing beside the token that names anybody."""
    await has_card(seed, panda)
    expired, other = holder(exp=1), customer("u1")
    bearer = holder()["Authorization"]
    cases: dict[str, dict[str, str]] = {
        "nothing": {},
        "cookie alone": {"Cookie": "credential_id=credential-u1"},
        "gateway": gateway("u1"),
        "gateway and token": {**gateway("u1"), **holder()},
        "cookie and token": {**holder(), "Cookie": "credential_id=credential-u1"},
        "session id and token": {**holder(), "sessionid": "x"},
        "empty cookie and token": {**holder(), "Cookie": ""},
        "no scope": other,
        "another scope": holder(scope="card:read"),
        "a longer scope": holder(scope="card:provisioning2"),
        "scope in a list": holder(scope=[SCOPE]),
        "no text": holder(scope=1),
        "expired": expired,
        "two tokens": {"Authorization": f"{bearer} {bearer}"},
        "no bearer": {"Authorization": bearer.replace("Bearer", "Token")},
        "token alone": {"Authorization": bearer.removeprefix("Bearer ")},
        "forged": {"Authorization": bearer[:-2] + ("AA" if bearer[-2:] != "AA" else "BB")},
        "ops": OPS,
        "dashboard": DASHBOARD,
    }
    answers = {name: await issuer.get(PATH, headers) for name, headers in cases.items()}

    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(cases, 401)
    for answer in answers.values():
        assert_uncached(answer)
    assert await panda.asked() == []
    several = await issuer.get(PATH, holder(scope=f"openid {SCOPE}"))
    assert several.status == 200


async def test_a_token_for_something_else_opens_no_wallet(
    dsn: str, redis_url: str, seed: Seed, panda: Panda
) -> None:
    """Signed under our secret and still not for us: another algorithm, issuer or audience, none of them, a
    part too many, and a time that is over.
    """
    await has_card(seed, panda)
    claims: dict[str, Any] = {
        "sub": "u1",
        "scope": SCOPE,
        "iss": "https://login",
        "aud": "wallet",
        "exp": 2**33,
    }

    def token(algorithm: str = "HS256", **changes: object) -> str:
        return jwt.encode(claims | changes, JWT_SECRET * 2, algorithm)

    tokens = {
        "good": token(),
        "another algorithm": token("HS384"),
        "another issuer": token(iss="https://other"),
        "another audience": token(aud="sluice"),
        "another scope": token(scope="card:read"),
        "expired": token(exp=1),
        "a part too many": f"{token()}.e30",
        "no claims": jwt.encode({"sub": "u1", "scope": SCOPE}, JWT_SECRET * 2, "HS256"),
    }
    async with running(
        dsn, redis_url, PANDA_API_URL=panda.url, PANDA_API_KEY=PANDA_KEY, JWT_SECRET=JWT_SECRET * 2,
        JWT_ISSUER="https://login", JWT_AUDIENCE="wallet",
    ) as house:  # fmt: skip
        answers = {
            name: await house.get(PATH, {"Authorization": f"Bearer {each}"}) for name, each in tokens.items()
        }

    told = {name: answer.json.get("code", "") for name, answer in answers.items()}
    assert answers.pop("good").status == 200
    assert {answer.status for answer in answers.values()} == {401}
    assert (told["expired"], told["another issuer"]) == ("TOKEN_EXPIRED", "INVALID_TOKEN")
    for answer in answers.values():
        assert_uncached(answer)
    assert len(await panda.asked()) == 2


async def test_nobody_else_asks_the_processor(issuer: House, seed: Seed, panda: Panda) -> None:
    """Secrets are fetched for the wallet's own path alone: no other answer has one, whoever asks."""
    await has_card(seed, panda)
    asked = 0
    for route in ROUTES:
        if route.method == "GET" and route.path not in (PATH, "/wallet"):
            for who in (OPS, holder(f"u-{asked}"), gateway("u1")):
                asked += 1
                path = route.path.replace("{kind}", "account").replace("{run_id}", "1")
                answer = await issuer.get(path.replace("{id}", "card-of-u1").replace("{name}", "x"), who)
                assert b"pandasecret" not in answer.body

    assert asked > 90
    assert await panda.asked() == []


async def test_bytes_that_are_no_request_are_uncached(issuer: House) -> None:
    """Those that no handler sees, too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", issuer.port)
    writer.write(b"GET /api/card/wallet HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n")
    head = (await reader.read()).partition(b"\r\n\r\n")[0].lower()
    writer.close()

    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"cache-control: no-store" in head
    assert b"pragma: no-cache" in head


async def test_every_refusal_is_uncached(issuer: House) -> None:
    """Also those that no handler makes: nobody known, a query, a method, a path, a ration."""
    answers = [
        await issuer.get(PATH),
        await issuer.ask("HEAD", PATH, holder()),
        await issuer.ask("OPTIONS", PATH),
        await issuer.get(f"{PATH}?x=1", holder()),
        await issuer.post(PATH, holder()),
        await issuer.get(f"{PATH}/", holder()),
        *[await issuer.get(PATH, holder("eager")) for _ in range(12)],
    ]

    assert {answer.status for answer in answers} == {401, 400, 405, 404, 500, 429}
    for answer in answers:
        assert_uncached(answer)


async def test_without_a_database_it_is_uncached_too(redis_url: str) -> None:
    """A 503 is as private as a 200."""
    nowhere = f"postgresql://127.0.0.1:{free_port()}/x"
    async with running(nowhere, redis_url) as house:
        answer = await house.get(PATH, holder())

    assert answer.status == 503
    assert_uncached(answer)
