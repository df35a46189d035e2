"""What an operator does about alerts: silences, their end, and a test of every recipient."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError, NotFound, TooManyTests
from wanesync.core.operating.alarms import AlarmCode
from wanesync.core.operating.alerts import HOUR_MS, AlertPolicy
from wanesync.core.operating.operators import Operator
from wanesync.core.values.characters import collapse, remove_invisible
from wanesync.log import mask
from wanesync.ops.alerts.notices import write_test
from wanesync.store.tables.operating.audit import AuditFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wanesync.core.operating.recipients import Addressee
    from wanesync.ops.alerts.deliverer import Deliverer, TestResult
    from wanesync.store.database import Store, Tx

MAX_SILENCE_MS = 30 * 24 * HOUR_MS
"""A rule that is not wanted for longer is turned off in the configuration, where it is seen (our choice)."""
MIN_SILENCE_MS = 60_000
MAX_REASON_CHARS = 200
MAX_TESTS, TESTS_SPAN_MS = 10, 600_000
"""Tests of all operators in a span (our choice): each is a message to people, over accounts that have limits."""


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """A code ("": every one), a subject of it ("": any), how long from now on (ms), and why."""

    code: str
    subject: str
    for_ms: int
    reason: str = ""


def silence(store: Store, request: SilenceRequest, operator: Operator) -> str:
    """Send no notice of a code and subject for a while; return the silence's id.

    Raises ``ConfigError`` for a code that does not exist or a time that is too short or too long.
    """
    problems = []
    request = replace(request, reason=_clean_reason(request.reason))
    if request.code and request.code not in set(AlarmCode):
        problems.append(f"there is no alarm {request.code}: wanesync alerts list names them")
    if not MIN_SILENCE_MS <= request.for_ms <= MAX_SILENCE_MS:
        problems.append("a silence lasts from 1 minute to 30 days; a rule is turned off for good in [alerts.levels]")
    if len(request.reason) > MAX_REASON_CHARS:
        problems.append(f"the reason has at most {MAX_REASON_CHARS} characters")
    if len(request.subject) > MAX_REASON_CHARS:
        problems.append(f"the subject has at most {MAX_REASON_CHARS} characters")
    if problems:
        raise ConfigError(problems)
    return store.run(partial(_add_silence, request=request, operator=operator))


def _clean_reason(text: str) -> str:
    """Return a reason as it is kept for good: without controls, on one line, addresses and secrets masked."""
    return str(mask("reason", collapse(remove_invisible(text)).strip()))


def _add_silence(tx: Tx, request: SilenceRequest, operator: Operator) -> str:
    until_ms = tx.now_ms + request.for_ms
    added = tx.alerts.add_silence(request.code, request.subject, until_ms, request.reason, operator)
    tx.audit.add(operator, "alert.silence", added, None, {**asdict(request), "until_ms": until_ms})
    return added


def end_silence(store: Store, silence_id: str, operator: Operator) -> None:
    """End a silence; what stands is told in the next round. Raises ``NotFound``."""
    store.run(partial(_end_silence, silence_id=silence_id, operator=operator))


def _end_silence(tx: Tx, silence_id: str, operator: Operator) -> None:
    if not tx.alerts.end_silence(silence_id):
        raise NotFound(f"there is no silence {silence_id}, or it has ended: wanesync alerts list names those that last")
    tx.audit.add(operator, "alert.end_silence", silence_id)


def _note_test(tx: Tx, places: dict[str, list[str]], operator: Operator) -> None:
    earlier = tx.audit.find(AuditFilter(action="alert.test", since_ms=tx.now_ms - TESTS_SPAN_MS), MAX_TESTS)
    if len(earlier) >= MAX_TESTS:
        raise TooManyTests(-(-(earlier[-1].at_ms + TESTS_SPAN_MS - tx.now_ms) // 1000))
    tx.audit.add(operator, "alert.test", "", None, places)


def send_test(
    deliverer: Deliverer, policy: AlertPolicy, addressees: Sequence[Addressee], operator: Operator
) -> list[TestResult]:
    """Send a test notice to each recipient now, and return how it went.

    Raises ``ConfigError`` without any, and ``TooManyTests`` beyond MAX_TESTS of all operators in TESTS_SPAN_MS.
    """
    if not addressees:
        raise ConfigError(['[alerts] names no recipient: set alerts.warn, such as warn = ["env:SLACK_WEBHOOK"]'])
    places = {"recipients": [one.place for one in addressees]}
    deliverer.store.run(partial(_note_test, places=places, operator=operator))
    return deliverer.test(write_test(policy, operator.name), addressees)
