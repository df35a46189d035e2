"""The filters of the queue as an address holds them."""

from __future__ import annotations

import pytest

from wanesync.admin.queue_filters import QueueQuery, read_position, write_position
from wanesync.core.errors import ConfigError
from wanesync.core.jobs import DeadClass, JobKind
from wanesync.core.model import Side
from wanesync.core.operating.queue_filter import QueueFilter, QueueState
from wanesync.store.tables.operating.job_lists import Position


def test_texts_become_values() -> None:
    query = QueueQuery("dead", "stripe", "read", "gone", " No ", "2h", "10m", " 7 ")
    assert query.read(10_000_000) == QueueFilter(
        QueueState.DEAD, Side.STRIPE, JobKind.READ, DeadClass.GONE, "", "No", 7_200_000, 600_000, "7"
    )
    assert QueueQuery(state="waiting", code="backoff").read(1).waits_for == "backoff"
    assert QueueQuery().read(1) == QueueFilter()


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        QueueQuery("odd", "left", "walk", "gone", newer="soon", older="later").read(10_000_000)
    assert [problem.split(" ")[0] for problem in error.value.problems] == ["state", "side", "kind", "newer", "older"]
    with pytest.raises(ConfigError, match="class nothing: expected one of validation"):
        QueueQuery(code="nothing").read(1)


def test_an_address_holds_what_is_used() -> None:
    query = QueueQuery(side="stripe", reason="a&b")
    assert query.address() == "/queue?side=stripe&reason=a%26b"
    assert query.address(after="1.x", side="") == "/queue?reason=a%26b&after=1.x"
    assert QueueQuery().address() == "/queue"


def test_a_position_stands_in_an_address() -> None:
    assert read_position(write_position(Position(12, "a.b"))) == Position(12, "a.b")
    assert (write_position(None), read_position("")) == ("", None)
    for wrong in ("x", "1.", "1" * 17 + ".a", "-1.a", "².a"):
        with pytest.raises(ConfigError, match="no page of the list"):
            read_position(wrong)
