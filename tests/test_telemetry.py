"""Spans of one process: what they hold, whose they are, and what they never hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.ports import RequestEnd
from wanesync.telemetry import OpenTelemetryTracing, Seldom, make_tracing


class Collected:
    def __init__(self, sample: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing: OpenTelemetryTracing = make_tracing(self.exporter, sample, "test-1")

    def spans(self) -> list[ReadableSpan]:
        self.tracing.provider.force_flush()
        return sorted(self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name))


@pytest.fixture
def collected() -> Iterator[Collected]:
    made = Collected()
    yield made
    made.tracing.provider.shutdown()


def _trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_a_call_belongs_to_the_trace_of_the_webhook_and_names_the_vendors_request(collected: Collected) -> None:
    with collected.tracing.webhook(Side.HUBSPOT) as context:
        pass
    with collected.tracing.call(Side.STRIPE, "customers.create", [context]):
        collected.tracing.note_request(RequestEnd(200, 41.5, "req_7"))
    webhook, call = collected.spans()
    assert (webhook.name, call.name) == ("webhook hubspot", "stripe customers.create")
    assert _trace_of(webhook) == _trace_of(call) == context.split("-")[1]
    assert call.attributes == {
        "wanesync.side": "stripe",
        "wanesync.operation": "customers.create",
        "wanesync.jobs": 1,
        "wanesync.took_ms": 41.5,
        "http.response.status_code": 200,
        "wanesync.request_id": "req_7",
    }
    assert call.status.status_code is StatusCode.UNSET


def test_a_batch_appears_in_the_trace_of_each_of_its_jobs(collected: Collected) -> None:
    contexts = []
    for _ in range(3):
        with collected.tracing.webhook(Side.STRIPE) as context:
            contexts.append(context)
    with collected.tracing.call(Side.HUBSPOT, "contacts.batch_update", [*contexts, contexts[0], ""]):
        collected.tracing.note_request(RequestEnd(200, 3.0, "corr-1"))
    calls = [span for span in collected.spans() if span.name == "hubspot contacts.batch_update"]
    assert sorted(map(_trace_of, calls)) == sorted(context.split("-")[1] for context in contexts)
    assert {(span.attributes or {})["wanesync.request_id"] for span in calls} == {"corr-1"}
    assert sorted(len(span.links) for span in calls) == [0, 1, 1]


def test_a_call_for_jobs_without_a_trace_is_not_traced(collected: Collected) -> None:
    with collected.tracing.call(Side.STRIPE, "customers.list", ["", ""]):
        collected.tracing.note_request(RequestEnd(200, 1.0))
    assert collected.spans() == []


def test_an_error_shows_its_kind_and_none_of_its_text(collected: Collected) -> None:
    with collected.tracing.webhook(Side.HUBSPOT) as context:
        pass

    def fail() -> None:
        with collected.tracing.call(Side.STRIPE, "customers.update", [context]):
            collected.tracing.note_request(RequestEnd(400, 2.0, "req\n8"))
            raise CallError(Side.STRIPE, Failure.REFUSED, "ada@example.com is no address")

    with pytest.raises(CallError):
        fail()
    call = collected.spans()[1]
    assert call.status.status_code is StatusCode.ERROR
    assert (call.attributes or {})["error.type"] == "CallError"
    assert "ada@example.com" not in call.to_json()
    assert "wanesync.request_id" not in (call.attributes or {})


def test_a_collector_that_is_away_is_logged_once_a_minute() -> None:
    now_s = [0.0]
    seldom = Seldom(lambda: now_s[0])
    record = logging.LogRecord("exporter", logging.ERROR, "", 0, "away", (), None)
    passed = []
    for now_s[0] in (0.0, 2.0, 59.0, 60.0, 62.0):
        passed.append(seldom.filter(record))
    assert passed == [True, False, False, True, False]


def test_what_is_not_sampled_carries_no_context() -> None:
    made = Collected(sample=1e-9)
    with made.tracing.webhook(Side.HUBSPOT) as context:
        assert context == ""
    assert made.spans() == []
    made.tracing.provider.shutdown()
