"""Tells spans to a collector by OpenTelemetry; the only module that imports it. Must never raise into the
work that it tells of, nor outlive it by more than a moment.
"""

from __future__ import annotations

import os
import threading

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from runtime.tracing import Span, span_id, trace_id

_CLOSE_S = 2.0
"""A collector that is away must not hold up a process that is to stop."""
_KINDS = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "consumer": trace.SpanKind.CONSUMER,
    "internal": trace.SpanKind.INTERNAL,
}


class _Ids(IdGenerator):
    """Gives the span that is about to be made the ids which its keys ask for."""

    def __init__(self) -> None:
        self.trace = 0
        self.own: int | None = None
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self._random.generate_span_id() if self.own is None else self.own


class Collector:
    """Implements `runtime.tracing.Teller`; endpoint, headers, sampler and queue are those of OTEL_*."""

    def __init__(self, process: str, instance: str) -> None:
        attributes = {"service.namespace": "sluice", "service.instance.id": instance}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes["service.name"] = f"sluice-{process}"
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create(attributes), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("sluice")

    def tell(self, span: Span) -> None:
        """See `runtime.tracing.Teller`."""
        self._ids.trace = int(trace_id(span.trace, span.sender), 16)
        self._ids.own = None if span.own is None else int(span_id(span.trace, span.own), 16)
        told = self._tracer.start_span(
            span.name,
            context=self._under(span),
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=span.began_ns,
        )
        if span.failed is not None:
            told.set_status(trace.StatusCode.ERROR, span.failed)
        told.end(span.ended_ns)

    def _under(self, span: Span) -> Context:
        """The context of the parent. Whether that one was sampled in its process is what our sampler, which
        sees the same trace id and the same sender, would say of it here.
        """
        sent = Context()
        if span.sender is not None:
            sent = self._remote(span.sender.span, span.sender.sampled)
        if span.parent is None:
            return sent
        alike = self._provider.sampler.should_sample(sent, self._ids.trace, span.name)
        return self._remote(span_id(span.trace, span.parent), alike.decision is Decision.RECORD_AND_SAMPLE)

    def _remote(self, span: str, sampled: bool) -> Context:
        """The context of a span of this trace that another process tells of."""
        flags = trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT
        there = trace.SpanContext(
            self._ids.trace, int(span, 16), is_remote=True, trace_flags=trace.TraceFlags(flags)
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(there), Context())

    def close(self) -> None:
        """See `runtime.tracing.Teller`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
