"""Observation of the engine: what it stores is reported, and an error that it only retries is a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from tests.simulation.snapshots import SimSnapshot
from wanesync.core.model import Link, PendingWrite, Side
from wanesync.reconcile import compare as comparison
from wanesync.reconcile import run as reconcile
from wanesync.store.tables.jobs import LeaseLost
from wanesync.store.tables.links import Links
from wanesync.store.tables.pending_writes import PendingWrites
from wanesync.worker import committer, lane


@contextmanager
def observed(
    saw_links: Callable[[set[str]], None],
    saw_write: Callable[[PendingWrite], None],
    forgave: Callable[[Exception], None],
    sleep: Callable[[float], None],
    check_listing: Callable[[Side, int, int], None],
) -> Iterator[None]:
    """While it lasts: links (their ids) and own writes committed, and errors that only set a job back, are told.

    ``sleep``: what takes the place of waiting between two tries of a listing's read, in seconds.
    ``check_listing``: what takes the place of the guard against incomplete listings.
    """
    set_back = lane.reschedule_failed
    links_put, writes_put = Links.put_many, PendingWrites.put_many

    def put_links(self: Links, links: Sequence[Link]) -> None:
        links_put(self, links)
        self._session.after_commit.append(lambda: saw_links({link.id for link in links}))  # type: ignore[attr-defined] # ``SimStore`` gives it

    def put_writes(self: PendingWrites, writes: Sequence[PendingWrite]) -> Mapping[str, str]:
        taken = writes_put(self, writes)
        for write in writes:
            if write.id not in taken:
                self._session.after_commit.append(partial(saw_write, write))  # type: ignore[attr-defined] # as above
        return taken

    def told(runtime: Any, tx: Any, job: Any, error: Exception) -> None:
        if not isinstance(error, LeaseLost):
            forgave(error)
        set_back(runtime, tx, job, error)

    quiet = structlog.make_filtering_bound_logger(50)
    configuration = structlog.get_config()
    structlog.configure(wrapper_class=quiet)
    try:
        with (
            patch.object(Links, "put_many", put_links),
            patch.object(PendingWrites, "put_many", put_writes),
            patch.object(lane, "reschedule_failed", told),
            patch.object(committer, "reschedule_failed", told),
            patch("tenacity.nap.time", SimpleNamespace(sleep=sleep)),
            patch.object(comparison, "check_listing", check_listing),
            patch.object(reconcile, "Snapshot", SimSnapshot),
        ):
            yield
    finally:
        structlog.configure(**configuration)
