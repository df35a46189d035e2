"""Processes behind one socket show the answers of all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from wanesync.core.model import Side
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.metrics import WebhookCounters
from wanesync.web.shared_answers import SharedAnswers


def test_every_process_shows_the_answers_of_all_and_never_fewer(tmp_path: Path) -> None:
    one, two = (WebhookCounters(shared=SharedAnswers(tmp_path, name)) for name in ("1", "2"))
    one.count(Side.STRIPE, 200, Outcome.ACCEPTED, 3)
    assert one.read_answers() == ([(("stripe", 200), 1)], [("stripe", 3)])
    two.count(Side.STRIPE, 200, Outcome.ACCEPTED, 1)
    two.count(Side.HUBSPOT, 401, Outcome.SIGNATURE, 0)
    shown = ([(("hubspot", 401), 1), (("stripe", 200), 2)], [("hubspot", 0), ("stripe", 4)])
    assert two.read_answers() == shown
    assert one.read_answers() == shown


def test_what_a_process_that_is_gone_had_answered_stays_counted(tmp_path: Path) -> None:
    SharedAnswers(tmp_path, "gone").add_up(Counter({("stripe", 200): 7}), Counter({"stripe": 9}))
    answers, stored = SharedAnswers(tmp_path, "new").add_up(Counter(), Counter())
    assert (dict(answers), dict(stored)) == ({("stripe", 200): 7}, {"stripe": 9})
