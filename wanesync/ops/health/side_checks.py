"""What the regular check of each side found: whether its key is accepted, whether it answers, how far our clock is off.

A worker checks each side it has a key for, also while there is no work (``worker.side_probe``); this module keeps the
newest result in the settings and describes what is wrong.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wanesync.core.errors import Failure
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.terminal import format_duration

if TYPE_CHECKING:
    from wanesync.store.database import Tx

KEY_SETTINGS = {Side.HUBSPOT: "hubspot.access_token", Side.STRIPE: "stripe.api_key"}
"""The configuration key of each side's API key."""
KEY_FAILURES = (Failure.UNAUTHORISED, Failure.FORBIDDEN)
"""Failures that show that the key is refused."""
MAX_CLOCK_ERROR_MS = 60_000
"""A larger difference of the clocks is an alarm: webhooks are refused from 5 minutes on, here and at HubSpot."""


@dataclass(frozen=True, slots=True)
class SideCheck:
    """The newest check of a side.

    ``failure``: a ``Failure``, "" if it answered as it should. ``since_ms``: since when it fails. ``clock_error_ms``:
    how far our database's clock is ahead of the side's.
    """

    checked_ms: int
    failure: str = ""
    reason: str = ""
    since_ms: int = 0
    clock_error_ms: int = 0


def setting_name(side: Side) -> str:
    """Return the name of the setting that holds the newest check of a side."""
    return f"side_check_{side}"


def read_check(tx: Tx, side: Side) -> SideCheck | None:
    """Return the newest check of a side, None if there was none."""
    text = tx.settings.get(setting_name(side))
    return SideCheck(**json.loads(text)) if text else None


def store_check(tx: Tx, side: Side, check: SideCheck) -> None:
    """Store a check; a failure that goes on keeps the time of its beginning."""
    before = read_check(tx, side)
    if check.failure and before is not None and before.failure == check.failure:
        check = SideCheck(check.checked_ms, check.failure, check.reason, before.since_ms, check.clock_error_ms)
    tx.settings.put(setting_name(side), json.dumps(asdict(check)))


def find_side_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each side whose key is refused or that does not answer, and for a clock that is wrong.

    A side that is paused has an alarm of its own already.
    """
    alarms = []
    paused = tx.pauses.get_all()
    for side in Side:
        check = read_check(tx, side)
        if check is None:
            continue
        if check.failure and str(side) not in paused:
            alarms.append(_describe_failure(tx, side, check))
        if abs(check.clock_error_ms) > MAX_CLOCK_ERROR_MS:
            ahead = "ahead of" if check.clock_error_ms > 0 else "behind"
            off = format_duration(abs(check.clock_error_ms))
            what = f"the clock of the database is {off} {ahead} {side}'s"
            advice = "set it (NTP) on the database's machine, or webhooks are refused and expiry times are wrong"
            alarms.append(Alarm(AlarmCode.CLOCK_WRONG, what, advice, str(side)))
    return alarms


def _describe_failure(tx: Tx, side: Side, check: SideCheck) -> Alarm:
    lasting = format_duration(tx.now_ms - check.since_ms)
    if check.failure in KEY_FAILURES:
        key = KEY_SETTINGS[side]
        advice = f"put a valid one into {key} and restart; one that a file, a command or a manager holds is read again"
        what = f"{side} refuses the key for {lasting} ({check.reason})"
        return Alarm(AlarmCode.KEY_REFUSED, what, advice, str(side))
    advice = f"{check.reason}; see its status page and the network"
    return Alarm(AlarmCode.SIDE_FAILING, f"{side} does not answer as it should for {lasting}", advice, str(side))
