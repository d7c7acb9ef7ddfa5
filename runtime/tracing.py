"""The door to traces: off, and OpenTelemetry not even imported, unless the standard OTEL_* variables name a
collector. Must never stop or delay the work that it tells of.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal, Protocol

from runtime import telemetry

type_kind = Literal["server", "client", "consumer", "internal"]
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PACKAGE = "opentelemetry.exporter.otlp.proto.http"
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[!-~]*)?"
)
"""https://www.w3.org/TR/trace-context/ section 3.2: a later version may say more, and is read as this one."""
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """The span in which something was sent to us, in hex digits; `sampled`: its trace is being recorded."""

    trace: str
    span: str
    sampled: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Something that has happened, told afterwards. Times are nanoseconds since 1970.

    `trace` and `own` are keys of any length from which the ids are made, so that two processes which know the
    same key tell of one trace without a word between them; without `own` the span's id is random. `parent` is
    the `own` of another span of this trace. With a `sender` the trace is the sender's, and what has no parent
    hangs on the sender's span.
    """

    name: str
    kind: type_kind
    trace: str
    began_ns: int
    ended_ns: int
    own: str | None = None
    parent: str | None = None
    failed: str | None = None
    attributes: dict[str, str | int] = field(default_factory=dict)
    sender: Sender | None = None


class Teller(Protocol):
    """Whoever sends spans to a collector, in the background."""

    def tell(self, span: Span) -> None:
        """Queue a span; never blocks, drops it when too many wait."""

    def close(self) -> None:
        """Send what waits, for a moment at most."""


class _Here:
    teller: Teller | None = None


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether these variables ask for traces, as OpenTelemetry's specification reads them."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip() not in ("", "otlp"):
        return False
    return any(environment.get(name, "").strip() for name in _COLLECTORS)


def start(process: str, instance: str) -> None:
    """Begin to tell if the environment asks for it. What is missing is a warning: money comes first."""
    if not wanted(os.environ):
        return
    protocol = next(filter(None, (os.environ.get(name, "").strip() for name in _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        telemetry.logger().warning("no_traces", reason="OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf")
        return
    if find_spec("opentelemetry") is None or find_spec(_PACKAGE) is None:
        telemetry.logger().warning("no_traces", reason="install requirements/otel.lock")
        return
    from runtime import otel  # noqa: PLC0415 - the packages are optional, and cost a tenth of a second

    _Here.teller = otel.Collector(process, instance)
    telemetry.logger().info("tracing")


def stop() -> None:
    """Send what waits and tell nothing more."""
    if _Here.teller is not None:
        _Here.teller.close()
        _Here.teller = None


def on() -> bool:
    """Whether spans go anywhere."""
    return _Here.teller is not None


def tell(span: Span) -> None:
    """Pass a span on, or forget it where tracing is off."""
    if _Here.teller is not None:
        _Here.teller.tell(span)


def sender(traceparents: Sequence[str]) -> Sender | None:
    """Who sent it, by the values of its `traceparent` headers; None for none, for several, and for one that
    is not what W3C's Trace Context says: then the trace begins with us.
    """
    told = _TRACEPARENT.fullmatch(traceparents[0]) if len(traceparents) == 1 else None
    if told is None or (told["version"] == "00" and told["more"] is not None):
        return None
    return Sender(told["trace"], told["span"], bool(int(told["flags"], 16) & _SAMPLED))


def trace_id(key: str, sender: Sender | None = None) -> str:
    """The id of a trace as tracing systems show it, 32 hex digits: its sender's, else made of its key."""
    return _digest("trace", key)[:16].hex() if sender is None else sender.trace


def span_id(trace: str, own: str) -> str:
    """The id of a span that has a key of its own: 16 hex digits."""
    return _digest("span", trace, own)[:8].hex()


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(("sluice", *parts)).encode("utf-8", "surrogatepass")).digest()
