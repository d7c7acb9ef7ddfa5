"""A real Prometheus scrapes the real processes: receiver, API and, through the API, worker and reconciler."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.house.grafana_board import EXPRESSIONS
from tests.support.poll import until
from tests.support.ports import free_ports
from tests.support.processes import Processes

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - {{job_name: sluice-ingest, static_configs: [{{targets: ["127.0.0.1:{ingest}"]}}]}}
  - {{job_name: sluice-api, static_configs: [{{targets: ["127.0.0.1:{api}"]}}]}}
"""
WORKERS = 'max(sluice_processes_alive{process="worker"})'
RECONCILERS = 'max(sluice_processes_alive{process="reconciler"})'
RULES = Path(__file__).resolve().parents[2] / "docs" / "prometheus" / "rules.yml"


async def value(client: aiohttp.ClientSession, query: str) -> float | None:
    """The first value of an instant query; None while there is none."""
    try:
        async with client.get("/api/v1/query", params={"query": query}) as answer:
            found: list[dict[str, Any]] = (await answer.json())["data"]["result"]
    except (aiohttp.ClientError, KeyError):
        return None
    return float(found[0]["value"][1]) if found else None


async def no_complaints(http: aiohttp.ClientSession, port: int) -> None:
    """What a process shows keeps Prometheus' conventions, as its own linter sees them."""
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        shown = await answer.read()
    linter = await asyncio.create_subprocess_exec(
        "promtool",
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await linter.communicate(shown)
    assert (linter.returncode, said.decode()) == (0, "")


async def everything_evaluates(client: aiohttp.ClientSession) -> None:
    """Every rule, and every question of the dashboard."""
    async with client.get("/api/v1/rules") as answer:
        groups = (await answer.json())["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule.get("lastError", "") for rule in rules} == {""}
    assert len(rules) == RULES.read_text(encoding="utf-8").count("- alert:")
    for expression in EXPRESSIONS:
        question = {"query": expression.replace("$__rate_interval", "1m")}
        async with client.get("/api/v1/query", params=question) as answer:
            assert (await answer.json())["status"] == "success", expression


async def pending_alerts(client: aiohttp.ClientSession) -> set[str]:
    """Names of the alerts whose condition holds."""
    async with client.get("/api/v1/alerts") as answer:
        return {alert["labels"]["alertname"] for alert in (await answer.json())["data"]["alerts"]}


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus (Debian) is not installed")
async def test_prometheus_sees_every_process(
    dsn: str, redis_url: str, processes: Processes, tmp_path: Path
) -> None:
    """Both targets are up, the series of processes without a port say that they live, every rule and every
    panel of the dashboard evaluates; killing the worker makes its alert pend, and no other.
    """
    ingest, api, prometheus = free_ports(3)
    environment = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "INGEST_PORT": str(ingest),
        "INGEST_PROCESSES": "2",  # whose metrics are added up
        "API_PORT": str(api),
        "STRIPE_WEBHOOK_SECRETS": "whsec_scraped_0123456789abcdef",
    }
    worker = processes.start("-m", "workers", environment=environment)
    processes.start("-m", "reconciler", environment=environment)
    for name, port in (("ingest", ingest), ("api", api)):
        await processes.start_ready(
            "-m", name, url=f"http://127.0.0.1:{port}/health/ready", environment=environment
        )
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(rules=RULES, ingest=ingest, api=api), encoding="utf-8")
    scraper = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{prometheus}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{prometheus}") as client:

            async def seen() -> bool:
                questions = ("sum(up)", WORKERS, RECONCILERS)
                return [await value(client, question) for question in questions] == [2, 1, 1]

            await until(seen, 60, "two targets that are up, a worker and a reconciler that live")
            assert await value(client, "count(sluice_commit_queue_rows)") == 1
            assert await value(client, "sum(sluice_events_open)") == 0
            await everything_evaluates(client)
            for port in (ingest, api):
                await no_complaints(client, port)

            async def quiet() -> bool:
                return await pending_alerts(client) == set()

            await until(quiet, 30, "no alert once everything has been scraped")
            worker.signal(signal.SIGKILL)

            async def noticed() -> bool:
                return "SluiceWorkerDown" in await pending_alerts(client)

            await until(noticed, 90, "the alert about the worker")
            assert await pending_alerts(client) == {"SluiceWorkerDown"}
    finally:
        scraper.terminate()
        await scraper.wait()
