"""What a check of a set-up returns: one line, with its state and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended: ``warn`` is for what works, but not as it should or not for long."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``check``: a stable name; ``fix``: what to do, "" if nothing is."""

    check: str
    state: State
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """The finding as one line, without its state."""
        return f"{self.check}: {self.text}{': ' if self.fix else ''}{self.fix}"

    def as_json(self) -> dict[str, str]:
        """Return the finding as ``wanesync doctor --json`` shows it."""
        return {"check": self.check, "state": str(self.state), "text": self.text, "fix": self.fix}


def ok(check: str, text: str) -> Finding:
    """Return the finding of a check that found nothing wrong."""
    return Finding(check, State.OK, text)


def warn(check: str, text: str, fix: str) -> Finding:
    """Return a finding that is to be mended, but stops nothing."""
    return Finding(check, State.WARN, text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """Return a finding that stops something."""
    return Finding(check, State.FAIL, text, fix)


def count_states(findings: Sequence[Finding]) -> dict[State, int]:
    """Return how many findings have each state."""
    return {state: sum(finding.state is state for finding in findings) for state in State}
