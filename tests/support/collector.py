"""A collector of traces: a server that takes OpenTelemetry's protocol over HTTP and keeps what it is told."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.ports import free_port


@dataclass(frozen=True)
class Told:
    """A span as a tracing system would show it."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    began_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, str | int]


@dataclass
class Collector:
    """Everything that was told, and the bytes that told it."""

    url: str
    spans: list[Told] = field(default_factory=list)
    bytes: bytearray = field(default_factory=bytearray)

    async def take(self, request: web.Request) -> web.Response:
        """One batch of a process."""
        raw = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        self.bytes += raw
        for part in ExportTraceServiceRequest.FromString(raw).resource_spans:
            named = {each.key: each.value.string_value for each in part.resource.attributes}
            for scope in part.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Told(
                            named["service.name"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.code == span.status.STATUS_CODE_ERROR,
                            {
                                each.key: each.value.string_value or each.value.int_value
                                for each in span.attributes
                            },
                        )
                    )
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def of(self, trace: str) -> list[Told]:
        """The spans of one trace in the order of their beginning."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.began_ns)


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a port of its own until the block is left."""
    port = free_port()
    collector = Collector(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield collector
    finally:
        await runner.cleanup()
