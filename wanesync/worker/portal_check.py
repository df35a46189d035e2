"""The portal check: finds what the HubSpot account lacks, at the start and regularly, and resumes what was mended.

docs/correctness.md#start-checks
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import CallError, Failure, SidePaused, WanesyncError
from wanesync.core.jobs import JobKind, JobRequest, Priority, WaitCode
from wanesync.core.model import Side, contact_key
from wanesync.core.purchases import Sink
from wanesync.core.rate_limits import SlotRequest
from wanesync.core.setup.portal_checks import (
    NOT_CHECKED,
    FieldDefinitions,
    PortalState,
    find_problems,
    unpack_definitions,
)
from wanesync.purchases.sender import SINK
from wanesync.store.tables.settings import DEFINITIONS, PORTAL_CHECK_FAILURE, PORTAL_STATE, operator_pause
from wanesync.sync.loader import read_portal_state

if TYPE_CHECKING:
    from wanesync.core.setup.portal_checks import PortalFacts
    from wanesync.store.database import Tx
    from wanesync.sync.runtime import Runtime

CHECK_INTERVAL_MS = 900_000
"""Time between two checks of an account that lacks nothing (15 min, our choice): two requests each."""
RECHECK_INTERVAL_MS = 30_000
"""Time between two checks of an account that lacks something, so that it resumes soon after it was mended, and the
shortest time to a check that answers without a field of the map make due."""
SUSPECT_INTERVAL_MS = 120_000
"""Time between two checks while answers lack a field although the account has the property."""
POLL_INTERVAL_S = 5.0
"""How often a process looks whether a check is due."""
READS_PER_TRANSACTION = 500
"""Reads queued in one transaction; our choice."""
OPERATION = "properties.list"
CHECKED = "portal_checked_ms"
"""Setting: when the account was checked last."""

log = structlog.get_logger()


def begin_unchecked(tx: Tx) -> None:
    """Let creations wait for the first check of a database that has seen none."""
    tx.settings.add(PORTAL_STATE, NOT_CHECKED.pack())


@dataclass(slots=True)
class PortalCheck:
    """Checks the account of a worker with a HubSpot key until ``stopping`` is set; of several processes one does it.

    ``sink``: the configured one of purchases, None for ``auto``, which a database decides once. The first check of each
    process is always made, because its field map or its key may be new.
    """

    runtime: Runtime
    sink: Sink | None
    event_name: str
    stopping: threading.Event
    _started: bool = False
    _failed: bool = False
    _suspected: bool = False

    def run(self) -> None:
        """Work until ``stopping`` is set; runs in a thread beside a worker."""
        while not self.stopping.is_set():
            self.check_if_due()
            self.stopping.wait(POLL_INTERVAL_S)

    def check_if_due(self) -> None:
        """Check the account unless that was done lately or an operator paused the side; failures are logged."""
        try:
            if self.runtime.store.run(self._claim_turn):
                self.check()
                self._failed = False
                self._note_failure("")
        except CallError as error:
            log.warning("HubSpot account not checked", failure=error.failure, reason=error.reason)
            self._note_failure(f"{error.failure}: {error.reason}")
            if error.failure is Failure.FORBIDDEN:
                # What cannot be looked at is found out by writing: nothing waits for it.
                self._store(PortalState())
        except SidePaused:
            # Just now: the next turn is claimed when it ends.
            return
        except WanesyncError as error:
            log.warning("HubSpot account not checked", reason=str(error))
            self._note_failure(str(error))
        except Exception as error:  # noqa: BLE001 - a defect must not end all later checks
            if not self.stopping.is_set():
                log.error("portal check failed in our own code", error=type(error).__name__)
                self._note_failure(f"a fault of wanesync, {type(error).__name__}: see its log")

    def _note_failure(self, reason: str) -> None:
        """Note for the alarms why the account could not be checked, or with "" that it was."""

        def note(tx: Tx) -> None:
            before = tx.settings.get(PORTAL_CHECK_FAILURE)
            if not reason and before is not None:
                tx.settings.drop(PORTAL_CHECK_FAILURE)
            elif reason:
                since_ms = before.partition(" ")[0] if before else str(tx.now_ms)
                tx.settings.put(PORTAL_CHECK_FAILURE, f"{since_ms} {reason}")

        with suppress(WanesyncError):
            self.runtime.store.run(note)

    def check(self) -> PortalState:
        """Check the account and carry out what follows. Raises ``CallError`` and ``DatabaseUnavailable``."""
        pacer = self.runtime.pacers.get(Side.HUBSPOT)
        if pacer is not None:
            pacer.wait_for_slot(SlotRequest(OPERATION))
        facts = self.runtime.hubspot.inspect()
        with self.runtime.store.reading() as tx:
            chosen = tx.settings.get(SINK)
        sink = self.sink or (Sink(chosen) if chosen else None)
        state = PortalState(tuple(find_problems(self.runtime.rules.fields, facts, sink, self.event_name)))
        self._store(state)
        self._follow_definitions(facts)
        return state

    def _follow_definitions(self, facts: PortalFacts) -> None:
        """Note which definitions changed, and plan the people with a parked field: it may be accepted now."""
        now_ms = self.runtime.store.now_ms()

        def follow(tx: Tx) -> bool:
            text = tx.settings.get(DEFINITIONS)
            before = unpack_definitions(text) if text else FieldDefinitions()
            after = before.follow(self.runtime.rules.fields, facts, now_ms)
            if after != before:
                tx.settings.change(DEFINITIONS, text, after.pack())
            return after.changed_ms != before.changed_ms

        if self.runtime.store.run(follow):
            self._plan_parked()

    def _plan_parked(self) -> None:
        after = ""
        while True:
            with self.runtime.store.reading() as tx:
                found = tx.links.parked_contacts(after, READS_PER_TRANSACTION)
            if not found:
                return
            writes = [JobRequest(Side.HUBSPOT, JobKind.WRITE, contact_key(i), Priority.BULK) for _, i in found]
            self.runtime.store.run(lambda tx, some=writes: tx.jobs.put_many(some))  # type: ignore[misc] # binds the loop's value
            after = found[-1][0]

    def _store(self, state: PortalState) -> None:
        before = self.runtime.store.run(lambda tx: _put(tx, state))
        for problem in state.problems:
            if problem not in before.problems:
                log.warning("HubSpot account lacks something", problem=problem.text)
        for problem in before.problems:
            if problem not in state.problems and before != NOT_CHECKED:
                log.info("HubSpot account was mended", problem=problem.text)
        if before.paused_fields - state.paused_fields:
            self._read_incomplete()

    def _read_incomplete(self) -> None:
        """Read the contacts whose answers lacked a field that can be used again."""
        after = ""
        while True:
            with self.runtime.store.reading() as tx:
                ids = tx.records.unanswered_ids(Side.HUBSPOT, after, READS_PER_TRANSACTION)
            if not ids:
                return
            reads = [JobRequest(Side.HUBSPOT, JobKind.READ, i, Priority.BULK) for i in ids]
            self.runtime.store.run(lambda tx, some=reads: tx.jobs.put_many(some))  # type: ignore[misc] # binds the loop's value
            after = ids[-1]

    def _claim_turn(self, tx: Tx) -> bool:
        if operator_pause(Side.HUBSPOT) in tx.pauses.get_all():
            return False
        text = tx.settings.get(CHECKED) or "0"
        lacking = bool(tx.records.unanswered_ids(Side.HUBSPOT, "", 1))
        interval_ms = CHECK_INTERVAL_MS if not lacking else SUSPECT_INTERVAL_MS
        if self._failed or read_portal_state(tx).problems or (lacking and not self._suspected):
            interval_ms = RECHECK_INTERVAL_MS
        # Times that lie in the future are not believed.
        if self._started and 0 <= tx.now_ms - int(text) < interval_ms:
            return False
        tx.settings.put(CHECKED, str(tx.now_ms))
        self._started, self._failed, self._suspected = True, True, lacking
        return True


def _put(tx: Tx, state: PortalState) -> PortalState:
    """Store the result of a check and make due what waited for what is there now; returns the result before."""
    before = read_portal_state(tx)
    tx.settings.put(PORTAL_STATE, state.pack())
    if (before.blocked - state.blocked) or (before.blocked_sinks - state.blocked_sinks):
        tx.jobs.make_due(WaitCode.SETUP)
    return before
