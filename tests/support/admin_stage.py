"""The admin service in a process of its own beside a running burst, and visitors with a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser

from tests.support.admin import CHEAP, PASSWORD
from tests.support.browser import DESKTOP, Scheme, Visit
from tests.support.stage import Stage
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Conflict, Side
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.ops.limits import set_limit
from wanesync.ops.writes import switch_writes
from wanesync.store import Tx

MORE = """\
[admin]
port = 0
approval = true
[log]
store = true
"""
WORKERS = 2
HOSTILE = (
    "<script>window.pwned = 1</script>",
    '"onload="window.pwned=1" x="',
    "javascript:window.pwned=1",
    "<img src=x onerror=window.pwned=1>",
    "{{7*7}}${7*7}",
    "\u202eevil\u2066gnp.exe\u2069",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
)
"""Names of people that would run something where they are not escaped."""


class AdminStage(Stage):
    """A stage with the admin service. ``url``: where it listens."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:{folder / 'wanesync.db'}", folder, more=MORE)
        for role in OperatorRole:
            add_user(self.store, SYSTEM, f"{role}1", role, CHEAP.hash(PASSWORD))
        switch_writes(self.store, SYSTEM, on=True)
        self.url = ""

    def start_admin(self) -> Self:
        """Start the service and wait until it listens."""
        line = self.start("admin").first_line()
        self.url = next(word for word in line.split() if word.startswith("http"))
        return self

    def limit(self, side: Side, per_s: float) -> None:
        """Change a limit as the command does, without the start of a process."""
        self.store.run(lambda tx: set_limit(tx, side, per_s))

    def begin_burst(self, people: int, per_s: float, buried: int = 0, name: Callable[[int], str] | None = None) -> None:
        """Start doors and workers, and queue the creation of people that takes ``people / per_s`` seconds.

        ``buried``: how many of these jobs are dead letters before a worker sees them. ``name``: of each person; without
        it, some of them are hostile.
        """
        self.limit(Side.STRIPE, per_s)
        for number, text in enumerate(HOSTILE if name is None else ()):
            values = {"firstname": text, "lastname": text, "company": text}
            self.edit(Side.HUBSPOT, "create", email=f"hostile{number}@example.com", **values)
        for number in range(people):
            first, _, last = (name or "Person {}".format)(number).partition(" ")
            values = {"firstname": first, "lastname": last, "city": "Ulm"}
            self.edit(Side.HUBSPOT, "create", email=f"p{number}@example.com", **values)
        self.reconcile()
        self.store.run(lambda tx: _bury(tx, buried))
        serving, workers = self.start("serve"), [self.start("worker") for _ in range(WORKERS)]
        self.serve(serving)
        for worker in workers:
            worker.first_line()

    def find_linked(self, count: int) -> list[str]:
        """Wait until so many people without a hostile name are linked; the addresses of the first of them."""
        found: list[str] = []

        def enough() -> bool:
            emails = {row["id"]: row["email"] for row in self.sandbox.records(Side.HUBSPOT)}
            with self.store.reading() as tx:
                linked = {pair.hubspot_id for pair in tx.links.of_ids(list(emails), [])}
            found[:] = [emails[one] for one in sorted(linked) if not emails[one].startswith("hostile")]
            return len(found) >= count

        self.until(enough, f"{count} people are linked")
        return found[:count]

    def make_conflict(self, email: str, field: str, kept: str) -> str:
        """Keep a value of Stripe that lost, for a person who is linked; the id of the contact."""
        contact_id = self.contact(email)["id"]

        def put(tx: Tx) -> None:
            (pair,) = tx.links.of_ids([contact_id], [])
            tx.conflicts.put(Conflict(Side.STRIPE, pair.stripe_id, field, kept, "overwritten"), pair.id)

        self.store.run(put)
        return contact_id

    def requests(self, side: Side = Side.STRIPE) -> int:
        """How many requests the sandbox has had from us."""
        count = self.sandbox.machines[side].stats(0)["requests"]
        assert isinstance(count, int)
        return count

    def sign_in(self, browser: Browser, role: OperatorRole, width: int = DESKTOP, scheme: Scheme = "light") -> Visit:
        """A new window in which a user of a role has logged in through the page."""
        visit = Visit(browser, self.url, width, scheme)
        visit.go("/login")
        visit.page.get_by_label("Name").fill(f"{role}1")
        visit.page.get_by_label("Password", exact=True).fill(PASSWORD)
        with visit.page.expect_navigation():
            visit.page.get_by_role("button", name=re.compile("log in", re.IGNORECASE)).click()
        return visit


def _bury(tx: Tx, count: int) -> None:
    for job in tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], count, "stage") if count else []:
        tx.jobs.mark_dead(job, DeadClass.REFUSED, "refused for phone")


def list_pages(visit: Visit) -> Sequence[str]:
    """Return the pages of the menu, the account, and of each list the page of its first entry."""
    visit.go("/")
    paths: list[str] = visit.page.evaluate(
        "[...document.querySelectorAll('header nav a[href], header a[href]')].map((a) => a.getAttribute('href'))"
    )
    pages = list(dict.fromkeys(paths))
    for path in list(pages):
        visit.go(path)
        inner: list[str] = visit.page.evaluate(
            "[...document.querySelectorAll('main table a[href], main li a[href]')].map((a) => a.getAttribute('href'))"
        )
        deeper = [one for one in inner if path != "/" and one.startswith(f"{path}/") and "?" not in one]
        pages += [one for one in deeper[:1] if one not in pages]
    return pages
