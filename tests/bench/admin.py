"""How quick the admin pages are over large tables, and how much a browser loads first.

``python -m tests.bench.admin`` fills a SQLite file and a temporary Postgres with a million finished jobs, 100,000
linked people, a journal, log lines and 90 days of minutes, starts ``wanesync admin`` and asks each page again and
again. Every page is to answer within 200 ms (95th percentile), and the first load to take at most 200 KB as it is sent.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import re
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from tests.support.admin import CHEAP, PASSWORD
from tests.support.program import Program
from wanesync.bench.figures import describe_machine, percentile
from wanesync.bench.large_tables import open_filler
from wanesync.bench.postgres_cluster import Cluster, temporary_cluster
from wanesync.child_process import clean_environment
from wanesync.core.model import Conflict, Link, Record, Side, StoredRecord
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.store import Store, open_store
from wanesync.store.codec import JSON
from wanesync.store.tables.operating.log_lines import LogLine

MAX_P95_MS, MAX_FIRST_LOAD = 200, 200_000
CHUNK = 2_000
"""People, entries and lines of one transaction."""
LINK = re.compile(r'(?:href|src)="(/[^"#]*)"')
FIND = "/people/find"
"""The search by name: a POST, of which each step is a page."""
MORE = (
    "/?period=day",
    "/?period=week",
    "/queue?state=done",
    "/queue?state=done&side=stripe&kind=write",
    "/queue?state=dead&newer=1h",
    "/queue/jobs/done-77",
    "/queue/jobs/dead-7",
    "/people/1000077",
    "/conflicts?field=phone&side=stripe",
    "/logs?person=1000077",
    "/logs?kind=update",
    "/logs?level=warning",
    "/logs?person=person77%40example.com",
    "/logs?source=journal",
    "/people/find",
)
"""Pages with filters, beside those that links lead to."""
CONFIG = """\
database = "{database}"
[create]
contacts = "none"
customers = "none"
[security]
keys = ["{key}"]
[admin]
port = 0
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows the tables have. ``days``: of figures by minute."""

    done: int = 1_000_000
    dead: int = 500
    ready: int = 2_000
    people: int = 100_000
    conflicts: int = 1_000
    journal: int = 1_000_000
    lines: int = 100_000
    days: int = 90

    def scale(self, share: float) -> Rows:
        """Return a share of everything, for a trial."""
        return Rows(**{name: max(1, int(getattr(self, name) * share)) for name in self.__slots__})


def fill(store: Store, url: str, rows: Rows) -> None:
    """Fill the tables: in bulk what is not encrypted, through the store what is."""
    with open_filler(url, store.now_ms()) as insert:
        for what, count in (("done", rows.done), ("dead", rows.dead), ("ready", rows.ready)):
            insert(what, count)
        for what in ("minutes", "minutes_of_times", "samples"):
            insert(what, rows.days * 1440)
        for what in ("hours", "samples_by_hour"):
            insert(what, 1)
        _fill_people(store, rows)
        _fill_history(store, rows)


def _fill_people(store: Store, rows: Rows) -> None:
    for first in range(0, rows.people, CHUNK):
        with store.transaction() as tx:
            links, copies = [], []
            for number in range(first, min(first + CHUNK, rows.people)):
                contact, customer = _person(number, Side.HUBSPOT), _person(number, Side.STRIPE)
                base = {name: (value, value) for name, value in contact.values.items()}
                links.append(Link(f"link-{number}", contact.id, customer.id, True, base, 1))
                for record in (contact, customer):
                    hmacs = frozenset(map(store.hmac, record.emails))
                    copies.append(StoredRecord(record, tx.now_ms, tx.now_ms, 1, hmacs=hmacs))
            tx.records.put_many(copies)
            tx.links.put_many(links)
    with store.transaction() as tx:
        for number in range(rows.conflicts):
            conflict = Conflict(Side.STRIPE, f"cus_{number}", "phone", "+49301234567", "overwritten")
            tx.conflicts.put(conflict, f"link-{number}")


def _person(number: int, side: Side) -> Record:
    record_id = f"{1_000_000 + number}" if side is Side.HUBSPOT else f"cus_{number}"
    email = f"person{number}@example.com"
    values = {"email": email, "name": f"Person {number}", "phone": "+49 30 7654321", "city": "Berlin"}
    return Record(side, record_id, values, frozenset({email}))


def _fill_history(store: Store, rows: Rows) -> None:
    for first in range(0, rows.journal, CHUNK):
        with store.transaction() as tx:
            for number in range(first, min(first + CHUNK, rows.journal)):
                person = number % rows.people
                data = {"fields": ["phone"], "cause": "edit"}
                tx.journal.add("update", Side.STRIPE, f"cus_{person}", f"link-{person}", data)
    for first in range(0, rows.lines, CHUNK):
        with store.transaction() as tx:
            now = tx.now_ms
            tx.log_lines.add([_line(now - number * 60, number) for number in range(first, first + CHUNK)])


def _line(at_ms: int, number: int) -> LogLine:
    event = "call_failed" if number % 50 == 0 else "webhook_stored"
    level = "warning" if number % 50 == 0 else "info"
    data: dict[str, JSON] = {"kind": "contact.propertyChange", "count": 3}
    return LogLine(at_ms, number, level, event, "wanesync.worker", "worker-1", "stripe", f"cus_{number}", "", data)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page took: milliseconds of each request, the bytes of its HTML as they are sent.

    ``cpu_ms``: of the service and for each request, which other programs on the machine change little.
    """

    path: str
    took_ms: Sequence[float]
    size: int
    cpu_ms: float

    @property
    def p95_ms(self) -> float:
        """The 95th percentile."""
        return percentile(self.took_ms, 0.95)

    def __str__(self) -> str:
        median = statistics.median(self.took_ms)
        path = self.path if len(self.path) < 60 else f"{self.path[:57]}..."
        took = f"p50 {median:7.1f} ms  p95 {self.p95_ms:7.1f} ms  CPU {self.cpu_ms:6.1f} ms"
        return f"{path:60} {took}  {self.size / 1000:7.1f} KB"


class Caller:
    """A browser that is signed in, without its window."""

    def __init__(self, url: str, read_cpu_s: Callable[[], float]) -> None:
        self._read_cpu_s = read_cpu_s
        self._client = httpx2.Client(base_url=url, headers={"Accept-Encoding": "gzip"}, timeout=120)
        form = {"name": "admin1", "password": PASSWORD, "code": ""}
        answer = self._client.post("/login", data=form, headers={"Origin": url, "Sec-Fetch-Site": "same-origin"})
        if answer.status_code != 303:
            raise SystemExit(f"the log-in is answered with {answer.status_code}: {answer.text[-2000:]}")
        self._csrf = re.findall(r'name="csrf" value="([^"]+)"', self._client.get("/people").text)[0]

    def find_pages(self) -> list[str]:
        """Return the pages of the menu, and of each the first deeper page and the next page of its list."""
        pages = [path for path in self._links("/") if not path.startswith("/assets/")]
        found = list(dict.fromkeys(["/", *pages]))
        for path in list(found):
            deeper = [one for one in self._links(path) if one.startswith((f"{path}/", f"{path}?")) and path != "/"]
            found += [one for one in dict.fromkeys(deeper[:1] + deeper[-1:]) if one not in found]
        return [path for path in found if not path.startswith(("/logs/export", "/logout"))]

    def measure(self, path: str, rounds: int) -> Page | None:
        """Ask a page several times; the first one, which loads its template, is not counted. None if it fails."""
        took_ms, size, cpu_s = [], 0, 0.0
        for number in range(rounds + 1):
            cpu_s = self._read_cpu_s() if number == 1 else cpu_s
            began_s = time.perf_counter()
            answer = self._ask(path)
            took_ms.append((time.perf_counter() - began_s) * 1000)
            if answer.status_code != 200:
                sys.stderr.write(f"{path} is answered with {answer.status_code}\n")
                return None
            size = answer.num_bytes_downloaded
        return Page(path, took_ms[1:], size, (self._read_cpu_s() - cpu_s) * 1000 / rounds)

    def _ask(self, path: str) -> httpx2.Response:
        if path != FIND:
            return self._client.get(path)
        form = {"csrf": self._csrf, "text": "zacharias"}
        return self._client.post(path, data=form, headers={"Origin": str(self._client.base_url).rstrip("/")})

    def measure_first_load(self, path: str) -> int:
        """Return the bytes of a page and of everything it loads at once, as they are sent."""
        page = self._ask(path)
        assets = {urljoin(path, one) for one in LINK.findall(page.text) if one.startswith("/assets/")}
        return page.num_bytes_downloaded + sum(self._client.get(one).num_bytes_downloaded for one in assets)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _links(self, path: str) -> list[str]:
        text = self._client.get(path).text
        return [html.unescape(one) for one in re.findall(r'<a [^>]*href="(/[^"#]*)"', text)]


@contextmanager
def run_admin(url: str, key: str, folder: Path) -> Iterator[Caller]:
    """The service as a process of its own, and a caller of it."""
    config = folder / "wanesync.toml"
    config.touch(mode=0o600)
    config.write_text(CONFIG.format(database=url, key=key))
    program = Program(config, ("admin",), clean_environment())
    try:
        line = program.first_line()
        url = next(word for word in line.split() if word.startswith("http"))
        with closing(Caller(url, program.cpu_s)) as caller:
            yield caller
    finally:
        program.signal(signal.SIGTERM)
        program.end()


@contextmanager
def _open_database(name: str, keep: Path | None) -> Iterator[tuple[str, Path]]:
    """The address of a database and the folder of its key; with ``keep`` both are there the next time."""
    with ExitStack() as stack:
        temporary = None if keep else stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-bench-"))
        folder = keep / name if keep else Path(str(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        if name == "sqlite":
            yield f"sqlite:{folder}/admin.db", folder
        elif keep is None:
            yield stack.enter_context(temporary_cluster()).url, folder
        else:
            cluster = Cluster(folder / "server")
            if not cluster.folder.exists():
                cluster.folder.mkdir()
                cluster.create()
            cluster.start()
            stack.callback(cluster.crash)
            yield cluster.url, folder


def prepare(url: str, folder: Path, rows: Rows) -> str:
    """Fill a database, unless it was filled before; return its key."""
    kept = folder / "key"
    if kept.exists():
        return kept.read_text()
    key = "bnch:" + base64.b64encode(secrets.token_bytes(32)).decode()
    with closing(open_store(url, [key], migrate=True)) as store:
        began_s = time.monotonic()
        add_user(store, SYSTEM, "admin1", OperatorRole.ADMIN, CHEAP.hash(PASSWORD))
        fill(store, url, rows)
        sys.stderr.write(f"filled within {time.monotonic() - began_s:.0f} s\n")
    kept.write_text(key)
    return key


def measure(caller: Caller, rounds: int, more: Sequence[str]) -> tuple[list[Page], dict[str, int]]:
    """Measure every page: the pages, and path -> bytes of the first load."""
    paths = list(dict.fromkeys([*caller.find_pages(), *more]))
    pages = [page for path in paths if (page := caller.measure(path, rounds)) is not None]
    return pages, {page.path: caller.measure_first_load(page.path) for page in pages}


def main() -> int:
    """Measure both databases and print the pages, the slowest first; 1 if any is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="requests of each page")
    parser.add_argument("--share", type=float, default=1.0, help="share of the rows, for a trial")
    parser.add_argument("--only", choices=["sqlite", "postgres"], help="one of the databases")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the databases stay, for the next time")
    parser.add_argument("--fill", action="store_true", help="only fill them, with --keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    options = parser.parse_args()
    kept: dict[str, object] = {}
    worst = 0
    for name in (options.only,) if options.only else ("sqlite", "postgres"):
        with _open_database(name, options.keep) as (url, folder):
            key = prepare(url, folder, Rows().scale(options.share))
            if options.fill:
                continue
            with run_admin(url, key, folder) as caller:
                pages, loads = measure(caller, options.rounds, MORE)
            heaviest = max(loads, key=lambda path: loads[path])
            lines = [f"{name}, {describe_machine(url)}", *map(str, sorted(pages, key=lambda page: -page.p95_ms))]
            lines.append(f"first load: {loads[heaviest] / 1000:.1f} KB at most ({heaviest})\n")
            sys.stdout.write("\n".join(lines) + "\n")
            kept[name] = {
                page.path: {
                    "p95_ms": round(page.p95_ms, 1),
                    "cpu_ms": round(page.cpu_ms, 1),
                    "first_load": loads[page.path],
                }
                for page in pages
            }
            worst += sum(page.p95_ms > MAX_P95_MS or loads[page.path] > MAX_FIRST_LOAD for page in pages)
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
