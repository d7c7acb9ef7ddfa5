"""A receiver that could lose or let in what it must not refuses to start: status 78 and one line that says
why."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping

import pytest

from runtime import guardian
from tests.receiver.deliveries import SECRET
from tests.receiver.running import receiver_environment, start_receiver
from tests.receiver.scratch import ScratchPostgres, scratch_postgres
from tests.support.ports import free_port
from tests.support.processes import Processes

REFUSED = 78


async def refusal(processes: Processes, environment: Mapping[str, str]) -> list[str]:
    """Start a receiver that must refuse; the lines in which it says so."""
    running = processes.start("-m", "ingest", environment=environment)
    assert await running.ended() == REFUSED, running.output()
    return [line for line in running.output().splitlines() if line.startswith("setting refused: ")]


def endpoint(**changes: object) -> str:
    made: dict[str, object] = {"path": "more", "provider": "stripe", "secrets": [SECRET]}
    return json.dumps([made | changes])


FAULTS: dict[str, tuple[str, str]] = {
    "no_secret": ("STRIPE_WEBHOOK_SECRETS", ""),
    "blank_secret": ("STRIPE_WEBHOOK_SECRETS", "   "),
    "short_secret": ("STRIPE_WEBHOOK_SECRETS", "whsec_short"),
    "empty_second_secret": ("STRIPE_WEBHOOK_SECRETS", f"{SECRET},"),
    "short_second_secret": ("STRIPE_WEBHOOK_SECRETS", f"{SECRET},x"),
    "endpoint_without_secrets": ("WEBHOOK_ENDPOINTS", endpoint(secrets=[])),
    "endpoint_with_an_empty_secret": ("WEBHOOK_ENDPOINTS", endpoint(secrets=[""])),
    "endpoint_with_a_short_secret": ("WEBHOOK_ENDPOINTS", endpoint(secrets=[SECRET, "whsec_short"])),
    "endpoint_of_an_unknown_provider": ("WEBHOOK_ENDPOINTS", endpoint(provider="paypal")),
    "endpoint_with_a_bad_path": ("WEBHOOK_ENDPOINTS", endpoint(path="../up")),
    "endpoint_on_a_built_in_path": ("WEBHOOK_ENDPOINTS", endpoint(path="hyperswitch")),
    "port_that_is_none": ("INGEST_PORT", "http"),
    "proxies_that_are_none": ("TRUSTED_PROXIES", "everybody"),
    "database_of_another_kind": ("DATABASE_URL", "mysql://localhost/x"),
}


@pytest.mark.parametrize(("name", "value"), FAULTS.values(), ids=FAULTS.keys())
async def test_bad_settings_are_refused(
    dsn: str, redis_url: str, processes: Processes, name: str, value: str
) -> None:
    """Empty, short or missing secrets and other settings that cannot be meant end the start; the line
    names the setting and shows no secret."""
    lines = await refusal(processes, receiver_environment(dsn, redis_url, free_port()) | {name: value})

    assert len(lines) == 1
    assert name in lines[0]
    assert [text for text in (SECRET, "whsec_short", dsn) if text in lines[0]] == []


async def test_every_fault_is_named(dsn: str, redis_url: str, processes: Processes) -> None:
    """All faults are told at once, one line each."""
    environment = receiver_environment(dsn, redis_url, free_port()) | {
        "STRIPE_WEBHOOK_SECRETS": "x",
        "INGEST_PORT": "0",
        "REDIS_URL": "",
    }

    lines = await refusal(processes, environment)

    assert sorted(line.split(" ")[2] for line in lines) == [
        "INGEST_PORT",
        "REDIS_URL",
        "STRIPE_WEBHOOK_SECRETS",
    ]


@pytest.mark.parametrize("count", ["1", "2"])
async def test_a_port_that_is_taken_is_refused(
    dsn: str, redis_url: str, processes: Processes, count: str
) -> None:
    """A receiver and a fleet of them say that their port is taken, and do not try again for ever."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        lines = await refusal(processes, receiver_environment(dsn, redis_url, port, INGEST_PROCESSES=count))

    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["INGEST_PORT"]
    assert [str(port) in line and "already in use" in line.lower() for line in lines] == [True]


async def test_a_host_of_another_machine_is_refused_by_its_own_name(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """The port is not to blame for an address that is not here."""
    environment = receiver_environment(dsn, redis_url, free_port(), INGEST_HOST="192.0.2.1")

    lines = await refusal(processes, environment)

    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["INGEST_HOST"]


async def test_a_second_fleet_is_refused_the_port_of_the_first(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """Receivers of one fleet share their port, and with nobody else: each fleet would get half of the
    deliveries."""
    environment = receiver_environment(dsn, redis_url, free_port(), INGEST_PROCESSES="2")
    await start_receiver(processes, environment)

    lines = await refusal(processes, environment)

    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["INGEST_PORT"]


@pytest.fixture(scope="module")
async def durable(
    children: guardian.Children, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ScratchPostgres]:
    """A durable Postgres of this module, whose settings may be spoiled."""
    async with scratch_postgres(tmp_path_factory.mktemp("durable"), children) as postgres:
        yield postgres


SPOILED: dict[str, tuple[str, str, str]] = {
    # name: spoil, heal, what the receiver names
    "synchronous_commit_by_system": (
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM RESET synchronous_commit",
        "synchronous_commit",
    ),
    "synchronous_commit_by_role": (
        "ALTER ROLE postgres SET synchronous_commit = off",
        "ALTER ROLE postgres RESET synchronous_commit",
        "synchronous_commit",
    ),
    "synchronous_commit_by_database": (
        "ALTER DATABASE sluice SET synchronous_commit = off",
        "ALTER DATABASE sluice RESET synchronous_commit",
        "synchronous_commit",
    ),
    "fsync_by_system": ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync", "fsync"),
    "full_page_writes_by_system": (
        "ALTER SYSTEM SET full_page_writes = off",
        "ALTER SYSTEM RESET full_page_writes",
        "full_page_writes",
    ),
}


@contextlib.asynccontextmanager
async def spoiled(postgres: ScratchPostgres, name: str) -> AsyncIterator[str]:
    """The server without one of its safeties for the block; gives the setting's name."""
    spoil, heal, setting = SPOILED[name]
    try:
        await postgres.execute(spoil)
        await postgres.execute("SELECT pg_reload_conf()")
        await postgres.settled(setting, "off")
        yield setting
    finally:
        await postgres.execute(heal)
        await postgres.execute("SELECT pg_reload_conf()")
        await postgres.settled(setting, "on")


@pytest.mark.parametrize("name", SPOILED)
async def test_f39_a_postgres_that_may_lose_commits_is_refused(
    durable: ScratchPostgres, redis_url: str, processes: Processes, name: str
) -> None:
    """F39: a server, role or database without fsync, synchronous commits or whole pages ends the start."""
    async with spoiled(durable, name) as setting:
        lines = await refusal(processes, receiver_environment(durable.dsn, redis_url, free_port()))

    assert len(lines) == 1
    assert lines[0].startswith(f"setting refused: Postgres runs with {setting} off: ")


async def test_f39_a_fleet_is_refused_as_a_whole(
    durable: ScratchPostgres, redis_url: str, processes: Processes
) -> None:
    """F39: the parent of several receivers ends with the refusal of any one, and starts no more of them."""
    async with spoiled(durable, "fsync_by_system"):
        environment = receiver_environment(durable.dsn, redis_url, free_port(), INGEST_PROCESSES="2")
        lines = await refusal(processes, environment)

    assert 1 <= len(lines) <= 2
    assert {line.startswith("setting refused: Postgres runs with fsync off: ") for line in lines} == {True}
