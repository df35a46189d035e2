"""The web server: its heartbeats, and whether a webhook could be stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from unittest.mock import patch

import pytest

from tests.support.core_builders import FIELDS
from wanesync.core.errors import ConfigError, DatabaseUnavailable, FieldMapChanged
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.store import Store, open_store
from wanesync.web.server import WebServer, find_trouble
from wanesync.web.settings import WebSettings


class Intake:
    """Stores nothing."""

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        return 0


class StopAfter(threading.Event):
    """Set after so many waits. No time passes."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite::memory:", migrate=True)
    yield opened
    opened.close()


def test_the_clock_offset_is_measured_before_each_heartbeat(store: Store) -> None:
    server = WebServer(store, Intake(), WebSettings(), ("127.0.0.1", 0))
    server.start()
    synced: list[None] = []

    def sync() -> None:
        synced.append(None)
        if len(synced) == 2:
            raise DatabaseUnavailable("the database does not answer")

    try:
        with patch.object(store, "sync_clock", sync):
            server.beat_until(StopAfter(3))
    finally:
        server.stop()
    assert len(synced) == 3


def test_a_port_that_is_taken_is_a_configuration_error(store: Store) -> None:
    server = WebServer(store, Intake(), WebSettings(), ("127.0.0.1", 0))
    server.start()
    try:
        with pytest.raises(ConfigError, match=r"cannot be opened \(Address already in use\): choose"):
            WebServer(store, Intake(), WebSettings(), ("127.0.0.1", int(server.url.rpartition(":")[2])))
    finally:
        server.stop()


def test_a_database_that_does_not_answer_is_trouble(store: Store) -> None:
    assert find_trouble(store) == ""
    with patch.object(store, "reading", side_effect=DatabaseUnavailable("gone")):
        assert find_trouble(store) == "the database does not answer"


def test_whoever_asks_for_readiness_causes_no_writing_transaction(store: Store) -> None:
    with patch.object(store, "transaction", side_effect=AssertionError("it writes")):
        assert find_trouble(store) == ""


def test_a_process_with_an_earlier_field_map_is_not_ready_and_ends(store: Store) -> None:
    claim_field_map(store, FIELDS, MapClaim.TAKE_OVER)
    earlier = store.generations
    claim_field_map(store, FieldMap(FIELDS.specs[:2]), MapClaim.TAKE_OVER)
    store.use_fields(earlier)
    assert find_trouble(store) == "the field map was changed: this process stops"
    server = WebServer(store, Intake(), WebSettings(), ("127.0.0.1", 0))
    server.start()
    try:
        with pytest.raises(FieldMapChanged):
            server.beat_until(StopAfter(3))
    finally:
        server.stop()
