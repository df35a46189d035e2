"""Alarms for what the HubSpot account lacks, as the newest check found it (docs/correctness.md#start-checks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.core.errors import Failure
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.core.setup.portal_checks import NOT_CHECKED
from wanesync.store.tables.settings import PORTAL_CHECK_FAILURE
from wanesync.sync.loader import read_portal_state
from wanesync.terminal import pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Tx

FAILING_MS = 60_000
"""How long the check of the account may fail before an alarm says so (our choice): the second attempt failed, too."""
SCHEMAS_SCOPE = "crm.objects.contacts.read"
"""What reading the definitions of properties needs (developers.hubspot.com/docs/api/crm/properties)."""
MAX_SAMPLES = 20
"""How many contacts are looked at for the names of the fields, each second while status is watched; our choice."""


def find_portal_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each thing the account lacks, with what mends it."""
    state = read_portal_state(tx)
    # Until the first check the alarms of the worker and of its side say why there was none.
    problems = () if state == NOT_CHECKED else state.problems
    return [
        *(
            Alarm(AlarmCode.ACCOUNT_INCOMPLETE, *_split(problem.text), subject=f"{problem.kind}:{problem.name}")
            for problem in problems
        ),
        *_find_failed_check(tx),
        *_find_unanswered(tx, state.paused_fields),
    ]


def _split(text: str) -> tuple[str, str]:
    """Return what is wrong, and behind the last colon the way out."""
    what, _, way_out = text.rpartition(": ")
    return (what, way_out) if what else (text, "")


def _find_failed_check(tx: Tx) -> list[Alarm]:
    """Return an alarm where the account could not be checked for a while: what it lacks meanwhile is not seen."""
    since, _, reason = (tx.settings.get(PORTAL_CHECK_FAILURE) or "").partition(" ")
    # A time in the future is not believed.
    if not since or not tx.now_ms - int(since) >= FAILING_MS:
        return []
    minutes = pluralize((tx.now_ms - int(since)) // 60_000, "minute")
    forbidden = reason.startswith(f"{Failure.FORBIDDEN}:")
    advice = f"give the app the scope {SCHEMAS_SCOPE}" if forbidden else "see what wanesync init --hubspot says"
    what = f"the HubSpot account could not be checked for {minutes} ({reason})"
    return [Alarm(AlarmCode.ACCOUNT_UNCHECKED, what, advice)]


def _find_unanswered(tx: Tx, paused: frozenset[str]) -> list[Alarm]:
    """Return an alarm about contacts whose newest answer lacked a field that HubSpot's definitions show."""
    ids = tx.records.unanswered_ids(Side.HUBSPOT, "", MAX_SAMPLES)
    found = tx.records.get_many([(Side.HUBSPOT, i) for i in ids]).values()
    names = sorted({name for stored in found for name in stored.record.unknown} - paused)
    if not names:
        return []
    contacts, what = pluralize(len(ids), "contact"), ", ".join(names)
    advice = (
        "let the app see the property (its permissions in HubSpot), or see wanesync webhooks set-aside if a value is "
        "too long; the field is not synced for them until then"
    )
    wrong = f"HubSpot's answers about {contacts} or more hold no usable value of {what}"
    return [Alarm(AlarmCode.FIELD_UNANSWERED, wrong, advice)]
