"""The page of metrics for Prometheus: counters of this process, gauges and figures of the whole installation.

The names are part of the interface: dashboards and alert rules use them (deploy/grafana, deploy/prometheus).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from wanesync.core.operating.figures import BOUNDS_MS, HISTOGRAMS, LABELS, Amount, Figure, decode_labels
from wanesync.web.metrics import WebhookCounters

Totals = Mapping[tuple[Figure, str], Amount]
"""(Figure, encoded labels) -> everything since the beginning."""

FIGURES: Mapping[Figure, tuple[str, str]] = {
    Figure.WEBHOOKS: ("wanesync_webhook_outcomes", "Webhook requests and elements of all doors by outcome."),
    Figure.EVENTS_STORED: ("wanesync_new_events", "Events of all doors that were new."),
    Figure.WEBHOOK_ANSWER: ("wanesync_webhook_answer_seconds", "Time until a webhook was answered, all doors."),
    Figure.JOBS_ENDED: ("wanesync_jobs_ended", "Claimed jobs by how they ended."),
    Figure.JOB_PICKUP: ("wanesync_job_pickup_seconds", "Time from when a live job was due until it was claimed."),
    Figure.VENDOR_REQUESTS: ("wanesync_vendor_requests", "Requests to HubSpot and Stripe by how they ended."),
    Figure.VENDOR_CALL: ("wanesync_vendor_request_seconds", "Time of a request to HubSpot or Stripe."),
    Figure.END_TO_END: ("wanesync_end_to_end_seconds", "Time from an accepted event to the last answer of its change."),
    Figure.PEOPLE: ("wanesync_people", "People whose change reached the other side, within the target or beyond it."),
}
"""Figure -> its metric, without the suffix of a counter, and what it says."""
GAUGES: Mapping[str, str] = {
    "wanesync_alarm": "Open alarms by code and level.",
    "wanesync_alarms": "Open alarms.",
    "wanesync_certificate_ends_seconds": "When the certificate of this web server ends, in seconds since 1970.",
    "wanesync_conflicts_open": "Values that need a decision.",
    "wanesync_dead_letters": "Dead letters by class.",
    "wanesync_gauges_available": "Whether the database could be read for this page.",
    "wanesync_holds_open": "Holds that keep values back.",
    "wanesync_in_target_share": "Share of people within the target in the last hour or day; absent without any.",
    "wanesync_jobs_clear_in_seconds": "How long the due jobs take; absent while the lane is stopped.",
    "wanesync_jobs_dead": "Dead letters.",
    "wanesync_jobs_done_last_minute": "Jobs done in the last minute.",
    "wanesync_jobs_oldest_seconds": "Age of the oldest job that is due or runs.",
    "wanesync_jobs_ready": "Jobs that are due or wait.",
    "wanesync_jobs_retrying": "Jobs of which an attempt failed.",
    "wanesync_jobs_running": "Jobs that run.",
    "wanesync_people_late": "People who have waited for longer than the target and still wait.",
    "wanesync_people_late_seconds": "How long the first of them has waited.",
    "wanesync_purchases": "Purchases by state.",
    "wanesync_target_seconds": "Within which time a change is to reach the other side.",
    "wanesync_webhooks_set_aside": "Elements of webhooks that were set aside.",
    "wanesync_workers": "Processes that run a lane.",
    "wanesync_writes_on": "Whether changes are written.",
}
"""Gauge -> what it says."""


def render_page(
    counts: WebhookCounters, gauges: Mapping[str, float], totals: Totals, accept: str = ""
) -> tuple[bytes, str]:
    """Return the page and its content type. ``gauges``: the names include their labels. ``accept``: of the request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(counts, gauges, totals))
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except Exception:  # noqa: BLE001 - a version in the header that is none
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Page(Collector):
    def __init__(self, counts: WebhookCounters, gauges: Mapping[str, float], totals: Totals) -> None:
        self._counts, self._gauges, self._totals = counts, gauges, totals

    def collect(self) -> Iterable[Metric]:
        """Return every metric of the page."""
        yield from _count_answers(self._counts)
        for figure in Figure:
            yield _show_figure(figure, self._totals)
        yield from _show_gauges(self._gauges)


def _count_answers(counts: WebhookCounters) -> Iterator[Metric]:
    answers, stored = counts.read_answers()
    webhooks = CounterMetricFamily(
        "wanesync_webhooks", "Answers of this process to webhooks by status.", labels=["side", "status"]
    )
    for (side, status), number in answers:
        webhooks.add_metric([side, str(status)], number)
    events = CounterMetricFamily("wanesync_events_stored", "New events that this process stored.", labels=["side"])
    for side, number in stored:
        events.add_metric([side], number)
    yield from (webhooks, events)


def _show_figure(figure: Figure, totals: Totals) -> Metric:
    (name, text), names = FIGURES[figure], LABELS[figure]
    found = [(decode_labels(labels), amount) for (own, labels), amount in sorted(totals.items()) if own is figure]
    if figure not in HISTOGRAMS:
        counter = CounterMetricFamily(name, text, labels=names)
        for labels, amount in found:
            counter.add_metric([labels[label] for label in names], amount.count)
        return counter
    histogram = HistogramMetricFamily(name, text, labels=names)
    for labels, amount in found:
        histogram.add_metric([labels[label] for label in names], _cumulate(amount), amount.total_ms / 1000)
    return histogram


def _cumulate(amount: Amount) -> list[tuple[str, float]]:
    """Return the upper bound of each bucket in seconds with the number of times up to it."""
    below, buckets = 0, []
    for bound, number in zip([*(str(ms / 1000) for ms in BOUNDS_MS), "+Inf"], amount.buckets, strict=True):
        below += number
        buckets.append((bound, float(below)))
    return buckets


def _show_gauges(gauges: Mapping[str, float]) -> Iterator[Metric]:
    text = "".join(f"{name} {value!r}\n" for name, value in gauges.items())
    families: dict[str, GaugeMetricFamily] = {}
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        name, labels = sample.name, sample.labels
        family = families.get(name)
        if family is None:
            family = families[name] = GaugeMetricFamily(name, GAUGES.get(name, name), labels=list(labels))
        family.add_metric(list(labels.values()), sample.value)
    yield from (families[name] for name in sorted(families))
