"""One round of evaluation: of all processes one holds the claim, compares, and stores what is to be told.

The claim ends by itself 25 s after its holder's last round, so that another process takes over a dead one's. What a
round decides is stored together with the deliveries it queues, in a transaction that locks the claim and checks its
revision: a process that was stopped for a while and lost it meanwhile stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import (
    AlertPolicy,
    AlertState,
    Notice,
    advance,
    correct_times,
    find_digest_day,
    find_last_digest_day,
    find_notice,
    mark_told,
)
from wanesync.core.operating.recipients import Addressee, RecipientBook
from wanesync.ops.alerts.notices import write_digest, write_notice
from wanesync.store.tables.operating.alerts import BOOKLESS, DAY_MS, MAX_LEASE_MS, Silence

if TYPE_CHECKING:
    from wanesync.ops.alerts.situation import Situation, SituationReader
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.operating.alerts import Claim

LEASE_MS = 25_000
"""How long the claim lasts without its holder: two rounds, so that a dead one costs less than half a minute."""
EVERYTHING = Silence("", "", "", 0, "", "", 0)
"""What a process without recipients does about every alert."""
GONE = "this recipient is no longer configured"


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did: notices it queued, and the worst level that counts now."""

    notices: tuple[Notice, ...]
    worst: Level


@dataclass(frozen=True, slots=True)
class _Held:
    """The claim as this process took it, and the recipients it knows."""

    name: str
    revision: int
    book: RecipientBook


@dataclass(slots=True)
class Evaluator:
    """Evaluates the rules in turn with other processes. ``name``: of this process, unique among all."""

    store: Store
    name: str
    policy: AlertPolicy
    book: Callable[[], RecipientBook]
    reader: SituationReader

    def run_round(self) -> Round | None:
        """Evaluate unless another process does; None if one does. Raises ``DatabaseUnavailable``."""
        book = self.book()
        name = self.name if book.all else f"{BOOKLESS}{self.name}"
        claim = self.store.read(lambda tx: tx.alerts.claim())
        if self._is_held(claim, name):
            return None
        revision = self.store.run(lambda tx: tx.alerts.take_claim(name, LEASE_MS))
        if revision is None:
            return None
        held = _Held(name, revision, book)
        situation = self.reader.read()
        return self.store.run(partial(self._apply, situation=situation, held=held))

    def release(self) -> None:
        """Give the claim back, at the end of the process. Raises ``DatabaseUnavailable``."""
        for name in (self.name, f"{BOOKLESS}{self.name}"):
            self.store.run(lambda tx, n=name: tx.alerts.release_claim(n))  # type: ignore[misc] # binds the loop's value

    def _is_held(self, claim: Claim, name: str) -> bool:
        left_ms = claim.until_ms - self.store.now_ms()
        gives_way = claim.owner.startswith(BOOKLESS) and not name.startswith(BOOKLESS)
        return claim.owner != name and not gives_way and 0 < left_ms <= MAX_LEASE_MS

    def _apply(self, tx: Tx, situation: Situation, held: _Held) -> Round | None:
        last_day = tx.alerts.confirm_claim(held.name, held.revision)
        if last_day is None:
            return None
        tx.samples.add(situation.samples)
        book, silences = held.book, tx.alerts.silences()
        # Without recipients nothing counts as told: a process that has some tells it later.
        silences = silences if book.all else [EVERYTHING]
        stored = {(state.code, state.subject): state for state in tx.alerts.states()}
        notices: list[Notice] = []
        worst = Level.OK
        for key in sorted({*stored, *situation.seen}):
            if key not in situation.seen and key[0] in situation.unseen:
                worst = max(worst, stored[key].level)
                continue
            state, notice = self._step(tx, stored.get(key, AlertState(*key)), situation, silences)
            worst = max(worst, state.level)
            if notice:
                notices.append(notice)
                self._queue(tx, notice, book.find(critical=notice.level >= Level.CRITICAL))
        notices += self._write_digest(tx, last_day, book)
        tx.alerts.drop_old_reports()
        if places := [one.place for one in book.all]:
            tx.alert_deliveries.end_unknown(places, GONE, tx.now_ms - DAY_MS)
        return Round(tuple(notices), worst)

    def _step(
        self, tx: Tx, before: AlertState, situation: Situation, silences: list[Silence]
    ) -> tuple[AlertState, Notice | None]:
        state = correct_times(before, tx.now_ms)
        state, change = advance(state, situation.seen.get((state.code, state.subject)), tx.now_ms)
        if change:
            tx.alerts.add_history(state, change.before)
        silenced = any(one.covers(state.code, state.subject) for one in silences)
        kind = find_notice(state, tx.now_ms, self.policy, silenced=silenced)
        notice = None
        if kind:
            notice = write_notice(kind, state, self.policy, tx.now_ms)
            state = mark_told(state, tx.now_ms)
        if state != before:
            tx.alerts.put_state(state)
        return state, notice

    def _queue(self, tx: Tx, notice: Notice, addressees: list[Addressee]) -> None:
        for one in addressees:
            # That notices do not arrive is of no use where they do not arrive.
            if notice.code != AlarmCode.NOTICES_UNDELIVERED or notice.subject != one.place:
                tx.alert_deliveries.add(notice, one.place, one.recipient.label)

    def _write_digest(self, tx: Tx, last_day: str, book: RecipientBook) -> list[Notice]:
        if not last_day:
            tx.alerts.put_digest_day(find_last_digest_day(tx.now_ms, self.policy))
        day = find_digest_day(last_day, tx.now_ms, self.policy)
        if day is None or not book.digest_readers:
            return []
        tx.alerts.put_digest_day(day)
        notice = write_digest(tx, self.policy, day)
        self._queue(tx, notice, book.digest_readers)
        return [notice]
