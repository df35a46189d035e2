"""Log lines in the database: all that the console gets, masked, and never at the cost of the work."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog

from tests.support.planted import WORD, plant
from wanesync import log
from wanesync.core.errors import DatabaseRefused, DatabaseUnavailable
from wanesync.ops.logs import storage as log_storage
from wanesync.ops.logs.storage import DROPPED, LogStorage, store_log_lines
from wanesync.store import Store
from wanesync.store.tables.operating.log_lines import NEWEST, LogLine, LogLineFilter

logger = structlog.get_logger("wanesync.test")


@pytest.fixture(autouse=True)
def console() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def taking(store: Store, rate: int = 1_000) -> LogStorage:
    """A storage whose thread does not run: the test writes."""
    storage = LogStorage(store, "worker 7", rate)
    logging.getLogger().addHandler(storage)
    return storage


def read(store: Store) -> list[LogLine]:
    with store.reading() as tx:
        return tx.log_lines.find(LogLineFilter(), NEWEST, 10_000)


def test_a_line_is_stored_with_its_marks(store: Store) -> None:
    storage = taking(store)
    store.clock.offset_ms = 0
    logger.warning("job failed", side="stripe", record="cus_1", error="refused (req_ABCdef123)", tries=3)
    logger.debug("not this one")
    assert storage.write_waiting() == 1
    (line,) = read(store)
    assert (line.level, line.event, line.logger, line.process) == (
        "warning", "job failed", "wanesync.test", "worker 7",
    )  # fmt: skip
    assert (line.side, line.record_id, line.correlation_id) == ("stripe", "cus_1", "req_ABCdef123")
    assert line.data == {"side": "stripe", "record": "cus_1", "error": "refused (req_ABCdef123)", "tries": 3}
    assert abs(line.at_ms - time.time() * 1000) < 60_000


def test_its_time_is_that_of_the_database(store: Store) -> None:
    storage = taking(store)
    store.clock.offset_ms = -3_600_000
    logger.info("an hour ago")
    storage.write_waiting()
    assert abs(read(store)[0].at_ms + 3_600_000 - time.time() * 1000) < 60_000


def test_no_personal_value_and_no_secret_is_stored_whoever_logs_it(store: Store) -> None:
    storage = taking(store)
    values = plant(3)
    whole = " ".join(values.values())
    logger.info("sent", email=values["email"], phone=values["phone"], reason=f"to {values['email']}, {values['phone']}")
    logger.info("sent", deep={"list": [values["email"]]}, token="pat-eu1-11111111-2222", note="sk_live_abcdef")
    # What no pattern recognises: the arguments of a library's line, and the message of an unexpected error.
    logging.getLogger("urllib3").warning("retry after %s", whole)
    logging.getLogger("stripe").warning("answered", extra={"body": whole})
    try:
        raise ValueError(whole)
    except ValueError:
        logger.exception("failed")
    storage.write_waiting()
    lines = read(store)
    text = repr(lines)
    assert len(lines) == 5
    assert WORD not in text.lower()
    assert values["phone"] not in text
    assert "pat-eu1" not in text
    assert "sk_live" not in text
    assert {line.event for line in lines} == {"sent", "retry after %s", "answered", "failed"}
    assert "ValueError: its message may hold data" in text


def test_long_lines_are_cut(store: Store) -> None:
    storage = taking(store)
    logger.info("long", reason="x " * 5_000, list=["y" * 900] * 20, number=7)
    logger.info("text", reason="x " * 5_000)
    storage.write_waiting()
    text, long = read(store)
    assert len(str(text.data["reason"])) == log_storage.MAX_TEXT_CHARS
    assert long.data["number"] == 7
    assert "characters" in str(long.data["cut"])


def test_what_is_beyond_the_rate_is_dropped_and_counted(store: Store) -> None:
    storage = taking(store, rate=1)
    for number in range(25):
        logger.info("many", number=number)
    storage.write_waiting()
    lines = read(store)
    assert [line.event for line in lines].count("many") == 10
    assert [line.data["lines"] for line in lines if line.event == DROPPED] == [15]


def test_a_database_that_is_away_costs_lines_and_no_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = taking(store, rate=100_000)
    monkeypatch.setattr(log_storage, "MAX_WAITING", 50)

    def refuse(*_: object) -> NoReturn:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(store, "run", refuse)
        for number in range(60):
            logger.info("many", number=number)
        with pytest.raises(DatabaseUnavailable):
            storage.write_waiting()
    assert storage.write_waiting() == 51
    lines = read(store)
    assert [line.data["lines"] for line in lines if line.event == DROPPED] == [10]


def test_lines_that_the_database_refuses_hold_up_no_later_ones(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = taking(store)
    logger.info("refused")

    def refuse(_: object) -> NoReturn:
        raise DatabaseRefused("a value")

    with monkeypatch.context() as patch:
        patch.setattr(store, "run", refuse)
        storage.write_waiting()
    logger.info("later")
    storage.write_waiting()
    assert {line.event for line in read(store)} == {"later", DROPPED}


def test_an_error_within_the_storage_reaches_no_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = taking(store)

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("broken")

    monkeypatch.setattr(storage, "format", fail)
    logger.info("goes on")
    assert storage.write_waiting() == 1
    assert [line.event for line in read(store)] == [DROPPED]


def test_the_thread_writes_and_the_end_waits_for_the_last_lines(store: Store, console: io.StringIO) -> None:
    with store_log_lines(store, "worker", 100):
        logger.info("the last one")
    assert [line.event for line in read(store)] == ["the last one"]
    logger.info("after the end")
    assert len(read(store)) == 1
    assert "after the end" in console.getvalue()
