"""A page of metrics with everything on it, and what stands on a page."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.lanes import bury, queue, start_processes
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.figures import HISTOGRAMS, LABELS, Figure, InTime, RequestResult
from wanesync.core.purchases import Purchase
from wanesync.ops.health.gauges import read_gauges
from wanesync.store import Store, make_key, open_store
from wanesync.store.figure_counts import store_figures
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters
from wanesync.web.metrics_page import render_page

VALUES = {
    "side": "stripe",
    "outcome": "accepted",
    "kind": "write",
    "ending": "done",
    "operation": "customers.create",
    "result": "ok",
}


def fill(store: Store) -> None:
    """Count each figure once, and let every gauge have a value."""
    start_processes(store)
    queue(store, Side.STRIPE, JobKind.WRITE, 3)
    bury(store, JobRequest(Side.STRIPE, JobKind.READ, "cus_1"))
    store.run(lambda tx: tx.purchases.put(Purchase("pi_1", "ch_1", "cus_1", "", "", 100, "eur", 1)))
    for figure, names in LABELS.items():
        values = [VALUES[name] for name in names]
        if figure is Figure.PEOPLE:
            values = ["stripe", InTime.WITHIN]
        if figure in HISTOGRAMS:
            store.figures.observe(figure, *values, ms=40)
        else:
            store.figures.add(figure, *values)
    store.figures.add(Figure.VENDOR_REQUESTS, "stripe", "customers.create", RequestResult.RATE_LIMITED)
    store_figures(store)


def render_full_page(folder: Path) -> str:
    """The page of a store with everything in it, as ``serve`` with a certificate of its own shows it."""
    store = open_store(f"sqlite:{folder / 'page.db'}", [make_key("k001")], migrate=True)
    try:
        fill(store)
        counts = WebhookCounters(store.figures)
        counts.count(Side.STRIPE, 200, Outcome.ACCEPTED, 1, took_ms=3)
        gauges = {**read_gauges(store), "wanesync_certificate_ends_seconds": 1.8e9, "wanesync_gauges_available": 1.0}
        totals = store.read(lambda tx: tx.figures.read_all_time())
        return render_page(counts, gauges, totals)[0].decode()
    finally:
        store.close()


def find_metrics(page: str) -> dict[str, set[str]]:
    """Name of a time series -> the names of its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
