"""Why a person is in sync or not, in one sentence: from the copies of both sides, the plan, the jobs and the pauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wanesync.core.diff.difference import CREATIONS, HELD, SIDE_NAMES, Difference, DifferenceClass
from wanesync.core.jobs import Job, JobKind, JobState
from wanesync.core.model import MERGED_EXCLUDED, Link, Note, NoteCode, Side, StoredRecord


class SyncState(StrEnum):
    """The state of a person; the values are part of the JSON output."""

    IN_SYNC = "in_sync"
    WAITING = "waiting"
    NEEDS_DECISION = "needs_decision"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    LEFT_ALONE = "left_alone"
    GONE = "gone"
    NOT_QUEUED = "not_queued"


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """What is known of one person.

    ``contact``, ``customer``: our copies, the customer being the primary one. ``link``: over which values flow.
    ``differences``: those of a comparison of the copies. ``jobs``: open ones and dead letters of both records.
    ``unanswered``: sides with a write whose answer is not known. ``pauses``: side -> why no request goes to it.
    ``conflicts``, ``kept``: fields with open conflicts in which the sides differ, and those of values that lost.
    """

    contact: StoredRecord | None
    customer: StoredRecord | None
    link: Link | None = None
    differences: Sequence[Difference] = ()
    jobs: Sequence[Job] = ()
    unanswered: Sequence[Side] = ()
    pauses: Mapping[Side, str] = field(default_factory=dict)
    writes_on: bool = True
    conflicts: Sequence[str] = ()
    kept: Sequence[str] = ()
    fields: int = 0

    @property
    def copies(self) -> Sequence[StoredRecord]:
        """Return the copies that there are, HubSpot's first."""
        return [copy for copy in (self.contact, self.customer) if copy is not None]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The state of a person, why, and what can be done about it, "" if nothing. ``more``: what else holds."""

    state: SyncState
    sentence: str
    way_out: str = ""
    more: Sequence[str] = ()


def explain(facts: PersonFacts) -> Explanation:
    """Return why a person is in sync or not: the first reason that applies, in the order in which they matter."""
    steps = (_explain_gone, _explain_note, _explain_dead, _explain_reading, _explain_differences, _explain_alone)
    found = next((one for step in steps if (one := step(facts)) is not None), None)
    found = found or Explanation(SyncState.IN_SYNC, _in_sync(facts))
    more = [*found.more, *_list_kept(facts)]
    return Explanation(found.state, found.sentence, found.way_out, tuple(more))


def _name(copy: StoredRecord) -> str:
    return f"contact {copy.id}" if copy.side is Side.HUBSPOT else f"customer {copy.id}"


def _in_sync(facts: PersonFacts) -> str:
    both = " and ".join(_name(copy) for copy in facts.copies)
    if facts.conflicts:
        return f"{both} hold what was settled last in every field, and nothing waits to be written"
    return f"{both} agree in all {facts.fields} mapped fields, and nothing waits to be written"


def _list_kept(facts: PersonFacts) -> list[str]:
    names = sorted(set(facts.kept))
    return [f"values that lost are kept for {_join(names)}: look at them as conflicts"] if names else []


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)


def _explain_gone(facts: PersonFacts) -> Explanation | None:
    if any(copy.alive for copy in facts.copies):
        return None
    gone = facts.copies[0]
    if gone.erased:
        return Explanation(SyncState.GONE, f"the data of {_name(gone)} were deleted for privacy, so nothing is kept")
    if gone.survivor:
        way_out = f"look at contact {gone.survivor}"
        return Explanation(SyncState.GONE, f"{_name(gone)} was merged into contact {gone.survivor}", way_out)
    both = " and ".join(_name(copy) for copy in facts.copies)
    return Explanation(SyncState.GONE, f"{both} {'were' if len(facts.copies) > 1 else 'was'} deleted")


_WAYS_OUT = {
    NoteCode.BY_DECISION: "the decision create ends that (wanesync reconcile --decisions)",
    NoteCode.EXCLUDED: "give the record an e-mail address, or allow creations in [create]",
    NoteCode.AMBIGUOUS: "link the right two with wanesync link CONTACT CUSTOMER",
    NoteCode.ORPHANED: "the decision create makes it a new counterpart (wanesync reconcile --decisions)",
    NoteCode.ERASED: "only the decision lift allows this person to be stored again",
    NoteCode.MISSING: "wanesync reconcile asks for it again",
    NoteCode.DAMAGED: "wanesync reconcile reads it again",
    NoteCode.FIRST_LISTING: "wanesync up or wanesync reconcile lists both sides",
}


def _explain_note(facts: PersonFacts) -> Explanation | None:
    """A record is left alone, and its note says why; what an operator wants created is waited for."""
    if facts.link is not None:
        gone = [copy for copy in facts.copies if not copy.alive or copy.absent]
        if not gone:
            return None
        what = "is not found, and no deletion of it is known" if gone[0].absent else "was deleted"
        return Explanation(SyncState.LEFT_ALONE, f"{_name(gone[0])} {what}, so nothing is written to its other record")
    noted = [copy for copy in facts.copies if copy.alive and copy.note and copy.note.code is not NoteCode.WANTED]
    if not noted or noted[0].note is None:
        return None
    note = noted[0].note
    ambiguous = note.code is NoteCode.AMBIGUOUS
    state = SyncState.NEEDS_DECISION if ambiguous else SyncState.LEFT_ALONE
    return Explanation(state, f"{_name(noted[0])} is not synced: {note.text}", _find_way_out(note))


def _find_way_out(note: Note) -> str:
    return _WAYS_OUT.get(NoteCode.BY_DECISION if note == MERGED_EXCLUDED else note.code, "")


def _explain_dead(facts: PersonFacts) -> Explanation | None:
    dead = [job for job in facts.jobs if job.state is JobState.DEAD]
    if not dead:
        return None
    job = dead[0]
    sentence = f"a {job.kind} of {SIDE_NAMES[job.lane]} was given up ({job.dead_class}): {job.reason or 'no reason'}"
    return Explanation(SyncState.FAILED, sentence, f"mend its cause, then wanesync retry {job.id}")


def _explain_reading(facts: PersonFacts) -> Explanation | None:
    """A newer copy is on its way, or the outcome of a write is open: nothing is known before that."""
    if facts.unanswered:
        side = facts.unanswered[0]
        sentence = f"a write to {SIDE_NAMES[side]} has no answer yet; it is settled before the next one"
        return Explanation(SyncState.WAITING, sentence, more=_list_obstacles(facts, side))
    reads = [job for job in facts.jobs if job.kind is JobKind.READ and job.state is not JobState.DEAD]
    stale = next((copy for copy in facts.copies if copy.alive and copy.stale), None)
    if reads or stale:
        side = reads[0].lane if reads else (stale.side if stale else Side.HUBSPOT)
        return Explanation(
            SyncState.WAITING,
            f"a change in {SIDE_NAMES[side]} was reported, and the record is read first",
            more=_list_obstacles(facts, side),
        )
    return None


def _list_obstacles(facts: PersonFacts, side: Side) -> list[str]:
    return [f"{SIDE_NAMES[side]} gets no request: {facts.pauses[side]}"] if side in facts.pauses else []


def _explain_differences(facts: PersonFacts) -> Explanation | None:
    written = [one for one in facts.differences if any(each.writes for each in one.fields.values())]
    if written:
        return _explain_writes(facts, written)
    parted = [one for one in facts.differences if one.kind is DifferenceClass.CONFLICT]
    if not parted:
        return None
    fields = {name: each for one in parted for name, each in one.fields.items()}
    held = sorted(name for name, each in fields.items() if each.why == HELD)
    if held:
        sentence = f"changes of {_join(held)} are held back by the change guard"
        return Explanation(SyncState.HELD, sentence, "wanesync hold list, then release or discard")
    refused = sorted(name for name, each in fields.items() if each.why.startswith("refused"))
    if refused and len(refused) == len(fields):
        reason = f"{_join(refused)}: {fields[refused[0]].why}"
        return Explanation(SyncState.REFUSED, reason, "correct the value on either side, or settle it as a conflict")
    names = sorted(fields)
    way_out = "settle them as conflicts, or edit the value on either side"
    return Explanation(SyncState.NEEDS_DECISION, f"the two sides differ in {_join(names)}, and both are kept", way_out)


def _explain_writes(facts: PersonFacts, written: Sequence[Difference]) -> Explanation:
    sides = sorted({Side(each.writes) for one in written for each in one.fields.values() if each.writes})
    names = sorted({name for one in written for name, each in one.fields.items() if each.writes})
    creates = any(one.kind in CREATIONS for one in written)
    where = _join([SIDE_NAMES[side] for side in sides])
    what = f"its record is to be created in {where}" if creates else f"{_join(names)} is to be written to {where}"
    jobs = [job for job in facts.jobs if job.kind is JobKind.WRITE and job.lane in sides]
    if not facts.writes_on:
        return Explanation(SyncState.WAITING, f"{what}, but writes are off", "wanesync writes on")
    paused = [side for side in sides if side in facts.pauses]
    if paused:
        sentence = f"{what}, but {SIDE_NAMES[paused[0]]} gets no request: {facts.pauses[paused[0]]}"
        return Explanation(SyncState.WAITING, sentence)
    if not jobs:
        way_out = "wanesync reconcile queues it"
        return Explanation(SyncState.NOT_QUEUED, f"{what}, and no job is queued for it", way_out)
    job = jobs[0]
    if job.state is JobState.RUNNING:
        return Explanation(SyncState.WAITING, f"{what}, and that is being done now")
    waits = f" ({job.reason})" if job.reason else ""
    tried = f", after {job.attempts} failed {'attempt' if job.attempts == 1 else 'attempts'}" if job.attempts else ""
    return Explanation(SyncState.WAITING, f"{what}, and waits in the queue{waits}{tried}")


def _explain_alone(facts: PersonFacts) -> Explanation | None:
    """One record without a counterpart, of which no note says why."""
    if facts.link is not None or len([copy for copy in facts.copies if copy.alive]) > 1:
        return None
    alone = next(copy for copy in facts.copies if copy.alive)
    second = next((one for one in facts.differences if one.kind is DifferenceClass.DUPLICATE), None)
    if second is not None:
        sentence = f"{_name(alone)} is a second customer of its contact: only purchases flow from it"
        return Explanation(SyncState.LEFT_ALONE, sentence)
    waits = next((one.note for one in facts.differences if one.note), "it has no counterpart yet")
    return Explanation(SyncState.NOT_QUEUED, f"{_name(alone)} is not linked: {waits}", "wanesync reconcile plans it")
