"""The trace that a queued job belongs to: written only while webhooks are traced (docs/operating.md#traces)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wanesync.core.ids import bound
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import Table

JobName = tuple[Side, JobKind, str]
"""Lane, kind and key of a job."""


class JobTraces(Table):
    """The table ``job_traces``."""

    __slots__ = ()

    def put(self, contexts: Mapping[JobName, str]) -> None:
        """Stores the context of the trace that each job belongs to now."""
        now_ms = self._session.now_ms
        batch: list[dict[str, Value]] = [
            {"lane": lane, "kind": kind, "key": bound(key), "context": context, "now": now_ms}
            for (lane, kind, key), context in sorted(contexts.items())
            if context
        ]
        self._session.each("put_job_trace", batch)

    def of(self, lane: Side, kind: JobKind, keys: Sequence[str]) -> dict[str, str]:
        """Key -> the context of its trace, of those jobs that have one."""
        return dict(self._session.rows("job_traces_of", lane=lane, kind=kind, keys=sorted(set(keys)))) if keys else {}
