"""Health and alarms: everything that is wrong now, and what to do about each.

``find_alarms`` returns ``core.operating.alarms.Alarm``: a stable code, the level, what is wrong, and the way out
apart from it, which pages show; ``read_alarms`` returns their sentences, as ``wanesync status`` prints them. Alerts
are made of the same alarms (``ops.alerts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.change_guard import HoldKind, HoldState, show_source
from wanesync.core.jobs import DeadClass, WaitCode
from wanesync.core.model import NoteCode, ParkReason, Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.ops.health.api_versions import find_version_alarms
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.health.lane_status import LaneState, age_s, read_lanes
from wanesync.ops.health.portal_problems import find_portal_alarms
from wanesync.ops.health.secret_troubles import find_secret_alarms
from wanesync.ops.health.side_checks import find_side_alarms
from wanesync.ops.health.web_door import find_webhook_alarms
from wanesync.ops.health.web_notices import find_notice_alarms
from wanesync.ratelimit.quotas import find_alarms as find_quota_alarms
from wanesync.store.session import PrivilegeDenied
from wanesync.store.tables.settings import OPERATOR, RESTORED, SERVERLESS_DOOR, UNCONFIRMED
from wanesync.sync.loader import LISTED
from wanesync.sync.lost_updates import HOT_RECORD, MAX_JUDGED
from wanesync.terminal import pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.holds import HoldRow

OLD_MS = 60_000
"""The age of the oldest due job that raises an alarm: twice the 30 s within which a change is to be synced."""
CONFIRMED_WITHIN_MS = 60_000
"""How long the catch-up after a start may take before an alarm says what waits for it (our choice)."""
MIN_BATCH_FAILURES = 3
"""Failures in a row of one batch that raise an alarm: it is repeated unchanged twice."""
MAX_NAMED = 3
"""Records that one alarm names; the others are in the list of dead letters."""
BAD_RECORDS = {
    DeadClass.SET_ASIDE: "the vendor shows a value that cannot be used: correct it there, and it is read again",
    DeadClass.UNSTORABLE: "a value cannot be stored: shorten or correct it there, then wanesync retry",
    DeadClass.DAMAGED: "a stored value cannot be decrypted: see wanesync jobs --dead; restore it from a backup, or "
    "add its key to [security] keys, then wanesync retry",
}
HOT_MS = 600_000
"""How long an alarm names a record with thousands of events, or an element set aside: 10 min (our choice)."""
MAX_COUNTED_LINKS = 100
"""Links with parked fields that an alarm looks at: each is decrypted."""
RIVALS_MS = 20_000
"""How long a payment waits for the reads of contacts that share its address before an alarm names it (our choice)."""
MAX_NAMED_JOBS = 5
"""So many jobs or payments of one kind are named; the others are of the same kind."""
DAY_MS = 86_400_000
START_WORKER = "start wanesync worker"
WEB = "web"
"""What stands for the lanes of a process that receives webhooks."""


@dataclass(frozen=True, slots=True)
class PauseState:
    """A side, or an operation of one, that no request is sent to. ``away``: it does not answer."""

    name: str
    reason: str
    away: bool
    for_s: float


@dataclass(frozen=True, slots=True)
class HoldSummary:
    """A hold: the source it stops (addresses masked), and how many people and values it keeps back."""

    id: str
    source: str
    kind: str
    state: str
    people: int
    fields: int
    for_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """What alarms and gauges are computed from: read from indexes, so that it can be read every second.

    ``unseen``: alarms that the database role of this process may not look for.
    """

    lanes: Mapping[str, LaneState]
    pauses: Sequence[PauseState]
    holds: Sequence[HoldSummary]
    first_listing: bool
    alarms: Sequence[Alarm]
    unseen: frozenset[AlarmCode] = frozenset()


def find_alarms(store: Store) -> list[Alarm]:
    """Return everything that is wrong, in the order in which ``status`` shows it. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        return [*read_health(tx).alarms, *find_disk_alarms(store)]


def read_alarms(store: Store) -> list[str]:
    """Return the sentence of each alarm. Raises ``DatabaseUnavailable``."""
    return [alarm.text for alarm in find_alarms(store)]


def read_health(tx: Tx) -> Health:
    """Return the lanes, pauses and holds, and the alarms that follow from them."""
    lanes = read_lanes(tx)
    pauses = [
        PauseState(row.name, row.reason, row.away, age_s(tx, row.since_ms)) for row in tx.pauses.get_all().values()
    ]
    holds = [_summarize_hold(tx, row) for row in tx.holds.all()]
    listed = tx.settings.get(LISTED) is not None
    served = is_served(tx)
    refused = _find_refused_fields(tx)
    alarms = [
        *_find_missing(lanes, listed=listed, served=served),
        *_find_restored(tx),
        *_find_troubles(lanes),
        *map(_describe_pause, pauses),
        *(_describe_hold(hold) for hold in holds if hold.state == HoldState.OPEN),
        *find_side_alarms(tx),
        *find_secret_alarms(tx),
        *find_portal_alarms(tx),
        *find_webhook_alarms(tx),
        *find_notice_alarms(tx),
        *find_quota_alarms(tx),
        *find_version_alarms(tx),
        *_find_account_purchases(tx),
        *_find_failed_batches(tx),
        *_name_bad_records(tx, lanes),
        *_name_damaged_copies(tx),
        *_name_still_held(tx),
        *_find_idle_jobs(tx),
        *_find_failing_jobs(tx),
        *_find_rivals(tx),
        *(refused or ()),
        *_find_hot_records(tx),
        *_find_set_aside(tx),
    ]
    unseen = frozenset({AlarmCode.FIELD_REFUSED} if refused is None else ())
    return Health(lanes, pauses, holds, listed, alarms, unseen)


def is_served(tx: Tx) -> bool:
    """Return whether webhooks are received: by a process with a heartbeat, or by serverless instances."""
    return any(row.lanes == WEB for row in tx.processes.alive()) or tx.settings.get(SERVERLESS_DOOR) is not None


def _summarize_hold(tx: Tx, row: HoldRow) -> HoldSummary:
    source, age = show_source(row.source), age_s(tx, row.since_ms)
    return HoldSummary(row.id, source, str(row.kind), str(row.state), row.people, row.fields, age)


def _find_restored(tx: Tx) -> list[Alarm]:
    _, _, reason = (tx.settings.get(RESTORED) or "").partition(" ")
    if not reason:
        return _find_unconfirmed(tx)
    advice = f"{reason}; no record is created until wanesync reconcile has listed both sides again"
    return [Alarm(AlarmCode.DATABASE_RESTORED, "the database was restored from a backup, or copied", advice)]


def _find_unconfirmed(tx: Tx) -> list[Alarm]:
    since_ms, _, reason = (tx.settings.get(UNCONFIRMED) or "0").partition(" ")
    if not reason or 0 <= tx.now_ms - int(since_ms) < CONFIRMED_WITHIN_MS:
        return []
    what = "it is not known whether the database was restored from a backup, or copied"
    advice = f"{reason}; no record is created until a catch-up of Stripe has ended: wanesync catch-up"
    return [Alarm(AlarmCode.DATABASE_RESTORED, what, advice)]


def _find_missing(lanes: Mapping[str, LaneState], *, listed: bool, served: bool) -> list[Alarm]:
    """What does not run and should; before the first listing only a lane with due jobs needs a worker."""
    alarms = []
    if not listed:
        advice = "no record is created until wanesync reconcile (or up) has run once"
        alarms.append(Alarm(AlarmCode.FIRST_LISTING_MISSING, "first listing missing", advice))
    for side, lane in lanes.items():
        if lane.due and not lane.workers:
            are = "is" if lane.due == 1 else "are"
            what = f"{side}: {pluralize(lane.due, 'job')} {are} due and no worker runs this lane"
            alarms.append(Alarm(AlarmCode.NO_WORKER, what, START_WORKER, side))
        elif listed and not lane.workers:
            alarms.append(Alarm(AlarmCode.NO_WORKER, f"{side}: no worker runs this lane", START_WORKER, side))
    if listed and not served:
        what = "no web process runs, so webhooks are not received"
        alarms.append(Alarm(AlarmCode.NO_WEB_PROCESS, what, "start wanesync serve (or up)"))
    return alarms


def _find_troubles(lanes: Mapping[str, LaneState]) -> list[Alarm]:
    alarms = []
    for side, lane in lanes.items():
        # A purchase for which no person is found is listed, and is no error.
        dead = {name: count for name, count in lane.dead_classes.items() if name != DeadClass.UNMATCHED}
        if dead:
            classes = ", ".join(f"{count:,} {name}" for name, count in dead.items())
            letters = pluralize(sum(dead.values()), "dead letter")
            advice = "see wanesync jobs --dead, then wanesync retry"
            alarms.append(Alarm(AlarmCode.DEAD_LETTERS, f"{side}: {letters} ({classes})", advice, side))
        if lane.oldest_s * 1000 > OLD_MS:
            what = f"{side}: the oldest job that is due or running is {lane.oldest_s:.0f} s old"
            alarms.append(Alarm(AlarmCode.OLDEST_JOB, what, subject=side))
    return alarms


def _name_damaged_copies(tx: Tx) -> list[Alarm]:
    """Records whose stored copy cannot be decrypted: a read replaces it."""
    damaged = [f"{side} {i}" for side, ids in tx.records.noted_ids(NoteCode.DAMAGED).items() for i in ids]
    if not damaged:
        return []
    more = f" and {len(damaged) - MAX_NAMED:,} more" if len(damaged) > MAX_NAMED else ""
    what = f"{', '.join(damaged[:MAX_NAMED])}{more}: the stored copy cannot be decrypted"
    return [Alarm(AlarmCode.COPIES_DAMAGED, what, "wanesync reconcile reads it again")]


def _name_still_held(tx: Tx) -> list[Alarm]:
    """Customers of people whose data were deleted for privacy in HubSpot (docs/correctness.md#privacy-deletions)."""
    held = tx.records.noted_ids(NoteCode.ERASED)[Side.STRIPE]
    if not held:
        return []
    more = f" and {len(held) - MAX_NAMED:,} more" if len(held) > MAX_NAMED else ""
    why = "the data of this person were deleted for privacy in HubSpot, and the customer still holds them"
    advice = "delete it there, or say with the decision exclude that it has to stay"
    return [Alarm(AlarmCode.ERASED_DATA_HELD, f"Stripe {', '.join(held[:MAX_NAMED])}{more}: {why}", advice)]


def _find_failed_batches(tx: Tx) -> list[Alarm]:
    """Batches that fail over and over: they are halved until the job at fault is found, which takes some tries."""
    return [
        Alarm(
            AlarmCode.BATCH_FAILING,
            f"one batch fails over and over at {batch.place} ({batch.times} times in {age_s(tx, batch.first_ms):.0f} s:"
            f" {batch.reason})",
            "see wanesync jobs and the log; the job at fault becomes a dead letter",
            batch.place,
        )
        for batch in tx.failed_batches.all()
        if batch.times >= MIN_BATCH_FAILURES
    ]


def _name_bad_records(tx: Tx, lanes: Mapping[str, LaneState]) -> list[Alarm]:
    """Jobs given up because of a value that cannot be stored or read, by their keys: only a person can mend those."""
    alarms = []
    for dead_class, advice in BAD_RECORDS.items():
        count = sum(lane.dead_classes.get(dead_class, 0) for lane in lanes.values())
        if count:
            named = ", ".join(
                f"{job.lane} {job.key}" for job in tx.dead_letters.latest(dead_class=dead_class, limit=MAX_NAMED)
            )
            more = f" and {count - MAX_NAMED:,} more" if count > MAX_NAMED else ""
            why, _, way_out = advice.partition(": ")
            alarms.append(Alarm(AlarmCode.BAD_VALUES, f"{named}{more}: {why}", way_out, str(dead_class)))
    return alarms


def _find_idle_jobs(tx: Tx) -> list[Alarm]:
    """Jobs that are claimed again and again and come to no call (docs/correctness.md#wake-ups)."""
    return [
        Alarm(
            AlarmCode.JOB_IDLE,
            f"{job.lane}: the {job.kind} job of {job.key} was claimed {job.turns} times without a call"
            f" ({job.reason or 'no reason given'})",
            "look at its record on both sides, then wanesync reconcile",
            f"{job.lane} {job.kind} {job.key}",
        )
        for job in tx.jobs.idle(MAX_NAMED_JOBS)
        if job.waits_for != WaitCode.RIVALS
    ]


def _find_failing_jobs(tx: Tx) -> list[Alarm]:
    """Jobs whose calls fail again and again while the side answers others."""
    return [
        Alarm(
            AlarmCode.JOB_FAILING,
            f"{job.lane}: the {job.kind} job of {job.key} failed {job.attempts} times"
            f" ({job.reason or 'no reason given'})",
            "look at its record there",
            f"{job.lane} {job.kind} {job.key}",
        )
        for job in tx.jobs.failing(MAX_NAMED_JOBS)
    ]


def _find_rivals(tx: Tx) -> list[Alarm]:
    """Payments whose address is on several contacts, although those were read again."""
    payments = tx.purchases.waiting_for_code(WaitCode.RIVALS, tx.now_ms - RIVALS_MS, MAX_NAMED_JOBS)
    return [
        Alarm(
            AlarmCode.PAYMENT_AMBIGUOUS,
            f"payment {payment_id} waits because its address is on several contacts",
            "merge them in HubSpot (Contacts, Actions, Manage duplicates) or take the address from all but one",
            payment_id,
        )
        for payment_id in payments
    ]


def _find_account_purchases(tx: Tx) -> list[Alarm]:
    """Payments of the last day that an account of Accounts v2 made: they reach no contact yet."""
    count = tx.purchases.count_of_accounts(tx.now_ms - DAY_MS)
    if not count:
        return []
    were = "was" if count == 1 else "were"
    paid = f"stripe: {pluralize(count, 'payment')} of the last day {were} made by an account (acct_…) of Accounts v2"
    what = f"{paid}, which is not supported yet, and reached no contact"
    return [Alarm(AlarmCode.ACCOUNT_PURCHASES, what, "wanesync jobs --dead --class unmatched lists them")]


def _find_refused_fields(tx: Tx) -> list[Alarm] | None:
    """Fields that a side refuses for a reason that is to be mended there; a taken address is a conflict only.

    None: the database role of a web process sees no values, and its metrics are without this alarm.
    """
    try:
        with tx.savepoint():
            found = tx.links.parked_contacts("", MAX_COUNTED_LINKS)
    except PrivilegeDenied:
        return None
    links = tx.links.get_many([link_id for link_id, _ in found]) if found else []
    refused = [
        f"contact {link.hubspot_id} {name} ({parked.reason})"
        for link in links
        for name, parked in sorted(link.parked.items())
        if parked.reason not in (ParkReason.TAKEN, ParkReason.NO_ROOM)
    ]
    if not refused:
        return []
    named = ", ".join(refused[:MAX_NAMED])
    more = f" and {len(refused) - MAX_NAMED} more" if len(refused) > MAX_NAMED else ""
    what = f"not written, because it is refused there: {named}{more}"
    return [Alarm(AlarmCode.FIELD_REFUSED, what, "correct the value, or the property or its rule")]


def _find_set_aside(tx: Tx) -> list[Alarm]:
    """The newest webhook element that could not be read or stored, for ten minutes."""
    return [
        Alarm(
            AlarmCode.WEBHOOK_SET_ASIDE,
            f"{row.side}: a part of a webhook was set aside ({row.reason})",
            "see wanesync webhooks set-aside; the next catch-up reads what it reports",
            str(row.side),
        )
        for row in tx.rejected.outlines(1)
        if 0 <= tx.now_ms - row.at_ms < HOT_MS
    ]


def _find_hot_records(tx: Tx) -> list[Alarm]:
    """Records that had thousands of events lately: most often a workflow or a script that changes them in a loop."""
    alarms = []
    for side, name in HOT_RECORD.items():
        at_ms, _, record_id = (tx.settings.get(name) or "0 ").partition(" ")
        if 0 <= tx.now_ms - int(at_ms) < HOT_MS:
            what = (
                f"{side} {record_id}: more than {MAX_JUDGED:,} changes of one record at once; its history there shows"
                " the workflow or program that changes it"
            )
            advice = "stop that one (other people's edits go on)"
            alarms.append(Alarm(AlarmCode.RECORD_LOOPING, what, advice, f"{side} {record_id}"))
    return alarms


def _describe_pause(pause: PauseState) -> Alarm:
    if pause.name.startswith(OPERATOR):
        side = pause.name.removeprefix(OPERATOR)
        return Alarm(AlarmCode.SIDE_PAUSED, f"{side} is {pause.reason}, for {pause.for_s:.0f} s", subject=side)
    code = AlarmCode.SIDE_PAUSED if pause.name in set(Side) else AlarmCode.OPERATION_PAUSED
    if pause.away:
        code = AlarmCode.SIDE_UNREACHABLE
    what = f"{pause.name} {'is unreachable' if pause.away else 'is paused'}: {pause.reason}"
    return Alarm(code, what, subject=pause.name)


def _describe_hold(hold: HoldSummary) -> Alarm:
    by_operator = "paused by an operator" if hold.kind == HoldKind.FIELD else ""
    people = "1 person" if hold.people == 1 else f"{hold.people:,} people"
    are = "is" if hold.fields == 1 else "are"
    held = f"{pluralize(hold.fields, 'value')} of {people} {are} held" if hold.fields else ""
    text = ", ".join(filter(None, (by_operator, held))) or "held"
    code = AlarmCode.FIELD_PAUSED if hold.kind == HoldKind.FIELD else AlarmCode.CHANGES_HELD
    # The source may be a person of HubSpot, whose address a notice does not carry.
    source = hold.source if hold.kind == HoldKind.FIELD else f"hold {hold.id}"
    way_out = "" if text == by_operator else "see wanesync hold list"
    return Alarm(code, f"{hold.source}: {text}", way_out, hold.id, outside=f"{source}: {text}")
