"""Alarms as values: every code has a class, and every alarm a way out."""

from __future__ import annotations

from wanesync.core.operating.alarms import CLASSES, Alarm, AlarmCode, Level


def test_every_code_has_a_class_with_a_heading_and_a_level() -> None:
    assert set(CLASSES) == set(AlarmCode)
    assert all(one.title and one.level > Level.OK for one in CLASSES.values())
    assert len({one.title for one in CLASSES.values()}) == len(CLASSES)


def test_the_sentence_ends_with_the_way_out_and_the_advice_may_be_that_of_the_class() -> None:
    own = Alarm(AlarmCode.NO_WORKER, "hubspot: no worker runs this lane", "start wanesync worker", "hubspot")
    assert own.text == "hubspot: no worker runs this lane: start wanesync worker"
    assert (own.advice, own.level) == ("start wanesync worker", Level.CRITICAL)
    common = Alarm(AlarmCode.SIDE_PAUSED, "stripe is paused by an operator", subject="stripe")
    assert common.text == "stripe is paused by an operator"
    assert common.advice.startswith("wanesync resume")


def test_json_has_the_code_the_level_and_the_way_out_apart() -> None:
    alarm = Alarm(AlarmCode.OLDEST_JOB, "stripe: late", "more workers", "stripe", level_now=Level.CRITICAL)
    assert alarm.as_json() == {
        "code": "oldest_job",
        "subject": "stripe",
        "level": "critical",
        "title": "Jobs are late",
        "text": "stripe: late",
        "way_out": "more workers",
    }
