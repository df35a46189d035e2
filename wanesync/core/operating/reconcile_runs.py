"""A reconcile that an operator asks for: its states, who may do what in each, and what is kept of it.

asked -> comparing -> planned -> (approved) -> apply_asked -> applying -> applied. From a state of work it may also come
to failed, cancelled or broken (its process is gone), and before it is applied to discarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from wanesync.core.errors import GuardError
from wanesync.core.operating.operators import Operator


class RunState(StrEnum):
    """How far a run is."""

    ASKED = "asked"
    COMPARING = "comparing"
    PLANNED = "planned"
    APPROVED = "approved"
    APPLY_ASKED = "apply_asked"
    APPLYING = "applying"
    APPLIED = "applied"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BROKEN = "broken"
    DISCARDED = "discarded"


ACTIVE = frozenset({RunState.ASKED, RunState.COMPARING, RunState.APPLY_ASKED, RunState.APPLYING})
"""States in which a run is asked for or at work; there is one such run at a time."""
WORKING = {RunState.ASKED: RunState.COMPARING, RunState.APPLY_ASKED: RunState.APPLYING}
"""State in which a run waits for a process -> the state while that works."""
MEANING = {
    RunState.ASKED: "waits for a process",
    RunState.COMPARING: "lists both sides and compares them",
    RunState.PLANNED: "compared: nothing is written before it is applied",
    RunState.APPROVED: "approved, not applied yet",
    RunState.APPLY_ASKED: "waits for a process that applies it",
    RunState.APPLYING: "lists again, and queues what is still as planned",
    RunState.APPLIED: "queued for the workers",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
    RunState.BROKEN: "its process ended in the middle",
    RunState.DISCARDED: "discarded",
}
BEAT_LIMIT_MS = 60_000
"""After so long without a sign of life of its process a run is broken: as long as the run lock lasts."""
ASKED_LIMIT_MS = 3_600_000
"""How long a run waits for a process (1 h, our choice)."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run compares and repairs. ``only``: classes; empty: all. ``limit``: at most so many people."""

    only: tuple[str, ...] = ()
    limit: int | None = None
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class Approvals:
    """What an operator confirmed with an application: people whose values are overwritten, and people created."""

    force: int | None = None
    max_creations: int | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that is kept of a run besides its plan; without values of people. Times are in ms, 0 before.

    ``progress``: step -> how much is done and the total, None while it is unknown. ``counts``: differences by class.
    ``volume``: what it would do, in people. ``lines``: rows of the plan. ``result``: what was queued. ``problem``: why
    it stopped. ``set_aside``: records that could not be used. ``waits_for``: side -> what its listing waits for.
    """

    options: RunOptions = RunOptions()
    started_by: str = ""
    approved_by: str = ""
    applied_by: str = ""
    applied_via: str = ""
    made_ms: int = 0
    compared_ms: int = 0
    approved_ms: int = 0
    applied_ms: int = 0
    ended_ms: int = 0
    confirmed: Approvals = Approvals()
    progress: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    waits_for: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    volume: Mapping[str, int] = field(default_factory=dict)
    links: int = 0
    set_aside: int = 0
    requests: int = 0
    lines: int = 0
    is_cut: bool = False
    result: Mapping[str, int] = field(default_factory=dict)
    job_run: str = ""
    problem: str = ""

    def as_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)

    @property
    def has_plan(self) -> bool:
        """Whether the comparison was completed and its plan stored."""
        return self.compared_ms > 0


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is stored. ``process``: which one works or worked on it."""

    id: str
    state: RunState
    beat_ms: int
    process: str
    cancel_asked: bool
    facts: RunFacts

    @property
    def active(self) -> bool:
        """Whether it is asked for or at work."""
        return self.state in ACTIVE

    @property
    def waits_for(self) -> Mapping[str, str]:
        """What the listing of a side waits for, by side; empty where nothing waits, and once the run has ended."""
        return self.facts.waits_for if self.active else {}

    def is_lost(self, now_ms: int) -> bool:
        """Whether its process gives no sign of life any more, or none took it up."""
        if self.state in WORKING:
            return now_ms - self.beat_ms > ASKED_LIMIT_MS
        return self.active and now_ms - self.beat_ms > BEAT_LIMIT_MS

    def needs_approval(self, approval: bool) -> bool:
        """Whether another person must approve it before it is applied. ``approval``: the installation asks for that."""
        return approval and not self.facts.approved_by

    def may_apply(self, approval: bool) -> bool:
        """Whether it can be applied now."""
        return self._is_open() and not self.needs_approval(approval)

    def may_approve(self, approval: bool, operator: Operator) -> bool:
        """Whether this operator can approve it now."""
        return approval and self.state is RunState.PLANNED and name_person(operator) != self.facts.started_by.casefold()

    def _is_open(self) -> bool:
        ready = self.state in {RunState.PLANNED, RunState.APPROVED}
        return ready or (self.state in {RunState.BROKEN, RunState.FAILED} and self.facts.has_plan)

    def check_apply(self, approval: bool) -> None:
        """Raise GuardError unless it can be applied now."""
        if not self._is_open():
            raise GuardError(f"this run cannot be applied: it {describe(self.state)}")
        if self.needs_approval(approval):
            raise GuardError("this run must be approved first, by another operator than the one who started it")

    def check_approve(self, approval: bool, operator: Operator) -> None:
        """Raise GuardError unless this operator can approve it now."""
        if not approval:
            raise GuardError("runs need no approval here: [admin] approval asks for one")
        if self.state is not RunState.PLANNED:
            raise GuardError(f"this run cannot be approved: it {describe(self.state)}")
        if name_person(operator) == self.facts.started_by.casefold():
            raise GuardError("who started a run cannot approve it: another operator must")

    def check_discard(self) -> None:
        """Raise GuardError unless it can be discarded."""
        if self.active:
            raise GuardError("this run is at work: cancel it instead")
        if not self._is_open():
            raise GuardError(f"this run cannot be discarded: it {describe(self.state)}")


def describe(state: RunState) -> str:
    """Return a state as the end of a sentence about a run."""
    return f"is {state.replace('_', ' ')} ({MEANING[state]})"


def name_person(operator: Operator) -> str:
    """Return the name by which two operators are compared: one name is one person, however he or she came in."""
    return operator.name.casefold()


def read_facts(data: Mapping[str, object]) -> RunFacts:
    """Return the facts that ``as_json`` made JSON of."""
    known = {name: data[name] for name in RunFacts.__dataclass_fields__ if name in data}
    options, confirmed, progress = (known.pop(name, {}) for name in ("options", "confirmed", "progress"))
    return RunFacts(
        **known,  # type: ignore[arg-type] # as as_json wrote them
        options=_read_options(options),
        confirmed=Approvals(**confirmed) if isinstance(confirmed, dict) else Approvals(),
        progress=_read_progress(progress),
    )


def _read_options(data: object) -> RunOptions:
    if not isinstance(data, Mapping):
        return RunOptions()
    return RunOptions(tuple(data.get("only", ())), data.get("limit"), bool(data.get("parallel")))


def _read_progress(data: object) -> dict[str, tuple[int, int | None]]:
    return {str(step): (done, total) for step, (done, total) in data.items()} if isinstance(data, Mapping) else {}
