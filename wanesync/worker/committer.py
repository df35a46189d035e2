"""The committer: takes the answers of a process's calls into the store, several in one transaction."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.jobs import MAX_UNUSABLE_ANSWERS, Job, JobReport
from wanesync.core.model import Side
from wanesync.ratelimit.budget import lower_refused_limits
from wanesync.store.clock import Clock
from wanesync.store.database import Tx
from wanesync.sync.bad_rows import in_halves
from wanesync.sync.calls import AnyCall
from wanesync.sync.job_results import resume, still_held
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.write_jobs import WriteJobs
from wanesync.worker.claim_size import is_to_be_cut
from wanesync.worker.counting import count_changes
from wanesync.worker.failure_notes import FailureNotes
from wanesync.worker.in_flight import InFlight
from wanesync.worker.lane import reschedule_failed
from wanesync.worker.lease import Lease

GATHER_MS = 500
"""How long answers are gathered for one commit while many calls are under way (docs/correctness.md#group-commit)."""
GATHER_POLL_MS = 50
"""How often the answers that arrived meanwhile are taken: to wake for each of them costs more than to take it."""
MAX_ANSWERS_PER_COMMIT = 64
"""Keeps the transaction short: webhooks and claims wait for it on SQLite."""
ANSWER_POLL_S = 0.1
"""How often the committer looks whether the process is to end."""
MAX_JOBS_PER_COMMIT = 200
"""Jobs that one commit ends: an answer of HubSpot has up to 100, and the transaction must stay short (our choice)."""
DATABASE_RETRY_S = 1
"""Pause after a commit that found the database unavailable."""

UNUSABLE_ANSWERS = frozenset({Failure.UNREACHED, Failure.UNAVAILABLE, Failure.NO_ANSWER, Failure.SERVER})
"""Failures that count towards an open circuit (docs/correctness.md#circuit)."""
KEEPS_PAUSE = UNUSABLE_ANSWERS | {Failure.UNAUTHORISED, Failure.FORBIDDEN, Failure.MOVING, Failure.DAILY_LIMIT}
"""Failures after which a pause of the side or the operation stays; any other answer ends it."""

Answered = tuple[AnyCall, object]
"""A call, and its answer or the ``CallError`` it failed with."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit of answers: the calls that follow, whether a job was refused because its lease is over, and its jobs."""

    follow_ups: Sequence[AnyCall]
    refused: bool
    reports: Sequence[JobReport]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Answers that are committed together, and how often that failed; ``jobs``: only these of a single answer's."""

    answers: Sequence[Answered]
    failures: int = 0
    jobs: Sequence[Job] = ()

    def halve(self) -> list[_Piece]:
        """Return two halves of the answers, or of the jobs of a single answer; none if it has only one job."""
        if len(self.answers) > 1:
            middle = len(self.answers) // 2
            return [_Piece(self.answers[:middle]), _Piece(self.answers[middle:])]
        jobs = self.jobs or self.answers[0][0].jobs
        middle = len(jobs) // 2
        return [_Piece(self.answers, jobs=jobs[:middle]), _Piece(self.answers, jobs=jobs[middle:])] if middle else []

    def commit(self, runtime: Runtime, tx: Tx) -> Committed:
        """Commit the answers."""
        with self._only(tx):
            return Committed(commit_answers(runtime, tx, self.answers), tx.has_refused, tx.job_reports)

    def reschedule(self, runtime: Runtime, tx: Tx, error: Exception) -> bool:
        """Reschedule the jobs of answers that cannot be committed at all; return whether one was refused."""
        with self._only(tx):
            reschedule_all(runtime, tx, self.answers, error)
            return tx.has_refused

    def _only(self, tx: Tx) -> AbstractContextManager[None]:
        return tx.only_jobs([job.id for job in self.jobs]) if self.jobs else nullcontext()


@dataclass(slots=True)
class Committer:
    """The answers of one process on their way into the store. ``waiting``: each lane's calls that have no slot yet."""

    runtime: Runtime
    clock: Clock
    in_flight: InFlight
    lease: Lease
    waiting: Mapping[Side, deque[AnyCall]]
    stopping: threading.Event
    answers: SimpleQueue[Answered] = field(default_factory=SimpleQueue)
    notes: FailureNotes = field(init=False)

    def __post_init__(self) -> None:
        self.notes = FailureNotes(self.runtime, "outcomes")

    def collect(self, is_busy: Callable[[], bool]) -> list[Answered]:
        """Return the next answers, none after 0.1 s; while many calls are under way, wait for more of Stripe's.

        Answers of Stripe mostly end a job, so one commit is enough for many. Answers of HubSpot lead to further work,
        which should not wait.
        """
        batch: list[Answered] = []
        with suppress(Empty):
            batch.append(self.answers.get(timeout=ANSWER_POLL_S))
            until_ms = self.clock.monotonic_ms() + (GATHER_MS if is_busy() and not self.stopping.is_set() else 0)
            while len(batch) < MAX_ANSWERS_PER_COMMIT:
                left_ms = until_ms - self.clock.monotonic_ms()
                if self.answers.empty() and left_ms > 0 and all(call.lane is Side.STRIPE for call, _ in batch):
                    self.clock.sleep_until(self.clock.monotonic_ms() + min(GATHER_POLL_MS, left_ms))
                else:
                    batch.append(self.answers.get_nowait())
        return batch

    def commit(self, batch: Sequence[Answered]) -> None:
        """Commit answers in one transaction, and again while the database is unavailable, until the process stops.

        A batch that fails three times is cut in halves, whatever the cause; an answer that fails alone while other
        transactions are committed has its jobs rescheduled (docs/correctness.md#bad-rows).
        """
        pieces = deque(_Piece(part) for part in _cut(batch))
        while pieces:
            piece = pieces.popleft()
            try:
                done = self.runtime.commit("outcomes", partial(piece.commit, self.runtime))
            except Exception as error:  # noqa: BLE001 - the stored pending writes settle what is lost here
                again = self._fail(piece, error)
                if again is None:
                    return
                pieces.extendleft(reversed(again))
            else:
                left = {id(call) for other in pieces for call, _ in other.answers}
                calls = [call for call, _ in piece.answers]
                self._settle([call for call in calls if id(call) not in left], done.follow_ups)
                # A clock that jumped and came back between two heartbeats leaves no other trace.
                if done.refused:
                    self.lease.claim_lost = True
                count_changes(self.runtime, calls, done.reports)
        self.notes.clear()

    def _settle(self, calls: Sequence[AnyCall], follow_ups: Sequence[AnyCall]) -> None:
        self.in_flight.settle(calls, follow_ups)
        for call in follow_ups:
            self.waiting[call.lane].append(call)
        if follow_ups:
            self.runtime.store.wake_workers()

    def _fail(self, piece: _Piece, error: Exception) -> list[_Piece] | None:
        """Decide what is tried next instead of a piece that failed; None: the process stops."""
        unavailable = isinstance(error, DatabaseUnavailable)
        reason = str(error) if unavailable else type(error).__name__
        log.warning("database unavailable" if unavailable else "answers not committed", reason=reason)
        if unavailable and self.stopping.wait(DATABASE_RETRY_S):
            return None
        failures = piece.failures + 1
        tried = is_to_be_cut(error, failures)
        works = self.notes.add(reason) if tried or failures > 1 else False
        if not tried:
            return [replace(piece, failures=failures)]
        halves = piece.halve()
        if halves:
            return halves
        if unavailable and not works:
            return [replace(piece, failures=failures)]
        log.error("answers lost", calls=len(piece.answers), error=type(error).__name__)
        lost = not self._reschedule(piece, error)
        self._settle([call for call, _ in piece.answers], [])
        # Not before the calls are settled: the next heartbeat releases the jobs that are not in flight.
        if lost:
            self.lease.claim_lost = True
        return []

    def _reschedule(self, piece: _Piece, reason: Exception) -> bool:
        """Reschedule the jobs of a piece; return whether every one was."""
        try:
            return not self.runtime.commit("outcomes", lambda tx: piece.reschedule(self.runtime, tx, reason))
        except Exception as error:  # noqa: BLE001 - then the next heartbeat releases them
            log.error("jobs not rescheduled", error=type(error).__name__)
            return False


def _cut(batch: Sequence[Answered]) -> Iterator[list[Answered]]:
    """Cut answers so that one commit ends at most MAX_JOBS_PER_COMMIT jobs, but for one answer of more."""
    part: list[Answered] = []
    for answered in batch:
        if part and sum(len(call.jobs) for call, _ in [*part, answered]) > MAX_JOBS_PER_COMMIT:
            yield part
            part = []
        part.append(answered)
    if part:
        yield part


def commit_answers(runtime: Runtime, tx: Tx, batch: Sequence[Answered]) -> list[AnyCall]:
    """Commit answers, each isolated from the others; return the calls that follow.

    A usable answer also ends the pause of its side and operation, and a refusal for its rate lowers a limit.
    """
    _count_unusable_answers(runtime, batch)
    _lift_pauses(tx, batch)
    lower_refused_limits(tx, [(call.operation, error) for call, answer in batch for error in _find_errors(answer)])
    alone: list[Answered] = []
    groups: dict[object, list[Answered]] = {}
    for call, answer in batch:
        together = call.commit_together is not None and not isinstance(answer, CallError)
        (groups.setdefault(call.commit_together, []) if together else alone).append((call, answer))
    write_jobs = WriteJobs(runtime)
    follow_ups = [f for group in groups.values() for f in _commit_group(write_jobs, tx, group, alone)]
    return follow_ups + [f for call, answer in alone for f in _commit_one(write_jobs, tx, call, answer)]


def reschedule_all(runtime: Runtime, tx: Tx, batch: Sequence[Answered], error: Exception) -> None:
    """Reschedule the jobs of answers that cannot be committed at all, each with one more attempt counted."""
    for call, _ in batch:
        for job in still_held(tx, call.jobs):
            reschedule_failed(runtime, tx, job, error)


def _find_errors(answer: object) -> list[CallError]:
    """Return the errors of a whole call or of its items (made by a further request), and the errors behind those."""
    found = [answer] if isinstance(answer, CallError) else []
    if isinstance(answer, Mapping):
        found = list({id(item): item for item in answer.values() if isinstance(item, CallError)}.values())
    return found + [error.__cause__ for error in found if isinstance(error.__cause__, CallError)]


def _count_unusable_answers(runtime: Runtime, batch: Sequence[Answered]) -> None:
    """Count consecutive calls without a usable answer; twice if the transaction runs again, which does no harm."""
    streaks = runtime.process.failure_streaks
    for call, answer in batch:
        if isinstance(answer, CallError) and answer.failure in UNUSABLE_ANSWERS:
            streak = streaks.setdefault(call.lane, [])
            streak += [job.key for job in call.jobs[:1] if len(streak) < MAX_UNUSABLE_ANSWERS or job.key not in streak]
        else:
            streaks.pop(call.lane, None)


def _lift_pauses(tx: Tx, batch: Sequence[Answered]) -> None:
    paused = set(tx.pauses.get_all())
    for call, answer in batch:
        if not (isinstance(answer, CallError) and answer.failure in KEEPS_PAUSE):
            for name in paused & {str(call.lane), f"{call.lane}:{call.operation}"}:
                resume(tx, name)
                paused.discard(name)


def _commit_group(write_jobs: WriteJobs, tx: Tx, group: Sequence[Answered], alone: list[Answered]) -> list[AnyCall]:
    """Commit answers of one kind at once; one that fails alone is left to be committed by itself."""
    together = group[0][0].commit_together

    def try_all(some: Sequence[Answered]) -> list[AnyCall]:
        with tx.savepoint():
            steps = together(write_jobs.runtime, tx, [answer for _, answer in some]) if together else ()
            return write_jobs.carry_out(tx, steps)

    def leave(answered: Answered, error: Exception) -> list[AnyCall]:
        log.info("an answer is committed by itself", error=type(error).__name__)
        alone.append(answered)
        return []

    return in_halves(group, try_all, leave)


def _commit_one(write_jobs: WriteJobs, tx: Tx, call: AnyCall, answer: object) -> list[AnyCall]:
    """Commit one answer; if that fails, its jobs by halves, and reschedule the one that fails alone."""

    def try_all(jobs: Sequence[Job]) -> list[AnyCall]:
        with tx.savepoint(), tx.only_jobs([job.id for job in jobs]):
            return write_jobs.carry_out(tx, call.then(tx, answer))

    def set_aside(job: Job, error: Exception) -> list[AnyCall]:
        log.error("answer not committed", operation=call.operation, error=type(error).__name__)
        for held in still_held(tx, [job]):
            reschedule_failed(write_jobs.runtime, tx, held, error)
        return []

    jobs = [job for job in call.jobs if tx.part is None or job.id in tx.part]
    return in_halves(jobs, try_all, set_aside)
