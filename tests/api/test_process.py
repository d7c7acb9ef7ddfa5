"""`python -m api` as an operator starts it: before Postgres, through its absence, to an orderly end."""

from __future__ import annotations

import json
import signal
import socket
from urllib.parse import urlsplit, urlunsplit

from tests.api import house as house_module
from tests.api.forward import Forwarder
from tests.api.house import ENVIRONMENT, JWT_SECRET, OPS, OPS_TOKEN, House, customer
from tests.api.seed import Seed, refused
from tests.support.poll import until
from tests.support.ports import free_ports
from tests.support.processes import Processes


def environment(dsn: str, redis_url: str, port: int) -> dict[str, str]:
    return {"DATABASE_URL": dsn, "REDIS_URL": redis_url, "API_PORT": str(port), **ENVIRONMENT}


async def test_process_outlives_the_absence_of_postgres(
    dsn: str, redis_url: str, seed: Seed, processes: Processes
) -> None:
    """Started before Postgres it answers 503, works once Postgres is there, and after a second absence."""
    await seed.append(refused(b"payload canary"))
    api_port, database_port = free_ports(2)
    there = urlsplit(dsn)
    assert there.hostname is not None
    assert there.port is not None
    netloc = f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{database_port}"
    database = Forwarder(database_port, there.hostname, there.port)
    settings = environment(urlunsplit(there._replace(netloc=netloc)), redis_url, api_port)
    running = await processes.start_ready(
        "-m", "api", url=f"http://127.0.0.1:{api_port}/health/live", environment=settings
    )
    async with house_module.client() as session:
        house = House(api_port, session)

        async def ready() -> bool:
            return (await house.get("/health/ready")).status == 200

        assert (await house.get("/health/ready")).status == 503
        for _ in range(2):
            await database.on()
            await until(ready, 20, "the API to be ready")
            listed = await house.get("/audit/deliveries", OPS)
            (item,) = listed.json["items"]
            assert (await house.get(f"/audit/deliveries/{item['id']}", OPS)).status == 200
            assert (await house.get("/api/billing/credits", customer("u1"))).status == 200
            await database.off()
            assert (await house.get("/audit/deliveries", OPS)).status == 503
    running.signal(signal.SIGTERM)

    assert await running.ended() == 0
    output = running.output()
    assert [json.loads(line)["event"] for line in output.splitlines() if '"stopped"' in line] == ["stopped"]
    assert not any(
        secret in output
        for secret in (OPS_TOKEN, JWT_SECRET, "payload canary", customer("u1")["Authorization"])
    )


async def test_process_beats_and_takes_its_heartbeat_away(
    dsn: str, redis_url: str, seed: Seed, processes: Processes
) -> None:
    """A running process is in the status as alive; one that ended in order is gone from it."""
    (port,) = free_ports(1)
    running = await processes.start_ready(
        "-m",
        "api",
        url=f"http://127.0.0.1:{port}/health/ready",
        environment=environment(dsn, redis_url, port),
    )
    async with house_module.client() as session:

        async def alive() -> list[str]:
            status = (await House(port, session).get("/ops/status", OPS)).json
            return [each["process"] for each in status["processes"] if each["alive"]]

        assert await until(alive, 20, "a heartbeat") == ["api"]
    running.signal(signal.SIGINT)

    assert await running.ended() == 0
    assert await seed.value("SELECT count(*) FROM process_heartbeat") == 0


async def test_bad_settings_and_a_taken_port_end_with_78(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """What a restart cannot cure ends with the code that supervisors do not retry, and one clear line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        on_taken_port = processes.start("-m", "api", environment=environment(dsn, redis_url, port))
        endpoints = '[{"path":"x","provider":"nobody","secrets":["sixteen-bytes-at-least"]}]'
        unknown = processes.start(
            "-m", "api", environment={**environment(dsn, redis_url, port), "WEBHOOK_ENDPOINTS": endpoints}
        )

        assert (await on_taken_port.ended(), await unknown.ended()) == (78, 78)
    assert f"API_PORT: 127.0.0.1:{port} cannot be listened on" in on_taken_port.output()
    assert "WEBHOOK_ENDPOINTS names provider 'nobody'" in unknown.output()
