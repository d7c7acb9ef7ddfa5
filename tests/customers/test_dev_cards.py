"""Simulated cards: three accounts by one command, however often; never there in production; tokens vanish."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.dev import COMMAND, seeds
from runtime import clock
from tests.api.house import DASHBOARD, OPS, House, customer, gateway, running
from tests.api.seed import Seed
from tests.support.ports import free_port
from tests.support.processes import Processes, Running

DEVELOPER = {"APP_ENV": "dev", "DEV_ENDPOINTS_ENABLED": "true"}


class Command:
    """`python -m api.dev` over one database."""

    def __init__(self, processes: Processes, dsn: str, redis_url: str) -> None:
        self._processes = processes
        self._servers = {"DATABASE_URL": dsn, "REDIS_URL": redis_url}

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start it; by default the right command in a developer's environment."""
        return self._processes.start(
            "-m", "api.dev", *(arguments or (COMMAND,)),
            environment={**self._servers, **(environment or DEVELOPER)},
        )  # fmt: skip

    async def done(self) -> str:
        """Run it to its good end; what it printed."""
        running = self.start()
        assert await running.ended() == 0, running.output()
        return running.output()


@pytest.fixture
def command(processes: Processes, dsn: str, redis_url: str) -> Command:
    """The command over this test's database."""
    return Command(processes, dsn, redis_url)


@pytest.fixture
async def house(dsn: str, redis_url: str) -> AsyncIterator[House]:
    """A developer's API."""
    async with running(dsn, redis_url, **DEVELOPER) as started:
        yield started


async def everything(seed: Seed) -> list[list[dict[str, Any]]]:
    """What the command makes, without times."""
    return [
        await seed.rows("SELECT id, kind FROM account WHERE kind = 'customer' ORDER BY id"),
        await seed.rows("SELECT account_id, unit, amount FROM balance ORDER BY 1, 2"),
        await seed.rows("SELECT account_id, amount, unit FROM ledger_posting ORDER BY transaction_id, 1"),
        await seed.rows(
            "SELECT id, account_id, cardholder_name, last4, exp_month, exp_year, status FROM virtual_card "
            "ORDER BY account_id"
        ),
    ]


async def card_of(seed: Seed, account_id: str) -> str:
    return str(await seed.value("SELECT id FROM virtual_card WHERE account_id = $1", account_id))


async def test_three_accounts_with_a_million_and_a_card(command: Command, seed: Seed) -> None:
    """Exactly three, each with 1,000,000.00 USD through the ledger and one active card."""
    begun = clock.now()
    printed = await command.done()
    accounts, balances, _, cards = await everything(seed)
    expiries = [(month.year + 3, month.month) for month in (begun, clock.now())]

    assert [row["id"] for row in accounts] == ["acct_user1", "acct_user2", "acct_user3"]
    assert balances == [
        *[{"account_id": f"acct_user{n}", "unit": "usd", "amount": 100_000_000} for n in (1, 2, 3)],
        {"account_id": "system:grants", "unit": "usd", "amount": -300_000_000},
    ]
    assert [(card["account_id"], card["last4"], card["status"]) for card in cards] == [
        ("acct_user1", "1001", "active"),
        ("acct_user2", "1002", "active"),
        ("acct_user3", "1003", "active"),
    ]
    assert {card["cardholder_name"] for card in cards} == {"Test User1", "Test User2", "Test User3"}
    assert {(card["exp_year"], card["exp_month"]) for card in cards} <= set(expiries)
    assert printed.splitlines() == [
        f"{card['account_id']}  card {card['id']}  last4 {card['last4']}" for card in cards
    ]


async def test_running_it_again_changes_nothing(command: Command, seed: Seed) -> None:
    """The same accounts, money and cards, byte for byte the same output."""
    first = await command.done()
    before = await everything(seed)
    second = await command.done()

    assert (second, await everything(seed)) == (first, before)


async def test_running_it_at_once_makes_three(command: Command, seed: Seed) -> None:
    """Four runs at the same time find or make the same three."""
    runs = [command.start() for _ in range(4)]

    assert [await run.ended() for run in runs] == [0, 0, 0, 0]
    assert len({run.output() for run in runs}) == 1
    assert [len(rows) for rows in await everything(seed)] == [3, 4, 6, 3]


async def test_a_blocked_card_is_active_again(command: Command, seed: Seed) -> None:
    """The command brings back what a developer has switched off, and spends nobody's money twice."""
    await command.done()
    before = await everything(seed)
    await seed.connection.execute("UPDATE virtual_card SET status = 'blocked'")
    await command.done()

    assert await everything(seed) == before


@pytest.mark.parametrize(
    "environment",
    [
        {"APP_ENV": "production", "DEV_ENDPOINTS_ENABLED": "true"},
        {"APP_ENV": "dev", "DEV_ENDPOINTS_ENABLED": "false"},
        {"APP_ENV": "test"},
        {"DEV_ENDPOINTS_ENABLED": "true"},
    ],
)
async def test_nobody_gets_a_million_in_production(
    command: Command, seed: Seed, dsn: str, redis_url: str, environment: dict[str, str]
) -> None:
    """Without both settings the command refuses, and the endpoint is not there for anybody."""
    await command.done()
    refused = command.start(COMMAND, **environment)
    card_id = await card_of(seed, "acct_user1")
    async with running(dsn, redis_url, **environment) as house:
        answers = [
            await house.get(f"/api/v1/cards/{card_id}/wallet_payload", headers)
            for headers in (customer("acct_user1"), OPS, {})
        ]

    assert await refused.ended() == 78
    assert "needs APP_ENV dev or test, and DEV_ENDPOINTS_ENABLED" in refused.output()
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(404, "NOT_FOUND")] * 3


@pytest.mark.parametrize("arguments", [("provision",), (COMMAND, "now"), ("--help",)])
async def test_another_command_is_none(command: Command, seed: Seed, arguments: tuple[str, ...]) -> None:
    """It says how it is called."""
    wrong = command.start(*arguments)

    assert await wrong.ended() == 64
    assert wrong.output() == f"usage: python -m api.dev {COMMAND}\n"
    assert await seed.value("SELECT count(*) FROM virtual_card") == 0


async def test_the_payload_is_for_the_cards_owner(command: Command, seed: Seed, house: House) -> None:
    """Owner and ops get the seven fields; another customer, a wrong id and a blocked card are one 404."""
    await command.done()
    card_id = await card_of(seed, "acct_user1")
    path = f"/api/v1/cards/{card_id}/wallet_payload"
    answers = [await house.get(path, headers) for headers in (customer("acct_user1"), OPS)]
    absent = [
        await house.get(path, customer("acct_user2")),
        await house.get(path, gateway("acct_user2")),
        await house.get(f"/api/v1/cards/{uuid.uuid4()}/wallet_payload", OPS),
        await house.get("/api/v1/cards/1/wallet_payload", OPS),
        await house.get(f"/api/v1/cards/{card_id.upper()}/wallet_payload", OPS),
        await house.get(f"/api/v1/cards/{card_id.replace('-', '')}/wallet_payload", OPS),
    ]
    await seed.connection.execute("UPDATE virtual_card SET status = 'blocked'")
    absent.append(await house.get(path, customer("acct_user1")))

    for answer in answers:
        assert answer.status == 200
        assert answer.json.keys() == {
            "card_id", "cardholder_name", "last4", "exp_month", "exp_year", "provisioning_token",
            "wallet_instructions",
        }  # fmt: skip
        assert (answer.json["card_id"], answer.json["cardholder_name"], answer.json["last4"]) == (
            card_id, "Test User1", "1001",
        )  # fmt: skip
        assert isinstance(answer.json["exp_month"], int)
        assert isinstance(answer.json["exp_year"], int)
        assert re.fullmatch(r"sim-token-[0-9a-f]{32}", answer.json["provisioning_token"])
        assert "imulated" in answer.json["wallet_instructions"]
    assert {(answer.status, answer.json["error"]) for answer in absent} == {(404, "Card not found")}
    assert [(await house.get(path, headers)).status for headers in ({}, DASHBOARD)] == [401, 403]
    for answer in (*answers, *absent):
        assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")


async def test_a_token_is_new_each_time_and_kept_as_a_hash(
    command: Command, seed: Seed, house: House
) -> None:
    """The database holds the hash of the last one, and until when it is good; nothing prints it."""
    printed = await command.done()
    path = f"/api/v1/cards/{await card_of(seed, 'acct_user1')}/wallet_payload"
    tokens = [(await house.get(path, OPS)).json["provisioning_token"] for _ in range(2)]
    (kept,) = await seed.rows(
        "SELECT token_sha256, token_expires_at - now() AS left FROM virtual_card "
        "WHERE token_expires_at IS NOT NULL"
    )

    assert tokens[0] != tokens[1]
    assert kept["token_sha256"] == hashlib.sha256(tokens[1].encode()).digest()
    assert 0 < kept["left"].total_seconds() <= 300
    assert "sim-token" not in printed


async def test_a_database_that_will_not_is_told_in_a_line(
    processes: Processes, servers: Any, redis_url: str
) -> None:
    """One that is not migrated, and one that is not there."""
    nowhere = f"postgresql://127.0.0.1:{free_port()}/x"
    for dsn, told in ((servers.admin_dsn, "refuses: UndefinedTableError"), (nowhere, "does not answer: ")):
        failed = Command(processes, dsn, redis_url).start()

        assert await failed.ended() == 1
        assert failed.output().startswith(f"the database {told}")
        assert len(failed.output().splitlines()) == 1


def test_a_card_is_good_for_three_years() -> None:
    """It expires in the month in which it was made."""
    assert {(seed.exp_year, seed.exp_month) for seed in seeds(2025, 11)} == {(2028, 11)}
