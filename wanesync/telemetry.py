"""Traces through OpenTelemetry (extra ``otel``): spans for webhooks and vendor requests, sent to a collector over OTLP.

Attributes are sides, operations, numbers, statuses and the vendors' request ids: nothing of a person, and no text of an
error. Spans are sent by a thread in the background; a collector that does not answer costs spans, never work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from wanesync.core.model import Side
    from wanesync.core.ports import RequestEnd

EXPORT_TIMEOUT_S = 2
"""How long the collector may take for a batch: a process that stops has 10 s in all (our choice)."""
EXPORT_INTERVAL_MS = 2_000
"""How often spans are sent (our choice)."""
LOG_INTERVAL_S = 60.0
"""Shortest time between two lines of the log about a collector that does not answer (our choice)."""
MAX_TRACES = 100
"""Traces in which one call appears: a batch of HubSpot has at most 100 jobs."""
_PROPAGATOR = TraceContextTextMapPropagator()
_EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Seldom(logging.Filter):
    """Lets one line a minute pass: a collector that is away is no news every two seconds."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic_s, self._last_s = monotonic_s, float("-inf")

    def filter(self, _record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        now_s = self._monotonic_s()
        if now_s - self._last_s < LOG_INTERVAL_S:
            return False
        self._last_s = now_s
        return True


_SELDOM = Seldom()


@cache
def open_tracing(address: str, sample: float, process: str) -> OpenTelemetryTracing:
    """Return the tracing of this process: to a collector, of a share of the webhooks. Made once for all its parts."""
    session = requests.Session()
    # Neither a proxy nor a password of .netrc is taken from the environment.
    session.trust_env = False
    exporter = OTLPSpanExporter(endpoint=address, timeout=EXPORT_TIMEOUT_S, session=session)
    return make_tracing(exporter, sample, process)


def make_tracing(exporter: SpanExporter, sample: float, process: str) -> OpenTelemetryTracing:
    """Return tracing with any exporter. Spans that are left are sent at the end of the process."""
    resource = Resource(
        {"service.name": "wanesync", "service.version": version("wanesync"), "service.instance.id": process}
    )
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sample)), resource=resource)
    processor = BatchSpanProcessor(
        exporter, schedule_delay_millis=EXPORT_INTERVAL_MS, export_timeout_millis=EXPORT_TIMEOUT_S * 1000
    )
    provider.add_span_processor(processor)
    logging.getLogger(_EXPORTER_LOGGER).addFilter(_SELDOM)
    return OpenTelemetryTracing(provider)


@dataclass(frozen=True, slots=True, eq=False)
class OpenTelemetryTracing:
    """Spans of one process (``core.operating.tracing.Tracing``)."""

    provider: TracerProvider
    is_on: bool = True
    _tracer: trace.Tracer = field(init=False)

    def __post_init__(self) -> None:
        """Make the tracer."""
        object.__setattr__(self, "_tracer", self.provider.get_tracer("wanesync"))

    @contextmanager
    def webhook(self, side: Side) -> Iterator[str]:
        """Trace the storing of one webhook; yields the context that its jobs carry, "" if it is not sampled."""
        attributes: dict[str, AttributeValue] = {"wanesync.side": str(side)}
        with self._begin(f"webhook {side}", SpanKind.SERVER, attributes) as span:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            yield carrier.get("traceparent", "") if span.is_recording() else ""

    @contextmanager
    def call(self, side: Side, operation: str, contexts: Sequence[str]) -> Iterator[None]:
        """Trace one call to a vendor; in the traces of its other jobs it appears as a copy that links to it."""
        traces = list(dict.fromkeys(filter(None, contexts)))[:MAX_TRACES]
        if not traces:
            yield
            return
        name, began_ns = f"{side} {operation}", time.time_ns()
        attributes: dict[str, AttributeValue] = {
            "wanesync.side": str(side),
            "wanesync.operation": operation,
            "wanesync.jobs": len(contexts),
        }
        with self._begin(name, SpanKind.CLIENT, attributes, traces[0]) as span:
            try:
                yield
            finally:
                self._copy(span, name, traces[1:], began_ns)

    def note_request(self, end: RequestEnd) -> None:
        """Note with the call of this thread how its request ended."""
        span = trace.get_current_span()
        if not span.is_recording():
            return
        attributes: dict[str, AttributeValue] = {"wanesync.took_ms": end.took_ms}
        if end.status:
            attributes["http.response.status_code"] = end.status
        if end.request_id.isascii() and end.request_id.isprintable() and end.request_id:
            attributes["wanesync.request_id"] = end.request_id[:128]
        span.set_attributes(attributes)
        # A call may make several requests: each is an event, and the attributes are those of the last one.
        span.add_event("request", attributes)
        if not 0 < end.status < 400:
            span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def _begin(
        self, name: str, kind: SpanKind, attributes: dict[str, AttributeValue], parent: str = ""
    ) -> Iterator[Span]:
        context = (
            _PROPAGATOR.extract({"traceparent": parent}) if parent else trace.set_span_in_context(trace.INVALID_SPAN)
        )
        # The text of an exception may hold values: only its kind is noted.
        with self._tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def _copy(self, span: Span, name: str, traces: Sequence[str], began_ns: int) -> None:
        attributes = dict(getattr(span, "attributes", None) or {})
        for parent in traces:
            context = _PROPAGATOR.extract({"traceparent": parent})
            links = [Link(span.get_span_context())]
            copy = self._tracer.start_span(name, context, SpanKind.CLIENT, attributes, links, start_time=began_ns)
            copy.end()
