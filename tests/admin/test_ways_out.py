"""Alarms lead to the page that mends them."""

from __future__ import annotations

from wanesync.admin.ways_out import PAGES, find_page
from wanesync.core.operating.alarms import AlarmCode


def test_an_alarm_leads_to_a_page_that_exists() -> None:
    assert find_page(AlarmCode.NO_WORKER, "stripe", {"/queue"}) == ("", ""), "a process is started elsewhere"
    assert find_page(AlarmCode.DEAD_LETTERS, "stripe", {"/limits"}) == ("", ""), "no such page in this service"
    assert find_page(AlarmCode.SIDE_PAUSED, "stripe", {"/limits"}) == ("/limits#pauses", "Resume")


def test_a_list_is_filtered_by_the_side_of_the_alarm() -> None:
    assert find_page(AlarmCode.DEAD_LETTERS, "stripe", {"/queue"})[0] == "/queue?state=dead&side=stripe"
    assert find_page(AlarmCode.OLDEST_JOB, "stripe", {"/queue"})[0] == "/queue?state=due&side=stripe"
    assert {*PAGES} <= {*AlarmCode}
