"""One trace from a webhook to the vendor's request, over two processes, at a collector on this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.canned_server import CannedServer, Told
from tests.support.stage import Stage
from wanesync.core.model import Side

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
        sent = b"".join(asked.body for asked in collector.asked)
        assert not [text for text in (b"ana.traced", b"Anastasia", b"Lyon", b"Leeds") if text in sent]
