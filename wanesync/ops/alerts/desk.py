"""What the command line, the pages and the API need to show and steer alerts: the policy, the recipients, the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError, DeliveryFailed
from wanesync.core.operating.alerts import AlertPolicy
from wanesync.core.operating.recipients import Addressee, Recipient, RecipientBook, make_book
from wanesync.ops.alerts.changes import send_test
from wanesync.ops.alerts.deliverer import Deliverer
from wanesync.ops.alerts.listing import AlertOverview, list_alerts

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.core.operating.alerts import Message
    from wanesync.core.operating.operators import Operator
    from wanesync.ops.alerts.deliverer import Messenger, TestResult
    from wanesync.store.database import Store


@dataclass(frozen=True, slots=True)
class AlertDesk:
    """The alerts of one installation. ``book``: the recipients as they are now: their secrets may be read again."""

    store: Store
    policy: AlertPolicy
    book: Callable[[], RecipientBook]
    messenger: Messenger
    process: str

    def read(self) -> AlertOverview:
        """Return the state of every rule. Raises ``DatabaseUnavailable``."""
        return list_alerts(self.store, self.policy, self.book())

    def test(self, operator: Operator, place: str = "") -> Sequence[TestResult]:
        """Send a test to every recipient once, or to that at one place. Raises ``ConfigError`` for an unknown place."""
        return send_test(self.make_deliverer(), self.policy, self._choose(place), operator)

    def make_deliverer(self) -> Deliverer:
        """Return what sends the notices that wait."""
        return Deliverer(self.store, self.process, self.book, self.messenger)

    def _choose(self, place: str) -> list[Addressee]:
        book = self.book()
        chosen = [one for one in book.all if one.place == place] if place else book.distinct
        if place and not chosen:
            known = ", ".join(one.place for one in book.all) or "none"
            raise ConfigError([f"there is no recipient {place!r}: {known}"])
        return chosen


def make_desk(store: Store, config: Config) -> AlertDesk:
    """Return a desk that shows and silences, and sends nothing."""
    policy = config.alerts.make_policy(config.admin.public_url or "", config.sync.target_s)
    return AlertDesk(store, policy, lambda: make_book(*config.alerts.texts), NoMessenger(), "desk")


class NoMessenger:
    """Stands where nothing can be sent: in tests of pages, and before the wiring."""

    def send(self, recipient: Recipient, message: Message) -> None:  # noqa: ARG002 - as the port has it
        """Refuse."""
        raise DeliveryFailed("nothing can be sent from here")
