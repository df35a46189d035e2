"""What two processes count, and one trace from a webhook to the vendor's request at a collector on this machine."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.canned_server import CannedServer, Told
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.core.operating.figures import Amount, Figure, decode_labels
from wanesync.ops.figures import read_timeliness

Spans = dict[str, dict[str, Mapping[str, str]]]


def _read(collector: CannedServer) -> Spans:
    """Trace -> name of a span -> its attributes as text."""
    found: Spans = defaultdict(dict)
    for asked in list(collector.asked):
        request = ExportTraceServiceRequest()
        request.ParseFromString(asked.body)
        for resource in request.resource_spans:
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}
                found[span.trace_id.hex()][span.name] = attributes
    return found


def _find_whole(collector: CannedServer, *names: str) -> dict[str, Mapping[str, str]]:
    return next((spans for spans in _read(collector).values() if spans.keys() >= set(names)), {})


def _check_figures(stage: Stage) -> None:
    """At a clean end everything is stored that ``serve`` and the worker counted."""
    with stage.store.reading() as tx:
        counted = {
            (figure, *decode_labels(labels).values()): amount
            for (figure, labels), amount in tx.figures.read_all_time().items()
        }
        timely = read_timeliness(tx)
    assert counted[Figure.WEBHOOKS, "hubspot", "accepted"].count >= 1
    assert counted[Figure.EVENTS_STORED, "stripe"].count >= 1
    assert counted[Figure.VENDOR_REQUESTS, "stripe", "customers.create", "ok"] == Amount(1)
    assert counted[Figure.VENDOR_CALL, "hubspot", "contacts.batch_update"].count >= 1
    assert counted[Figure.JOBS_ENDED, "stripe", "write", "done"].count >= 1
    assert counted[Figure.JOB_PICKUP, "hubspot", "read"].count >= 1
    for lane in ("stripe", "hubspot"):
        end_to_end = counted[Figure.END_TO_END, lane, "write"]
        assert end_to_end.count == counted[Figure.PEOPLE, lane, "within"].count >= 1
        assert 0 < end_to_end.total_ms < 30_000 * end_to_end.count
    assert counted[Figure.PEOPLE, "stripe", "within"].count == 1
    assert (timely.last_hour.beyond, timely.last_hour.share, timely.waiting) == (0, 1.0, 0)


def test_a_trace_leads_from_the_webhook_to_the_request_at_the_vendor(tmp_path: Path) -> None:
    with CannedServer(Told(200, b"", {"Content-Type": "application/x-protobuf"})) as collector:
        more = f'[telemetry]\ntraces = "{collector.url}/v1/traces"\n'
        with Stage(f"sqlite:{tmp_path / 'wanesync.db'}", tmp_path, more=more) as stage:
            stage.live()
            stage.edit(Side.HUBSPOT, "create", email="ana.traced@example.com", firstname="Anastasia", city="Lyon")
            stage.until(lambda: stage.customer("ana.traced@example.com"), "the contact becomes a customer")
            names = ("webhook hubspot", "hubspot contacts.batch_read", "stripe customers.create")
            stage.until(lambda: _find_whole(collector, *names), "the collector has the whole trace")
            spans = _find_whole(collector, *names)
            assert spans["stripe customers.create"]["wanesync.request_id"].startswith("req_")
            assert spans["stripe customers.create"]["http.response.status_code"] == "200"
            customer_id = stage.customer("ana.traced@example.com")["id"]
            stage.edit(Side.STRIPE, "update", customer_id, address__city="Leeds")
            back = ("webhook stripe", "hubspot contacts.batch_update")
            stage.until(lambda: _find_whole(collector, *back), "the way back is one trace, too")
            stage.rest()
            for program in stage._programs:
                program.signal(signal.SIGTERM)
                program.end()
            _check_figures(stage)
        sent = b"".join(asked.body for asked in collector.asked)
        assert not [text for text in (b"ana.traced", b"Anastasia", b"Lyon", b"Leeds") if text in sent]
