"""Webhooks as an operator sees them: the last one of each side, what was refused and why, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.core.setup.api_versions import STRIPE_VERSION
from wanesync.ops.health.lane_status import age_s
from wanesync.reconcile.missed_count import read_missed
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.terminal import format_duration, pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Tx
    from wanesync.store.tables.operating.webhook_counts import WebhookCount

LATELY_MS = 600_000
"""The span in which refused webhooks are counted: 10 min."""
MANY = 5
"""So many refused requests in that span are an alarm, however many others were accepted: others may try the address."""
DAY_S = 86_400
ADVICE = {
    Outcome.SIGNATURE: {
        Side.HUBSPOT: "compare hubspot.webhook_secret with the app's client secret, and server.public_url with the "
        "target URL of the app",
        Side.STRIPE: "compare stripe.webhook_secret with the signing secret of the endpoint (Workbench, Webhooks)",
    },
    Outcome.CLOCK: dict.fromkeys(Side, "set the clock of the database's machine (NTP)"),
    Outcome.UNREADABLE: dict.fromkeys(Side, "check that no proxy changes the body, and what sends to this address"),
    Outcome.TOO_LARGE: dict.fromkeys(Side, "raise server.max_body_bytes, then run wanesync catch-up"),
    Outcome.SLOW: dict.fromkeys(Side, "check the network or the proxy in front of wanesync serve"),
    Outcome.UNAVAILABLE: dict.fromkeys(Side, "the database was not ready in time; the senders repeat what was refused"),
}
"""What an operator can do about refused webhooks of a side."""
NAMES = {
    Outcome.SIGNATURE: ("for a wrong signature", "for a wrong signature"),
    Outcome.CLOCK: (
        "because it was signed more than 5 min from our time",
        "because they were signed more than 5 min from our time",
    ),
    Outcome.UNREADABLE: ("because it cannot be read", "because they cannot be read"),
    Outcome.TOO_LARGE: ("because it is too large", "because they are too large"),
    Outcome.SLOW: ("because it did not arrive in time", "because they did not arrive in time"),
    Outcome.UNAVAILABLE: ("for want of the database", "for want of the database"),
}
"""Why webhooks were refused: one, several."""

ELEMENTS = (Outcome.FOREIGN, Outcome.IGNORED, Outcome.REREAD)
"""Outcomes of elements of accepted webhooks."""
ELEMENT_ALARMS = {
    Outcome.FOREIGN: (
        "came from another account or mode and was dropped",
        "came from another account or mode and were dropped",
        "remove the subscription or endpoint there, or use the right keys here",
    ),
    Outcome.REREAD: (
        "came in an unknown API version and cost a read",
        "came in an unknown API version and cost a read each",
        f"set the endpoint's API version (or the account's, in Workbench) to {STRIPE_VERSION}",
    ),
}
"""Outcomes of elements that an operator should end: what one did, what several did, and how to end it."""


@dataclass(frozen=True, slots=True)
class WebhookState:
    """The webhooks of one side: the age of the last accepted one, None without any, and those of 10 min that were not.

    ``refused``: requests by reason. ``elements``: elements of accepted ones that were dropped (``foreign``: of another
    account or mode, ``ignored``: nothing is mapped to them) or cost a read (``reread``).
    """

    last_s: float | None
    accepted: int
    refused: Mapping[str, int]
    elements: Mapping[str, int]


def read_webhooks(tx: Tx) -> dict[str, WebhookState]:
    """Return the webhooks of each side."""
    counts = tx.webhook_counts.sum(LATELY_MS)
    states = {}
    for side in Side:
        mine = {count.outcome: count for count in counts if count.side is side}
        accepted = mine.get(Outcome.ACCEPTED)
        states[str(side)] = WebhookState(
            last_s=age_s(tx, accepted.last_ms) if accepted else None,
            accepted=accepted.lately if accepted else 0,
            refused={str(o): count.lately for o, count in sorted(mine.items()) if o in NAMES and count.lately},
            elements={str(o): count.lately for o, count in sorted(mine.items()) if o in ELEMENTS and count.lately},
        )
    return states


def find_webhook_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each side and reason for which webhooks are refused.

    An alarm are many of them, or one within a day after which no other was accepted.
    """
    counts = tx.webhook_counts.sum(LATELY_MS)
    last_ms = {count.side: count.last_ms for count in counts if count.outcome is Outcome.ACCEPTED}
    refused = [_describe(count) for count in counts if _is_alarm(tx, count, last_ms.get(count.side, 0))]
    return [*refused, *_find_missed(tx)]


def _find_missed(tx: Tx) -> list[Alarm]:
    """Return an alarm for each side of which changes were found lately that no webhook had reported."""
    alarms = []
    for side in Side:
        missed = read_missed(tx, side)
        if missed is not None and missed.records and age_s(tx, missed.at_ms) < DAY_S:
            names = f" ({', '.join(missed.names)})" if missed.names else ""
            are = "was" if missed.records == 1 else "were"
            what = (
                f"{side}: no webhook reported the changes of {pluralize(missed.records, 'record')}{names}, which {are} "
                f"found {format_duration(tx.now_ms - missed.at_ms)} ago and synced. Unless wanesync serve did not run"
            )
            advice = "check the webhook subscriptions; wanesync diff --since 1d shows what is missed"
            alarms.append(Alarm(AlarmCode.CHANGES_MISSED, what, advice, str(side)))
    return alarms


def _is_alarm(tx: Tx, count: WebhookCount, accepted_ms: int) -> bool:
    if count.outcome not in NAMES:
        return count.outcome in ELEMENT_ALARMS and bool(count.lately)
    # The counts of two seconds have one time: of those it is not known which came last.
    unanswered = count.last_ms >= accepted_ms and age_s(tx, count.last_ms) < DAY_S and count.outcome in UNUSABLE
    # One that cannot be read was rightly signed, so that the vendor's events in it are missed until a catch-up.
    lost = count.outcome is Outcome.UNREADABLE and bool(count.lately)
    return count.lately >= MANY or unanswered or lost


UNUSABLE: Sequence[Outcome] = (Outcome.SIGNATURE, Outcome.CLOCK, Outcome.TOO_LARGE, Outcome.UNREADABLE)
"""Refusals that every repetition meets again, so that the vendor gives up."""


def _describe(count: WebhookCount) -> Alarm:
    if count.outcome in ELEMENT_ALARMS:
        one, several, advice = ELEMENT_ALARMS[count.outcome]
        what = one if count.lately == 1 else several
        code = AlarmCode.WEBHOOKS_FOREIGN if count.outcome is Outcome.FOREIGN else AlarmCode.WEBHOOKS_VERSION
        wrong = f"{count.side}: {pluralize(count.lately, 'event')} of the last 10 min {what}"
        return Alarm(code, wrong, advice, str(count.side))
    number = count.lately or count.kept
    span = "of the last 10 min " if count.lately else ""
    were = "was" if number == 1 else "were"
    why = NAMES[count.outcome][number != 1]
    refused = f"{count.side}: {pluralize(number, 'webhook')} {span}{were} refused {why}"
    advice = ADVICE[count.outcome][count.side]
    if count.outcome is Outcome.SIGNATURE:
        return Alarm(AlarmCode.WRONG_SIGNATURES, refused, advice, str(count.side))
    return Alarm(AlarmCode.WEBHOOKS_REFUSED, refused, advice, f"{count.side}:{count.outcome}")
