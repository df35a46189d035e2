"""The pictures of the admin pages in ``docs/pictures``: ``python -m tests.support.screenshots`` makes them anew.

Each shows a page over the stand-ins during a burst. ``sources.json`` holds a hash of the templates, styles and scripts
that made each picture, by which a test finds out which one is older than its page.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support.admin_stage import AdminStage
from tests.support.browser import DESKTOP, PHONE, Scheme, Visit, open_browser
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS, MINUTE_MS, Amount, Figure, encode_labels, find_bucket
from wanesync.core.operating.operators import Operator, OperatorRole, Via
from wanesync.core.operating.reconcile_runs import RunOptions
from wanesync.ops.reconcile.runs import start_run
from wanesync.store import Store, Tx
from wanesync.store.queries import Value

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
SOURCES = PICTURES / "sources.json"
ADMIN = ROOT / "wanesync" / "admin"
NAMES = ("Ada Berg", "Jonas Weber", "Mei Tanaka", "Luca Rossi", "Zoë Martin", "Omar Haddad", "Inés Vega", "Tom Baker")
CITIES = ("Ulm", "Bonn", "Kiel", "Lyon", "Porto", "Turin")
PEOPLE, PER_S = 600, 6.0
HISTORY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture. ``area``: the folder of its templates; ``path``: the page, or what finds it on a stage."""

    name: str
    area: str
    path: str | Callable[[AdminStage], str]
    width: int = DESKTOP
    scheme: Scheme = "light"
    height: int = 900


PICTURES_MADE: Sequence[Picture] = (
    Picture("overview", "overview", "/?period=day", height=1250),
    Picture("overview-phone", "overview", "/?period=day", PHONE, "dark"),
    Picture("limits", "limits", "/limits"),
    Picture("dead-letters", "queue", "/queue?state=dead"),
    Picture(
        "person",
        "people",
        lambda stage: f"/people/{stage.make_conflict(stage.find_linked(1)[0], 'city', 'Bonn')}",
        height=1150,
    ),
    Picture("conflicts", "conflicts", "/conflicts"),
    Picture("reconcile", "reconcile", lambda stage: _compare(stage)),  # noqa: PLW0108 - it is defined below
    Picture("logs", "logs", "/logs", scheme="dark"),
    Picture("alerts", "alerts", "/alerts"),
)


def hash_sources(area: str) -> str:
    """Return the hash of what a picture of an area shows: its templates, those of every page, styles and scripts."""
    files = [
        *sorted((ADMIN / "templates").glob("*.html")),
        *sorted((ADMIN / "templates" / area).glob("*.html")),
        *sorted((ADMIN / "assets").glob("*.css")),
        *sorted((ADMIN / "assets").glob("*.js")),
    ]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def list_sources() -> Mapping[str, str]:
    """Return picture -> the hash of its sources as they are now."""
    return {picture.name: hash_sources(picture.area) for picture in PICTURES_MADE}


def make_pictures() -> None:
    """Make every picture anew, and note what they were made from."""
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-pictures-")))
        browser, stage = stack.enter_context(open_browser()), stack.enter_context(AdminStage(folder))
        _fill_figures(stage.store)
        stage.start_admin()
        stage.begin_burst(PEOPLE, PER_S, buried=4, name=lambda number: NAMES[number % len(NAMES)])
        stage.store.run(_bury_others)
        for number, email in enumerate(stage.find_linked(5)):
            stage.make_conflict(email, "phone", f"+49731555{number:04}")
        visit = stage.sign_in(browser, OperatorRole.ADMIN)
        for picture in PICTURES_MADE:
            _take(visit, stage, picture)
        visit.close()
    SOURCES.write_text(json.dumps(list_sources(), indent=1) + "\n")


def _take(visit: Visit, stage: AdminStage, picture: Picture) -> None:
    visit.resize(picture.width, picture.scheme)
    visit.page.set_viewport_size({"width": picture.width, "height": picture.height})
    visit.go(picture.path if isinstance(picture.path, str) else picture.path(stage))
    visit.page.wait_for_load_state("load")
    visit.page.screenshot(path=PICTURES / f"{picture.name}.png")


def _compare(stage: AdminStage) -> str:
    """The page of a comparison that found changes whose webhooks were lost."""
    stage.sandbox.set_target(Side.HUBSPOT, None)
    for number, email in enumerate(stage.find_linked(5)):
        stage.edit(Side.HUBSPOT, "update", stage.contact(email)["id"], city=CITIES[number % len(CITIES)])
    run_id = start_run(stage.store, Operator("anna", Via.PAGE), RunOptions(only=("update_customer",)))
    done = stage.run("runs", "work", run_id)
    assert done.returncode == 0, done.stderr
    return f"/reconcile/{run_id}?kind=update_customer"


def _fill_figures(store: Store) -> None:
    """A day of traffic that rises and falls, so that the charts show something."""
    now = store.now_ms() // MINUTE_MS * MINUTE_MS
    batch: dict[tuple[int, Figure, str], Amount] = {}
    for minute in range(1, HISTORY_MINUTES):
        at_ms = now - minute * MINUTE_MS
        level = 70 + 50 * math.sin(at_ms / MINUTE_MS / 229) + 12 * math.sin(minute / 7)
        for side, share in (("hubspot", 1.0), ("stripe", 0.6)):
            count = max(1, round(level * share))
            batch[at_ms, Figure.WEBHOOKS, encode_labels(Figure.WEBHOOKS, side, "accepted")] = Amount(count)
            batch[at_ms, Figure.JOBS_ENDED, encode_labels(Figure.JOBS_ENDED, side, "write", "done")] = Amount(count)
            requests = encode_labels(Figure.VENDOR_REQUESTS, side, "update", "ok")
            batch[at_ms, Figure.VENDOR_REQUESTS, requests] = Amount(count)
            batch[at_ms, Figure.PEOPLE, encode_labels(Figure.PEOPLE, side, "within")] = Amount(count)
            batch[at_ms, Figure.END_TO_END, encode_labels(Figure.END_TO_END, side, "write")] = _times(count)
        if minute % 90 < 4:
            batch[at_ms, Figure.JOBS_ENDED, encode_labels(Figure.JOBS_ENDED, "stripe", "write", "retry")] = Amount(2)
            batch[at_ms, Figure.PEOPLE, encode_labels(Figure.PEOPLE, "stripe", "beyond")] = Amount(1)
    store.run(lambda tx: tx.figures.add(batch))
    store.run(_fill_samples)


def _fill_samples(tx: Tx) -> None:
    """A queue that grew in the morning of the last day, and a limit that was raised then."""
    rows: list[dict[str, Value]] = []
    for minute in range(24 * 60):
        start_ms = tx.now_ms - tx.now_ms % MINUTE_MS - (minute + 1) * MINUTE_MS
        size = max(0, 600 - abs(minute - 700) * 6) + minute % 7
        found = {"size.stripe": size, "age.stripe": size / 6, "limit.stripe": 6 if minute < 690 else 3}
        found |= {"size.hubspot": minute % 3, "age.hubspot": 0.4, "limit.hubspot": 90}
        rows += [
            {"name": name, "span_ms": MINUTE_MS, "start_ms": start_ms, "value": float(value)}
            for name, value in found.items()
        ]
    tx._session.each("add_sample", rows)


def _times(count: int) -> Amount:
    """Times of a change from end to end: most of them in one to two seconds."""
    buckets = [0] * BUCKETS
    for number in range(count):
        buckets[find_bucket((700, 1_200, 1_600, 2_400, 6_000)[number % 5])] += 1
    return Amount(count, count * 1_500, tuple(buckets))


def _bury_others(tx: Tx) -> None:
    """Dead letters of several classes."""
    classes = (DeadClass.VALIDATION, DeadClass.REFUSED, DeadClass.GONE)
    tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.READ, f"{41_000 + number}") for number in range(6)])
    for number, job in enumerate(tx.jobs.claim(Side.HUBSPOT, [JobKind.READ], 6, "pictures")):
        tx.jobs.mark_dead(
            job, classes[number % 3], ("a property has no such option", "refused for phone", "deleted")[number % 3]
        )


if __name__ == "__main__":
    make_pictures()
