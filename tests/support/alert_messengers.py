"""Messengers of tests: one that keeps what it is given, and fails as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind
from wanesync.core.operating.recipients import Recipient, RecipientBook, make_book
from wanesync.ops.alerts.deliverer import Deliverer
from wanesync.store import Store

SLACK, ONCALL = "https://hooks.slack.com/services/T/B/warn", "mailto:oncall@example.com"
BOOK = make_book([SLACK], [ONCALL], [])


def notice(title: str = "[warn] Dead letters", kind: NoticeKind = NoticeKind.RAISED) -> Notice:
    return Notice(kind, Level.WARN, "dead_letters", "stripe", title, "2 letters")


@dataclass
class FakeMessenger:
    """Keeps (label, title) of what it was given. ``fail``: returns the failure of a recipient, None to take it."""

    fail: Callable[[Recipient], Exception | None] = lambda _: None
    sent: list[tuple[str, str]] = field(default_factory=list)
    tried: int = 0

    def send(self, recipient: Recipient, message: Message) -> None:
        self.tried += 1
        failure = self.fail(recipient)
        if failure is not None:
            raise failure
        self.sent.append((recipient.label.partition(" ")[0], message.notice.title))


def refuse(kind: str, failure: Exception | None = None) -> Callable[[Recipient], Exception | None]:
    """A failure of the recipients of one kind."""
    return lambda recipient: (failure or DeliveryFailed("it answered 500")) if recipient.kind == kind else None


def queue(store: Store, *titles: str, place: str = "warn 1", label: str = "slack hooks.slack.com") -> None:
    """Queue notices for one recipient."""
    for title in titles:
        store.run(lambda tx, t=title: tx.alert_deliveries.add(notice(t), place, label))  # type: ignore[misc] # binds the loop's value


def deliverer(store: Store, messenger: FakeMessenger, token: str = "p1", book: RecipientBook = BOOK) -> Deliverer:
    return Deliverer(store, token, lambda: book, messenger)
