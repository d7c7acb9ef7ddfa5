"""What a process says when something fails: types and places, and nothing of what it worked on."""

from __future__ import annotations

import msgspec

from tests.support.processes import Processes

PROGRAM = """
import asyncio, gc, logging, sys
from runtime import process, telemetry

class Holder:
    def __repr__(self):
        return "canary-in-a-repr"

async def fail():
    local = "canary-in-a-local"
    raise ValueError(f"canary-in-a-text {len(local)}")

async def main(stop):
    lost = asyncio.create_task(fail())
    await asyncio.wait({lost})
    del lost
    gc.collect()
    try:
        await fail()
    except ValueError:
        telemetry.logger().exception("caught", holder=Holder())
        logging.getLogger("aiohttp.server").exception("Error handling %s", "canary-in-an-argument")
    await process.every(0, stop, "turns", lambda: turn(stop))
    await fail()

async def turn(stop):
    stop.set()
    await fail()

sys.exit(process.run("told", main))
"""


async def test_no_failure_shows_what_it_failed_on(processes: Processes) -> None:
    """A caught error, a lost task, a library's, a loop's and the last one of a process: each is one line of
    JSON with type and place; neither locals, texts, arguments nor representations are in it.
    """
    failed = processes.start("-c", PROGRAM, environment={}, name="told")

    assert await failed.ended() == 1
    lines = [msgspec.json.decode(line) for line in failed.output().splitlines()]
    assert "canary" not in failed.output()
    assert [(line["event"], line["error"], line["at"][-1].split()[-1]) for line in lines] == [
        ("library", "ValueError", "fail"),
        ("caught", "ValueError", "fail"),
        ("library", "ValueError", "fail"),
        ("turn_failed", "ValueError", "fail"),
        ("process_failed", "ValueError", "fail"),
    ]
    assert [line["message"] for line in lines if "message" in line] == [
        "Task exception was never retrieved",
        "Error handling %s",
    ]
    assert lines[1]["holder"] == "Holder"
