"""A real Prometheus scrapes the real processes: receiver, API and, through the API, the worker."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

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
RULES = Path(__file__).resolve().parents[2] / "docs" / "prometheus" / "rules.yml"


async def value(client: aiohttp.ClientSession, query: str) -> float | None:
    """The first value of an instant query; None while there is none."""
    try:
        async with client.get("/api/v1/query", params={"query": query}) as answer:
            found: list[dict[str, Any]] = (await answer.json())["data"]["result"]
    except (aiohttp.ClientError, KeyError):
        return None
    return float(found[0]["value"][1]) if found else None


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus (Debian) is not installed")
async def test_prometheus_sees_every_process(
    dsn: str, redis_url: str, processes: Processes, tmp_path: Path
) -> None:
    """Both targets are up, the worker's series say that it lives, every rule evaluates without a fault."""
    ingest, api, prometheus = free_ports(3)
    environment = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "INGEST_PORT": str(ingest),
        "API_PORT": str(api),
        "STRIPE_WEBHOOK_SECRETS": "whsec_scraped_0123456789abcdef",
    }
    processes.start("-m", "workers", environment=environment)
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
                return (await value(client, "sum(up)"), await value(client, WORKERS)) == (2, 1)

            await until(seen, 60, "two targets that are up and a worker that lives")
            assert await value(client, "count(sluice_commit_queue_rows)") == 1
            assert await value(client, "sum(sluice_events_open)") == 0
            async with client.get("/api/v1/rules") as answer:
                groups = (await answer.json())["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule.get("lastError", "") for rule in rules} == {""}
            assert len(rules) == RULES.read_text(encoding="utf-8").count("- alert:")
    finally:
        scraper.terminate()
        await scraper.wait()
