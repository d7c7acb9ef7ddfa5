"""The sandbox as a real process: refuses bad settings, survives a kill, serves Stripe's blocking client."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
import stripe

from tests.sandbox.worlds import KEY, SECRET, TOPUP, Receiver
from tests.support.ports import free_port
from tests.support.processes import Processes


def _environment(directory: Path, port: int, webhook_url: str) -> dict[str, str | None]:
    return {
        "SANDBOX_DIR": str(directory / "books"),
        "SANDBOX_PORT": str(port),
        "SANDBOX_WEBHOOK_URL": webhook_url,
        "STRIPE_WEBHOOK_SECRETS": f"{SECRET},whsec_another_0123456789",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": None,
        "STRIPE_SK": None,
    }


def _buy(url: str) -> str:
    client = stripe.StripeClient(KEY, base_addresses={"api": url})
    intent = client.v1.payment_intents.create(
        {
            "amount": 289,
            "currency": "usd",
            "confirm": True,
            "off_session": True,
            "payment_method": "pm_card_visa",
            "metadata": {**TOPUP, "paymentMethod": "off_session"},
        }
    )
    return intent.id


async def test_a_kill_loses_neither_books_nor_deliveries(
    tmp_path: Path, processes: Processes, receiver: Receiver
) -> None:
    """What was answered is in the books of the next process, which delivers what the killed one could not."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    nowhere = _environment(tmp_path, port, f"http://127.0.0.1:{free_port()}/")
    first = await processes.start_ready("-m", "psp.sandbox", url=f"{url}/health/live", environment=nowhere)
    payments = [await asyncio.to_thread(_buy, url) for _ in range(3)]
    first.signal(signal.SIGKILL)
    await first.ended()
    environment = _environment(tmp_path, port, receiver.url)
    second = await processes.start_ready(
        "-m", "psp.sandbox", url=f"{url}/health/live", environment=environment
    )
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/sandbox/settle", json={"timeout_s": 20}) as answer:
            settled = await answer.json()
        async with session.get(f"{url}/sandbox/books") as answer:
            books = await answer.json()
    second.signal(signal.SIGTERM)

    assert settled["settled"] is True
    assert books["accounts"]["acc-1"]["credits"] == 750
    assert {
        x.event["data"]["object"]["id"]
        for x in receiver.letters
        if x.event["type"] == "payment_intent.succeeded"
    } == set(payments)
    assert all(letter.verified() for letter in receiver.letters)
    assert await second.ended() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_SECRET_KEY", None),
        ("STRIPE_WEBHOOK_SECRETS", None),
        ("STRIPE_WEBHOOK_SECRETS", "short"),
        ("SANDBOX_PORT", "eighty"),
        ("SANDBOX_WEBHOOK_URL", "ftp://127.0.0.1/"),
    ],
)
async def test_unusable_settings_refuse_to_start(
    tmp_path: Path, processes: Processes, name: str, value: str | None
) -> None:
    """Exit status 78, one line that names the setting and no secret."""
    environment = _environment(tmp_path, free_port(), "http://127.0.0.1:1/") | {name: value}
    refused = processes.start("-m", "psp.sandbox", environment=environment)

    assert await refused.ended() == 78
    assert refused.output().startswith(f"sandbox: {name} must ")
    assert SECRET not in refused.output()
    assert KEY not in refused.output()
