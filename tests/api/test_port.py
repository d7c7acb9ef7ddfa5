"""The port itself: one error shape whoever refuses, request ids, headers, metrics, no database."""

from __future__ import annotations

import asyncio
import re
import uuid

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.house import DASHBOARD, OPS, Answer, House, customer, running
from tests.api.seed import Seed, refused

SHAPE = {"error", "code", "message", "requestId", "details"}


def assert_shape(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer.body
    assert answer.content_type == "application/json"
    assert answer.json.keys() == SHAPE
    assert answer.json["code"] == code
    assert answer.json["error"] == answer.json["message"]
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/audit", "/audit/deliveries/", "//audit/deliveries", "/AUDIT/deliveries",
     "/audit/../ops/status", "/audit/deliveries/1/raw/", "/%2e%2e/etc/passwd", "/ops/deliveries//replay",
     "/console%00"],
)  # fmt: skip
async def test_unknown_path_is_404(house: House, path: str) -> None:
    """Routes match strictly; everything else is the same 404, whoever asks."""
    assert_shape(await house.get(path, OPS), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/audit/deliveries", "GET"),
        ("DELETE", "/audit/deliveries/1", "GET"),
        ("GET", "/ops/deliveries/1/replay", "POST"),
        ("PUT", "/api/billing/credits", "GET"),
        ("OPTIONS", "/ops/status", "GET"),
        ("PROPFIND", "/ops/status", "GET"),
    ],
)
async def test_wrong_method_is_405(house: House, method: str, path: str, allow: str) -> None:
    """A method that a path does not have is 405 and says which it has."""
    answer = await house.ask(method, path, OPS)

    assert_shape(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == allow


async def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes and read the answer up to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(20):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split(" ")[1]), headers, body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"<script>canary</script>\r\n\r\n",
        b"GET /ops/status HTTP/9.9\r\nHost: canary\r\n\r\n",
        b"GET /ops/status HTTP/1.1\r\nHost: a\r\nbad header canary\r\n\r\n",
        b"GET /ops/status HTTP/1.1\r\nHost: a\r\nX: " + b"canary" * 2000 + b"\r\n\r\n",
        b"GET /" + b"canary" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: canary\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00canary\r\n\r\n",
    ],
)
async def test_unreadable_request_has_the_shape_too(house: House, request_bytes: bytes) -> None:
    """What the HTTP parser refuses is a 400 in the same shape, and not one byte of the request is in it."""
    status, headers, body = await exchange(house.port, request_bytes)

    answer = msgspec.json.decode(body)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert answer.keys() == SHAPE
    assert (answer["code"], answer["requestId"]) == ("BAD_REQUEST", headers["x-request-id"])
    assert b"canary" not in body
    assert headers["server"] == "sluice"


async def test_odd_expectation_is_ignored(house: House) -> None:
    """`Expect: 100-continue` gets its interim answer, any other expectation none, and both the real one."""
    head = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: %s\r\n\r\n"

    granted = await exchange(house.port, head % b"100-continue")
    ignored = await exchange(house.port, head % b"a-miracle")

    assert (granted[0], ignored[0]) == (100, 200)
    assert b"HTTP/1.1 200" in granted[2]


@pytest.mark.parametrize("sent", ["abc", "a-b_c.d:e", "x" * 128, str(uuid.UUID(int=7))])
async def test_sane_request_id_is_kept(house: House, sent: str) -> None:
    """A request id that the sender chose comes back in header and body."""
    answer = await house.get("/nothing", {"X-Request-Id": sent})

    assert (answer.headers["X-Request-Id"], answer.json["requestId"]) == (sent, sent)


@pytest.mark.parametrize("sent", ["", "a b", "<b>", "x" * 129, "a\tb", "é", '"'])
async def test_odd_request_id_is_replaced(house: House, sent: str) -> None:
    """A request id that could break a log or a page is replaced by one of ours."""
    answer = await house.get("/nothing", {"X-Request-Id": sent})

    assert uuid.UUID(answer.headers["X-Request-Id"])
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/health/live", {}),
        ("/metrics", {}),
        ("/nothing", {}),
        ("/audit/deliveries", OPS),
        ("/audit/deliveries", {}),
    ],
)
async def test_every_answer_carries_the_headers(house: House, path: str, headers: dict[str, str]) -> None:
    """Good or bad, no answer may be sniffed, cached or framed, and none names the server underneath."""
    answer = await house.get(path, headers)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Server"] == "sluice"


async def test_fault_of_ours_is_a_500_without_its_text(house: House, seed: Seed) -> None:
    """A fault inside is a generic 500: neither SQL nor the name of what broke is told."""
    await seed.connection.execute("ALTER TABLE account RENAME TO account_canary")

    answer = await house.get("/audit/explain/account/cust_1", OPS)
    await seed.connection.execute("ALTER TABLE account_canary RENAME TO account")

    assert_shape(answer, 500, "INTERNAL_SERVER_ERROR")
    assert re.search(rb"account|relation|SELECT|Traceback", answer.body) is None


async def test_metrics_name_templates_and_no_ids(house: House, seed: Seed) -> None:
    """All names begin with `sluice_`; labels hold templates, known methods and statuses, nothing sent."""
    (log_id,) = await seed.append(refused(b"{}"))
    for path in (
        f"/audit/deliveries/{log_id}",
        "/canary",
        "/audit/explain/account/canary",
        "/api/accounts/canary/credits",
    ):
        await house.get(path, DASHBOARD)
    await house.ask("PROPFIND", "/ops/status", OPS)

    text = (await house.get("/metrics")).body.decode()

    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("sluice_") for family in families)
    assert not re.search(rf"canary|{log_id}", text, re.IGNORECASE)
    counted = {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "sluice_api_requests_total"
    }
    assert counted["/audit/deliveries/{id}", "GET", "200"] == 1
    assert counted["unmatched", "GET", "404"] == 1
    assert counted["unmatched", "other", "405"] == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/health/ready", {}),
        ("/audit/deliveries", OPS),
        ("/audit/deliveries/1866666666666666666", OPS),
        ("/audit/explain/account/x", OPS),
        ("/audit/stats", OPS),
        ("/ops/status", OPS),
        ("/api/billing/credits", customer("u1")),
        ("/api/accounts/u1/credits", customer("u1")),
    ],
)
async def test_without_a_database_answers_are_503(path: str, headers: dict[str, str]) -> None:
    """With Postgres away the process lives, and answers that need it are 503 and say when to come back."""
    async with running("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0") as house:
        live = await house.get("/health/live")
        answer = await house.get(path, headers)

    assert live.status == 200
    assert_shape(answer, 503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1
