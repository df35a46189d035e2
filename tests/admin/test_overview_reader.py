"""The overview is read for all visitors at once."""

from __future__ import annotations

import json

import pytest

from wanesync.admin import overview_reader
from wanesync.admin.overview_reader import OverviewReader
from wanesync.admin.overview_view import Choice
from wanesync.ops.overview import Period
from wanesync.store import Store


def test_the_events_of_a_live_page_are_the_same_for_every_visitor(store: Store) -> None:
    reader = OverviewReader(store, 30)
    events = reader.topic(Choice(), frozenset({"/"}))()
    assert json.loads(events["parts"]).keys() == {"now", "details", "alarm-summary"}
    assert "csrf" not in events["parts"]
    assert json.loads(events["charts"])["step"] == 60


def test_charts_are_read_no_more_often_than_figures_are_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = OverviewReader(store, 30)
    first = reader.read_trends(Choice())
    assert reader.read_trends(Choice()) is first
    assert reader.read_trends(Choice(Period.DAY)) is not first
    monkeypatch.setattr(overview_reader, "FLUSH_S", -1.0)
    assert reader.read_trends(Choice()) is not first


def test_samples_of_the_lanes_are_kept(store: Store) -> None:
    reader = OverviewReader(store, 30)
    reader.sample()
    assert len(reader.samples.of("stripe")) == 1
