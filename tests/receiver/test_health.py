"""Health and metrics of a receiver: what probes and Prometheus see, on the port that the PSP posts to."""

from __future__ import annotations

import re

import pytest

from tests.receiver.deliveries import Sender, event_body
from tests.receiver.running import Receiver
from tests.receiver.wire import connected
from tests.support.poll import until

METRICS = {
    "sluice_deliveries_total": "counter",
    "sluice_deliveries_not_committed_total": "counter",
    "sluice_refusals_counted_total": "counter",
    "sluice_flush_rows": "histogram",
    "sluice_flush_seconds": "histogram",
    "sluice_doorbell_rings_total": "counter",
    "sluice_commit_queue_rows": "gauge",
    "sluice_late_heads_total": "counter",
}
"""The receiver's metrics: alerts and dashboards name them."""


def request(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: sluice.test\r\n\r\n".encode()


async def scrape(receiver: Receiver) -> str:
    """The text of /metrics; it is the one answer that is not JSON."""
    async with connected(receiver.port) as wire:
        await wire.send(request("/metrics"))
        head, body = await wire.raw_answer()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: text/plain" in head.lower()
    return body.decode()


def value_of(exposition: str, sample: str) -> float:
    """The value of one sample, 0 where it has not been counted yet."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", exposition, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize(("path", "status"), [("/health/live", "live"), ("/health/ready", "ready")])
async def test_probes_are_answered(receiver: Receiver, path: str, status: str) -> None:
    """Both probes answer 200 in JSON while Postgres is there."""
    answer = await receiver.answer_to(request(path))

    assert (200, b'{"status":"%s"}' % status.encode()) == (answer.status, answer.body)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_probes_are_only_read(receiver: Receiver, path: str, method: str) -> None:
    """Any method but GET and HEAD answers 405 and names both."""
    answer = await receiver.answer_to(request(path, method))

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/live/", "/metrics/", "/favicon.ico"])
async def test_nothing_else_is_there(receiver: Receiver, path: str) -> None:
    """Paths beside the probes answer 404."""
    assert (await receiver.answer_to(request(path))).status == 404


async def test_every_metric_is_ours(receiver: Receiver) -> None:
    """/metrics shows the receiver's metrics with their types, and no name that does not begin with
    `sluice_`."""
    exposition = await scrape(receiver)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE))
    names = {line.split("{")[0].split(" ")[0] for line in exposition.splitlines() if not line.startswith("#")}

    assert METRICS.items() <= types.items()
    assert [name for name in {*types, *names} if not name.startswith("sluice_")] == []


async def test_deliveries_are_counted_by_endpoint_and_verdict(receiver: Receiver) -> None:
    """Each verified and each refused delivery is counted once under its verdict; no label comes from a
    sender."""
    ok = 'sluice_deliveries_total{endpoint="stripe",verdict="ok"}'
    stale = 'sluice_deliveries_total{endpoint="stripe",verdict="stale_ts"}'
    before = await scrape(receiver)
    for _ in range(3):
        await receiver.answer_to(Sender().post(event_body()))
    for _ in range(2):
        await receiver.answer_to(Sender().post(event_body(), signature="t=1,v1=00"))
    after = await scrape(receiver)

    assert tuple(value_of(after, sample) - value_of(before, sample) for sample in (ok, stale)) == (3.0, 2.0)
    assert set(re.findall(r"(\w+)=", after)) <= {"endpoint", "verdict", "outcome", "le"}


@pytest.mark.usefixtures("redis_url")  # emptied: rings that nobody has answered yet would take the places
async def test_rings_and_late_heads_are_counted(receiver: Receiver) -> None:
    """A committed delivery rings the workers' doorbell, and a silent connection is counted when it is put
    out."""
    await receiver.answer_to(Sender().post(event_body()))

    async def rung() -> bool:
        return value_of(await scrape(receiver), 'sluice_doorbell_rings_total{outcome="rung"}') >= 1

    async def late() -> bool:
        return value_of(await scrape(receiver), "sluice_late_heads_total") >= 1

    async with connected(receiver.port) as silent:
        assert await silent.ended(within_s=30)
    await until(rung, 20, "a ring to be counted")
    await until(late, 20, "the late head to be counted")
