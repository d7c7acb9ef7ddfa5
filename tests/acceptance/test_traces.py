"""One trace from a delivery to its effect at the PSP, told by real processes to a real collector; nothing is
told, or even imported, unless somebody asks.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from db import traces
from runtime import tracing
from tests.acceptance.conftest import SECRET, TOKEN, Stack, started
from tests.support import stripe_events as made
from tests.support import stripe_stub
from tests.support.collector import Collector, Told, collecting
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import ROOT, Processes

KEY = "sk_test_traced_0123456789"
SILENT = dict.fromkeys(("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER"))


async def sold_and_refunded(stack: Stack, stub: stripe_stub.Stub, **headers: str) -> dict[str, Any]:
    """An order is paid, its seller paid out, and the payment refunded, of which a delivery with these headers
    tells, and then one without; returns the refund's event.
    """
    payment = made.order_payment("order_1")
    transfer = made.transfer("order_1")
    stub.transfers[transfer["id"]] = transfer["amount"]
    refund = made.event("refund.updated", made.refund(payment["id"], 5000))
    for body in (
        made.event("payment_intent.succeeded", payment),
        made.event("transfer.created", transfer),
    ):
        await stack.send_of("stripe", body)
        await stack.settled()
    assert await stack.send(json.dumps(refund), **headers) == (200, '{"received":true}')
    await stack.settled()
    await stack.send_of("stripe", refund)
    return refund


def traced(collector: Collector, stub: stripe_stub.Stub) -> dict[str, str | None]:
    """Settings of processes that tell this collector and call this PSP."""
    return {
        **SILENT,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": stub.url,
    }


def names(spans: list[Told]) -> list[tuple[str, str]]:
    """Process and name of each."""
    return [(span.service, span.name) for span in spans]


async def test_one_trace_from_delivery_to_effect(dsn: str, redis_url: str, processes: Processes) -> None:
    """Receiver and worker tell of one refund under one trace id: delivered, committed, applied, called, and
    the call's end applied; a second delivery joins it, and a forgery under the same id does not.
    """
    async with (
        collecting() as collector,
        stripe_stub.serving() as stub,
        started(dsn, redis_url, processes, **traced(collector, stub)) as stack,
    ):
        event_id = str((await sold_and_refunded(stack, stub))["id"])
        forged = json.dumps({"id": event_id, "type": "refund.updated", "data": {}}).encode()
        async with stack.http.post(
            f"{stack.receiver}/webhooks/stripe", data=forged, headers={"Stripe-Signature": "t=1,v1=00"}
        ) as answer:
            assert answer.status == 400
        trace = tracing.trace_id(event_id)

        def whole() -> bool:
            told = names(collector.of(trace))
            ends = ("sluice-worker", "apply"), ("sluice-ingest", "receive")
            return [told.count(end) for end in ends] == [2, 2] and refused(collector) != []

        *_, row = await stack.deliveries(f"&event_id={event_id}")
        assert trace in await page(stack, f"/console/deliveries/{row['id']}")
        await until(whole, 30, f"a whole trace, now {names(collector.of(trace))}")
    spans = collector.of(trace)
    assert sorted(names(spans)) == [
        ("sluice-ingest", "commit"),
        ("sluice-ingest", "commit"),
        ("sluice-ingest", "receive"),
        ("sluice-ingest", "receive"),
        ("sluice-worker", "apply"),
        ("sluice-worker", "apply"),
        ("sluice-worker", "call reverse_transfer"),
    ]
    first, second = (span for span in spans if span.name == "receive")
    assert {span.parent for span in (first, second)} == {""}
    assert {span.parent for span in spans if span.service == "sluice-worker"} == {first.span}
    assert {span.parent for span in spans if span.name == "commit"} == {first.span, second.span}
    assert all(first.began_ns <= span.began_ns <= span.ended_ns for span in spans)
    applied, ended = (span for span in spans if span.name == "apply")
    assert applied.attributes["sluice.state"] == ended.attributes["sluice.state"] == "applied"
    assert str(ended.attributes["sluice.event_id"]).startswith("effect_")
    (forgery,) = refused(collector)
    assert forgery.failed
    assert forgery.trace != trace
    assert "sluice.event_id" not in forgery.attributes
    for never in (SECRET, KEY, "order_1", "seller_1", "buyer_1", "v1=", event_id.upper()):
        assert never.encode() not in bytes(collector.bytes)


SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_trace_that_began_before_us_goes_on(dsn: str, redis_url: str, processes: Processes) -> None:
    """Receiver and worker tell of the delivery, of its application and of the call that it led to under the
    sender's trace; a forgery under its name does not, and a header that is none begins a trace of our own.
    """
    _, trace, span, _ = SENT.split("-")
    async with (
        collecting() as collector,
        stripe_stub.serving() as stub,
        started(dsn, redis_url, processes, **traced(collector, stub)) as stack,
    ):
        event_id = (await sold_and_refunded(stack, stub, traceparent=SENT))["id"]
        again, first = await stack.deliveries(f"&event_id={event_id}")
        forged = {"Stripe-Signature": "t=1,v1=00", "traceparent": SENT}
        async with stack.http.post(f"{stack.receiver}/webhooks/stripe", data=b"{}", headers=forged) as answer:
            assert answer.status == 400
        unreadable = made.event("checkout.session.completed", made.checkout())
        await stack.send(json.dumps(unreadable), traceparent=SENT.replace("00-", "0-", 1))

        def whole() -> bool:
            applied = names(collector.of(trace)).count(("sluice-worker", "apply"))
            own = collector.of(tracing.trace_id(unreadable["id"]))
            return applied == 2 and len(own) == 3 and refused(collector) != []

        assert trace in await page(stack, f"/console/deliveries/{first['id']}")
        assert tracing.trace_id(event_id) in await page(stack, f"/console/deliveries/{again['id']}")
        await until(whole, 30, f"both traces, now {names(collector.spans)}")
    spans = collector.of(trace)
    assert sorted(names(spans)) == [
        ("sluice-ingest", "commit"),
        ("sluice-ingest", "receive"),
        ("sluice-worker", "apply"),
        ("sluice-worker", "apply"),
        ("sluice-worker", "call reverse_transfer"),
    ]
    (received,) = (told for told in spans if told.name == "receive")
    assert received.parent == span
    assert {told.parent for told in spans if told is not received} == {received.span}
    again_received = {told.name: told for told in collector.of(tracing.trace_id(event_id))}
    assert again_received["receive"].parent == ""
    assert again_received["commit"].parent == again_received["receive"].span


async def test_a_sender_that_records_nothing_is_followed(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """Its word decides for every process, as OpenTelemetry has it unless it is told otherwise."""
    async with collecting() as collector:
        async with started(
            dsn, redis_url, processes, **SILENT, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
        ) as stack:
            for flags in ("00", "01"):
                body = json.dumps(made.event("checkout.session.completed", made.checkout()))
                await stack.send(body, traceparent=f"00-{'a' * 30}{flags}-00f067aa0ba902b7-{flags}")
            await stack.settled()
        for running in processes._started:
            running.signal(signal.SIGTERM)
        for running in processes._started:
            await running.ended()
    assert sorted((span.trace[-2:], span.name) for span in collector.spans) == [
        ("01", "apply"),
        ("01", "commit"),
        ("01", "receive"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([SENT], (SENT[3:35], SENT[36:52], True)),
        ([f"{SENT[:-2]}00"], (SENT[3:35], SENT[36:52], False)),
        ([f"{SENT[:-2]}fe"], (SENT[3:35], SENT[36:52], False)),
        ([f"cc{SENT[2:]}"], (SENT[3:35], SENT[36:52], True)),
        ([f"cc{SENT[2:]}-what-comes-later"], (SENT[3:35], SENT[36:52], True)),
        ([f"cc{SENT[2:]}.what-comes-later"], None),
        ([f"{SENT}-more"], None),
        ([f"ff{SENT[2:]}"], None),
        ([SENT.upper()], None),
        ([f"00-{'0' * 32}{SENT[35:]}"], None),
        ([f"{SENT[:36]}{'0' * 16}-01"], None),
        ([f"{SENT}\n"], None),
        ([SENT[:-1]], None),
        ([""], None),
        ([SENT, SENT], None),
        ([], None),
    ],
)
def test_a_traceparent_is_read_as_w3c_says(values: list[str], expected: tuple[str, str, bool] | None) -> None:
    """Anything else counts for nothing: the trace begins here, and nobody is refused for it."""
    assert tracing.sender(values) == (None if expected is None else tracing.Sender(*expected))


async def page(stack: Stack, path: str) -> str:
    """A page of the console, for whoever has logged in with the operator's token."""
    jar = aiohttp.CookieJar(unsafe=True)  # "unsafe" is a host without a name
    async with aiohttp.ClientSession(stack.api, cookie_jar=jar) as browser:
        async with browser.get("/console/login") as form:
            found = re.search(r'name="csrf" value="([^"]+)"', await form.text())
        assert found is not None
        fields = {"csrf": found[1], "token": TOKEN, "next": path}
        async with browser.post("/console/login", data=fields) as answer:
            return await answer.text()


def refused(collector: Collector) -> list[Told]:
    """The deliveries that were told as refused."""
    return [span for span in collector.spans if span.attributes.get("sluice.verdict") not in (None, "ok")]


async def test_a_collector_that_is_away_costs_nothing(dsn: str, redis_url: str, processes: Processes) -> None:
    """Deliveries are applied, and the processes end when they are told to."""
    away = {**SILENT, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    async with started(dsn, redis_url, processes, **away) as stack:
        await stack.send_of("stripe", made.event("checkout.session.completed", made.checkout()))
        await stack.settled()
        assert await stack.credits("cust_1") == 250
    for running in processes._started:
        running.signal(signal.SIGTERM)
    assert [await running.ended() for running in processes._started] == [0, 0, 0]


async def test_a_sampler_decides_alike_in_every_process(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """With half of the traces, each is told wholly or not at all."""
    async with collecting() as collector:
        settings = {
            **SILENT,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.5",
        }
        async with started(dsn, redis_url, processes, **settings) as stack:
            bodies = [made.event("checkout.session.completed", made.checkout()) for _ in range(40)]
            await stack.send_of("stripe", *bodies)
            await stack.settled()
        for running in processes._started:
            running.signal(signal.SIGTERM)
        for running in processes._started:
            await running.ended()
    told = [sorted(name for _, name in names(collector.of(tracing.trace_id(body["id"])))) for body in bodies]
    assert {tuple(each) for each in told} == {(), ("apply", "commit", "receive")}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_the_standard_settings_switch_it(environment: dict[str, str], expected: bool) -> None:
    """As OpenTelemetry's specification reads them; without a collector nothing is told."""
    assert tracing.wanted(environment) is expected


def python(program: str, **environment: str) -> str:
    """What a small program says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_nothing_is_imported_while_it_is_off() -> None:
    """Who does not trace pays for no import, and needs no package."""
    program = "import sys, ingest.app, workers.__main__, reconciler.__main__, api.app\n"
    program += "from runtime import telemetry, tracing\ntelemetry.configure('x')\ntracing.start('x', 'x')\n"
    program += "print([name for name in sys.modules if name.startswith('opentelemetry')], tracing.on())"

    assert python(program) == "[] False\n"


@pytest.mark.parametrize(
    ("before", "environment", "reason"),
    [
        ("import sys; sys.modules['opentelemetry'] = None", {}, "install requirements/otel.lock"),
        ("", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
    ],
)
def test_what_is_missing_is_a_warning(before: str, environment: dict[str, str], reason: str) -> None:
    """Money comes before traces: the process goes on, and says once why there are none."""
    program = f"{before}\nfrom runtime import telemetry, tracing\ntelemetry.configure('x')\n"
    program += "tracing.start('x', 'x')\nprint(tracing.on())"
    said, on = python(program, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", **environment).splitlines()

    assert (json.loads(said)["event"], json.loads(said)["reason"], on) == ("no_traces", reason, "False")


def test_a_delivery_that_is_not_verified_joins_no_trace() -> None:
    """Whatever event id and whatever trace a forgery claims."""
    sent = {"Traceparent": SENT}
    assert traces.trace_of("evt_1", "request", True, {}) == tracing.trace_id("evt_1")
    assert traces.trace_of("evt_1", "request", True, sent) == SENT[3:35]
    assert traces.trace_of("evt_1", "request", False, sent) == traces.trace_of("evt_2", "request", False, {})
    assert traces.trace_of("evt_1", "request", False, sent) not in (tracing.trace_id("evt_1"), SENT[3:35])
