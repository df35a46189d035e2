"""The page of metrics."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.lanes import bury, queue, start_processes
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS, LABELS, Amount, Figure, encode_labels, find_bucket
from wanesync.ops.health.gauges import read_gauges
from wanesync.store import Store
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters
from wanesync.web.metrics_page import FIGURES, GAUGES, Totals, render_page


def _page(gauges: dict[str, float] | None = None, totals: Totals | None = None) -> list[str]:
    counters = WebhookCounters()
    counters.count(Side.HUBSPOT, 200, Outcome.ACCEPTED, 100)
    return render_page(counters, gauges or {}, totals or {})[0].decode().splitlines()


def test_the_answers_of_this_process_keep_their_names() -> None:
    lines = _page()
    assert 'wanesync_webhooks_total{side="hubspot",status="200"} 1.0' in lines
    assert 'wanesync_events_stored_total{side="hubspot"} 100.0' in lines


def test_gauges_keep_their_names_and_say_what_they_are() -> None:
    lines = _page({'wanesync_workers{lane="stripe"}': 2, "wanesync_holds_open": 0.5})
    start = lines.index("# TYPE wanesync_holds_open gauge")
    assert lines[start + 1 :] == [
        "wanesync_holds_open 0.5",
        "# HELP wanesync_workers Processes that run a lane.",
        "# TYPE wanesync_workers gauge",
        'wanesync_workers{lane="stripe"} 2.0',
    ]


def test_a_histogram_has_cumulative_buckets_in_seconds() -> None:
    buckets = [0] * BUCKETS
    for ms in (3, 3, 40, 700_000):
        buckets[find_bucket(ms)] += 1
    labels = encode_labels(Figure.END_TO_END, "stripe", "write")
    lines = _page(totals={(Figure.END_TO_END, labels): Amount(4, 700_046, tuple(buckets))})
    name = "wanesync_end_to_end_seconds"
    assert f'{name}_bucket{{kind="write",le="0.005",side="stripe"}} 2.0' in lines
    assert f'{name}_bucket{{kind="write",le="600.0",side="stripe"}} 3.0' in lines
    assert f'{name}_bucket{{kind="write",le="+Inf",side="stripe"}} 4.0' in lines
    assert f'{name}_sum{{kind="write",side="stripe"}} 700.046' in lines


def test_every_figure_and_every_gauge_is_described(store: Store) -> None:
    start_processes(store)
    queue(store, Side.STRIPE, JobKind.WRITE, 3)
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    gauges = {name.partition("{")[0] for name in read_gauges(store)}
    assert gauges - GAUGES.keys() == set()
    assert set(FIGURES) == set(Figure) == set(LABELS)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
        ("text/plain;version=\x00", "text/plain"),
        ("application/openmetrics-text;version=x.y", "text/plain"),
    ],
)
def test_whatever_a_request_accepts_is_answered(accept: str, content_type: str) -> None:
    page, found = render_page(WebhookCounters(), {"wanesync_holds_open": 1}, {}, accept)
    assert found.startswith(content_type)
    assert b"wanesync_holds_open 1.0" in page
    assert [*text_string_to_metric_families(page.decode().removesuffix("# EOF\n"))]
