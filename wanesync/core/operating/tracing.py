"""Tracing as the engine sees it: one trace from a webhook to the vendor's requests that follow from it.

The context of a trace (``traceparent``, www.w3.org/TR/trace-context) is stored with the jobs, so that it crosses
processes. ``wanesync.telemetry`` implements it; without one, nothing is traced and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wanesync.core.model import Side
    from wanesync.core.ports import RequestEnd


class Tracing(Protocol):
    """Begins and continues traces. No method raises."""

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        ...

    def webhook(self, side: Side) -> AbstractContextManager[str]:
        """Trace the storing of one webhook; yields the context that its jobs carry, "" if it is not traced."""
        ...

    def call(self, side: Side, operation: str, contexts: Sequence[str]) -> AbstractContextManager[None]:
        """Trace one call to a vendor, in the trace of each job that it is made for."""
        ...

    def note_request(self, end: RequestEnd) -> None:
        """Note with the call that is traced in this thread how its request ended, and the vendor's id of it."""
        ...


@dataclass(frozen=True, slots=True)
class NoTracing:
    """Traces nothing."""

    is_on: bool = False

    @contextmanager
    def webhook(self, side: Side) -> Iterator[str]:  # noqa: ARG002 - as Tracing
        """Yield no context."""
        yield ""

    @contextmanager
    def call(self, side: Side, operation: str, contexts: Sequence[str]) -> Iterator[None]:  # noqa: ARG002 - as Tracing
        """Do nothing."""
        yield

    def note_request(self, end: RequestEnd) -> None:
        """Do nothing."""


NO_TRACING = NoTracing()
