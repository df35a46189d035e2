"""Eyes of a checker inside the engine: what is stored is noted, and what the engine would forgive is a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from wanesync.core.model import Link, OwnWrite
from wanesync.engine import lane, reconcile, settling
from wanesync.store.jobs import LeaseLost
from wanesync.store.links import Links
from wanesync.store.writes import OwnWrites


@contextmanager
def observed(
    saw_link: Callable[[Link], None],
    saw_write: Callable[[OwnWrite], None],
    forgave: Callable[[Exception], None],
    sleep: Callable[[float], None],
) -> Iterator[None]:
    """While it lasts: links and own writes that are stored, and errors that only set a job back, are told.

    ``sleep``: what takes the place of waiting between two tries of a listing's read, in seconds.
    """
    put_link, put_write, set_back = Links.put, OwnWrites.put, lane.set_back

    def link_put(self: Links, link: Link) -> None:
        put_link(self, link)
        saw_link(link)

    def write_put(self: OwnWrites, write: OwnWrite) -> None:
        put_write(self, write)
        saw_write(write)

    def told(engine: Any, tx: Any, job: Any, error: Exception) -> None:
        if not isinstance(error, LeaseLost):
            forgave(error)
        set_back(engine, tx, job, error)

    quiet = structlog.make_filtering_bound_logger(50)
    configuration = structlog.get_config()
    structlog.configure(wrapper_class=quiet)
    try:
        with (
            patch.object(Links, "put", link_put),
            patch.object(OwnWrites, "put", write_put),
            patch.object(lane, "set_back", told),
            patch.object(settling, "set_back", told),
            patch("tenacity.nap.time", SimpleNamespace(sleep=sleep)),
            # Of three people one is a third: the guard against incomplete listings has tests of its own.
            patch.object(reconcile, "check_listing", lambda *_: None),
        ):
            yield
    finally:
        structlog.configure(**configuration)
